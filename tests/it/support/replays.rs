//! A store with dead letters and the engines that replay them, in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redrive::brokers::kafka::{KafkaAdmin, KafkaRecord, RecordReader};
use redrive::config::{Config, HumanDuration, KafkaConfig};
use redrive::dead_letters::{self, IntakeBoard, IntakeContext, Looks, ManagedQueues};
use redrive::domain::{
    DeadLetterId, Message, Offset, Partition, QueueName, Replay, ReplayId, ReplayOptions,
    ReplayStateName, Snapshot, TopicName,
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

use super::rabbitmq::Vhost;
use super::{eventually, kafka, unique};

pub(crate) const ORIGINAL: DestinationChoice = DestinationChoice::Original;

/// A store in a folder of its own.
pub(crate) struct StoreInFolder {
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
}

pub(crate) async fn new_store() -> StoreInFolder {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    StoreInFolder {
        store: Store::open(&url).await.unwrap(),
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

/// The same with the shared Kafka.
pub(crate) fn impatient_kafka() -> Config {
    Config {
        kafka: vec![kafka()],
        ..impatient()
    }
}

/// Back to where they came from, with the latest revision.
pub(crate) fn request(ids: &[DeadLetterId]) -> ReplayRequest {
    ReplayRequest {
        selection: Selection::DeadLetters(ids.to_vec()),
        revision: RevisionChoice::Latest,
        destination: ORIGINAL,
        options: ReplayOptions::default(),
    }
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
    /// Its receivers end when it is dropped.
    kept_sender: Option<watch::Sender<Arc<Snapshot>>>,
}

impl Running {
    /// The engines alone; nobody samples and nobody reads DLQs.
    pub(crate) fn engines(config: Config, store: &Store) -> Self {
        let snapshots = watch::Sender::new(Arc::new(Snapshot::default()));
        let receiver = snapshots.subscribe();
        let stop = CancellationToken::new();
        let mut running = Self::start(&Arc::new(config), store, receiver, stop);
        running.kept_sender = Some(snapshots);
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
            managed: ManagedQueues::default(),
            looks: Looks::default(),
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
        let handle = replay::start(
            config,
            store,
            &metrics,
            snapshots.clone(),
            &stop,
            None,
            spawn,
        )
        .unwrap();
        Self {
            store: store.clone(),
            handle,
            metrics,
            snapshots,
            stop,
            tasks,
            kept_sender: None,
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
            options: ReplayOptions::default(),
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
    records_of(&kafka(), topic, partition).await
}

/// The same of another cluster.
pub(crate) async fn records_of(
    config: &KafkaConfig,
    topic: &TopicName,
    partition: Partition,
) -> Vec<KafkaRecord> {
    let admin = KafkaAdmin::new(config).unwrap();
    let end = admin.watermarks(topic, partition).await.unwrap().high;
    let reader = RecordReader::new(config).unwrap();
    let mut found = HashMap::new();
    // Some offsets may be markers of transactions, which are no records.
    let offsets = (0..end.0).map(Offset).collect();
    let read = reader.read((topic, partition), offsets, &mut found);
    read.await.unwrap();
    let mut records: Vec<KafkaRecord> = found.into_values().collect();
    records.sort_by_key(|record| record.offset);
    records
}

/// All messages of a queue. What was confirmed is there already.
pub(crate) async fn messages_in(vhost: &Vhost, queue: &QueueName) -> Vec<Message> {
    let channel = vhost.channel().await;
    let mut consumer = channel.consume(queue, 1000).await.unwrap();
    let mut messages = Vec::new();
    while let Some(delivery) = consumer.next(Duration::from_millis(500)).await.unwrap() {
        messages.push(delivery.message.clone());
        delivery.acknowledge().await.unwrap();
    }
    channel.close().await;
    messages
}
