//! What is frozen in the store and then done chunk by chunk by one task of its kind.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Wakes the task when something was requested, and whoever waits for a result when it came further.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    steps: Arc<watch::Sender<u64>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            steps: Arc::new(watch::Sender::new(0)),
        }
    }

    pub(super) fn announce(&self) {
        self.steps.send_modify(|steps| *steps += 1);
    }

    /// Looks after every step until the work is finished, but not longer than `patience`: very much of it
    /// goes on behind the answer, which is then how it stands.
    pub(super) async fn wait<T, E, Look: Future<Output = Result<T, E>>>(
        &self,
        patience: Duration,
        look: impl Fn() -> Look,
        is_finished: impl Fn(&T) -> bool,
    ) -> Result<T, E> {
        let mut steps = self.steps.subscribe();
        let finished = async {
            loop {
                let found = look().await?;
                if is_finished(&found) || steps.changed().await.is_err() {
                    return Ok(found);
                }
            }
        };
        match tokio::time::timeout(patience, finished).await {
            Ok(found) => found,
            Err(_elapsed) => look().await,
        }
    }

    /// Calls `next` again and again; after it answered `false`, there is nothing to do until the next
    /// step. `what` cannot go on while it fails, for the log.
    pub(super) async fn work_off<E: Error + 'static, Next: Future<Output = Result<bool, E>>>(
        &self,
        stop: &CancellationToken,
        what: &str,
        next: impl Fn() -> Next,
    ) {
        let mut steps = self.steps.subscribe();
        while !stop.is_cancelled() {
            steps.mark_unchanged();
            match next().await {
                Ok(true) => {}
                Ok(false) => tokio::select! {
                    () = stop.cancelled() => return,
                    _ = steps.changed() => {}
                },
                Err(error) => {
                    let error = crate::error_chain(&error);
                    tracing::warn!(error, "{what} cannot go on; trying again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(RETRY_AFTER) => {}
                    }
                }
            }
        }
    }
}
