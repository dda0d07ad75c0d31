use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::Mutex;

use super::MOST_HANDOVERS;
use super::handovers::{Handover, Handovers, ids_to_look_up};
use crate::domain::{KnownHandover, Timestamp, TracedEvent};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// That a handover is still seen is written down so often.
const NOTED_AGAIN_AFTER: Duration = Duration::from_hours(1);

/// Keeps what the taps saw, of all clusters: an event on one broker may be caused by one on the other.
pub(super) struct Keeper {
    store: Store,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    handovers: Handovers,
    /// In the store since then.
    noted: HashSet<KnownHandover>,
    noted_since: Timestamp,
}

impl Keeper {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            seen: Mutex::default(),
        }
    }

    /// Stores events, and tells the metrics how long it took from one to the next.
    pub(super) async fn keep(
        &self,
        events: &[TracedEvent],
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        // One batch at a time, so that a cause is either known or comes later.
        let mut seen = self.seen.lock().await;
        let known = self.store.published_events(&ids_to_look_up(events)).await?;
        self.store.put_traced_events(events).await?;
        let completed = seen.handovers.complete(known, events);
        for handover in &completed {
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
        self.remember(&mut seen, &completed).await
    }

    /// From these causes are inferred where no header names one.
    async fn remember(&self, seen: &mut Seen, completed: &[Handover]) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let is_old = now.since(seen.noted_since) >= NOTED_AGAIN_AFTER;
        if is_old || seen.noted.len() >= MOST_HANDOVERS {
            seen.noted.clear();
            seen.noted_since = now;
        }
        let known = completed.iter().filter_map(Handover::known);
        let new: HashSet<KnownHandover> =
            known.filter(|known| !seen.noted.contains(known)).collect();
        let new: Vec<KnownHandover> = new.into_iter().collect();
        self.store.remember_handovers(&new, now).await?;
        seen.noted.extend(new);
        Ok(())
    }
}
