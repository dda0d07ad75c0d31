//! Replays to clusters that cannot be written to: `read_only`, or no longer configured.

use super::{EngineContext, EngineError, Next, WINDOW, refused, run_engine};
use crate::domain::{ReplayEvent, Timestamp};

/// Ends whatever is planned or being sent to a cluster, for a reason that does not pass by itself.
pub(in crate::replay) struct ClosedEngine {
    context: EngineContext,
    reason: &'static str,
}

impl ClosedEngine {
    pub(in crate::replay) fn read_only(context: EngineContext) -> Self {
        let reason = "the cluster is configured with read_only = true";
        Self { context, reason }
    }

    pub(in crate::replay) fn not_configured(context: EngineContext) -> Self {
        let reason = "the cluster is not configured any more";
        Self { context, reason }
    }

    pub(in crate::replay) async fn run(self) {
        let context = self.context.clone();
        run_engine(self, context, Self::work).await;
    }

    async fn work(&mut self) -> Result<Next, EngineError> {
        let (store, cluster) = (&self.context.store, &self.context.cluster);
        let at = Timestamp::now();
        let sending = store.sending_replays(cluster).await?;
        let unknown = sending.iter().map(|replay| {
            let reason = format!("{}, so nobody can look for it", self.reason);
            (replay.id, ReplayEvent::Unprovable { at, reason })
        });
        self.context.advance(unknown.collect()).await?;
        let mut planned = Vec::new();
        for job in store.jobs_to_send().await? {
            planned.extend(store.planned_replays(job.id, cluster, None, WINDOW).await?);
            if !planned.is_empty() {
                break;
            }
        }
        if planned.is_empty() {
            return Ok(Next::WhenTold);
        }
        let refusals = planned
            .iter()
            .map(|planned| (planned.replay.id, refused(self.reason)));
        self.context.advance(refusals.collect()).await?;
        Ok(Next::AtOnce)
    }
}
