use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::Mutex;

use super::MOST_HANDOVERS;
use super::handovers::{Handover, Handovers, ids_to_look_up};
use crate::domain::{KnownHandover, TracedEvent};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Keeps what the taps saw, of all clusters: an event on one broker may be caused by one on the other.
pub(super) struct Keeper {
    store: Store,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    handovers: Handovers,
    /// Read from the store first.
    remembered: Option<HashSet<KnownHandover>>,
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
        self.remember(&mut seen.remembered, &completed).await
    }

    /// From these causes are inferred where no header names one.
    async fn remember(
        &self,
        remembered: &mut Option<HashSet<KnownHandover>>,
        completed: &[Handover],
    ) -> Result<(), StoreError> {
        if remembered.is_none() {
            let stored = self.store.known_handovers(MOST_HANDOVERS).await?;
            *remembered = Some(stored.into_iter().collect());
        }
        let remembered = remembered.get_or_insert_default();
        let room = MOST_HANDOVERS.saturating_sub(remembered.len());
        let seen = completed.iter().filter_map(Handover::known);
        let new: HashSet<KnownHandover> = seen
            .filter(|seen| !remembered.contains(seen))
            .take(room)
            .collect();
        let new: Vec<KnownHandover> = new.into_iter().collect();
        self.store.remember_handovers(&new).await?;
        remembered.extend(new);
        Ok(())
    }
}
