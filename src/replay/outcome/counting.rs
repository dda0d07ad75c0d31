//! Counts outcomes in the metrics.

use std::collections::HashMap;

use crate::domain::{DeadLetterId, Replay, ReplayStateName};
use crate::metrics::Metrics;
use crate::store::Store;

/// Counts the replays of which the outcome is now known.
pub(in crate::replay) async fn count_outcomes(
    store: &Store,
    metrics: &Metrics,
    replays: &[Replay],
) {
    let known: Vec<&Replay> = replays
        .iter()
        .filter(|replay| is_outcome(replay.state.name()))
        .collect();
    if known.is_empty() {
        return;
    }
    let letters: Vec<DeadLetterId> = known.iter().map(|replay| replay.dead_letter).collect();
    let dlqs = match store.dlqs_of(&letters).await {
        Ok(dlqs) => dlqs,
        Err(error) => {
            tracing::warn!(%error, "outcomes could not be counted");
            return;
        }
    };
    let dlqs: HashMap<_, _> = dlqs
        .into_iter()
        .map(|(id, system, cluster, dlq)| (id, (system, cluster, dlq)))
        .collect();
    for replay in known {
        if let Some((system, cluster, dlq)) = dlqs.get(&replay.dead_letter) {
            metrics.replay_outcome(cluster, *system, dlq, replay.state.name());
        }
    }
}

/// Whether the metrics count a replay that reaches this state. That it died again is counted by
/// [`super::deaths`], since intake finds that out.
const fn is_outcome(name: ReplayStateName) -> bool {
    matches!(
        name,
        ReplayStateName::Consumed
            | ReplayStateName::NotSeenAgain
            | ReplayStateName::Failed
            | ReplayStateName::Unknown
            | ReplayStateName::Cancelled
    )
}
