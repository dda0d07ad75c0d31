//! Why replays to a cluster had to wait, as its engine saw it last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::{ClusterName, Timestamp};

/// An engine tries again within half a minute and may wait as long for an answer: older news is none.
const LASTS: Duration = Duration::from_mins(1);

/// Something that keeps replays from being sent. It is tried again without anybody's doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// When it was met last.
    pub at: Timestamp,
    /// For people, with what it is about: "topic orders: …".
    pub reason: String,
}

/// The last obstacle of each cluster. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Obstacles {
    met: Arc<Mutex<HashMap<ClusterName, (Instant, Obstacle)>>>,
}

impl Obstacles {
    pub(super) fn note(&self, cluster: &ClusterName, reason: String) {
        let at = Timestamp::now();
        let obstacle = (Instant::now(), Obstacle { at, reason });
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.insert(cluster.clone(), obstacle);
    }

    /// What was met lately.
    pub(super) fn of(&self, cluster: &ClusterName) -> Option<Obstacle> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let (noted_at, obstacle) = met.get(cluster)?;
        (noted_at.elapsed() < LASTS).then(|| obstacle.clone())
    }
}
