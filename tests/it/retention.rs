//! Retention removes from the store for good, and touches no broker.

use std::sync::Arc;
use std::time::Duration;

use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::config::{Config, RetentionConfig};
use redrive::dead_letters::Retention;
use redrive::domain::{
    DeadLetterSummary, Filter, Offset, Partition, Position, Timestamp, TopicName,
};
use redrive::metrics::Metrics;
use redrive::store::{HistoryPage, PageRequest, Store};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::crashes::serve;
use crate::support::dashboard::Dashboard;
use crate::support::rabbitmq::body;
use crate::support::visitor::{api, client, get};
use crate::support::{eventually, kafka, required, unique};

fn retention(config: &str, store: &Store) -> Retention {
    let config: RetentionConfig = Config::parse(config, []).unwrap().retention;
    let metrics = Arc::new(Metrics::new(Duration::from_secs(10)));
    Retention::new(config, store.clone(), metrics, CancellationToken::new())
}

async fn produce(topic: &TopicName, count: usize) {
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(10)).unwrap();
    for _ in 0..count {
        producer
            .send(topic, Partition(0), &body("x"))
            .await
            .unwrap();
    }
}

async fn open_store(folder: &TempDir) -> Store {
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    Store::open(&url).await.unwrap()
}

async fn dead_letters(store: &Store) -> Vec<DeadLetterSummary> {
    let page = PageRequest::first(100);
    let filter = Filter::default();
    let found = store.dead_letters(&filter, Timestamp::now(), &page).await;
    found.unwrap().items
}

#[tokio::test]
async fn what_was_removed_is_not_read_again() {
    let topic = TopicName::new(format!("{}.dlq", unique("orders")));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    admin.create_topic(&topic, 1, &[]).await.unwrap();
    produce(&topic, 3).await;
    let folder = tempfile::tempdir().unwrap();
    let configuration = format!(
        "[http]\nlisten = '127.0.0.1:0'\n[sampling]\ninterval = '1s'\n[dead_letters]\n\
         kafka_topics = ['{topic}']\n[[kafka]]\nname = 'kafka'\nbootstrap_servers = ['{}']\n",
        required("REDRIVE_TEST_KAFKA"),
    );
    std::fs::write(folder.path().join("redrive.toml"), configuration).unwrap();
    let store = open_store(&folder).await;
    let mut service = serve(folder.path(), None);
    let indexed = async |count: usize| {
        eventually("they are indexed", async || {
            let found = dead_letters(&store).await;
            (found.len() == count).then_some(found)
        })
        .await
    };
    indexed(3).await;
    service.kill().await.unwrap();
    let retention = retention("[retention]\nmax_age = '1h'\nremove_open = true", &store);
    let soon = Timestamp::now().plus(Duration::from_mins(50));
    assert_eq!(retention.run_once(soon).await.unwrap().removed, 0);
    let later = Timestamp::now().plus(Duration::from_mins(70));
    assert_eq!(retention.run_once(later).await.unwrap().removed, 3);
    produce(&topic, 1).await;
    let _service = serve(folder.path(), None);
    let found = indexed(1).await;
    let Position::Kafka { offset, .. } = found[0].position else {
        panic!("{found:?}");
    };
    assert_eq!(offset, Offset(3));
}

#[tokio::test]
async fn an_expired_discard_leaves_the_store_and_status_says_so() {
    let dashboard = Dashboard::busy().await;
    let store = &dashboard.state.store;
    let discard = json!({
        "filter": "system:kafka status:open", "reason": "stale", "expires_in_days": 7,
    });
    let url = dashboard.url("/api/v1/discards");
    let response = client().post(url).json(&discard).send().await.unwrap();
    let action: serde_json::Value = response.json().await.unwrap();
    let discarded = action["changed"].as_u64().unwrap();
    assert!(discarded > 0, "{action}");
    let (_, _, page) = get(&dashboard, "/status").await;
    assert!(page.contains("not yet"), "{page}");
    let retention = retention("", store);
    let run = retention.run_once(Timestamp::now()).await.unwrap();
    assert_eq!((run.removed, run.problem), (0, None));
    let week = Timestamp::now().plus(Duration::from_hours(7 * 24 + 1));
    assert_eq!(retention.run_once(week).await.unwrap().removed, discarded);
    let listed = api(&dashboard, "/discards").await;
    assert_eq!(listed["items"], json!([]));
    let (_, _, page) = get(&dashboard, "/status").await;
    assert!(
        page.contains(&format!("removed {discarded} dead letters")),
        "{page}"
    );
    let audit = api(&dashboard, "/audit?action=retention.remove").await;
    assert_eq!(audit["items"][0]["detail"]["count"], discarded);
}

#[tokio::test]
async fn a_store_that_cannot_be_made_small_enough_says_why() {
    let dashboard = Dashboard::busy().await;
    let config = RetentionConfig {
        max_bytes: Some(1),
        ..RetentionConfig::default()
    };
    let state = &dashboard.state;
    let metrics = Arc::clone(&state.metrics);
    let retention = Retention::new(config, state.store.clone(), metrics, state.stop.clone());
    let run = retention.run_once(Timestamp::now()).await.unwrap();
    let problem = run.problem.unwrap();
    assert!(problem.contains("retention.remove_open"), "{problem}");
    let open = api(&dashboard, "/dead-letters?filter=status:open").await;
    assert!(!open["items"].as_array().unwrap().is_empty());
    let (_, _, page) = get(&dashboard, "/status").await;
    assert!(page.contains("retention.max_bytes"), "{page}");
    let (_, _, metrics) = get(&dashboard, "/metrics").await;
    assert!(metrics.contains("redrive_retention_last_success_timestamp_seconds"));
}

#[tokio::test]
async fn no_dead_letter_goes_for_the_history_of_charts() {
    let dashboard = Dashboard::busy().await;
    let mebibyte = 1024 * 1024;
    let page = |page| HistoryPage {
        cluster: "kafka".into(),
        page,
        began_at: Timestamp::now(),
        step: Duration::from_mins(5),
        points: vec![7; mebibyte],
    };
    let pages: Vec<_> = (0..20).map(page).collect();
    let state = &dashboard.state;
    state.store.write_history(&pages).await.unwrap();
    let config = RetentionConfig {
        max_bytes: Some(16 * mebibyte as u64),
        ..RetentionConfig::default()
    };
    let metrics = Arc::clone(&state.metrics);
    let retention = Retention::new(config, state.store.clone(), metrics, state.stop.clone());
    let run = retention.run_once(Timestamp::now()).await.unwrap();
    assert!(run.bytes_after > 20 * mebibyte as u64, "{run:?}");
    assert_eq!((run.removed, run.problem), (0, None));
}
