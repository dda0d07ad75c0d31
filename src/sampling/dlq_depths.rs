use std::collections::HashMap;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::SamplingHandle;
use crate::domain::Timestamp;
use crate::error_chain;
use crate::store::Store;

/// Adds the open dead letters of every cluster to the history once an interval, until told to stop. They are not
/// sampled from a broker: what is open is what the store says.
pub async fn follow_dlq_depths(
    sampling: SamplingHandle,
    store: Store,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match store.dlq_depths().await {
            Ok(depths) => {
                let now = Timestamp::now();
                let mut open: HashMap<_, u64> = HashMap::new();
                for depth in depths {
                    *open.entry(depth.cluster).or_default() += depth.open;
                }
                for (cluster, open) in open {
                    sampling.record_open_dead_letters(&cluster, open, now);
                }
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::warn!(%error, "cannot count the dead letters for the history");
            }
        }
    }
}
