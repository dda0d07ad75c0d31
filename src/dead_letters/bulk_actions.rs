//! Discards and restores of many dead letters. A request is frozen in the store; one task does its
//! chunks, one after the other, and after a restart goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::{BulkAction, BulkActionId, BulkActionKind, BulkSelection, Timestamp};
use crate::store::{NewBulkAction, Store, StoreError};

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What people do with many dead letters at once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BulkActions {
    store: Store,
    /// Changes whenever an action was requested or came further.
    progress: Arc<watch::Sender<u64>>,
}

impl BulkActions {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            progress: Arc::new(watch::Sender::new(0)),
        }
    }

    /// How many dead letters an action would change now.
    pub async fn count(
        &self,
        kind: &BulkActionKind,
        selection: &BulkSelection,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.store.count_changeable(kind, selection, now).await
    }

    /// Freezes an action and has it done. Waits until it is finished, but not longer than `patience`:
    /// an action on very many goes on behind the answer.
    pub async fn request(
        &self,
        action: &NewBulkAction,
        patience: Duration,
    ) -> Result<BulkAction, StoreError> {
        let mut progress = self.progress.subscribe();
        let id = self.store.create_bulk_action(action).await?;
        self.announce();
        let finished = async {
            loop {
                let action = self.store.bulk_action(id).await?;
                if action.finished_at.is_some() || progress.changed().await.is_err() {
                    return Ok(action);
                }
            }
        };
        match tokio::time::timeout(patience, finished).await {
            Ok(action) => action,
            Err(_elapsed) => self.store.bulk_action(id).await,
        }
    }

    /// Does what is requested until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut progress = self.progress.subscribe();
        while !stop.is_cancelled() {
            progress.mark_unchanged();
            match self.next_step().await {
                Ok(true) => {}
                Ok(false) => tokio::select! {
                    () = stop.cancelled() => return,
                    _ = progress.changed() => {}
                },
                Err(error) => {
                    let error = crate::error_chain(&error);
                    tracing::warn!(error, "a discard or restore cannot go on; trying again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(RETRY_AFTER) => {}
                    }
                }
            }
        }
    }

    /// Does one chunk of the oldest action; `false` if there is nothing to do.
    async fn next_step(&self) -> Result<bool, StoreError> {
        let Some(id) = self.store.unfinished_bulk_action().await? else {
            return Ok(false);
        };
        self.do_chunk(id).await?;
        self.announce();
        Ok(true)
    }

    async fn do_chunk(&self, id: BulkActionId) -> Result<(), StoreError> {
        let now = Timestamp::now();
        match self.store.continue_bulk_action(id, now).await {
            Err(error @ StoreError::UnreadableBulkAction { .. }) => {
                tracing::warn!(action = id.0, %error, "a bulk action was given up");
                let problem = error.to_string();
                self.store.fail_bulk_action(id, &problem, now).await
            }
            Err(error) => Err(error),
            Ok(action) => {
                if action.finished_at.is_some() {
                    tracing::info!(
                        action = id.0,
                        kind = action.kind.as_str(),
                        changed = action.changed,
                        "a bulk action is done"
                    );
                }
                Ok(())
            }
        }
    }

    fn announce(&self) {
        self.progress.send_modify(|steps| *steps += 1);
    }
}
