//! A login that may describe all topics and read some: each that it may not read costs only itself.

use std::time::Duration;

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::{ApiKey, CreateAclsRequest, CreateAclsResponse};
use kafka_protocol::protocol::{Decodable as _, StrBytes};
use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::config::{Config, SaslMechanism};
use redrive::dead_letters::IntakeState;
use redrive::domain::conventions::CORRELATION_ID;
use redrive::domain::{Header, Message, Partition, TopicName};
use redrive::traces::TapState;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{NODES, logged_in};
use crate::intake::{Redrive, config};
use crate::support::cluster::{Listener, cluster};
use crate::support::kafka_commits::exchange;
use crate::support::{eventually, required, unique};

const CREATE_ACLS: (ApiKey, i16) = (ApiKey::CreateAcls, 3);

/// `ResourceType`, `PatternType` and `AclPermissionType`
const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const ALLOW: i8 = 3;

/// `AclOperation`
const READ: i8 = 3;
const DESCRIBE: i8 = 8;

/// Lets the login do this with a topic, and nothing that it was not let do.
async fn allow(topic: &TopicName, operation: i8) {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let user = required("REDRIVE_TEST_CLUSTER_USER");
    let creation = AclCreation::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic.as_str()))
        .with_resource_pattern_type(LITERAL)
        .with_principal(text(&format!("User:{user}")))
        .with_host(text("*"))
        .with_operation(operation)
        .with_permission_type(ALLOW);
    let request = CreateAclsRequest::default().with_creations(vec![creation]);
    let server = &cluster(Listener::Internal).bootstrap_servers[0];
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut answer = exchange(&mut stream, CREATE_ACLS, &request).await;
    let answer = CreateAclsResponse::decode(&mut answer, CREATE_ACLS.1).unwrap();
    assert_eq!(answer.results[0].error_code, 0, "{answer:?}");
}

struct Site {
    producer: ReplayProducer,
    dlq: TopicName,
    secret_dlq: TopicName,
    orders: TopicName,
    secret_orders: TopicName,
}

impl Site {
    async fn new() -> Self {
        let open = cluster(Listener::Internal);
        let name = |what: &str| TopicName::new(unique(what));
        let site = Self {
            producer: ReplayProducer::new(&open, Duration::from_secs(10)).unwrap(),
            dlq: name("open.dlq"),
            secret_dlq: name("secret.dlq"),
            orders: name("open.orders"),
            secret_orders: name("secret.orders"),
        };
        let admin = KafkaAdmin::new(&open).unwrap();
        for topic in [
            &site.dlq,
            &site.secret_dlq,
            &site.orders,
            &site.secret_orders,
        ] {
            admin.create_topic(topic, 1, &[]).await.unwrap();
        }
        site
    }

    fn config(&self) -> Config {
        let mut config = Config {
            kafka: vec![logged_in(SaslMechanism::ScramSha512)],
            ..config()
        };
        config.dead_letters.kafka_topics = vec![self.dlq.to_string(), self.secret_dlq.to_string()];
        config.traces.kafka_topics = vec![self.orders.to_string(), self.secret_orders.to_string()];
        config.traces.consumer_group = unique("tap");
        config
    }

    async fn send(&self, topic: &TopicName, correlation: &str) {
        let message = Message {
            headers: vec![Header::text(CORRELATION_ID, correlation)],
            body: Some("{}".into()),
            ..Message::default()
        };
        let sent = self
            .producer
            .enqueue(topic, Partition(0), &message)
            .unwrap();
        sent.wait().await.unwrap();
    }

    /// The tap begins at the end of what it never read.
    async fn until_it_is_followed(&self, redrive: &Redrive, topic: &TopicName) {
        eventually("the topic is followed", async || {
            let warm = unique("warm");
            self.send(topic, &warm).await;
            let parts = redrive.store.trace_parts(&warm, 1).await.unwrap();
            (parts.all_events > 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_read_costs_only_itself() {
    let _calm = NODES.read().await;
    let site = Site::new().await;
    for topic in [&site.secret_dlq, &site.secret_orders] {
        allow(topic, DESCRIBE).await;
        site.send(topic, "before").await;
    }
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(site.config(), &folder).await;

    site.until_it_is_followed(&redrive, &site.orders).await;
    site.send(&site.dlq, "first").await;
    redrive.await_dead_letters(1).await;
    eventually("intake says which topic it may not read", async || {
        let status = redrive.board.statuses().into_iter().next()?;
        match status.state {
            IntakeState::ReadingInPart(reason) => {
                let names = |topic: &TopicName| reason.contains(topic.as_str());
                assert!(names(&site.secret_dlq) && !names(&site.dlq), "{reason}");
                assert!(
                    reason.contains("dead_letters.kafka_topics_ignored"),
                    "{reason}"
                );
                Some(())
            }
            _ => None,
        }
    })
    .await;
    eventually("the tap says which topic it may not read", async || {
        let status = redrive.taps.statuses().into_iter().next()?;
        match status.state {
            TapState::FollowingInPart(reason) => {
                let names = |topic: &TopicName| reason.contains(topic.as_str());
                assert!(
                    names(&site.secret_orders) && !names(&site.orders),
                    "{reason}"
                );
                Some(())
            }
            _ => None,
        }
    })
    .await;
    site.send(&site.dlq, "second").await;
    redrive.await_dead_letters(2).await;
    site.until_it_is_followed(&redrive, &site.orders).await;

    allow(&site.secret_dlq, READ).await;
    allow(&site.secret_orders, READ).await;
    let all = redrive.await_dead_letters(3).await;
    assert!(
        all.iter()
            .any(|letter| letter.position.dlq() == site.secret_dlq.as_str()),
        "{all:?}"
    );
    site.until_it_is_followed(&redrive, &site.secret_orders)
        .await;
    eventually("nothing is left out any more", async || {
        let intake = redrive.board.statuses().into_iter().next()?.state;
        let tap = redrive.taps.statuses().into_iter().next()?.state;
        (intake == IntakeState::Reading && tap == TapState::Following).then_some(())
    })
    .await;
    redrive.stop().await;
}
