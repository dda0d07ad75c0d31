//! Replays as they are.

use sqlx::{FromRow, QueryBuilder, Sqlite};
use uuid::Uuid;

use super::{Page, PageRequest, Store, StoreError};
use crate::domain::{
    ClusterName, DeadLetterId, Destination, Replay, ReplayId, ReplayJobId, ReplayStateName,
    RevisionNumber, Timestamp,
};

pub(super) const COLUMNS: &str =
    "id, job, dead_letter, revision, destination, attempt, detail, updated_at_ms";

const OFF_THE_WAY: [ReplayStateName; 5] = [
    ReplayStateName::Unknown,
    ReplayStateName::Failed,
    ReplayStateName::DiedAgain,
    ReplayStateName::NotSeenAgain,
    ReplayStateName::Cancelled,
];

/// Word for word the condition of the index `replays_off_the_way`.
pub(super) const IS_OFF_THE_WAY: &str =
    "state IN ('unknown', 'failed', 'died_again', 'not_seen_again', 'cancelled')";

impl Store {
    /// Replays in some of the states, oldest job first and in the order in which it was planned.
    pub async fn replays_in(
        &self,
        states: &[ReplayStateName],
        limit: u32,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut query =
            QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM replays WHERE state IN ("));
        let mut list = query.separated(", ");
        for state in states {
            list.push_bind(state.as_str());
        }
        query
            .push(") ORDER BY id LIMIT ")
            .push_bind(i64::from(limit));
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
        rows.into_iter().map(ReplayRow::into_replay).collect()
    }

    /// All replays of one dead letter, the newest first.
    pub async fn replays_of(&self, id: DeadLetterId) -> Result<Vec<Replay>, StoreError> {
        self.replays_where("dead_letter = ", id.0.to_string(), " ORDER BY attempt DESC")
            .await
    }

    pub async fn replay(&self, id: ReplayId) -> Result<Replay, StoreError> {
        let found = self.replays_where("id = ", id.to_string(), "").await?;
        found.into_iter().next().ok_or(StoreError::NoSuchReplay(id))
    }

    /// Replays of a job in the order in which they were planned, after so many that are skipped.
    pub async fn replays_of_job(
        &self,
        id: ReplayJobId,
        skipped: u64,
        limit: u32,
    ) -> Result<Vec<Replay>, StoreError> {
        let limit = format!(" ORDER BY id LIMIT {limit} OFFSET {skipped}");
        self.replays_where("job = ", id.to_string(), &limit).await
    }

    /// Events of a job in the order in which they were planned, all or those in one state.
    pub async fn events_of_job(
        &self,
        id: ReplayJobId,
        state: Option<ReplayStateName>,
        page: &PageRequest,
    ) -> Result<Page<Replay>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT rowid AS row, {COLUMNS} FROM replays WHERE job = "
        ));
        query.push_bind(id.to_string());
        if let Some(state) = state {
            query.push(" AND state = ").push_bind(state.as_str());
            if OFF_THE_WAY.contains(&state) {
                query.push(" AND ").push(IS_OFF_THE_WAY);
            }
        }
        if let Some(last) = page.key()? {
            query.push(" AND id > COALESCE((SELECT l.id FROM replays l WHERE l.rowid = ");
            query.push_bind(last).push("), '')");
        }
        query.push(" ORDER BY id LIMIT ").push_bind(page.rows());
        let rows: Vec<EventRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let page = Page::of(rows, page, |row: &EventRow| row.row);
        let items = page.items.into_iter().map(|row| row.replay.into_replay());
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            next_cursor: page.next_cursor,
        })
    }

    async fn replays_where(
        &self,
        condition: &str,
        value: String,
        order: &str,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut query =
            QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM replays WHERE {condition}"));
        query.push_bind(value).push(order);
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
        rows.into_iter().map(ReplayRow::into_replay).collect()
    }

    /// Counts of replays by DLQ and state, for `dlq_replayed_total` after a restart.
    pub async fn replay_outcomes(
        &self,
    ) -> Result<Vec<(String, ClusterName, String, ReplayStateName, u64)>, StoreError> {
        let rows: Vec<(String, String, String, String, i64)> = sqlx::query_as(
            "SELECT d.system, d.cluster, d.dlq, r.state, COUNT(*) FROM replays r \
             JOIN dead_letters d ON d.id = r.dead_letter GROUP BY d.system, d.cluster, d.dlq, r.state",
        )
        .fetch_all(&self.reader)
        .await?;
        let outcome =
            |(system, cluster, dlq, state, count): (String, String, String, String, i64)| {
                Some((
                    system,
                    cluster.into(),
                    dlq,
                    state.parse().ok()?,
                    u64::try_from(count).ok()?,
                ))
            };
        Ok(rows.into_iter().filter_map(outcome).collect())
    }
}

/// The ID as it was written; nil, which no replay has, if somebody changed it.
pub(super) fn replay_id(text: &str) -> ReplayId {
    text.parse().unwrap_or(ReplayId(Uuid::nil()))
}

pub(super) fn decode_destination(json: &str) -> Result<Destination, StoreError> {
    serde_json::from_str(json).map_err(StoreError::corrupt("the destination of a replay"))
}

#[derive(Debug, FromRow)]
struct EventRow {
    row: i64,
    #[sqlx(flatten)]
    replay: ReplayRow,
}

#[derive(Debug, FromRow)]
pub(super) struct ReplayRow {
    id: String,
    job: String,
    dead_letter: i64,
    revision: u32,
    destination: String,
    attempt: u32,
    detail: String,
    updated_at_ms: i64,
}

impl ReplayRow {
    pub(super) fn into_replay(self) -> Result<Replay, StoreError> {
        Ok(Replay {
            id: replay_id(&self.id),
            job: self.job.parse().unwrap_or(ReplayJobId(Uuid::nil())),
            dead_letter: DeadLetterId(self.dead_letter),
            revision: RevisionNumber(self.revision),
            destination: decode_destination(&self.destination)?,
            attempt: self.attempt,
            state: serde_json::from_str(&self.detail)
                .map_err(StoreError::corrupt("the state of a replay"))?,
            updated_at: Timestamp(self.updated_at_ms),
        })
    }
}
