//! Replays to a partition whose only broker is gone keep no others waiting.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use redrive::brokers::kafka::KafkaAdmin;
use redrive::config::Config;
use redrive::domain::{ReplayStateName, TopicName};

use super::{NODES, TIMEOUT, create_replicated};
use crate::support::cluster::{Listener, cluster, node};
use crate::support::replay_letters::{index, kafka_letter};
use crate::support::replays::{ORIGINAL, Running, impatient, new_store};
use crate::support::unique;

/// The number of the node that alone has the topic.
async fn only_node_of(servers: String, topic: TopicName) -> u16 {
    let looked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .create()
            .unwrap();
        let metadata = client.fetch_metadata(Some(topic.as_str()), TIMEOUT);
        metadata.unwrap().topics()[0].partitions()[0].leader()
    });
    u16::try_from(looked.await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_keeps_no_other_topic_waiting() {
    let _alone = NODES.write().await;
    let config = cluster(Listener::Internal);
    let [lonely, shared] = ["lonely", "shared"].map(|name| TopicName::new(unique(name)));
    let admin = KafkaAdmin::new(&config).unwrap();
    admin.create_topic(&lonely, 1, &[]).await.unwrap();
    create_replicated(&config, &shared, 1).await;
    let number = only_node_of(config.bootstrap_servers.join(","), lonely.clone()).await;
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
    let service = Config {
        kafka: vec![config],
        ..impatient()
    };
    let running = Running::engines(service, &fixture.store);

    node(number, "stop").await;
    let replays = running.replay(&ids, ORIGINAL).await;
    running.reaches(replays[3], ReplayStateName::Sent).await;
    let waiting = fixture.store.replay(replays[0]).await.unwrap();
    assert_eq!(waiting.state.name(), ReplayStateName::Planned);
    node(number, "start").await;
    for replay in &replays[..2] {
        running.reaches(*replay, ReplayStateName::Sent).await;
    }
    running.stop().await;
}
