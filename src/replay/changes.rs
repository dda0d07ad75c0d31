use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Tells engines and pages that a replay changed its state.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    sender: Arc<watch::Sender<u64>>,
    brakes: Arc<AtomicU64>,
}

impl Changes {
    pub(super) fn new() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(0)),
            brakes: Arc::default(),
        }
    }

    /// The same where somebody changed the brake of a job: what was loaded under the old one is not sent.
    pub(super) fn announce_brake(&self) {
        self.brakes.fetch_add(1, Ordering::AcqRel);
        self.announce();
    }

    /// Changes its value with every brake.
    pub(super) fn brakes(&self) -> u64 {
        self.brakes.load(Ordering::Acquire)
    }

    pub(super) fn announce(&self) {
        self.sender.send_modify(|changes| *changes += 1);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.sender.subscribe()
    }
}
