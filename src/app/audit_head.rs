//! The newest entry of the audit in the log, hourly and at a stop: a log that is kept elsewhere is what a
//! rewritten audit is measured against (`redrive audit verify --head`).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::Store;

const INTERVAL: Duration = Duration::from_hours(1);

/// Logs the head now and every hour until `stop`. The last one is [`log`]ged when all tasks have ended.
pub(super) async fn log_hourly(store: Store, stop: CancellationToken) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => log(&store).await,
        }
    }
}

pub(super) async fn log(store: &Store) {
    match store.audit_head().await {
        Ok(Some(head)) => tracing::info!(seq = head.seq, hash = head.hash, "audit head"),
        Ok(None) => {}
        Err(error) => tracing::warn!(
            error = crate::error_chain(&error),
            "the audit head could not be read"
        ),
    }
}
