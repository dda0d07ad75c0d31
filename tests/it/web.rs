//! Pages and API over a real store: what they refuse, what they show, what they change.

use redrive::config::Config;
use redrive::domain::{DeadLetterId, RevisionNumber, Snapshot, Timestamp};
use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode, redirect};
use serde_json::{Value, json};

use crate::support::dashboard::{
    Dashboard, Letter, busy_snapshot, kafka_letter, managed_config, snapshot_with_a_broker_down,
};
use crate::support::install_crypto_provider;

const PAGES: [&str; 31] = [
    "/",
    "/consumers",
    "/consumers?sort=-lag&q=pay",
    "/consumers/kafka/payment-consumers",
    "/queues",
    "/queues/rabbitmq/%2F/orders.dlq",
    "/queues/rabbitmq/%2F/payments.queue",
    "/queues/rabbitmq/%2F/audit.fanout",
    "/queues/rabbitmq/%2F/orders.dlq/custody",
    "/dead-letters",
    "/dead-letters?state=open&order=total",
    "/dead-letters/by/exception",
    "/dead-letters/list?filter=status:open",
    "/dead-letters/1",
    "/dead-letters/1?tab=error",
    "/dead-letters/1?tab=headers",
    "/dead-letters/1?tab=history",
    "/dead-letters/1/edit",
    "/replays",
    "/discards",
    "/discards/new?all=1",
    "/repairs/new?all=1",
    "/traces",
    "/flow",
    "/duplicates",
    "/traces?id=nobody",
    "/dead-letters/1?tab=trace",
    "/alerts",
    "/alerts/KafkaConsumerNearDataLoss",
    "/audit",
    "/status",
];

pub(crate) fn client() -> Client {
    install_crypto_provider();
    Client::builder()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap()
}

/// A browser as far as forms need one: it keeps the cookie and finds the token in a page.
pub(crate) struct Visitor {
    client: Client,
    cookie: String,
    token: String,
}

impl Visitor {
    pub(crate) async fn of(dashboard: &Dashboard) -> Self {
        let client = client();
        let page = client.get(dashboard.url("/status")).send().await.unwrap();
        let cookie = page.headers()["set-cookie"].to_str().unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
            "{cookie}"
        );
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let html = page.text().await.unwrap();
        let marker = "name=\"csrf\" value=\"";
        let start = html.find(marker).expect("a form with a token") + marker.len();
        let token = html[start..].split('"').next().unwrap().to_owned();
        Self {
            client,
            cookie,
            token,
        }
    }

    pub(crate) async fn post(
        &self,
        url: &str,
        fields: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, String) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", &self.token).extend_pairs(fields);
        let request = self
            .client
            .post(url)
            .header("cookie", &self.cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish());
        let response = request.send().await.unwrap();
        (
            response.status(),
            response.headers().clone(),
            response.text().await.unwrap(),
        )
    }
}

pub(crate) async fn get(dashboard: &Dashboard, path: &str) -> (StatusCode, HeaderMap, String) {
    let response = client().get(dashboard.url(path)).send().await.unwrap();
    (
        response.status(),
        response.headers().clone(),
        response.text().await.unwrap(),
    )
}

pub(crate) async fn api(dashboard: &Dashboard, path: &str) -> Value {
    let response = client()
        .get(dashboard.url(&format!("/api/v1{path}")))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_parameter_that_the_api_does_not_take_is_refused() {
    let dashboard = Dashboard::busy().await;
    let path = "/api/v1/dead-letters?fliter=status:discarded";
    let (status, _, problem) = get(&dashboard, path).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(problem.contains("fliter"), "{problem}");
    assert!(problem.contains("filter, limit, cursor"), "{problem}");
}

#[tokio::test]
async fn a_request_for_a_foreign_host_is_refused_with_the_remedy() {
    let mut config = Config::parse("", []).unwrap();
    config.http.hosts = vec!["redrive.example".to_owned()];
    let dashboard = Dashboard::serve(busy_snapshot(Timestamp::now()), config).await;
    let ask = async |host: &str, path: &str| {
        let request = client().get(dashboard.url(path)).header("host", host);
        let response = request.send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    let (status, html) = ask("evil.example", "/").await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
    assert!(html.contains("http.hosts"), "{html}");
    let (status, problem) = ask("evil.example:8750", "/api/v1/dead-letters").await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
    assert!(
        problem.contains("http.hosts") && problem.starts_with('{'),
        "{problem}"
    );
    for host in ["redrive.example", "localhost:1", "127.0.0.1"] {
        assert_eq!(ask(host, "/").await.0, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn every_page_is_served_with_the_headers_that_protect_it() {
    let dashboard = Dashboard::busy().await;
    for path in PAGES {
        let (status, headers, html) = get(&dashboard, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {html}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        for inline in [" style=", " onclick=", "<style", "javascript:"] {
            assert!(!html.contains(inline), "{path} has {inline}");
        }
        assert!(html.contains("<h1>"), "{path} has no title");
    }
}

#[tokio::test]
async fn nothing_that_a_broker_says_can_act() {
    let dashboard = Dashboard::serve(
        busy_snapshot(Timestamp::now()),
        Config::parse("", []).unwrap(),
    )
    .await;
    let hostile = "<script>alert(1)</script>\u{202e}\u{1b}[31m\"'><img src=x onerror=alert(1)>";
    let mut letter = kafka_letter(&Letter {
        offset: 0,
        event_type: hostile,
        class: hostile,
        message: hostile,
        body: hostile.as_bytes(),
        age: 5,
    });
    letter.decoded.failure.stack_trace = Some(hostile.to_owned());
    letter.decoded.origin.destination = Some(hostile.to_owned());
    letter
        .message
        .headers
        .push(redrive::domain::Header::text(hostile, hostile));
    letter.event.event_id = Some(hostile.to_owned());
    letter.event.correlation_id = Some(hostile.to_owned());
    letter.classification.title = hostile.to_owned();
    letter.classification.explanation = hostile.to_owned();
    let store = &dashboard.state.store;
    store
        .index_kafka_batch(&"kafka".into(), &[letter], &[], &[], Timestamp::now())
        .await
        .unwrap();
    let encoded: String = url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
    let with_filter = format!("/dead-letters/list?filter={encoded}");
    let trace = format!("/traces/{}", encoded.replace('+', "%20"));
    let pages = PAGES.iter().copied().chain([
        with_filter.as_str(),
        trace.as_str(),
        "/dead-letters/list",
        "/dead-letters/1?form=raw",
        "/dead-letters/1?form=hex",
        "/replays/new?id=1",
    ]);
    for path in pages {
        let (status, _, html) = get(&dashboard, path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(
            !html.contains("<script>alert"),
            "{path} has a script of the broker's"
        );
        assert!(
            !html.contains("<img"),
            "{path} has an image of the broker's"
        );
        assert!(!html.contains('\u{1b}'), "{path} has a terminal escape");
        if !path.ends_with("/edit") {
            assert!(
                !html.contains('\u{202e}'),
                "{path} has a character that turns text round"
            );
        }
    }
}

#[tokio::test]
async fn a_change_needs_the_token_of_this_browser() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let theme = dashboard.url("/theme");
    let (status, headers, _) = visitor
        .post(&theme, &[("theme", "dark"), ("back", "/audit")])
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers["location"], "/audit");

    let other = Visitor {
        token: "0".repeat(32),
        ..Visitor::of(&dashboard).await
    };
    let (status, _, html) = other.post(&theme, &[("theme", "dark")]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(html.contains("reload the page"), "{html}");

    let without_cookie = Visitor {
        cookie: "x=y".to_owned(),
        ..visitor
    };
    assert_eq!(
        without_cookie.post(&theme, &[]).await.0,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let dashboard = Dashboard::busy().await;
    let url = dashboard.url("/api/v1/replays");
    let body = json!({ "dead_letter_ids": [14] });
    let foreign = [
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    for (name, value) in foreign {
        let response = client()
            .post(&url)
            .json(&body)
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }
    let letter = api(&dashboard, "/dead-letters/14").await;
    assert_eq!(letter["status"], "open");
    let own = client()
        .post(&url)
        .json(&body)
        .header("origin", &dashboard.address);
    assert_eq!(own.send().await.unwrap().status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let dashboard = Dashboard::busy().await;
    let large = "x".repeat(5 * 1024 * 1024);
    let url = dashboard.url("/api/v1/dead-letters/1/revisions");
    let request = client().post(url).json(&json!({ "payload": large }));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_edit_is_reviewed_saved_and_replayed_with_plain_forms() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let fields = [
        ("builds_on", "0"),
        ("body_form", "text"),
        ("body", "{\"data\":{\"customerId\":\"cust-17\"}}"),
        ("headers", "1"),
        ("h0-name", "eventType"),
        ("h0-kind", "text"),
        ("h0-value", "OrderCreated"),
        ("h0-from", "1"),
        ("note", "add the customer"),
    ];
    let (status, _, review) = visitor
        .post(&dashboard.url("/dead-letters/13/edit"), &fields)
        .await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        review.contains("class=\"ins\"") && review.contains("class=\"del\""),
        "{review}"
    );
    assert_eq!(
        dashboard
            .state
            .store
            .revisions(DeadLetterId(13))
            .await
            .unwrap()
            .len(),
        0
    );

    let save = dashboard.url("/dead-letters/13/revisions");
    let saving: Vec<_> = fields.into_iter().chain([("then", "replay")]).collect();
    let (status, headers, _) = visitor.post(&save, &saving).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers["location"], "/replays/new?id=13&revision=1");
    let message = dashboard
        .state
        .store
        .message(DeadLetterId(13), RevisionNumber(1))
        .await
        .unwrap();
    assert_eq!(message.header_text("eventType"), Some("OrderCreated"));
    assert_eq!(message.headers.len(), 1);

    let (_, _, conflict) = visitor.post(&save, &saving).await;
    assert!(
        conflict.contains("somebody saved revision 1 meanwhile"),
        "{conflict}"
    );

    let (status, _, preflight) = get(&dashboard, "/replays/new?id=13&revision=1").await;
    assert_eq!(status, StatusCode::OK);
    assert!(preflight.contains("Replay 1 event now"), "{preflight}");
    assert!(preflight.contains("group payment-consumers"), "{preflight}");
    let start = [("id", "13"), ("revision", "1"), ("eligible", "1")];
    let (status, headers, _) = visitor.post(&dashboard.url("/replays"), &start).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let job = headers["location"].to_str().unwrap();
    let (status, _, page) = get(&dashboard, job).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("planned") && page.contains("#13"), "{page}");

    let (status, _, _) = visitor
        .post(&dashboard.url(&format!("{job}/cancel")), &[])
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(api(&dashboard, "/dead-letters/13").await["status"], "open");
    let audit = api(&dashboard, "/audit").await;
    let actions: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions[..3],
        ["replay.cancel", "replay.create", "revision.create"]
    );
    assert_eq!(audit["items"][0]["address"], "127.0.0.1");
}

#[tokio::test]
async fn a_replay_starts_only_with_the_number_that_was_seen() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let start = [("filter", "error:Malformed status:open"), ("eligible", "3")];
    let (status, _, page) = visitor.post(&dashboard.url("/replays"), &start).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("changed from 3 to"), "{page}");
    let jobs = api(&dashboard, "/replays").await;
    assert_eq!(
        jobs["items"].as_array().unwrap().len(),
        1,
        "no second job was made"
    );
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
async fn the_editors_buttons_need_no_script() {
    let dashboard = Dashboard::busy().await;
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url("/dead-letters/13/edit");
    let step = async |step: &'static str| {
        let fields = [
            ("builds_on", "0"),
            ("body_form", "text"),
            ("body", "hi"),
            ("headers", "1"),
            ("h0-name", "mine"),
            ("h0-kind", "text"),
            ("h0-value", "zebra"),
            ("step", step),
        ];
        let (status, _, page) = visitor.post(&url, &fields).await;
        assert_eq!(status, StatusCode::OK);
        page
    };
    assert!(step("as-hex").await.contains("00000000  68 69"));
    assert!(step("add").await.contains("zebra"));
    assert!(!step("remove-0").await.contains("zebra"));
    assert!(step("undo-body").await.contains("OrderCreated"));
}

#[tokio::test]
async fn what_the_broker_would_refuse_is_not_saved() {
    let dashboard = Dashboard::busy().await;
    let url = dashboard.url("/api/v1/dead-letters/14/revisions");
    let typed = json!({ "name": "count", "value": { "amqp": { "type": "i32", "value": 1 } } });
    let request = client().post(&url).json(&json!({ "headers": [typed] }));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = response.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("header count") && detail.contains("write its value as text"),
        "{detail}"
    );
    let revisions = dashboard.state.store.revisions(DeadLetterId(14)).await;
    assert_eq!(revisions.unwrap().len(), 0);
}

#[tokio::test]
async fn a_revision_by_the_api_keeps_what_it_does_not_name() {
    let dashboard = Dashboard::busy().await;
    let url = dashboard.url("/api/v1/dead-letters/14/revisions");
    let before = api(&dashboard, "/dead-letters/14").await;
    let request = client()
        .post(&url)
        .json(&json!({ "headers": before["headers"], "note": "n" }));
    // The rendering as text beside each value is ignored, so that a header can be sent back as it came.
    let created: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(created, json!({ "dead_letter_id": 14, "revision": 1 }));
    let store = &dashboard.state.store;
    let original = store
        .message(DeadLetterId(14), RevisionNumber(0))
        .await
        .unwrap();
    assert_eq!(
        store
            .message(DeadLetterId(14), RevisionNumber(1))
            .await
            .unwrap(),
        original
    );

    let null = client().post(&url).json(&json!({ "payload": null }));
    assert_eq!(null.send().await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(
        store
            .message(DeadLetterId(14), RevisionNumber(2))
            .await
            .unwrap()
            .body,
        None
    );

    let stale = client()
        .post(&url)
        .json(&json!({ "builds_on": 1, "payload": "x" }));
    assert_eq!(stale.send().await.unwrap().status(), StatusCode::CONFLICT);
    let unknown = client().post(&url).json(&json!({ "body": "x" }));
    assert_eq!(
        unknown.send().await.unwrap().status(),
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn an_unknown_replay_is_decided_by_a_person() {
    let dashboard = Dashboard::busy().await;
    let job = api(&dashboard, "/replays").await["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let detail = api(&dashboard, &format!("/replays/{job}")).await;
    let unknown = detail["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["state"] == "unknown")
        .unwrap();
    let replay = unknown["replay_id"].as_str().unwrap();
    let url = dashboard.url(&format!("/api/v1/replays/{job}/events/{replay}/resolve"));
    let nonsense = client().post(&url).json(&json!({ "decision": "perhaps" }));
    assert_eq!(
        nonsense.send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    let decided = client()
        .post(&url)
        .json(&json!({ "decision": "accept_as_failed" }));
    let event: Value = decided.send().await.unwrap().json().await.unwrap();
    assert_eq!(event["state"], "failed");
    let again = client()
        .post(&url)
        .json(&json!({ "decision": "accept_as_sent" }));
    assert_eq!(again.send().await.unwrap().status(), StatusCode::CONFLICT);
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
