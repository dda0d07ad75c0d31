//! Looks at each cluster at its interval and derives lag, time lag, rates and verdicts.
//!
//! One task a cluster ([`task`]) asks its sampler, derives what changed since the look before
//! ([`derive_kafka`], [`derive_rabbitmq`], both pure), and writes the result to the [`board`]: the
//! snapshot that pages read, its [`history`] and its metrics. A broker that is down costs only its own
//! numbers. What a restart must not forget, thinned points and when which offset was written, is in the store
//! ([`memory`]). To add a number, derive it into `domain::snapshot`; pages and metrics find it there.

mod board;
mod circling;
mod cost_log;
mod derive_group;
mod derive_kafka;
mod derive_rabbitmq;
mod dlq_depths;
mod history;
mod kafka_cluster;
mod log_ends;
mod memory;
mod offset_times;
mod packing;
mod partition_view;
mod progress;
mod rabbitmq_cluster;
mod task;
mod time_proofs;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::domain::{ClusterName, QueuePlace, Snapshot, System, Timestamp};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use board::Board;
use derive_kafka::KafkaState;
pub use dlq_depths::follow_dlq_depths;
pub use history::{ChartRange, HistoryPoint, Line, Series, SeriesKey};
use history::{Grid, History, draw};
use kafka_cluster::KafkaCluster;
use memory::Memory;
use rabbitmq_cluster::RabbitMqCluster;
use task::ClusterTask;

/// The queues that are managed from their pages, whose consumer is Redrive's own.
pub type ManagedPlaces = watch::Receiver<BTreeSet<QueuePlace>>;

/// Hands one task for each configured cluster to `spawn`; they end when `stop` is cancelled. All
/// clusters are in the snapshot from the beginning, without numbers until they were sampled once.
/// Nothing is remembered beyond the process, and no queue is managed but by the configuration.
pub fn start(
    config: &Config,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
    spawn: impl FnMut(BoxFuture<'static, ()>),
) -> SamplingHandle {
    let (_, managed) = watch::channel(BTreeSet::new());
    start_beside(config, &managed, metrics, stop, spawn)
}

/// The same where queues are managed from their pages.
pub fn start_beside(
    config: &Config,
    managed: &ManagedPlaces,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
    spawn: impl FnMut(BoxFuture<'static, ()>),
) -> SamplingHandle {
    let states = kafka_states(config);
    let board = Arc::new(Board::new(clusters(config), history(config), metrics));
    start_tasks((config, managed), &states, &board, stop, spawn);
    SamplingHandle { board, store: None }
}

/// The same with what the last run remembered in the store, and with one more task that writes down
/// what the next one shall know, every few minutes and when `stop` is cancelled.
pub async fn resume(
    config: &Config,
    managed: &ManagedPlaces,
    store: &Store,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
    mut spawn: impl FnMut(BoxFuture<'static, ()>),
) -> SamplingHandle {
    let states = kafka_states(config);
    let board = Arc::new(Board::new(clusters(config), history(config), metrics));
    let memory = Memory::new(config, store, &states, &board);
    memory.read_back(Timestamp::now()).await;
    start_tasks((config, managed), &states, &board, stop, &mut spawn);
    spawn(memory.keep(stop.clone()).boxed());
    SamplingHandle {
        board,
        store: Some(store.clone()),
    }
}

fn clusters(config: &Config) -> impl Iterator<Item = (ClusterName, System)> {
    let kafka = config
        .kafka
        .iter()
        .map(|kafka| (&kafka.name, System::Kafka));
    let rabbitmq = config.rabbitmq.iter();
    let rabbitmq = rabbitmq.map(|rabbitmq| (&rabbitmq.name, System::RabbitMq));
    kafka
        .chain(rabbitmq)
        .map(|(name, system)| (name.clone(), system))
}

fn history(config: &Config) -> History {
    History::new(config.sampling.history, *config.sampling.interval)
}

/// What is remembered of each Kafka cluster from one sample to the next, in the order of the configuration.
type KafkaStates = Vec<(ClusterName, Arc<Mutex<KafkaState>>)>;

fn kafka_states(config: &Config) -> KafkaStates {
    let clusters = config.kafka.iter();
    clusters
        .map(|kafka| (kafka.name.clone(), Arc::default()))
        .collect()
}

fn start_tasks(
    (config, managed): (&Config, &ManagedPlaces),
    states: &KafkaStates,
    board: &Arc<Board>,
    stop: &CancellationToken,
    mut spawn: impl FnMut(BoxFuture<'static, ()>),
) {
    let settings = &config.sampling;
    for (kafka, (_, state)) in config.kafka.iter().zip(states) {
        let sampler = KafkaCluster::new(kafka, *settings.request_timeout, Arc::clone(state));
        let task = ClusterTask::new(&kafka.name, System::Kafka, settings);
        spawn(task.run(sampler, Arc::clone(board), stop.clone()).boxed());
    }
    for rabbitmq in &config.rabbitmq {
        let timeout = *settings.request_timeout;
        let sampler = RabbitMqCluster::new(rabbitmq, timeout, managed.clone());
        let task = ClusterTask::new(&rabbitmq.name, System::RabbitMq, settings);
        spawn(task.run(sampler, Arc::clone(board), stop.clone()).boxed());
    }
}

/// Samples of a history that [`SamplingHandle::record`] fills.
const STILL_SAMPLES: usize = 360;

/// Access to the numbers; cheap to clone.
#[derive(Clone, Debug)]
pub struct SamplingHandle {
    board: Arc<Board>,
    /// Where older points are; none if nothing is remembered.
    store: Option<Store>,
}

impl SamplingHandle {
    /// The numbers of a snapshot that nobody renews, for pages that are rendered without brokers.
    pub fn still(snapshot: Snapshot) -> Self {
        let interval = Duration::from_secs(10);
        let metrics = Arc::new(Metrics::new(interval));
        let history = History::new(STILL_SAMPLES, interval);
        Self {
            board: Arc::new(Board::of(snapshot, history, metrics)),
            store: None,
        }
    }

    /// Adds the numbers of a snapshot to the history, for charts that are drawn without brokers.
    pub fn record(&self, snapshot: &Snapshot) {
        for cluster in &snapshot.clusters {
            let detail = cluster.detail.as_ref();
            self.board.record(&cluster.name, detail, snapshot.taken_at);
        }
    }

    /// The last numbers of all clusters.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.board.snapshot()
    }

    /// Tells of every new snapshot.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.board.subscribe()
    }

    /// The last hour of a series of one or more clusters, for a sparkline.
    pub fn lately(&self, keys: &[SeriesKey], now: Timestamp) -> Line {
        self.board.lately(keys, now)
    }

    /// A series of one or more clusters until now: what is in memory, and before that what is in the store.
    pub async fn line(
        &self,
        keys: &[SeriesKey],
        range: ChartRange,
        now: Timestamp,
    ) -> Result<Line, StoreError> {
        let grid = Grid::of(range, self.board.interval(), now);
        let mut sources = Vec::with_capacity(keys.len());
        for key in keys {
            // What is written down meanwhile leaves the memory after it is in the store.
            let recent = self.board.source(key);
            let source = match &self.store {
                // Of an hour the memory has all.
                Some(store) if range != ChartRange::Hour => {
                    memory::with_stored_points(store, key, recent, &grid).await?
                }
                _ => recent,
            };
            sources.push(source);
        }
        Ok(draw(&sources, &grid))
    }

    /// Adds a point to [`Series::OpenDeadLetters`], which intake knows and sampling does not.
    pub fn record_open_dead_letters(&self, cluster: &ClusterName, open: u64, at: Timestamp) {
        self.board.record_open_dead_letters(cluster, open, at);
    }
}
