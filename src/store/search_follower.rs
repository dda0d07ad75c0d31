//! Brings the full-text index up to the rows, in the background: what came in large batches, oldest first, then
//! what is older than the index, newest first.
//!
//! Reading rows and making their documents is half of the work; it happens while the chunks before are written.
//! While batches arrive one after the other, the follower leaves most of the writer's time to them. With many to
//! index, FTS5 merges what it has written more seldom; the rest of the merging is done afterwards.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sqlx::{Sqlite, Transaction};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::search_rows::{StoredRow, documents, rows_between};
use super::{Store, StoreError, Unwrap, search_index};
use crate::domain::DeadLetterId;

/// Dead letters of one transaction at most, and how long it should take: a writer waits no longer.
const MOST_AT_ONCE: u32 = 1_000;
const FEWEST_AT_ONCE: u32 = 50;
const WANTED_WRITE: Duration = Duration::from_millis(50);
/// Messages of a chunk are held in memory; larger ones make it shorter.
const CHUNK_BYTES: i64 = 4 * 1024 * 1024;
/// Chunks that are read before they are written, so that the writer need not wait for the documents of the next.
const CHUNKS_AHEAD: usize = 2;
/// While intake writes, the follower waits so many times as long as it has written.
const PATIENCE: u32 = 4;
/// With more dead letters than these to index, merging waits.
const MANY: u64 = 10_000;
/// So many segments of a level become one while many are indexed: the most that FTS5 takes. It saves a third of the
/// work of filling the index, and a search has to look into more segments.
const MERGED_WHEN_MANY: i64 = 16;
/// FTS5's own number, for all other times.
const MERGED: i64 = 4;
/// Pages of 4 KiB of one transaction that merges.
const PAGES_MERGED_AT_ONCE: i64 = 250;
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Which rows are not in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// Those beyond this ID, to be read upwards.
    Beyond(i64),
    /// Those up to this ID, to be read downwards.
    Through(i64),
}

impl Missing {
    const fn id(self) -> i64 {
        match self {
            Self::Beyond(id) | Self::Through(id) => id,
        }
    }
}

type Documents = Vec<(DeadLetterId, String)>;

/// Rows that follow one another, whose documents are being made; what is missing before they are written, and
/// what after.
struct Chunk {
    documents: JoinHandle<Result<Documents, StoreError>>,
    now: Missing,
    then: Missing,
}

/// How far rows were read; what was written last may lie behind.
#[derive(Clone, Copy, Debug, Default)]
struct ReadTo {
    beyond: Option<i64>,
    through: Option<i64>,
}

impl ReadTo {
    const fn note(&mut self, then: Missing) {
        match then {
            Missing::Beyond(id) => self.beyond = Some(id),
            Missing::Through(id) => self.through = Some(id),
        }
    }
}

impl Store {
    /// Keeps the index up to date until it is told to stop.
    pub async fn follow_search_index(self, stop: CancellationToken) {
        let mut wanted = self.search_wanted.subscribe();
        let mut at_once = FEWEST_AT_ONCE;
        while !stop.is_cancelled() {
            wanted.mark_unchanged();
            let work = self.index_missing(&mut at_once, &stop);
            let pause = match work.await {
                Ok(()) => None,
                Err(error) => {
                    let error = crate::error_chain(&error);
                    tracing::warn!(error, "cannot fill the search index; trying again");
                    Some(RETRY_AFTER)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {}
                changed = wanted.changed(), if pause.is_none() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Indexes everything that is not in the index.
    pub async fn catch_up_search_index(&self) -> Result<(), StoreError> {
        let mut at_once = MOST_AT_ONCE;
        self.index_missing(&mut at_once, &CancellationToken::new())
            .await
    }

    async fn index_missing(
        &self,
        at_once: &mut u32,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let mut batches = self.search_wanted.subscribe();
        let mut read_to = ReadTo::default();
        let mut ahead = VecDeque::new();
        while ahead.len() < CHUNKS_AHEAD
            && let Some(chunk) = self.next_missing(&mut read_to, *at_once).await?
        {
            ahead.push_back(chunk);
        }
        let mut merges_seldom = false;
        while let Some(chunk) = ahead.pop_front() {
            if stop.is_cancelled() {
                return Ok(());
            }
            if !merges_seldom && self.search_backlog().await? > MANY {
                self.set_merged_segments(MERGED_WHEN_MANY).await?;
                merges_seldom = true;
            }
            batches.mark_unchanged();
            let documents = made(chunk.documents).await?;
            let written = async {
                let started = Instant::now();
                self.write_documents(&documents, (chunk.now, chunk.then))
                    .await?;
                Ok(started.elapsed())
            };
            let read = self.next_missing(&mut read_to, *at_once);
            let (elapsed, following) = tokio::try_join!(written, read)?;
            *at_once = adapted(*at_once, elapsed);
            if batches.has_changed().unwrap_or(false) {
                tokio::time::sleep(elapsed * PATIENCE).await;
            }
            ahead.extend(following);
        }
        self.merge_what_waits(stop).await
    }

    /// Does the merging that waited, also in a process before, until there is something to index again.
    async fn merge_what_waits(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let merged: Option<i64> =
            sqlx::query_scalar("SELECT v FROM search_index_config WHERE k = 'automerge'")
                .fetch_optional(&self.reader)
                .await?;
        if merged != Some(MERGED_WHEN_MANY) {
            return Ok(());
        }
        while !stop.is_cancelled() && self.search_backlog().await? == 0 {
            let started = Instant::now();
            if !self.merge_some().await? {
                return self.set_merged_segments(MERGED).await;
            }
            tokio::time::sleep(started.elapsed() * PATIENCE).await;
        }
        Ok(())
    }

    /// Whether there was something to merge. FTS5 tells by the count of changes
    /// (<https://sqlite.org/fts5.html#the_merge_command>).
    async fn merge_some(&self) -> Result<bool, StoreError> {
        let changes = "SELECT total_changes()";
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let before: i64 = sqlx::query_scalar(changes)
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO search_index (search_index, rank) VALUES ('merge', ?)")
            .bind(PAGES_MERGED_AT_ONCE)
            .execute(&mut *transaction)
            .await?;
        let after: i64 = sqlx::query_scalar(changes)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(after - before >= 2)
    }

    async fn set_merged_segments(&self, count: i64) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO search_index (search_index, rank) VALUES ('automerge', ?)")
            .bind(count)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The rows that are missing next.
    async fn next_missing(
        &self,
        read_to: &mut ReadTo,
        limit: u32,
    ) -> Result<Option<Chunk>, StoreError> {
        let (indexed, through): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT MAX(indexed) FROM search_mark), (SELECT MAX(through) FROM search_backlog)",
        )
        .fetch_one(&self.reader)
        .await?;
        // Few dead letters enter the index with their rows.
        let beyond = indexed.max(read_to.beyond.unwrap_or(indexed));
        let through = read_to.through.unwrap_or(through);
        let mut chunk = self.read_missing(Missing::Beyond(beyond), limit).await?;
        if chunk.is_none() && through > 0 {
            let older = self.read_missing(Missing::Through(through), limit).await?;
            // Nothing is left below: the mark says so from now on.
            chunk = Some(older.unwrap_or_else(|| Chunk {
                documents: tokio::spawn(async { Ok(Documents::new()) }),
                now: Missing::Through(through),
                then: Missing::Through(0),
            }));
        }
        if let Some(chunk) = &chunk {
            read_to.note(chunk.then);
        }
        Ok(chunk)
    }

    async fn read_missing(&self, from: Missing, limit: u32) -> Result<Option<Chunk>, StoreError> {
        let Some((first, last)) = self.span(from, limit).await? else {
            return Ok(None);
        };
        let rows = self.rows_between(first, last).await?;
        let unwrap = self.unwrap;
        let documents = tokio::task::spawn_blocking(move || documents(rows, unwrap));
        let then = match from {
            Missing::Beyond(_) => Missing::Beyond(last),
            Missing::Through(_) => Missing::Through(first - 1),
        };
        Ok(Some(Chunk {
            documents,
            now: from,
            then,
        }))
    }

    /// The IDs of a chunk: so many that their messages fit, at least one.
    async fn span(&self, from: Missing, limit: u32) -> Result<Option<(i64, i64)>, StoreError> {
        let (sql, end) = match from {
            Missing::Beyond(id) => (
                "SELECT id, size FROM dead_letters WHERE id > ? ORDER BY id LIMIT ?",
                id,
            ),
            Missing::Through(id) => (
                "SELECT id, size FROM dead_letters WHERE id <= ? ORDER BY id DESC LIMIT ?",
                id,
            ),
        };
        let sizes: Vec<(i64, i64)> = sqlx::query_as(sql)
            .bind(end)
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        let mut bytes = 0_i64;
        let fits = |(index, (_, size)): &(usize, &(i64, i64))| {
            bytes = bytes.saturating_add(*size);
            *index == 0 || bytes <= CHUNK_BYTES
        };
        let ids = sizes.iter().enumerate().take_while(fits);
        let ids: Vec<i64> = ids.map(|(_, (id, _))| *id).collect();
        Ok(ids.iter().min().copied().zip(ids.iter().max().copied()))
    }

    async fn rows_between(&self, first: i64, last: i64) -> Result<Vec<StoredRow>, StoreError> {
        Ok(rows_between(first, last).fetch_all(&self.reader).await?)
    }

    async fn write_documents(
        &self,
        documents: &Documents,
        (now, then): (Missing, Missing),
    ) -> Result<(), StoreError> {
        let documents = documents.iter();
        let documents: Vec<_> = documents.map(|(id, text)| (*id, text.as_str())).collect();
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let sql = match now {
            Missing::Beyond(_) => "UPDATE search_mark SET indexed = ?2 WHERE indexed = ?1",
            Missing::Through(_) => "UPDATE search_backlog SET through = ?2 WHERE through = ?1",
        };
        let moved = sqlx::query(sql).bind(now.id()).bind(then.id());
        let moved = moved.execute(&mut *transaction).await?.rows_affected();
        // Otherwise somebody else has indexed them, and a second time is refused.
        if moved > 0 {
            search_index::put(&mut transaction, &documents).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// What the index holds of the dead letters after one, oldest first: each with its document, which the
    /// index itself does not keep.
    pub async fn search_documents(
        &self,
        after: DeadLetterId,
        limit: u32,
    ) -> Result<Vec<(DeadLetterId, String)>, StoreError> {
        match self.span(Missing::Beyond(after.0), limit).await? {
            Some((first, last)) => documents(self.rows_between(first, last).await?, self.unwrap),
            None => Ok(Vec::new()),
        }
    }
}

/// Indexes a dead letter that has changed, also before its turn: who had read it before leaves it alone then.
pub(super) async fn index_anew(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
    unwrap: Unwrap,
) -> Result<(), StoreError> {
    let rows = rows_between(id.0, id.0).fetch_all(&mut **transaction);
    let documents = documents(rows.await?, unwrap)?;
    let documents: Vec<_> = documents
        .iter()
        .map(|(id, text)| (*id, text.as_str()))
        .collect();
    sqlx::query("DELETE FROM search_index WHERE rowid = ?")
        .bind(id.0)
        .execute(&mut **transaction)
        .await?;
    search_index::put(transaction, &documents).await
}

async fn made(
    documents: JoinHandle<Result<Documents, StoreError>>,
) -> Result<Documents, StoreError> {
    match documents.await {
        Ok(made) => made,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and this with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A chunk that takes too long becomes shorter, and longer again when the machine has time.
fn adapted(at_once: u32, elapsed: Duration) -> u32 {
    let wanted = if elapsed > WANTED_WRITE {
        at_once / 2
    } else if elapsed < WANTED_WRITE / 2 {
        at_once.saturating_mul(2)
    } else {
        at_once
    };
    wanted.clamp(FEWEST_AT_ONCE, MOST_AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_takes_too_long_becomes_shorter() {
        assert_eq!(adapted(400, WANTED_WRITE * 2), 200);
        assert_eq!(adapted(400, WANTED_WRITE), 400);
        assert_eq!(adapted(400, Duration::ZERO), 800);
        assert_eq!(adapted(FEWEST_AT_ONCE, WANTED_WRITE * 9), FEWEST_AT_ONCE);
        assert_eq!(adapted(MOST_AT_ONCE, Duration::ZERO), MOST_AT_ONCE);
    }
}
