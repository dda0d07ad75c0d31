//! A store with dead letters and the engines that replay them, in this process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redrive::brokers::kafka::{AssignedPartition, DlqConsumer, KafkaAdmin, KafkaRecord};
use redrive::config::{Config, HumanDuration};
use redrive::dead_letters::{self, IntakeBoard, IntakeContext};
use redrive::dialects;
use redrive::domain::conventions as names;
use redrive::domain::{
    Classification, ClusterName, Custody, DeadLetterId, EventIdentity, Header, Message,
    NewDeadLetter, Offset, Partition, Position, Replay, ReplayId, ReplayStateName, Snapshot,
    Timestamp, TopicName,
};
use redrive::metrics::Metrics;
use redrive::replay::{self, Actor, DestinationChoice, ReplayHandle, ReplayRequest};
use redrive::replay::{RevisionChoice, Selection};
use redrive::sampling;
use redrive::store::Store;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{eventually, kafka, unique};

/// A store in a folder of its own.
pub(crate) struct StoreInFolder {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) folder: TempDir,
}

pub(crate) async fn new_store() -> StoreInFolder {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    StoreInFolder {
        store: Store::open(&url).await.unwrap(),
        url,
        folder,
    }
}

/// Short times, so that nobody waits for what is decided.
pub(crate) fn impatient() -> Config {
    let mut config = Config::default();
    config.replay.kafka_delivery_timeout = HumanDuration::from_secs(1);
    config.replay.rabbitmq_confirm_timeout = HumanDuration::from_secs(5);
    config.replay.settle_time = HumanDuration::from_secs(2);
    config.replay.not_seen_after = HumanDuration::from_secs(600);
    config.sampling.interval = HumanDuration::from_secs(1);
    config
}

pub(crate) fn alice() -> Actor {
    Actor {
        name: "alice".to_owned(),
        address: "127.0.0.1".to_owned(),
    }
}

/// Replay engines that run.
pub(crate) struct Running {
    pub(crate) store: Store,
    pub(crate) handle: ReplayHandle,
    pub(crate) metrics: Arc<Metrics>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Kept for those who watch it.
    _snapshots: Option<watch::Sender<Arc<Snapshot>>>,
}

impl Running {
    /// The engines alone; nobody samples and nobody reads DLQs.
    pub(crate) fn engines(config: Config, store: &Store) -> Self {
        let snapshots = watch::Sender::new(Arc::new(Snapshot::default()));
        let receiver = snapshots.subscribe();
        let stop = CancellationToken::new();
        let mut running = Self::start(&Arc::new(config), store, receiver, stop);
        running._snapshots = Some(snapshots);
        running
    }

    /// With sampling and intake, as the whole service does it.
    pub(crate) fn everything(config: Config, store: &Store) -> Self {
        let config = Arc::new(config);
        let stop = CancellationToken::new();
        let sampled = Arc::new(Metrics::new(Duration::from_secs(1)));
        let sampling = sampling::start(&config, sampled, &stop, |task| {
            tokio::spawn(task);
        });
        let running = Self::start(&config, store, sampling.subscribe(), stop.clone());
        let intake = IntakeContext {
            config,
            store: store.clone(),
            metrics: Arc::clone(&running.metrics),
            snapshots: sampling.subscribe(),
            board: IntakeBoard::default(),
            stop,
        };
        for (_, task) in dead_letters::tasks(&intake) {
            running.tasks.spawn(task);
        }
        running
    }

    fn start(
        config: &Arc<Config>,
        store: &Store,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        stop: CancellationToken,
    ) -> Self {
        let metrics = Arc::new(Metrics::new(Duration::from_secs(1)));
        let tasks = TaskTracker::new();
        let spawn = |task| {
            tasks.spawn(task);
        };
        let handle =
            replay::start(config, store, &metrics, snapshots.clone(), &stop, spawn).unwrap();
        Self {
            store: store.clone(),
            handle,
            metrics,
            snapshots,
            stop,
            tasks,
            _snapshots: None,
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    pub(crate) async fn replay(
        &self,
        ids: &[DeadLetterId],
        destination: DestinationChoice,
    ) -> Vec<ReplayId> {
        let request = ReplayRequest {
            selection: Selection::DeadLetters(ids.to_vec()),
            revision: RevisionChoice::Latest,
            destination,
        };
        let started = self.handle.start(request, alice()).await.unwrap();
        assert!(started.refused.is_empty(), "{:?}", started.refused);
        started.planned
    }

    /// Waits until a replay is in that state.
    pub(crate) async fn reaches(&self, id: ReplayId, state: ReplayStateName) -> Replay {
        reaches(&self.store, id, state).await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

pub(crate) async fn reaches(store: &Store, id: ReplayId, state: ReplayStateName) -> Replay {
    let mut last = None;
    let found = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            let replay = store.replay(id).await.unwrap();
            if replay.state.name() == state {
                return replay;
            }
            last = Some(replay.state);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("waited for {state}, but it is {last:?}"))
}

/// A topic of its own on the shared Kafka.
pub(crate) async fn new_topic(
    prefix: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> TopicName {
    let topic = TopicName::new(unique(prefix));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    admin
        .create_topic(&topic, partitions, settings)
        .await
        .unwrap();
    eventually("the topic is known", async || {
        admin.topic(&topic).await.ok()?
    })
    .await;
    topic
}

/// Everything that a partition holds up to its end.
pub(crate) async fn records_in(topic: &TopicName, partition: Partition) -> Vec<KafkaRecord> {
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    let end = admin.watermarks(topic, partition).await.unwrap().high;
    let consumer = DlqConsumer::new(&kafka()).unwrap();
    let start = AssignedPartition {
        topic: topic.clone(),
        partition,
        offset: Offset(0),
    };
    consumer.assign(&[start]).unwrap();
    let mut records: Vec<KafkaRecord> = Vec::new();
    while records.last().map_or(0, |record| record.offset.0 + 1) < end.0 {
        let batch = consumer
            .next_batch(1000, Duration::from_secs(10))
            .await
            .unwrap();
        assert!(
            !batch.is_empty(),
            "{topic} holds {} of {end}",
            records.len()
        );
        records.extend(batch);
    }
    records
}

/// A dead letter of the sample workload's kind: event `number` of `key` failed in `partition` of `topic`.
pub(crate) fn kafka_letter(
    cluster: &ClusterName,
    (topic, partition): (&TopicName, i32),
    number: i64,
    key: Option<&str>,
) -> NewDeadLetter {
    let message = Message {
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        body: Some(Bytes::from(format!("{{\"number\":{number}}}"))),
        headers: vec![
            Header::text("eventId", format!("event-{number}")),
            Header::text("trace", "first"),
            Header::text(names::ERROR_CLASS, "PaymentTimeout"),
            Header::text(names::ERROR_MESSAGE, "the gateway did not answer"),
            Header::text(names::ORIGINAL_TOPIC, topic.as_str()),
            Header::text(names::ORIGINAL_PARTITION, partition.to_string()),
            Header::text(names::ORIGINAL_OFFSET, number.to_string()),
            Header::text(names::ORIGINAL_TIMESTAMP, "1700000000000"),
            Header::text(names::CONSUMER_GROUP, "payment-consumers"),
            Header::text("trace", "second"),
        ],
        properties: None,
    };
    let position = Position::Kafka {
        topic: format!("{topic}.dlq").as_str().into(),
        topic_id: None,
        partition: Partition(0),
        offset: Offset(number),
    };
    new_letter(cluster, position, message, Custody::Broker)
}

pub(crate) fn new_letter(
    cluster: &ClusterName,
    position: Position,
    message: Message,
    custody: Custody,
) -> NewDeadLetter {
    NewDeadLetter {
        cluster: cluster.clone(),
        decoded: dialects::decode(&position, &message),
        position,
        message,
        body_omitted: None,
        dead_at: Timestamp::now(),
        event: EventIdentity::default(),
        classification: Classification {
            group: "v1:test".into(),
            title: "test".to_owned(),
            explanation: "grouped by test".to_owned(),
        },
        custody,
        replay_id: None,
        redelivered: false,
    }
}

/// Stores dead letters of Kafka and answers their IDs in order.
pub(crate) async fn index(store: &Store, letters: &[NewDeadLetter]) -> Vec<DeadLetterId> {
    let cluster = letters[0].cluster.clone();
    let now = Timestamp::now();
    let indexed = store
        .index_kafka_batch(&cluster, letters, &[], &[], now)
        .await;
    indexed
        .unwrap()
        .into_iter()
        .map(|indexed| indexed.id)
        .collect()
}
