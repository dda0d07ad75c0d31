//! What keeps strangers out: foreign hosts and sites, scripts in what brokers say, bodies without end.

use redrive::config::Config;
use redrive::domain::Timestamp;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::dashboard::Dashboard;
use crate::support::snapshots::busy_snapshot;
use crate::support::stored_letters::{Letter, kafka_letter};
use crate::support::visitor::{Visitor, api, client, get};

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
