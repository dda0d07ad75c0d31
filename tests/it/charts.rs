//! The charts of pages over a range that the URL names, and the same from the API.

use redrive::domain::Timestamp;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::dashboard::Dashboard;
use crate::support::visitor::{api, client};

const PAGES: [(&str, &str, &[&str]); 3] = [
    (
        "/",
        "/overview/history",
        &["lag", "lag_seconds", "processing_rate", "dead_letters_open"],
    ),
    (
        "/consumers/kafka/payment-consumers",
        "/consumer-groups/kafka/payment-consumers/history",
        &["lag", "lag_seconds", "consume_rate"],
    ),
    (
        "/queues/rabbitmq/%2F/orders.queue",
        "/queues/rabbitmq/%2F/orders.queue/history",
        &["messages", "publish_rate", "settle_rate"],
    ),
];

async fn page(dashboard: &Dashboard, path: &str) -> (StatusCode, String) {
    let answer = client().get(dashboard.url(path)).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test]
async fn every_range_is_a_link_and_draws_what_the_api_says() {
    let dashboard = Dashboard::busy().await;
    for (path, api_path, names) in PAGES {
        for range in ["1h", "6h", "24h", "7d"] {
            let (status, html) = page(&dashboard, &format!("{path}?range={range}")).await;
            assert_eq!(status, StatusCode::OK);
            let current = format!("aria-current=\"true\">{range}</a>");
            assert!(html.contains(&current), "{path} {range}");
            assert_eq!(html.matches("<svg class=\"chart\"").count(), names.len());
            for other in ["6h", "24h", "7d"] {
                let link = format!("href=\"{path}?range={other}\"");
                assert!(html.contains(&link), "{path}: {link}");
            }
            let history = api(&dashboard, &format!("{api_path}?range={range}")).await;
            assert_eq!(history["range"], range);
            let series = history["series"].as_array().unwrap();
            let found: Vec<_> = series
                .iter()
                .map(|one| one["name"].as_str().unwrap())
                .collect();
            assert_eq!(found, names);
            for one in series {
                let points = one["points"].as_array().unwrap();
                assert!((5..=400).contains(&points.len()), "{range}: {one}");
                let at = |point: &Value| Timestamp::parse(point["at"].as_str().unwrap()).unwrap();
                let rows = points.iter().map(|point| at(point).to_rfc3339());
                let seconds = rows.map(|at| at[..19].replace('T', " "));
                let missing: Vec<_> = seconds.filter(|at| !html.contains(at)).collect();
                assert!(missing.is_empty(), "{path} {range}: {missing:?} in no row");
            }
        }
    }
}

#[tokio::test]
async fn a_time_without_answers_is_a_gap() {
    let dashboard = Dashboard::busy().await;
    let path = "/consumer-groups/kafka/payment-consumers/history";
    let history = api(&dashboard, path).await;
    let points = history["series"][0]["points"].as_array().unwrap();
    let unknown = points
        .iter()
        .filter(|point| point["value"].is_null())
        .count();
    assert!(unknown >= 10, "{unknown} of {}", points.len());
    let (_, html) = page(&dashboard, "/consumers/kafka/payment-consumers").await;
    let chart = html.split("<svg class=\"chart\"").nth(1).unwrap();
    let line = chart.split("class=\"line\" d=\"").nth(1).unwrap();
    let line = line.split('"').next().unwrap();
    assert_eq!(line.matches('M').count(), 2, "{line}");
}

#[tokio::test]
async fn what_is_no_range_and_no_group_is_said() {
    let dashboard = Dashboard::busy().await;
    for path in ["/?range=8d", "/api/v1/overview/history?range=8d"] {
        let (status, text) = page(&dashboard, path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(text.contains("1h, 6h, 24h, 7d"), "{text}");
    }
    for path in [
        "/api/v1/consumer-groups/kafka/nobody/history",
        "/api/v1/consumer-groups/nowhere/payment-consumers/history",
        "/api/v1/queues/rabbitmq/%2F/nothing/history?range=7d",
    ] {
        let (status, text) = page(&dashboard, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {text}");
    }
}
