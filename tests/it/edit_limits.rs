//! What a topic takes is said before an edit is saved that it would refuse.

use redrive::brokers::kafka::KafkaAdmin;
use redrive::config::Config;
use redrive::domain::{Timestamp, TopicName};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::dashboard::Dashboard;
use crate::support::snapshots::busy_snapshot;
use crate::support::stored_letters::{Letter, kafka_letter};
use crate::support::visitor::client;
use crate::support::{kafka, unique};

#[tokio::test]
async fn an_edit_that_the_topic_of_origin_refuses_is_not_saved() {
    let topic = TopicName::new(unique("edit-limits"));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    let limit = [("max.message.bytes", "3000")];
    admin.create_topic(&topic, 1, &limit).await.unwrap();
    let mut config = Config::parse("", []).unwrap();
    config.kafka[0] = kafka();
    let dashboard = Dashboard::serve(busy_snapshot(Timestamp::now()), config).await;
    let mut letter = kafka_letter(&Letter {
        offset: 1,
        event_type: "OrderCreated",
        class: "TooLarge",
        message: "x",
        body: b"{}",
        age: 1,
    });
    letter.decoded.origin.destination = Some(topic.to_string());
    let (cluster, now) = ("kafka".into(), Timestamp::now());
    let store = &dashboard.state.store;
    store
        .index_kafka_batch(&cluster, &[letter], &[], &[], now)
        .await
        .unwrap();
    let save = async |bytes: usize| {
        let url = dashboard.url("/api/v1/dead-letters/1/revisions");
        let payload = format!("\"{}\"", "x".repeat(bytes));
        let edit = client().post(url).json(&json!({ "payload": payload }));
        let answer = edit.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (status, problem) = save(3_000).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(
        problem.contains("takes 3000 (max.message.bytes)"),
        "{problem}"
    );
    let (status, answer) = save(100).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    admin.delete_topic(&topic).await.unwrap();
}
