//! Intake from real brokers: exactly once from Kafka, nothing lost on RabbitMQ, and the application's
//! own queue is never read.

use std::sync::Arc;
use std::time::Duration;

use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::brokers::rabbitmq::amqp::{AmqpChannel, GiveBack};
use redrive::config::{Config, HumanDuration, QueueConfig, QueueCustody, RabbitMqConfig};
use redrive::dead_letters::{
    self, IntakeBoard, IntakeContext, LookError, Looks, ManagedQueues, Observer,
};
use redrive::domain::conventions::{ERROR_CLASS, ORIGINAL_TOPIC};
use redrive::domain::{
    DeadLetterSummary, DeathReason, Filter, Header, Message, Offset, Partition, Position,
    QueueRole, Timestamp, TopicName,
};
use redrive::lifecycle::Lifecycle;
use redrive::metrics::{Format, Metrics};
use redrive::sampling::{self, SamplingHandle};
use redrive::store::{GapKind, PageRequest, Store};
use redrive::traces::{self, TapBoard, TapContext};
use tempfile::TempDir;

use crate::support::rabbitmq::{Vhost, bodies, body, fill, look_unasked, number, text};
use crate::support::{eventually, kafka, unique};

/// Sampling and intake in this process, on a store of their own.
pub(crate) struct Redrive {
    pub(crate) store: Store,
    pub(crate) sampling: SamplingHandle,
    pub(crate) observer: Observer,
    pub(crate) board: IntakeBoard,
    pub(crate) taps: TapBoard,
    metrics: Arc<Metrics>,
    lifecycle: Lifecycle,
}

impl Redrive {
    pub(crate) async fn start(config: Config, folder: &TempDir) -> Self {
        let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
        let store = Store::open(&url).await.unwrap();
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::new(*config.sampling.interval));
        let lifecycle = Lifecycle::new();
        let stop = lifecycle.stop_token();
        let managed = ManagedQueues::load(&store).await.unwrap();
        let places = managed.subscribe();
        let spawn = |task| lifecycle.spawn("sampling", task);
        let sampling = sampling::start_beside(&config, &places, Arc::clone(&metrics), &stop, spawn);
        let board = IntakeBoard::default();
        let taps = TapContext {
            config: Arc::clone(&config),
            store: store.clone(),
            metrics: Arc::clone(&metrics),
            snapshots: sampling.subscribe(),
            board: TapBoard::default(),
            stop: stop.clone(),
        };
        for task in traces::tasks(&taps) {
            lifecycle.spawn("traces", task);
        }
        let context = IntakeContext {
            config,
            store: store.clone(),
            metrics: Arc::clone(&metrics),
            snapshots: sampling.subscribe(),
            board: board.clone(),
            managed,
            looks: Looks::default(),
            stop,
        };
        for (name, task) in dead_letters::tasks(&context) {
            lifecycle.spawn(name, task);
        }
        Self {
            store,
            sampling,
            observer: Observer::new(context),
            board,
            taps: taps.board,
            metrics,
            lifecycle,
        }
    }

    pub(crate) fn exposition(&self) -> String {
        String::from_utf8(self.metrics.render(Format::Text).to_vec()).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.lifecycle.stop_token().cancel();
        self.lifecycle.run_until_stopped().await.unwrap();
        self.store.close().await;
    }

    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetterSummary> {
        let page = PageRequest::first(1000);
        self.store
            .dead_letters(&Filter::default(), Timestamp::now(), &page)
            .await
            .unwrap()
            .items
    }

    pub(crate) async fn await_dead_letters(&self, count: usize) -> Vec<DeadLetterSummary> {
        eventually("the dead letters are indexed", async || {
            let found = self.dead_letters().await;
            (found.len() >= count).then_some(found)
        })
        .await
    }
}

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.sampling.interval = HumanDuration::from_secs(1);
    config
}

fn kafka_config(topic: &TopicName) -> Config {
    let mut config = Config {
        kafka: vec![kafka()],
        ..config()
    };
    config.dead_letters.kafka_topics = vec![topic.to_string()];
    config
}

async fn produce(topic: &TopicName, count: i32) {
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(10)).unwrap();
    for index in 0..count {
        let message = Message {
            headers: vec![
                Header::text(ERROR_CLASS, "TimeoutException"),
                Header::text(ORIGINAL_TOPIC, "orders"),
            ],
            ..body(&index.to_string())
        };
        producer.send(topic, Partition(0), &message).await.unwrap();
    }
}

fn offsets(found: &[DeadLetterSummary]) -> Vec<i64> {
    let mut offsets: Vec<i64> = found
        .iter()
        .map(|summary| match &summary.position {
            Position::Kafka {
                offset: Offset(offset),
                ..
            } => *offset,
            Position::RabbitMq { .. } => panic!("{summary:?}"),
        })
        .collect();
    offsets.sort_unstable();
    offsets
}

#[tokio::test]
async fn a_dlq_topic_is_indexed_exactly_once_across_restarts_and_recreation() {
    let topic = TopicName::new(format!("{}.dlq", unique("orders")));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    admin.create_topic(&topic, 1, &[]).await.unwrap();
    produce(&topic, 5).await;
    let folder = tempfile::tempdir().unwrap();

    let first = Redrive::start(kafka_config(&topic), &folder).await;
    let found = first.await_dead_letters(5).await;
    assert_eq!(found[0].failure_class.as_deref(), Some("TimeoutException"));
    assert_eq!(found[0].source.as_deref(), Some("orders"));
    first.stop().await;

    produce(&topic, 3).await;
    let second = Redrive::start(kafka_config(&topic), &folder).await;
    let found = second.await_dead_letters(8).await;
    assert_eq!(offsets(&found), (0..8).collect::<Vec<_>>());

    admin.delete_topic(&topic).await.unwrap();
    eventually("the topic is gone", async || {
        admin.topic(&topic).await.unwrap().is_none().then_some(())
    })
    .await;
    admin.create_topic(&topic, 1, &[]).await.unwrap();
    produce(&topic, 2).await;
    let found = second.await_dead_letters(10).await;
    assert_eq!(offsets(&found), [0, 0, 1, 1, 2, 3, 4, 5, 6, 7]);
    let gaps = second.store.gaps(10).await.unwrap();
    assert_eq!(gaps[0].1.kind, GapKind::Recreated);
    second.stop().await;
}

#[tokio::test]
async fn what_lay_in_a_dlq_at_its_discovery_is_in_the_first_value_of_its_counter() {
    let topic = TopicName::new(format!("{}.dlq", unique("backlog")));
    KafkaAdmin::new(&kafka())
        .unwrap()
        .create_topic(&topic, 1, &[])
        .await
        .unwrap();
    produce(&topic, 7).await;
    let folder = tempfile::tempdir().unwrap();
    let redrive = Redrive::start(kafka_config(&topic), &folder).await;
    let line = eventually("the counter is exposed", async || {
        let text = redrive.exposition();
        let mut lines = text
            .lines()
            .filter(|line| line.starts_with("dlq_messages_total{"));
        lines
            .find(|line| line.contains(topic.as_str()))
            .map(str::to_owned)
    })
    .await;
    assert!(line.ends_with(" 7"), "{line}");
    redrive.stop().await;
}

pub(crate) fn with_queue(rabbitmq: RabbitMqConfig, queue: QueueConfig) -> Config {
    let rabbitmq = RabbitMqConfig {
        queues: vec![queue],
        ..rabbitmq
    };
    Config {
        rabbitmq: vec![rabbitmq],
        ..config()
    }
}

#[tokio::test]
async fn a_managed_queue_is_emptied_into_the_store() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let queue = "orders.dlq".into();
    channel.declare_queue(&queue, &[]).await.unwrap();
    fill(&channel, &queue, "m", 25).await;
    let managed = QueueConfig {
        vhost: vhost.name.clone(),
        name: queue.clone(),
        role: Some(QueueRole::Dlq),
        custody: Some(QueueCustody::Managed),
        observe_every: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let redrive = Redrive::start(with_queue(vhost.config(), managed), &folder).await;
    let found = redrive.await_dead_letters(25).await;
    redrive.stop().await;
    assert_eq!(found.len(), 25);
    let rest = look_unasked(&vhost, &queue, GiveBack::Nack).await;
    assert_eq!(
        rest.messages.len(),
        0,
        "acknowledged only after it was stored"
    );
}

/// The queues of the sample workload.
async fn sample_topology(channel: &AmqpChannel) {
    channel
        .declare_exchange(&"events".into(), "topic")
        .await
        .unwrap();
    channel
        .declare_exchange(&"events.dlx".into(), "direct")
        .await
        .unwrap();
    let dead = [
        text("x-dead-letter-exchange", "events.dlx"),
        text("x-dead-letter-routing-key", "orders.dead"),
    ];
    channel
        .declare_queue(&"orders.queue".into(), &dead)
        .await
        .unwrap();
    channel
        .bind_queue(&"orders.queue".into(), &"events".into(), "order.created")
        .await
        .unwrap();
    for (index, ttl) in [1000, 2000, 4000].into_iter().enumerate() {
        let back = [
            text("x-dead-letter-exchange", "events"),
            text("x-dead-letter-routing-key", "order.created"),
            number("x-message-ttl", ttl),
        ];
        channel
            .declare_queue(&format!("orders.retry.{}", index + 1).into(), &back)
            .await
            .unwrap();
    }
    channel
        .declare_queue(&"orders.dlq".into(), &[])
        .await
        .unwrap();
    channel
        .bind_queue(&"orders.dlq".into(), &"events.dlx".into(), "orders.dead")
        .await
        .unwrap();
}

#[tokio::test]
async fn an_observed_dlq_is_looked_at_and_the_application_s_own_queue_never() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    sample_topology(&channel).await;
    fill(&channel, &"orders.queue".into(), "work", 2).await;
    fill(&channel, &"orders.dlq".into(), "dead", 3).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = Config {
        rabbitmq: vec![vhost.config()],
        ..config()
    };
    let redrive = Redrive::start(settings, &folder).await;
    eventually("the roles are known", async || {
        let snapshot = redrive.sampling.snapshot();
        let roles: Vec<_> = snapshot
            .queues()
            .filter(|(_, queue)| queue.sample.vhost == vhost.name)
            .map(|(_, queue)| (queue.sample.queue.to_string(), queue.role))
            .collect();
        let role = |name: &str| {
            roles
                .iter()
                .find(|(queue, _)| queue == name)
                .map(|(_, role)| *role)
        };
        let retries = (1..=3).all(|n| role(&format!("orders.retry.{n}")) == Some(QueueRole::Retry));
        let found = role("orders.queue") == Some(QueueRole::Work)
            && role("orders.dlq") == Some(QueueRole::Dlq);
        (found && retries).then_some(())
    })
    .await;

    let look = async |queue: &str| {
        redrive
            .observer
            .look(&vhost.place(&queue.into()), None)
            .await
    };
    let refused = look("orders.queue").await;
    assert!(
        matches!(refused, Err(LookError::Refused { .. })),
        "{refused:?}"
    );
    let refused = look("orders.retry.1").await;
    assert!(
        matches!(refused, Err(LookError::Refused { .. })),
        "{refused:?}"
    );
    for new in [3, 0, 0] {
        let looked = eventually("the queue may be looked at", async || {
            look("orders.dlq").await.ok()
        });
        let looked = looked.await;
        assert_eq!((looked.seen, looked.new), (3, new));
    }
    assert_eq!(redrive.dead_letters().await.len(), 3);
    redrive.stop().await;

    let all = async |queue: &str| {
        let seen = look_unasked(&vhost, &queue.into(), GiveBack::Nack).await;
        seen.messages
    };
    assert_eq!(
        bodies(&all("orders.dlq").await),
        ["dead0", "dead1", "dead2"]
    );
    let mut consumer = channel.consume(&"orders.queue".into(), 10).await.unwrap();
    for expected in ["work0", "work1"] {
        let delivery = consumer
            .next(Duration::from_secs(10))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(bodies([&delivery.message]), [expected]);
        assert!(!delivery.redelivered, "the application's queue was read");
        delivery.acknowledge().await.unwrap();
    }
}

#[tokio::test]
async fn a_rejected_message_tells_its_queue_and_reason() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    sample_topology(&channel).await;
    channel
        .publish(&"events".into(), "order.created", &body("order"))
        .await
        .unwrap();
    let mut consumer = channel.consume(&"orders.queue".into(), 1).await.unwrap();
    let delivery = consumer
        .next(Duration::from_secs(10))
        .await
        .unwrap()
        .unwrap();
    delivery.reject().await.unwrap();
    let managed = QueueConfig {
        vhost: vhost.name.clone(),
        name: "orders.dlq".into(),
        role: None,
        custody: Some(QueueCustody::Managed),
        observe_every: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let redrive = Redrive::start(with_queue(vhost.config(), managed), &folder).await;
    let found = redrive.await_dead_letters(1).await;
    assert_eq!(found[0].source.as_deref(), Some("orders.queue"));
    assert_eq!(found[0].reason, DeathReason::Rejected);
    let detail = redrive.store.dead_letter(found[0].id).await.unwrap();
    assert_eq!(detail.decoded.origin.routing_keys, ["order.created"]);
    redrive.stop().await;
}
