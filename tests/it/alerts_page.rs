//! The Alerts page: with a real Prometheus, with one that is gone, and with what is none.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response, StatusCode};
use futures_util::stream;
use redrive::config::Config;
use redrive::domain::Timestamp;
use serde_json::Value;

use crate::support::dashboard::Dashboard;
use crate::support::eventually;
use crate::support::exposition::{self, MovingMetrics};
use crate::support::prometheus::Prometheus;
use crate::support::snapshots::busy_snapshot;
use crate::support::visitor::{api, get};

/// A dashboard that asks `url` every second.
async fn dashboard_asking(url: &str) -> Dashboard {
    let text = format!("[prometheus]\nurl = '{url}'\ninterval = '1s'");
    let config = Config::parse(&text, []).unwrap();
    Dashboard::serve(busy_snapshot(Timestamp::now()), config).await
}

fn alert<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let items = answer["items"].as_array().unwrap();
    items.iter().find(|item| item["name"] == name).unwrap()
}

async fn problem(dashboard: &Dashboard) -> String {
    eventually("Prometheus was asked", async || {
        let answer = api(dashboard, "/alerts").await;
        answer["prometheus"]["problem"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn what_fires_is_read_from_a_real_prometheus_and_stays_when_it_is_gone() {
    let address = exposition::serve(Arc::new(MovingMetrics::new())).await;
    let prometheus = Prometheus::scraping(&address.to_string()).await;
    let dashboard = dashboard_asking(prometheus.url().as_str()).await;
    let answer = eventually("an alert fires", async || {
        let answer = api(&dashboard, "/alerts").await;
        let fires = alert(&answer, "KafkaMessagesLost")["state"] == "firing";
        let known = alert(&answer, "KafkaConsumerLagHigh")["state"] == "inactive";
        (fires && known).then_some(answer)
    })
    .await;
    let lost = alert(&answer, "KafkaMessagesLost");
    assert_eq!(lost["active_count"], 2, "{lost}");
    assert!(lost["active"][0]["labels"]["group"].is_string(), "{lost}");
    assert!(lost["active"][0]["since"].is_string(), "{lost}");
    let items = answer["items"].as_array().unwrap();
    let not_loaded = items.iter().filter(|item| item["state"].is_null());
    assert_eq!(not_loaded.count(), 0, "all rule files are loaded");

    drop(prometheus);
    problem(&dashboard).await;
    let (_, _, html) = get(&dashboard, "/alerts").await;
    assert!(
        html.contains("that payments lost: about"),
        "the last answer is kept"
    );
    assert!(
        html.contains("What is shown is what it told"),
        "with its age"
    );
    assert!(
        !html.contains("evil_metric{x=\""),
        "a hostile group name is escaped"
    );
    let (status, _, html) = get(&dashboard, "/alerts/KafkaMessagesLost.md").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("What to do") && html.contains("that payments lost: about"));
}

/// What answers every request with this.
async fn answering(status: StatusCode, location: &'static str, body: fn() -> Body) -> String {
    let answer = move |headers: HeaderMap| async move {
        // "u:hush" in base64.
        assert_eq!(headers["authorization"], "Basic dTpodXNo");
        let response = Response::builder().status(status);
        response.header("location", location).body(body()).unwrap()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://u:hush@{address}/prometheus/")
}

#[tokio::test]
async fn what_is_no_prometheus_is_told_and_harms_nothing() {
    let endless = || {
        let blanks = || Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 16_000]));
        Body::from_stream(stream::repeat_with(blanks))
    };
    let check = async |status: StatusCode, body: fn() -> Body, expected: &str| {
        let url = answering(status, "http://127.0.0.1:1/", body).await;
        let dashboard = dashboard_asking(&url).await;
        let said = problem(&dashboard).await;
        assert!(said.contains(expected), "{status}: {said}");
        for path in ["/alerts", "/alerts/DLQGrowing", "/status", "/api/v1/alerts"] {
            let (status, _, text) = get(&dashboard, path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(!text.contains("hush"), "{path} shows the password");
        }
        let (_, _, html) = get(&dashboard, "/alerts").await;
        assert!(html.contains("It has not told any yet"), "{html}");
    };
    check(StatusCode::OK, endless, "larger than 8 MiB").await;
    check(StatusCode::OK, || Body::from("<html>"), "no list of rules").await;
    check(
        StatusCode::FOUND,
        Body::empty,
        "a redirect, which is not followed",
    )
    .await;
    check(StatusCode::UNAUTHORIZED, Body::empty, "user and password").await;
    check(StatusCode::NOT_FOUND, Body::empty, "/api/v1/rules").await;
}

#[tokio::test]
async fn without_a_prometheus_the_rules_and_runbooks_are_there() {
    let dashboard = Dashboard::busy().await;
    let (_, _, html) = get(&dashboard, "/alerts").await;
    assert!(html.contains("no Prometheus is configured"), "{html}");
    assert!(html.contains("kafka_consumer_group_lag"), "the expressions");
    assert!(html.contains("/alerts/RedriveDown"), "a link to each");
    let answer = api(&dashboard, "/alerts").await;
    assert_eq!(answer["prometheus"]["configured"], false);
    let items = answer["items"].as_array().unwrap();
    for item in items {
        let page = item["runbook"].as_str().unwrap();
        let (status, _, html) = get(&dashboard, page).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        assert!(html.contains("<h3>What to do</h3>"), "{page}");
    }
    let (status, _, _) = get(&dashboard, "/alerts/Nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
