use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::RetentionConfig;
use crate::domain::{DeadLetterId, Timestamp};
use crate::metrics::Metrics;
use crate::store::{Removal, RetentionRun, Store, StoreError};

const INTERVAL: Duration = Duration::from_mins(10);

/// Removes from the store what `[retention]` and expired discards allow.
pub struct Retention {
    config: RetentionConfig,
    store: Store,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Retention {
    pub fn new(
        config: RetentionConfig,
        store: Store,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            config,
            store,
            metrics,
            stop,
        }
    }

    /// Runs now and then until it is stopped.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.run_once(Timestamp::now()).await {
                Ok(run) => report(&run),
                Err(error) => {
                    let error = crate::error_chain(&error);
                    tracing::warn!(error, "retention failed; trying again in 10 minutes");
                }
            }
        }
    }

    /// One pass: what has expired, what is old, and as much as makes the store small enough. A stop
    /// ends it between two chunks; the next one goes on.
    pub async fn run_once(&self, now: Timestamp) -> Result<RetentionRun, StoreError> {
        let before = self.store.space().await?.used_bytes();
        let open_too = self.config.remove_open;
        let mut removed = self.remove_all(Removal::Expired, now).await?;
        if let Some(age) = self.config.max_age {
            let before = now.minus(*age);
            let removal = Removal::Old { before, open_too };
            removed += self.remove_all(removal, now).await?;
        }
        if let Some(limit) = self.config.max_bytes {
            let removal = Removal::Oldest { open_too };
            let limit = limit.saturating_add(self.store.history_bytes().await?);
            removed += self.remove_beyond(limit, removal, now).await?;
        }
        if removed > 0 {
            while !self.stop.is_cancelled() && self.store.give_back_pages().await? {}
        }
        let after = self.store.space().await?.used_bytes();
        let limited = after.saturating_sub(self.store.history_bytes().await?);
        let run = RetentionRun {
            started_at: now,
            finished_at: Timestamp::now(),
            removed,
            bytes_before: before,
            bytes_after: after,
            problem: self.problem(limited),
        };
        self.store.note_retention_run(&run).await?;
        self.metrics.retention_ran(run.finished_at);
        Ok(run)
    }

    async fn remove_all(&self, removal: Removal, now: Timestamp) -> Result<u64, StoreError> {
        self.remove_beyond(0, removal, now).await
    }

    /// Removes chunk after chunk while the store holds more than so many bytes.
    async fn remove_beyond(
        &self,
        bytes: u64,
        removal: Removal,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut position = DeadLetterId(0);
        let mut count = 0;
        while !self.stop.is_cancelled() && self.store.space().await?.used_bytes() > bytes {
            let removed = self.store.remove_chunk(removal, position, now).await?;
            let Some(last) = removed.position else {
                break;
            };
            position = last;
            count += removed.count;
            self.metrics
                .retention_removed(removal.reason(), removed.count);
        }
        Ok(count)
    }

    fn problem(&self, used_bytes: u64) -> Option<String> {
        let limit = self.config.max_bytes.filter(|limit| used_bytes > *limit)?;
        let remedy = if self.config.remove_open {
            "what is left is being replayed, or lies in an observed queue"
        } else {
            "what is left is open or being replayed; replay or discard it, or set \
             retention.remove_open = true"
        };
        Some(format!(
            "the store holds {used_bytes} bytes beside the history of charts, more than \
             retention.max_bytes = {limit}: {remedy}"
        ))
    }
}

fn report(run: &RetentionRun) {
    let (removed, before, after) = (run.removed, run.bytes_before, run.bytes_after);
    match &run.problem {
        Some(problem) => tracing::warn!(problem, removed, "retention could not do its work"),
        None if removed > 0 => tracing::info!(removed, before, after, "retention has run"),
        None => {}
    }
}
