//! Signals, cancellation and background tasks.
//!
//! The first SIGINT or SIGTERM asks every task to finish what it has begun; after [`GRACE`] or at a
//! second signal the process ends whatever is left. A task that panics stops the whole process: half
//! alive is worse than restarted.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks may take to finish after the first signal.
const GRACE: Duration = Duration::from_secs(20);

/// Tracks the background tasks of the process and tells them to stop.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    tracker: TaskTracker,
    stop: CancellationToken,
    crashed: CancellationToken,
}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every task finished.
    Clean,
    /// Tasks were still running when the grace was over or a second signal came.
    Forced,
    /// A task panicked.
    Crashed,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the process shall stop.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tracks tasks that a module starts itself; the process waits for them.
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Starts a task that ends the process when it panics.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let lifecycle = self.clone();
        self.tracker.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(
                    task = name,
                    "a background task crashed; stopping the process"
                );
                lifecycle.crashed.cancel();
                lifecycle.stop.cancel();
            }
        });
    }

    /// Waits for a signal or a crash, then for the tasks.
    pub async fn run_until_stopped(&self) -> std::io::Result<Ending> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("interrupted; finishing what has begun"),
            _ = terminate.recv() => tracing::info!("asked to stop; finishing what has begun"),
            () = self.stop.cancelled() => {}
        }
        self.stop.cancel();
        self.tracker.close();
        let ending = tokio::select! {
            () = self.tracker.wait() => Ending::Clean,
            () = tokio::time::sleep(GRACE) => Ending::Forced,
            _ = interrupt.recv() => Ending::Forced,
            _ = terminate.recv() => Ending::Forced,
        };
        Ok(if self.crashed.is_cancelled() {
            Ending::Crashed
        } else {
            ending
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_stops_the_process() {
        let lifecycle = Lifecycle::new();
        let stop = lifecycle.stop_token();
        lifecycle.spawn("waits", async move { stop.cancelled().await });
        lifecycle.spawn("panics", async { panic!("on purpose") });
        assert_eq!(
            lifecycle.run_until_stopped().await.unwrap(),
            Ending::Crashed
        );
    }

    #[tokio::test]
    async fn a_stop_waits_for_the_tasks() {
        let lifecycle = Lifecycle::new();
        let stop = lifecycle.stop_token();
        lifecycle.spawn("waits", async move { stop.cancelled().await });
        lifecycle.stop_token().cancel();
        assert_eq!(lifecycle.run_until_stopped().await.unwrap(), Ending::Clean);
    }
}
