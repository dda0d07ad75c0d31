use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{ClusterName, ExchangeName, TapPlace, Timestamp};

/// What a tap does right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapState {
    /// For the first sample, or for something to follow.
    Waiting(String),
    Following,
    /// Some topics may not be read; the reason says which.
    FollowingInPart(String),
    /// It must not; the reason says what to change.
    Refused(String),
    /// The last attempt failed and is tried again.
    Failing(String),
}

/// One tap with what it follows.
#[derive(Clone, Debug)]
pub struct TapStatus {
    pub cluster: ClusterName,
    pub place: TapPlace,
    pub state: TapState,
    pub since: Timestamp,
    /// With the number of bindings that are copied.
    pub followed: BTreeMap<ExchangeName, usize>,
    /// What matches and is not followed, or not wholly, and why.
    pub left_out: BTreeMap<ExchangeName, String>,
}

/// Where the taps note what they do. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TapBoard {
    entries: Arc<Mutex<BTreeMap<(ClusterName, TapPlace), TapStatus>>>,
}

impl TapBoard {
    pub fn statuses(&self) -> Vec<TapStatus> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.values().cloned().collect()
    }

    pub fn set(&self, cluster: &ClusterName, place: &TapPlace, state: TapState) {
        self.update(cluster, place, |status| {
            if status.state != state {
                status.state = state;
                status.since = Timestamp::now();
            }
        });
    }

    pub fn set_exchanges(
        &self,
        cluster: &ClusterName,
        place: &TapPlace,
        followed: BTreeMap<ExchangeName, usize>,
        left_out: BTreeMap<ExchangeName, String>,
    ) {
        self.update(cluster, place, |status| {
            status.followed = followed;
            status.left_out = left_out;
        });
    }

    fn update(&self, cluster: &ClusterName, place: &TapPlace, change: impl FnOnce(&mut TapStatus)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry((cluster.clone(), place.clone()));
        change(entry.or_insert_with(|| TapStatus {
            cluster: cluster.clone(),
            place: place.clone(),
            state: TapState::Waiting("for the first sample".to_owned()),
            since: Timestamp::now(),
            followed: BTreeMap::new(),
            left_out: BTreeMap::new(),
        }));
    }
}
