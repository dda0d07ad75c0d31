//! Looks at each cluster at its interval and derives lag, time lag, rates and verdicts.
//!
//! One task a cluster ([`task`]) asks its sampler, derives what changed since the look before
//! ([`derive_kafka`], [`derive_rabbitmq`], both pure), and writes the result to the [`board`]: the
//! snapshot that pages read, its history and its metrics. A broker that is down costs only its own
//! numbers. To add a number, derive it into `domain::snapshot`; pages and metrics find it there.

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
mod offset_times;
mod partition_view;
mod progress;
mod rabbitmq_cluster;
mod task;
mod time_proofs;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::domain::{ClusterName, Snapshot, System, Timestamp};
use crate::metrics::Metrics;
use board::Board;
pub use dlq_depths::follow_dlq_depths;
pub use history::{HistoryPoint, Series, SeriesKey};
use kafka_cluster::KafkaCluster;
use rabbitmq_cluster::RabbitMqCluster;
use task::ClusterTask;

/// Hands one task for each configured cluster to `spawn`; they end when `stop` is cancelled. All
/// clusters are in the snapshot from the beginning, without numbers until they were sampled once.
pub fn start(
    config: &Config,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
    mut spawn: impl FnMut(BoxFuture<'static, ()>),
) -> SamplingHandle {
    let settings = &config.sampling;
    let kafka = config
        .kafka
        .iter()
        .map(|kafka| (&kafka.name, System::Kafka));
    let rabbitmq = config.rabbitmq.iter();
    let rabbitmq = rabbitmq.map(|rabbitmq| (&rabbitmq.name, System::RabbitMq));
    let clusters = kafka
        .chain(rabbitmq)
        .map(|(name, system)| (name.clone(), system));
    let board = Arc::new(Board::new(clusters, settings.history, metrics));
    for kafka in &config.kafka {
        let sampler = KafkaCluster::new(kafka, *settings.request_timeout);
        let task = ClusterTask::new(&kafka.name, System::Kafka, settings);
        spawn(task.run(sampler, Arc::clone(&board), stop.clone()).boxed());
    }
    for rabbitmq in &config.rabbitmq {
        let sampler = RabbitMqCluster::new(rabbitmq, *settings.request_timeout);
        let task = ClusterTask::new(&rabbitmq.name, System::RabbitMq, settings);
        spawn(task.run(sampler, Arc::clone(&board), stop.clone()).boxed());
    }
    SamplingHandle { board }
}

/// Access to the numbers; cheap to clone.
#[derive(Clone, Debug)]
pub struct SamplingHandle {
    board: Arc<Board>,
}

impl SamplingHandle {
    /// The numbers of a snapshot that nobody renews, for pages that are rendered without brokers.
    pub fn still(snapshot: Snapshot) -> Self {
        let metrics = Arc::new(Metrics::new(Duration::from_secs(10)));
        Self {
            board: Arc::new(Board::of(snapshot, 2, metrics)),
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

    /// The last points of a series, oldest first; empty if it is not known.
    pub fn history(&self, key: &SeriesKey) -> Vec<HistoryPoint> {
        self.board.history(key)
    }

    /// Adds a point to [`Series::DlqDepth`], which intake knows and sampling does not.
    pub fn record_dlq_depth(&self, cluster: &ClusterName, dlq: &str, value: u64, at: Timestamp) {
        self.board.record_dlq_depth(cluster, dlq, value, at);
    }
}
