//! Counts replays that died again. Intake finds that out and writes it down in the transaction that
//! stores the new dead letter; here it is seen in the store, each once.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::{ReplayId, ReplayStateName, Timestamp};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Times are taken before a transaction, so an earlier one may become visible later.
const OVERLAP: Duration = Duration::from_mins(1);

/// Deaths looked at together, the last first.
const MOST_DEATHS: u32 = 20_000;

#[derive(Debug, Default)]
pub(super) struct Deaths {
    since: Timestamp,
    counted: HashSet<ReplayId>,
}

impl Deaths {
    /// Counts those after `since`.
    pub(super) fn since(since: Timestamp) -> Self {
        Self {
            since,
            counted: HashSet::new(),
        }
    }

    pub(super) async fn count_new(
        &mut self,
        store: &Store,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        let name = ReplayStateName::DiedAgain;
        let died = store
            .tracked_replays(&[name], self.since, MOST_DEATHS)
            .await?;
        let mut seen = HashSet::with_capacity(died.len());
        let mut latest = self.since;
        for tracked in died {
            let id = tracked.replay.id;
            if !self.counted.contains(&id) {
                metrics.replay_outcome(&tracked.cluster, tracked.system, &tracked.dlq, name);
            }
            seen.insert(id);
            latest = latest.max(tracked.replay.updated_at.minus(OVERLAP));
        }
        self.counted = seen;
        self.since = latest;
        Ok(())
    }
}
