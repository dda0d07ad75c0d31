//! What a topic takes is said before an edit is saved that it would refuse.

use redrive::brokers::kafka::KafkaAdmin;
use redrive::config::Config;
use redrive::domain::{Timestamp, TopicName};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::dashboard::Dashboard;
use crate::support::snapshots::busy_snapshot;
use crate::support::stored_letters::{Letter, kafka_letter};
use crate::support::visitor::{api, client};
use crate::support::{kafka, unique};

/// A topic that takes 3,000 bytes, and a dead letter of it.
async fn limited() -> (Dashboard, KafkaAdmin, TopicName) {
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
    (dashboard, admin, topic)
}

#[tokio::test]
async fn an_edit_that_the_topic_of_origin_refuses_is_not_saved() {
    let (dashboard, admin, topic) = limited().await;
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

#[tokio::test]
async fn a_repair_that_the_topic_of_origin_refuses_fails_and_the_trial_says_so() {
    let (dashboard, admin, topic) = limited().await;
    let send = async |bytes: usize, dry_run: bool| {
        let program = format!(".x = \"{}\"", "x".repeat(bytes));
        let repair = json!({ "dead_letter_ids": [1], "program": program, "dry_run": dry_run });
        let url = dashboard.url("/api/v1/repairs");
        let answer = client().post(url).json(&repair).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    for dry_run in [true, false] {
        let answer = send(3_000, dry_run).await;
        assert_eq!(
            (&answer["changed"], &answer["failed"]),
            (&json!(0), &json!(1)),
            "{answer}"
        );
        let reason = answer["failures"][0]["reason"].as_str().unwrap();
        assert!(
            reason.contains("takes 3000 (max.message.bytes)"),
            "{answer}"
        );
    }
    let answer = send(100, false).await;
    assert_eq!(answer["changed"], 1, "{answer}");
    admin.delete_topic(&topic).await.unwrap();
}

#[tokio::test]
async fn a_trial_names_what_may_not_arrive() {
    let dashboard = Dashboard::busy().await;
    // Of RabbitMQ, which is not asked for its limit.
    let program = ".x = (\"x\" * 17000000)";
    let letters = api(
        &dashboard,
        "/dead-letters?filter=system:rabbitmq+status:open",
    )
    .await;
    let id = &letters["items"][0]["id"];
    let trial = json!({ "dead_letter_ids": [id], "program": program, "dry_run": true });
    let url = dashboard.url("/api/v1/repairs");
    let answer = client().post(url).json(&trial).send().await.unwrap();
    let answer = answer.json::<Value>().await.unwrap();
    assert_eq!(answer["changed"], 1, "{answer}");
    let reason = answer["warnings"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("refuses more than 16 MiB"), "{reason}");
}
