//! How old the numbers of a broker are, and what a page says about it.

use crate::domain::{ClusterSnapshot, Timestamp};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};

/// A broker in the top bar.
pub(crate) struct BrokerDot {
    pub(crate) name: String,
    pub(crate) status: &'static str,
    /// "up", "down".
    pub(crate) word: &'static str,
    pub(crate) age: Markup,
    pub(crate) title: String,
}

/// Why the numbers of a broker on this page are not current.
pub(crate) struct StaleNotice {
    pub(crate) cluster: String,
    pub(crate) age: Markup,
    pub(crate) error: String,
    pub(crate) has_numbers: bool,
}

/// A sample that is older than so many intervals is stale even if no error was seen.
const STALE_AFTER_INTERVALS: u32 = 3;

/// Whether the numbers of a cluster can be taken for current.
pub(crate) fn is_stale(state: &AppState, cluster: &ClusterSnapshot, now: Timestamp) -> bool {
    let limit = *state.config.sampling.interval * STALE_AFTER_INTERVALS;
    let last = cluster.health.last_success;
    !cluster.health.up || last.is_none_or(|at| now.since(at) > limit)
}

/// Up, down, late or not looked at yet, as status and word.
pub(crate) fn health_of(
    state: &AppState,
    cluster: &ClusterSnapshot,
    now: Timestamp,
) -> (Status, &'static str) {
    let health = &cluster.health;
    if health.last_success.is_none() && health.error.is_none() {
        (Status::Unknown, "waiting")
    } else if !health.up {
        (Status::Critical, "down")
    } else if is_stale(state, cluster, now) {
        (Status::Warning, "late")
    } else {
        (Status::Ok, "up")
    }
}

pub(crate) fn broker_dots(state: &AppState, now: Timestamp) -> Vec<BrokerDot> {
    let snapshot = state.snapshot();
    let dot = |cluster: &std::sync::Arc<ClusterSnapshot>| {
        let (status, word) = health_of(state, cluster, now);
        BrokerDot {
            name: cluster.name.to_string(),
            status: status.class(),
            word,
            age: markup::optional_ago(cluster.health.last_success, now, "no sample yet"),
            title: cluster.health.error.clone().unwrap_or_default(),
        }
    };
    snapshot.clusters.iter().map(dot).collect()
}

/// One notice per stale cluster among those that a page shows.
pub(crate) fn stale_notices<'a>(
    state: &AppState,
    clusters: impl Iterator<Item = &'a ClusterSnapshot>,
    now: Timestamp,
) -> Vec<StaleNotice> {
    let notice = |cluster: &ClusterSnapshot| StaleNotice {
        cluster: cluster.name.to_string(),
        age: markup::optional_ago(cluster.health.last_success, now, "never"),
        error: match &cluster.health.error {
            Some(error) => error.clone(),
            None if cluster.health.last_success.is_none() => {
                "it has not been looked at yet".to_owned()
            }
            None => "the next sample is overdue".to_owned(),
        },
        has_numbers: cluster.detail.is_some(),
    };
    clusters
        .filter(|cluster| is_stale(state, cluster, now))
        .map(notice)
        .collect()
}
