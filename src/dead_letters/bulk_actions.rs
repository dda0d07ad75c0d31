//! Discards and restores of many dead letters. A request is frozen in the store; one task does its
//! chunks, one after the other, and after a restart goes on where it was.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::work::Progress;
use crate::domain::{BulkAction, BulkActionId, BulkActionKind, BulkSelection, Timestamp};
use crate::store::{NewBulkAction, Store, StoreError};

/// What people do with many dead letters at once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BulkActions {
    store: Store,
    progress: Progress,
}

impl BulkActions {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            progress: Progress::new(),
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
        let id = self.store.create_bulk_action(action).await?;
        self.progress.announce();
        let look = || self.store.bulk_action(id);
        let is_finished = |action: &BulkAction| action.finished_at.is_some();
        self.progress.wait(patience, look, is_finished).await
    }

    /// Does what is requested until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let next = || self.next_step();
        let what = "a discard or restore";
        self.progress.work_off(&stop, what, next).await;
    }

    /// Does one chunk of the oldest action; `false` if there is nothing to do.
    async fn next_step(&self) -> Result<bool, StoreError> {
        let Some(id) = self.store.unfinished_bulk_action().await? else {
            return Ok(false);
        };
        self.do_chunk(id).await?;
        self.progress.announce();
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
}
