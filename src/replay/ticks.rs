use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// When a task looks again: at once, then in an interval, until it is stopped. A look that takes longer
/// delays the next.
pub(super) struct Ticks {
    interval: Interval,
    stop: CancellationToken,
}

impl Ticks {
    pub(super) fn new(interval: Duration, stop: CancellationToken) -> Self {
        let mut interval = tokio::time::interval(interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, stop }
    }

    /// Waits for the next look; `false` when there is none.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interval.tick() => true,
            () = self.stop.cancelled() => false,
        }
    }
}
