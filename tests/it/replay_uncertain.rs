//! A Kafka that takes a record and does not say so: librdkafka's mock cluster answers later than the
//! delivery timeout.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use redrive::config::{Config, KafkaConfig};
use redrive::domain::conventions as names;
use redrive::domain::{Partition, Replay, ReplayState, ReplayStateName, Timestamp, TopicName};

use crate::support::eventually;
use crate::support::replay_letters::{index, kafka_letters, text};
use crate::support::replays::{ORIGINAL, Running, impatient, new_store, records_of};

/// All of one key, so that each takes a round of its own: more than are sent before the mock slows down.
const EVENTS: usize = 400;

/// The mock answers every request that much later: two requests to place a record, one to send it,
/// which the broker has taken by then and the producer, with its second, has given up.
const ROUND_TRIP: Duration = Duration::from_secs(2);

/// Its delivery timeout, and the second in which librdkafka notices.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(2_500);

#[tokio::test]
async fn a_record_whose_report_never_came_is_looked_for_and_not_sent_again() {
    let mock = MockCluster::new(1).unwrap();
    let topic = TopicName::new("orders");
    mock.create_topic("orders", 1, 1).unwrap();
    let servers = mock.bootstrap_servers();
    let kafka = KafkaConfig {
        bootstrap_servers: servers.split(',').map(str::to_owned).collect(),
        ..KafkaConfig::default()
    };
    let config = Config {
        kafka: vec![kafka.clone()],
        ..impatient()
    };
    let fixture = new_store().await;
    let letters = kafka_letters(&topic, 0, &[Some("a"); EVENTS]);
    let ids = index(&fixture.store, &letters).await;
    let running = Running::engines(config, &fixture.store);
    let replays = running.replay(&ids, ORIGINAL).await;
    running.reaches(replays[0], ReplayStateName::Sent).await;
    mock.broker_round_trip_time(1, ROUND_TRIP).unwrap();
    eventually(
        "a record is uncertain and holds up the others of its key",
        async || {
            let sending = fixture.store.sending_replays(&kafka.name).await.unwrap();
            let is_late = |replay: &Replay| match replay.state {
                ReplayState::Sending { started_at, .. } => {
                    Timestamp::now().since(started_at) >= GIVEN_UP_AFTER
                }
                _ => false,
            };
            matches!(&sending[..], [only] if is_late(only)).then_some(())
        },
    )
    .await;
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();

    for id in &replays {
        running.reaches(*id, ReplayStateName::Sent).await;
    }
    let records = records_of(&kafka, &topic, Partition(0)).await;
    let arrived: Vec<&str> = records
        .iter()
        .map(|record| text(&record.message, names::REPLAY_ID))
        .collect();
    let expected: Vec<String> = replays.iter().map(ToString::to_string).collect();
    assert_eq!(arrived, expected);
    running.stop().await;
}
