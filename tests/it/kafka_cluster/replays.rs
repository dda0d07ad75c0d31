//! Replays to a partition whose only broker is gone keep no others waiting.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use redrive::config::{Config, HumanDuration, KafkaConfig};
use redrive::domain::{ReplayStateName, TopicName};

use super::NODES;
use crate::support::cluster::{Listener, cluster, node};
use crate::support::replay_letters::{index, kafka_letter};
use crate::support::replays::{ORIGINAL, Running, impatient, new_store};
use crate::support::unique;

/// A topic of one partition with its replicas on these nodes.
async fn create_on(config: &KafkaConfig, topic: &TopicName, nodes: &[i32]) {
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .create()
        .unwrap();
    let places = [nodes];
    let wanted = NewTopic::new(topic.as_str(), 1, TopicReplication::Variable(&places));
    let results = admin.create_topics([&wanted], &AdminOptions::new()).await;
    results.unwrap().remove(0).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_keeps_no_other_topic_waiting() {
    let _alone = NODES.write().await;
    let config = cluster(Listener::Internal);
    let [lonely, shared] = ["lonely", "shared"].map(|name| TopicName::new(unique(name)));
    create_on(&config, &lonely, &[3]).await;
    create_on(&config, &shared, &[1, 2]).await;
    let fixture = new_store().await;
    let places = [
        (&lonely, "a"),
        (&lonely, "b"),
        (&shared, "a"),
        (&shared, "b"),
    ];
    let letters: Vec<_> = (0..)
        .zip(places)
        .map(|(number, (topic, key))| kafka_letter(&config.name, (topic, 0), number, Some(key)))
        .collect();
    let ids = index(&fixture.store, &letters).await;
    let mut service = Config {
        kafka: vec![config],
        ..impatient()
    };
    // A new controller may be elected meanwhile.
    service.replay.kafka_delivery_timeout = HumanDuration::from_secs(20);
    let running = Running::engines(service, &fixture.store);

    node(3, "stop").await;
    let replays = running.replay(&ids, ORIGINAL).await;
    running.reaches(replays[3], ReplayStateName::Sent).await;
    let waiting = fixture.store.replay(replays[0]).await.unwrap();
    assert_eq!(waiting.state.name(), ReplayStateName::Planned);
    node(3, "start").await;
    for replay in &replays[..2] {
        running.reaches(*replay, ReplayStateName::Sent).await;
    }
    running.stop().await;
}
