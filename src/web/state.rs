use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::alerts::AlertBoard;
use crate::config::Config;
use crate::dead_letters::{BulkActions, IntakeBoard, Observer, Repairs};
use crate::domain::{ClusterName, Snapshot, Timestamp};
use crate::metrics::Metrics;
use crate::replay::ReplayHandle;
use crate::sampling::{Line, SamplingHandle, Series, SeriesKey};
use crate::schemas::Schemas;
use crate::store::Store;
use crate::traces::{ExportBoard, TapBoard};

/// Everything that pages and API are made of. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub config: Arc<Config>,
    pub store: Store,
    pub sampling: SamplingHandle,
    pub metrics: Arc<Metrics>,
    pub replay: ReplayHandle,
    pub intake: IntakeBoard,
    pub observer: Observer,
    pub bulk_actions: BulkActions,
    pub schemas: Schemas,
    pub repairs: Repairs,
    pub alerts: AlertBoard,
    pub trace_export: ExportBoard,
    pub taps: TapBoard,
    /// Ends event streams, so that a stop does not wait for them.
    pub stop: CancellationToken,
}

impl AppState {
    /// The newest sample of all brokers.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.sampling.snapshot()
    }

    /// The last hour of one series, for a sparkline.
    pub(crate) fn lately(&self, cluster: &ClusterName, series: Series, now: Timestamp) -> Line {
        self.sampling
            .lately(&[SeriesKey::new(cluster, series)], now)
    }
}
