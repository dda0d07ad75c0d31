use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{ClusterName, QueueName, QueuePlace, Timestamp, VhostName};

/// What an intake does right now, for the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntakeState {
    /// Waits for the first sample, or for the queue or topic to appear.
    Waiting(String),
    Reading,
    /// Some topics may not be read; the reason says which.
    ReadingInPart(String),
    /// It must not read; the reason says what to change.
    Refused(String),
    /// The last attempt failed and is tried again.
    Failing(String),
}

/// One intake with its state.
#[derive(Clone, Debug)]
pub struct IntakeStatus {
    pub cluster: ClusterName,
    /// "DLQ topics", or the queue.
    pub source: String,
    pub state: IntakeState,
    pub since: Timestamp,
    /// Dead letters indexed since Redrive started.
    pub indexed: u64,
    pub last_indexed: Option<Timestamp>,
}

/// Where every intake notes what it does. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct IntakeBoard {
    entries: Arc<Mutex<BTreeMap<(ClusterName, String), IntakeStatus>>>,
}

impl IntakeBoard {
    pub fn statuses(&self) -> Vec<IntakeStatus> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.values().cloned().collect()
    }

    /// What the intake of a managed queue does; `None` if there is none.
    pub fn of_queue(&self, place: &QueuePlace) -> Option<IntakeState> {
        let source = queue_source(&place.vhost, &place.queue);
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let status = entries.get(&(place.cluster.clone(), source))?;
        Some(status.state.clone())
    }

    pub(super) fn set(&self, cluster: &ClusterName, source: &str, state: IntakeState) {
        self.update(cluster, source, |status| {
            if status.state != state {
                status.state = state;
                status.since = Timestamp::now();
            }
        });
    }

    /// It reads no more, because nobody wants it to.
    pub(super) fn remove(&self, cluster: &ClusterName, source: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&(cluster.clone(), source.to_owned()));
    }

    pub(super) fn add_indexed(&self, cluster: &ClusterName, source: &str, count: usize) {
        self.update(cluster, source, |status| {
            status.indexed += count as u64;
            status.last_indexed = Some(Timestamp::now());
        });
    }

    fn update(&self, cluster: &ClusterName, source: &str, change: impl FnOnce(&mut IntakeStatus)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries
            .entry((cluster.clone(), source.to_owned()))
            .or_insert_with(|| IntakeStatus {
                cluster: cluster.clone(),
                source: source.to_owned(),
                state: IntakeState::Waiting("for the first sample".to_owned()),
                since: Timestamp::now(),
                indexed: 0,
                last_indexed: None,
            });
        change(entry);
    }
}

/// The name of a queue's intake on the status page.
pub(super) fn queue_source(vhost: &VhostName, queue: &QueueName) -> String {
    if vhost.as_str() == "/" {
        return format!("queue {queue}");
    }
    format!("queue {queue} in {vhost}")
}
