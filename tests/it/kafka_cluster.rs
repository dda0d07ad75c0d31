//! A cluster of three nodes: TLS, logins, and nodes that come and go.

mod access;
mod replays;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use redrive::brokers::kafka::wire::{KafkaSampler, WireError};
use redrive::brokers::kafka::{AssignedPartition, DlqConsumer, KafkaAdmin, ReplayProducer};
use redrive::config::{KafkaConfig, KafkaTlsConfig, SaslMechanism, Secret};
use redrive::domain::{KafkaSample, Message, Offset, Partition, TopicName};
use tokio::sync::RwLock;

use crate::support::cluster::{
    Listener, TokenProvider, certificate, cluster, known_to_the_cluster, login, node, trusting,
};
use crate::support::kafka_commits::commit_on;
use crate::support::{eventually, unique};

const TIMEOUT: Duration = Duration::from_secs(10);
const ALIVE: Duration = Duration::from_mins(10);

const PASSWORD_MECHANISMS: [SaslMechanism; 3] = [
    SaslMechanism::Plain,
    SaslMechanism::ScramSha256,
    SaslMechanism::ScramSha512,
];

/// Who reads it shares the cluster with other tests; who writes has it alone, and may stop nodes.
static NODES: RwLock<()> = RwLock::const_new(());

fn logged_in(mechanism: SaslMechanism) -> KafkaConfig {
    KafkaConfig {
        tls: Some(trusting()),
        sasl: Some(login(mechanism)),
        ..cluster(Listener::Login)
    }
}

async fn sample(config: &KafkaConfig) -> Result<KafkaSample, WireError> {
    KafkaSampler::new(config, TIMEOUT).sample().await
}

/// The error of a sample with its causes.
async fn refusal(config: &KafkaConfig) -> String {
    let error = sample(config).await.expect_err("it was let in");
    let mut text = error.to_string();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        text = format!("{text}: {source}");
        cause = source;
    }
    text
}

/// Everything that Redrive does with a cluster, by all its clients.
async fn use_every_client(config: &KafkaConfig) {
    let sampled = sample(config).await.unwrap();
    assert_eq!(
        (sampled.brokers, sampled.problems),
        (3, Vec::<String>::new())
    );
    let topic = TopicName::new(unique("cluster"));
    KafkaAdmin::new(&cluster(Listener::Internal))
        .unwrap()
        .create_topic(&topic, 1, &[])
        .await
        .unwrap();
    let producer = ReplayProducer::new(config, TIMEOUT).unwrap();
    let message = Message {
        body: Some("x".into()),
        ..Message::default()
    };
    producer.send(&topic, Partition(0), &message).await.unwrap();
    let admin = KafkaAdmin::new(config).unwrap();
    let watermarks = admin.watermarks(&topic, Partition(0)).await.unwrap();
    assert_eq!(watermarks.high, Offset(1));
    assert!(admin.topic(&topic).await.unwrap().is_some());
    let settings = admin.topic_config(&topic).await.unwrap();
    assert_eq!(settings["cleanup.policy"], "delete");
    let lag_limit = admin.replica_lag_limit().await.unwrap();
    assert_eq!(lag_limit, Duration::from_secs(30));
    let consumer = DlqConsumer::new(config).unwrap();
    let assigned = AssignedPartition {
        topic,
        partition: Partition(0),
        offset: Offset(0),
    };
    consumer.assign(&[assigned]).unwrap();
    let records = consumer.next_batch(1, TIMEOUT).await.unwrap();
    assert_eq!(records[0].message.body, message.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_logs_in_by_password() {
    let _calm = NODES.read().await;
    for mechanism in PASSWORD_MECHANISMS {
        use_every_client(&logged_in(mechanism)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_logs_in_by_token() {
    let _calm = NODES.read().await;
    let provider = TokenProvider::start(ALIVE).await;
    let config = KafkaConfig {
        tls: Some(trusting()),
        sasl: Some(provider.login()),
        ..cluster(Listener::Login)
    };
    use_every_client(&config).await;
    assert_eq!(provider.given(), 1, "all clients share one token");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_shows_a_certificate() {
    let _calm = NODES.read().await;
    let config = KafkaConfig {
        tls: Some(known_to_the_cluster()),
        ..cluster(Listener::MutualTls)
    };
    use_every_client(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_tls_is_possible() {
    let _calm = NODES.read().await;
    let config = KafkaConfig {
        sasl: Some(login(SaslMechanism::ScramSha256)),
        ..cluster(Listener::OpenLogin)
    };
    use_every_client(&config).await;
}

#[tokio::test]
async fn a_wrong_login_says_what_to_check() {
    let _calm = NODES.read().await;
    for mechanism in PASSWORD_MECHANISMS {
        let mut config = logged_in(mechanism);
        let sasl = config.sasl.as_mut().unwrap();
        sasl.password = Some(Secret::new("hunter2"));
        let text = refusal(&config).await;
        let expected = format!("did not accept the login by {}", mechanism.as_str());
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains("kafka.sasl.username"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_mechanism_that_is_not_offered_names_those_that_are() {
    let _calm = NODES.read().await;
    let config = KafkaConfig {
        sasl: Some(login(SaslMechanism::ScramSha512)),
        ..cluster(Listener::OpenLogin)
    };
    let text = refusal(&config).await;
    let expected = "does not offer kafka.sasl.mechanism SCRAM-SHA-512, but SCRAM-SHA-256";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn a_provider_that_refuses_is_quoted() {
    let _calm = NODES.read().await;
    let provider = TokenProvider::start(ALIVE).await;
    let mut config = logged_in(SaslMechanism::Plain);
    let mut sasl = provider.login();
    sasl.client_secret = Some(Secret::new("hunter2"));
    config.sasl = Some(sasl.clone());
    let text = refusal(&config).await;
    assert!(
        text.contains("status 401, invalid_client unknown client"),
        "{text}"
    );
    assert!(text.contains("kafka.sasl.client_id"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    sasl.token_url = Some("http://127.0.0.1:1/token".to_owned());
    config.sasl = Some(sasl);
    let text = refusal(&config).await;
    assert!(
        text.contains("kafka.sasl.token_url cannot be reached"),
        "{text}"
    );
}

/// The cluster ends a session by token after 20 seconds (`connections.max.reauth.ms`).
#[tokio::test]
async fn a_session_that_ends_is_begun_anew_in_time() {
    let _alone = NODES.write().await;
    let provider = TokenProvider::start(ALIVE).await;
    let config = KafkaConfig {
        tls: Some(trusting()),
        sasl: Some(provider.login()),
        ..cluster(Listener::Login)
    };
    let mut sampler = KafkaSampler::new(&config, TIMEOUT);
    let logins = async |sampler: &mut KafkaSampler| {
        let cost = sampler.sample().await.unwrap().cost;
        let count = |api: &str| {
            let mut apis = cost.requests_by_api.iter();
            apis.find_map(|(name, count)| (name == api).then_some(*count))
        };
        // Beside the logins: how often it looked.
        Some((count("SaslHandshake")?, count("Metadata")))
    };
    assert_eq!(logins(&mut sampler).await.map(|(count, _)| count), Some(3));
    assert_eq!(logins(&mut sampler).await, None);
    let (_, looks) = eventually("another login", async || logins(&mut sampler).await).await;
    assert_eq!(
        looks,
        Some(1),
        "a session that was cut off costs a second look"
    );
}

#[tokio::test]
async fn a_broker_must_prove_its_name() {
    let _calm = NODES.read().await;
    let with = |tls: KafkaTlsConfig, server: &str| KafkaConfig {
        tls: Some(tls),
        sasl: Some(login(SaslMechanism::Plain)),
        bootstrap_servers: vec![server.to_owned()],
        ..KafkaConfig::default()
    };
    let server = cluster(Listener::Login).bootstrap_servers.remove(0);
    let strange = KafkaTlsConfig {
        ca_file: Some(certificate("other-ca.pem")),
        ..KafkaTlsConfig::default()
    };
    let text = refusal(&with(strange, &server)).await;
    assert!(
        text.contains("signed by an authority of kafka.tls.ca_file"),
        "{text}"
    );
    assert!(text.contains("UnknownIssuer"), "{text}");
    let by_name = server.replace("127.0.0.1", "localhost");
    let text = refusal(&with(trusting(), &by_name)).await;
    assert!(text.contains("not valid for name"), "{text}");
}

#[tokio::test]
async fn what_a_port_does_not_speak_is_said() {
    let _calm = NODES.read().await;
    let text = refusal(&cluster(Listener::Login)).await;
    assert!(text.contains("add the section [kafka.tls]"), "{text}");
    let text = refusal(&cluster(Listener::OpenLogin)).await;
    assert!(text.contains("add the section [kafka.sasl]"), "{text}");
    let tls_to_plain = KafkaConfig {
        tls: Some(trusting()),
        ..cluster(Listener::Internal)
    };
    let text = refusal(&tls_to_plain).await;
    assert!(text.contains("does this port speak TLS"), "{text}");
    let without_certificate = KafkaConfig {
        tls: Some(trusting()),
        ..cluster(Listener::MutualTls)
    };
    let text = refusal(&without_certificate).await;
    assert!(text.contains("set kafka.tls.certificate_file"), "{text}");
}

/// What is true of the group all the time: seven of ten records of each partition are read.
const COMMITTED: Offset = Offset(7);
const END: Offset = Offset(10);

#[tokio::test(flavor = "multi_thread")]
async fn through_a_rolling_restart_numbers_stay_true() {
    let _alone = NODES.write().await;
    let config = logged_in(SaslMechanism::ScramSha256);
    let internal = cluster(Listener::Internal);
    let topic = TopicName::new(unique("rolling"));
    create_replicated(&internal, &topic, 6).await;
    let producer = ReplayProducer::new(&internal, TIMEOUT).unwrap();
    for index in 0..60 {
        let message = Message::default();
        producer
            .send(&topic, Partition(index % 6), &message)
            .await
            .unwrap();
    }
    let groups: Vec<String> = (0..12)
        .map(|index| unique(&format!("rolling-{index}")))
        .collect();
    for group in &groups {
        commit_on(
            &internal.bootstrap_servers,
            topic.as_str(),
            group,
            6,
            COMMITTED,
        )
        .await;
    }
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let mut sampler = KafkaSampler::new(&config, TIMEOUT);
    let mut seen = Watched::default();
    let watch = async {
        while stopped.try_recv().is_err() {
            let sample = sampler.sample().await.expect("two nodes are always there");
            seen.look(&sample, &topic, &groups);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let restart = async {
        for number in 1..=3 {
            node(number, "stop").await;
            node(number, "start").await;
        }
        stop.send(()).unwrap();
    };
    tokio::join!(watch, restart);
    eventually("a sample without problems", async || {
        let sample = sampler.sample().await.unwrap();
        (sample.problems.is_empty() && sample.brokers == 3).then_some(())
    })
    .await;
    assert!(seen.samples > 30, "{seen:?}");
    assert!(
        seen.with_fewer_brokers > 0,
        "no sample met a stopped node: {seen:?}"
    );
    // A coordinator that loads for more than a second leaves a gap, which is said; not a habit.
    assert!(seen.incomplete * 5 < seen.samples, "{seen:?}");
}

async fn create_replicated(config: &KafkaConfig, topic: &TopicName, partitions: i32) {
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .create()
        .unwrap();
    let wanted = NewTopic::new(topic.as_str(), partitions, TopicReplication::Fixed(3));
    let results = admin.create_topics([&wanted], &AdminOptions::new()).await;
    results.unwrap().remove(0).unwrap();
}

#[derive(Debug, Default)]
struct Watched {
    samples: usize,
    with_fewer_brokers: usize,
    incomplete: usize,
}

impl Watched {
    /// A number may be missing, with the reason; it is never another one.
    fn look(&mut self, sample: &KafkaSample, topic: &TopicName, groups: &[String]) {
        self.samples += 1;
        self.with_fewer_brokers += usize::from(sample.brokers < 3);
        let mut missing = 0;
        for group in groups {
            let found = sample
                .groups
                .iter()
                .find(|found| found.group.as_str() == group);
            match found {
                None => missing += 1,
                Some(found) => {
                    assert_eq!(found.committed.len(), 6, "{:?}", sample.problems);
                    assert!(
                        found
                            .committed
                            .iter()
                            .all(|commit| commit.offset == COMMITTED)
                    );
                }
            }
        }
        let described = sample
            .topics
            .iter()
            .find(|found| found.topic == *topic)
            .unwrap();
        for partition in &described.partitions {
            match partition.high_watermark {
                None => missing += 1,
                Some(end) => assert_eq!(end, END),
            }
        }
        if missing > 0 {
            self.incomplete += 1;
            assert!(!sample.problems.is_empty(), "missing without a word");
        }
    }
}
