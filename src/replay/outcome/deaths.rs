//! Counts replays that died again. Intake finds that out and writes it down in the transaction that
//! stores the new dead letter; here it is seen in the store, each once.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::{ReplayId, ReplayStateName, Timestamp};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError, TrackedPosition};

/// Times are taken before a transaction, so an earlier one may become visible later.
const OVERLAP: Duration = Duration::from_mins(1);

/// Deaths looked at together.
const PAGE: u32 = 1_000;

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
        let mut after = TrackedPosition::at(self.since);
        let mut seen = HashSet::new();
        let mut latest = self.since;
        loop {
            let page = store.tracked_replays(name, after, Timestamp(i64::MAX), PAGE);
            let page = page.await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.position();
            latest = latest.max(last.replay.updated_at.minus(OVERLAP));
            for tracked in page {
                let id = tracked.replay.id;
                if !self.counted.contains(&id) {
                    metrics.replay_outcome(&tracked.cluster, tracked.system, &tracked.dlq, name);
                }
                if tracked.replay.updated_at >= latest {
                    seen.insert(id);
                }
            }
        }
        self.counted = seen;
        self.since = latest;
        Ok(())
    }
}
