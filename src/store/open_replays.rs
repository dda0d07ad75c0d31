//! Replays of all jobs that have no outcome yet: those that are unknown, about which a person decides, and
//! those that await theirs.

use futures_util::TryStreamExt as _;
use sqlx::{QueryBuilder, Sqlite};

use super::replay_transitions::{advance_all_in, advance_in};
use super::replays::{COLUMNS, IS_OFF_THE_WAY, ReplayRow, push_number_of};
use super::{COUNTED, NewAuditEntry, Page, PageRequest, Store, StoreError, audit, filter_sql};
use crate::domain::{
    DeadLetterIds, Filter, Replay, ReplayEvent, ReplayId, ReplayJobId, ReplayStateName, Timestamp,
};

/// Decisions that one transaction writes down.
pub const DECIDED_AT_ONCE: usize = 1_000;

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenOutcome {
    /// Nobody can tell whether it was sent.
    Unknown,
    /// It was sent, and nothing proves yet what became of it.
    Awaited,
}

impl OpenOutcome {
    pub const fn states(self) -> &'static [ReplayStateName] {
        match self {
            Self::Unknown => &[ReplayStateName::Unknown],
            Self::Awaited => &[ReplayStateName::Sent, ReplayStateName::Passed],
        }
    }
}

/// Replays without an outcome whose dead letters match, as they were at one moment: what changed its state
/// later is not among them.
#[derive(Clone, Debug)]
pub struct OpenReplays {
    pub outcome: OpenOutcome,
    /// Of dead letters; the empty one means all.
    pub filter: Filter,
    /// Also that from which relative times of the filter count.
    pub through: Timestamp,
}

/// The unknown replays that one decision is about.
#[derive(Clone, Copy, Debug)]
pub enum UnknownReplays<'a> {
    OfJob(ReplayJobId),
    /// Those whose dead letters match.
    Matching(&'a Filter),
}

impl Store {
    /// A page of them, those that wait for the longest time first.
    pub async fn open_replays(
        &self,
        asked: &OpenReplays,
        page: &PageRequest,
    ) -> Result<Page<Replay>, StoreError> {
        let after = page.cursor.as_deref().map(position).transpose()?;
        let mut query = QueryBuilder::<Sqlite>::new("");
        for (index, state) in asked.outcome.states().iter().enumerate() {
            query.push(if index == 0 { "" } else { " UNION ALL " });
            query.push(format!("SELECT {COLUMNS} "));
            push_open(&mut query, *state, &asked.filter, asked.through);
            if let Some((at, number)) = after {
                query.push(" AND (updated_at_ms, number) > (").push_bind(at);
                query.push(", ").push_bind(number).push(")");
            }
        }
        query
            .push(" ORDER BY updated_at_ms, number LIMIT ")
            .push_bind(page.rows());
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let page = Page::of(rows, page, position_of);
        let items = page.items.into_iter().map(ReplayRow::into_replay);
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            next_cursor: page.next_cursor,
        })
    }

    /// How many they are: exactly of what is unknown, no further than just beyond [`COUNTED`] of what waits.
    pub async fn count_open_replays(&self, asked: &OpenReplays) -> Result<u64, StoreError> {
        let limit = match asked.outcome {
            OpenOutcome::Unknown => i64::MAX,
            OpenOutcome::Awaited => i64::try_from(COUNTED).unwrap_or(i64::MAX - 1) + 1,
        };
        let mut count = 0;
        for state in asked.outcome.states() {
            let mut query = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM (SELECT 1 ");
            push_open(&mut query, *state, &asked.filter, asked.through);
            query.push(" LIMIT ").push_bind(limit).push(")");
            let found: i64 = query.build_query_scalar().fetch_one(&self.reader).await?;
            count += u64::try_from(found).unwrap_or(0);
        }
        Ok(count)
    }

    /// All replays by state.
    pub async fn replay_totals(&self) -> Result<Vec<(ReplayStateName, u64)>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT state, SUM(events) FROM replay_job_counts GROUP BY state")
                .fetch_all(&self.reader)
                .await?;
        let named = rows
            .into_iter()
            .filter_map(|(state, count)| Some((state.parse().ok()?, u64::try_from(count).ok()?)));
        Ok(named.collect())
    }

    /// A person's decision about an unknown replay, with its audit entry.
    pub async fn resolve_unknown(
        &self,
        id: ReplayId,
        decision: ReplayEvent,
        entry: &NewAuditEntry,
    ) -> Result<Replay, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let replay = advance_in(&mut transaction, id, decision, entry.at).await?;
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(replay)
    }

    /// The replays that are unknown since `through` or longer, by their IDs: the set that is decided about.
    pub async fn unknown_replays(
        &self,
        replays: UnknownReplays<'_>,
        through: Timestamp,
    ) -> Result<Vec<ReplayId>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT id ");
        match replays {
            UnknownReplays::OfJob(job) => {
                query.push("FROM replays WHERE job_number = ");
                push_number_of(&mut query, &job.to_string());
                query.push(format!(" AND state = 'unknown' AND {IS_OFF_THE_WAY}"));
                query
                    .push(" AND updated_at_ms <= ")
                    .push_bind(through.as_millis());
            }
            UnknownReplays::Matching(filter) => {
                push_open(&mut query, ReplayStateName::Unknown, filter, through);
            }
        }
        let mut rows = query.build_query_scalar::<String>().fetch(&self.reader);
        let mut ids = Vec::new();
        while let Some(id) = rows.try_next().await? {
            ids.extend(id.parse::<ReplayId>().ok());
        }
        Ok(ids)
    }

    /// The same decision about those of `ids` that are unknown since `through` or longer, with an audit entry
    /// that names their dead letters. Of a set that was seen, others may have been decided meanwhile.
    pub async fn resolve_some(
        &self,
        (ids, through): (&[ReplayId], Timestamp),
        decision: &ReplayEvent,
        entry: &NewAuditEntry,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let named: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM replays WHERE id IN (SELECT value FROM json_each(?)) \
             AND state = 'unknown' AND updated_at_ms <= ?",
        )
        .bind(serde_json::json!(named).to_string())
        .bind(through.as_millis())
        .fetch_all(&mut *transaction)
        .await?;
        let ids = ids.iter().filter_map(|id| id.parse().ok());
        let events = ids.map(|id| (id, decision.clone())).collect();
        let results = advance_all_in(&mut transaction, events, entry.at).await?;
        let decided: Vec<Replay> = results.into_iter().filter_map(Result::ok).collect();
        if decided.is_empty() {
            return Ok(decided);
        }
        let letters = decided.iter().map(|replay| replay.dead_letter);
        let letters: DeadLetterIds = letters.collect();
        let entry = entry.with_detail("dead_letters", &letters);
        let entry = entry.with_detail("count", &letters.len());
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(decided)
    }
}

/// `FROM` and the condition; the index `replay_states_by_time` gives them in the order of their last change.
fn push_open(
    query: &mut QueryBuilder<Sqlite>,
    state: ReplayStateName,
    filter: &Filter,
    through: Timestamp,
) {
    query
        .push("FROM replays WHERE state = ")
        .push_bind(state.as_str())
        .push(" AND stage <> 'to_send' AND updated_at_ms <= ")
        .push_bind(through.as_millis());
    if !filter.is_empty() {
        query.push(
            " AND EXISTS (SELECT 1 FROM dead_letters \
             WHERE dead_letters.id = replays.dead_letter AND ",
        );
        filter_sql::push(query, filter, through);
        query.push(")");
    }
}

/// What [`position_of`] wrote.
fn position(cursor: &str) -> Result<(i64, i64), StoreError> {
    let parts = cursor.split_once('-');
    parts
        .and_then(|(at, row)| Some((at.parse().ok()?, row.parse().ok()?)))
        .ok_or_else(|| StoreError::BadCursor(cursor.chars().take(64).collect()))
}

/// Its place in the list, which stays whatever becomes of the replay.
fn position_of(row: &ReplayRow) -> String {
    format!("{}-{}", row.updated_at_ms, row.number)
}
