//! A Kafka that takes a record and does not say so: librdkafka's mock cluster answers later than the
//! delivery timeout.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use redrive::config::{Config, KafkaConfig};
use redrive::domain::conventions as names;
use redrive::domain::{Partition, ReplayStateName, TopicName};

use crate::support::replay_letters::{index, kafka_letters, text};
use crate::support::replays::{ORIGINAL, Running, impatient, new_store, records_of};

#[tokio::test]
async fn a_record_whose_report_never_came_is_looked_for_and_not_sent_again() {
    let mock = MockCluster::new(1).unwrap();
    let topic = TopicName::new("orders");
    mock.create_topic("orders", 1, 1).unwrap();
    let kafka = KafkaConfig {
        bootstrap_servers: mock
            .bootstrap_servers()
            .split(',')
            .map(str::to_owned)
            .collect(),
        ..KafkaConfig::default()
    };
    let config = Config {
        kafka: vec![kafka.clone()],
        ..impatient()
    };
    let fixture = new_store().await;
    let ids = index(
        &fixture.store,
        &kafka_letters(&topic, 0, &[Some("a"), Some("a")]),
    )
    .await;
    let running = Running::engines(config, &fixture.store);
    // Requests arrive, answers come after the delivery timeout of one second.
    mock.broker_round_trip_time(1, Duration::from_secs(2))
        .unwrap();
    let replays = running.replay(&ids, ORIGINAL).await;
    running.reaches(replays[0], ReplayStateName::Sending).await;
    let second = fixture.store.replay(replays[1]).await.unwrap();
    assert_eq!(
        second.state.name(),
        ReplayStateName::Planned,
        "it would overtake the first"
    );
    // Only when the report is overdue does the broker answer in time again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();

    running.reaches(replays[0], ReplayStateName::Sent).await;
    running.reaches(replays[1], ReplayStateName::Sent).await;
    let records = records_of(&kafka, &topic, Partition(0)).await;
    let arrived: Vec<&str> = records
        .iter()
        .map(|r| text(&r.message, names::REPLAY_ID))
        .collect();
    let expected: Vec<String> = replays.iter().map(ToString::to_string).collect();
    assert_eq!(arrived, expected);
    running.stop().await;
}
