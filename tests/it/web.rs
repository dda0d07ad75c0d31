//! Pages and API over a real store: what they list, what they serve, what they say when there is nothing.

use std::sync::Arc;

use redrive::config::Config;
use redrive::dead_letters::{self, IntakeContext, Looks, ManagedQueues};
use redrive::domain::{Snapshot, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::dashboard::{Dashboard, managed_config};
use crate::support::eventually;
use crate::support::snapshots::{busy_snapshot, snapshot_with_a_broker_down};
use crate::support::visitor::{Visitor, api, client, get};

#[tokio::test]
async fn a_parameter_that_the_api_does_not_take_is_refused() {
    let dashboard = Dashboard::busy().await;
    let path = "/api/v1/dead-letters?fliter=status:discarded";
    let (status, _, problem) = get(&dashboard, path).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(problem.contains("fliter"), "{problem}");
    assert!(problem.contains("filter, sort, limit, cursor"), "{problem}");
}

#[tokio::test]
async fn an_address_without_a_number_is_refused_like_every_other() {
    let dashboard = Dashboard::busy().await;
    let (status, headers, html) = get(&dashboard, "/dead-letters/replay").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(headers["content-type"].to_str().unwrap().contains("html"));
    assert!(html.contains("there is nothing at /dead-letters/replay"));
    let (status, headers, problem) = get(&dashboard, "/api/v1/dead-letters/replay").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["content-type"], "application/problem+json");
    assert!(problem.contains("dead-letters/replay"), "{problem}");
}

#[tokio::test]
async fn a_filter_that_is_not_understood_selects_nothing() {
    let dashboard = Dashboard::busy().await;
    let (status, _, html) = get(&dashboard, "/dead-letters/list?filter=colour:red").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        html.contains("colour") && !html.contains("/dead-letters/12"),
        "{html}"
    );
    let (status, headers, problem) =
        get(&dashboard, "/api/v1/dead-letters?filter=colour:red").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(headers["content-type"], "application/problem+json");
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert!(
        problem["detail"].as_str().unwrap().contains("colour"),
        "{problem}"
    );
}

#[tokio::test]
async fn the_api_lists_page_by_page() {
    let dashboard = Dashboard::busy().await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api(
            &dashboard,
            &format!("/dead-letters?filter=system:kafka&limit=15{cursor}"),
        )
        .await;
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["id"].as_i64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<i64> = (1..=40).rev().collect();
    assert_eq!(seen, expected);
    let queues = api(&dashboard, "/queues?limit=2").await;
    assert_eq!(queues["items"].as_array().unwrap().len(), 2);
    assert_eq!(queues["next_cursor"], "2");
}

#[tokio::test]
async fn a_dead_letter_has_the_fields_that_others_rely_on() {
    let dashboard = Dashboard::busy().await;
    let list = api(&dashboard, "/dead-letters?limit=1").await;
    let letter = &list["items"][0];
    assert_eq!(letter["system"], "rabbitmq");
    assert_eq!(letter["cluster"], "rabbitmq");
    assert_eq!(letter["dlq"], "orders.dlq");
    assert_eq!(letter["status"], "open");
    assert_eq!(letter["origin"]["destination"], "orders.queue");
    assert_eq!(letter["error"]["reason"], "rejected");

    let detail = api(&dashboard, "/dead-letters/1").await;
    assert!(
        detail["payload"]["text"]
            .as_str()
            .unwrap()
            .contains("order-1042")
    );
    assert!(detail["payload"]["base64"].as_str().is_some());
    assert_eq!(detail["headers"][0]["name"], "eventId");
    assert_eq!(detail["history"]["replays"][0]["state"], "consumed");
    let binary = api(&dashboard, "/dead-letters/5").await;
    assert_eq!(binary["payload"]["text"], Value::Null);

    let job = api(&dashboard, "/replays").await["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let job = api(&dashboard, &format!("/replays/{job}")).await;
    let event = &job["events"][4];
    assert_eq!(event["dead_letter_id"], 5);
    assert_eq!(event["state"], "died_again");
    assert!(event["evidence"].as_str().unwrap().contains("came back"));
}

#[tokio::test]
async fn a_broker_that_is_down_leaves_its_last_numbers_with_age_and_error() {
    let snapshot = snapshot_with_a_broker_down(Timestamp::now());
    let dashboard = Dashboard::serve(snapshot, Config::parse("", []).unwrap()).await;
    for path in ["/", "/consumers", "/consumers/kafka/payment-consumers"] {
        let (status, _, html) = get(&dashboard, path).await;
        assert_eq!(status, StatusCode::OK);
        for part in [
            "connection refused",
            "3 m ago",
            "payment-consumers",
            "stale",
        ] {
            assert!(html.contains(part), "{path} lacks {part}");
        }
    }
}

#[tokio::test]
async fn a_managed_queue_is_not_looked_at() {
    let dashboard = Dashboard::serve(busy_snapshot(Timestamp::now()), managed_config()).await;
    let (_, _, html) = get(&dashboard, "/queues/rabbitmq/%2F/orders.dlq").await;
    assert!(
        html.contains("Managed") && !html.contains("Look at the first"),
        "{html}"
    );
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url("/queues/rabbitmq/%2F/orders.dlq/observe");
    let (status, _, html) = visitor.post(&url, &[]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(html.contains("it is managed"), "{html}");
}

#[tokio::test]
async fn the_page_of_a_managed_queue_says_why_it_is_not_read() {
    let mut config = managed_config();
    config.rabbitmq[0].read_only = true;
    config.kafka.clear();
    let dashboard = Dashboard::serve(busy_snapshot(Timestamp::now()), config).await;
    let state = &dashboard.state;
    let intake = IntakeContext {
        config: Arc::clone(&state.config),
        store: state.store.clone(),
        metrics: Arc::clone(&state.metrics),
        snapshots: state.sampling.subscribe(),
        board: state.intake.clone(),
        managed: ManagedQueues::default(),
        looks: Looks::default(),
        stop: state.stop.clone(),
    };
    for (_, task) in dead_letters::tasks(&intake) {
        tokio::spawn(task);
    }
    eventually("the page says it", async || {
        let (_, _, html) = get(&dashboard, "/queues/rabbitmq/%2F/orders.dlq").await;
        let reason = "It is not read: rabbitmq.read_only is set";
        html.contains(reason).then_some(())
    })
    .await;
}

#[tokio::test]
async fn assets_are_kept_for_ever_and_pages_never() {
    let dashboard = Dashboard::busy().await;
    let (_, _, html) = get(&dashboard, "/").await;
    let start = html.find("/static/").unwrap();
    let path = html[start..].split('"').next().unwrap();
    let (status, headers, _) = get(&dashboard, path).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let etag = headers["etag"].to_str().unwrap();
    let request = client()
        .get(dashboard.url(path))
        .header("if-none-match", etag);
    assert_eq!(
        request.send().await.unwrap().status(),
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(
        get(&dashboard, "/static/x/../../Cargo.toml").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn readiness_waits_for_the_first_look_at_every_broker() {
    let mut snapshot = busy_snapshot(Timestamp::now());
    let mut waiting = snapshot.clusters[1].as_ref().clone();
    waiting.health = redrive::domain::BrokerHealth::default();
    snapshot.clusters[1] = waiting.into();
    let dashboard = Dashboard::serve(snapshot, Config::parse("", []).unwrap()).await;
    assert_eq!(get(&dashboard, "/healthz").await.0, StatusCode::OK);
    let (status, _, text) = get(&dashboard, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("rabbitmq"), "{text}");
    let ready = Dashboard::busy().await;
    assert_eq!(get(&ready, "/readyz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_are_served_plain_and_compressed() {
    let dashboard = Dashboard::busy().await;
    let (status, headers, text) = get(&dashboard, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .contains("version=0.0.4")
    );
    assert!(text.contains("redrive_build_info"), "{text}");
    let request = client()
        .get(dashboard.url("/metrics"))
        .header("accept-encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["vary"], "accept, accept-encoding");
}

#[tokio::test]
async fn metrics_are_served_as_openmetrics_to_those_who_ask() {
    let dashboard = Dashboard::busy().await;
    let request = client()
        .get(dashboard.url("/metrics"))
        .header("accept-encoding", "gzip;q=0")
        .header(
            "accept",
            "application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.2",
        );
    let response = request.send().await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(response.headers().get("content-encoding").is_none());
    let text = response.text().await.unwrap();
    assert!(text.contains("# TYPE redrive_build info\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn status_shows_what_a_sample_costs() {
    let dashboard = Dashboard::busy().await;
    let (_, _, page) = get(&dashboard, "/status").await;
    assert!(page.contains("to work out and write"), "{page}");
}

#[tokio::test]
async fn a_change_is_announced_on_the_event_stream_and_a_stop_ends_it() {
    let dashboard = Dashboard::busy().await;
    let mut response = client().get(dashboard.url("/events")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = json!({ "dead_letter_ids": [14] });
    client()
        .post(dashboard.url("/api/v1/replays"))
        .json(&body)
        .send()
        .await
        .unwrap();
    let chunk = response.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&chunk).contains("event: changed"));
    dashboard.state.stop.cancel();
    while let Ok(Some(_)) = response.chunk().await {}
}

#[tokio::test]
async fn the_script_gets_the_changing_parts_alone() {
    let dashboard = Dashboard::busy().await;
    let request = client()
        .get(dashboard.url("/consumers"))
        .header("redrive-live", "1");
    let html = request.send().await.unwrap().text().await.unwrap();
    assert!(
        !html.contains("<html") && html.contains("data-live=\"groups\""),
        "{html}"
    );
}

#[tokio::test]
async fn empty_pages_say_what_to_do_next() {
    let dashboard = Dashboard::serve(Snapshot::default(), Config::parse("", []).unwrap()).await;
    let check = async |path: &str, part: &str| {
        let (status, _, html) = get(&dashboard, path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(html.contains(part), "{path} lacks {part}");
    };
    check("/", "Waiting for the first sample").await;
    check("/dead-letters", "dead_letters.kafka_topics").await;
    check("/queues", "redrive.toml").await;
    check("/consumers", "redrive.toml").await;
    check("/replays", "choose <strong>Replay</strong>").await;
    check("/audit", "will stand here").await;
}
