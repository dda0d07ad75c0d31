use std::sync::Arc;

use tokio::sync::watch;

/// Tells engines and pages that a replay changed its state.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    sender: Arc<watch::Sender<u64>>,
}

impl Changes {
    pub(super) fn new() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(0)),
        }
    }

    pub(super) fn announce(&self) {
        self.sender.send_modify(|changes| *changes += 1);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.sender.subscribe()
    }
}
