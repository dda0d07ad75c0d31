use std::time::Duration;

use tokio_util::sync::CancellationToken;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// The process is to stop; what was begun stays uncommitted and comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped;

/// Waits longer after each failure in a row, up to five seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    pub(super) async fn wait(&mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        let delay = self.next;
        self.next = (self.next * 2).min(LONGEST);
        pause(delay, stop).await
    }
}

/// Sleeps, unless the process is to stop.
pub(super) async fn pause(duration: Duration, stop: &CancellationToken) -> Result<(), Stopped> {
    tokio::select! {
        () = tokio::time::sleep(duration) => Ok(()),
        () = stop.cancelled() => Err(Stopped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_grows_to_a_bound_and_ends_when_the_process_stops() {
        let mut backoff = Backoff::new();
        let stop = CancellationToken::new();
        stop.cancel();
        for _ in 0..20 {
            assert_eq!(backoff.wait(&stop).await, Err(Stopped));
        }
        assert_eq!(backoff.next, LONGEST);
    }
}
