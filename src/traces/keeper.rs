use std::time::Duration;

use tokio::sync::Mutex;

use super::handovers::{Handovers, ids_to_look_up};
use crate::domain::TracedEvent;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Keeps what the taps saw, of all clusters: an event on one broker may be caused by one on the other.
pub(super) struct Keeper {
    store: Store,
    handovers: Mutex<Handovers>,
}

impl Keeper {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            handovers: Mutex::default(),
        }
    }

    /// Stores events, and tells the metrics how long it took from one to the next.
    pub(super) async fn keep(
        &self,
        events: &[TracedEvent],
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        // One batch at a time, so that a cause is either known or comes later.
        let mut handovers = self.handovers.lock().await;
        let known = self.store.published_events(&ids_to_look_up(events)).await?;
        self.store.put_traced_events(events).await?;
        for handover in handovers.complete(known, events) {
            let Ok(millis) = u64::try_from(handover.millis) else {
                metrics.clock_skew(&handover.cluster);
                continue;
            };
            metrics.publish_to_publish(
                (&handover.cluster, handover.system),
                (&handover.source, &handover.consumer),
                Duration::from_millis(millis),
            );
        }
        Ok(())
    }
}
