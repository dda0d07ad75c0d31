use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::domain::QueuePlace;

/// One look at a queue at a time: a second one would not be shown what the first holds, and take it for gone. Cheap to
/// clone; all clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    queues: Arc<Mutex<BTreeMap<QueuePlace, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Looks {
    /// Waits until no other look at the queue is under way; none begins before what it answers is dropped.
    pub(super) async fn alone(&self, place: &QueuePlace) -> OwnedMutexGuard<()> {
        let queue = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(place.clone()).or_default())
        };
        queue.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn place(queue: &str) -> QueuePlace {
        QueuePlace {
            cluster: "c".into(),
            vhost: "/".into(),
            queue: queue.into(),
        }
    }

    #[tokio::test]
    async fn a_second_look_waits_for_the_first_and_for_no_other_queue() {
        let looks = Looks::default();
        let first = looks.alone(&place("a")).await;
        let others = looks.clone();
        assert!(others.alone(&place("a")).now_or_never().is_none());
        assert!(others.alone(&place("b")).now_or_never().is_some());
        drop(first);
        assert!(others.alone(&place("a")).now_or_never().is_some());
    }
}
