use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::domain::{ClusterName, Snapshot};
use crate::store::Store;

/// Everything that pages and API are made of. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub config: Arc<Config>,
    pub store: Store,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Ends event streams, so that a stop does not wait for them.
    pub stop: CancellationToken,
}

impl AppState {
    /// The newest sample of all brokers.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// The last samples of one series, oldest first.
    pub(crate) fn history(&self, _cluster: &ClusterName, _series: Series) -> Vec<Option<f64>> {
        Vec::new()
    }
}

use crate::domain::{ConsumerGroup, QueueName, VhostName};
pub enum Series {
    TotalLag,
    WorstTimeLag,
    ProcessingRate,
    ProduceRate,
    GroupLag(ConsumerGroup),
    GroupTimeLag(ConsumerGroup),
    GroupConsumeRate(ConsumerGroup),
    QueueDepth(VhostName, QueueName),
    QueuePublishRate(VhostName, QueueName),
    QueueSettleRate(VhostName, QueueName),
    DlqDepth(String),
}
