//! Replays as they are.

use sqlx::{FromRow, QueryBuilder, Sqlite};
use uuid::Uuid;

use super::{Page, PageRequest, Store, StoreError};
use crate::domain::{
    ClusterName, DeadLetterId, Destination, Replay, ReplayId, ReplayJobId, ReplayNumber,
    ReplayStateName, RevisionNumber, Timestamp,
};

pub(super) const COLUMNS: &str =
    "id, number, job, dead_letter, revision, destination, attempt, detail, updated_at_ms";

const OFF_THE_WAY: [ReplayStateName; 5] = [
    ReplayStateName::Unknown,
    ReplayStateName::Failed,
    ReplayStateName::DiedAgain,
    ReplayStateName::NotSeenAgain,
    ReplayStateName::Cancelled,
];

/// Word for word the condition of the index `replay_states_off_the_way`.
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
            .push(") ORDER BY number LIMIT ")
            .push_bind(i64::from(limit));
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
        rows.into_iter().map(ReplayRow::into_replay).collect()
    }

    /// All replays of one dead letter, the newest first.
    pub async fn replays_of(&self, id: DeadLetterId) -> Result<Vec<Replay>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM replays WHERE dead_letter = "
        ));
        query.push_bind(id.0).push(" ORDER BY attempt DESC");
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
        rows.into_iter().map(ReplayRow::into_replay).collect()
    }

    pub async fn replay(&self, id: ReplayId) -> Result<Replay, StoreError> {
        let mut query =
            QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM replays WHERE id = "));
        query.push_bind(id.to_string());
        let row: Option<ReplayRow> = query.build_query_as().fetch_optional(&self.reader).await?;
        row.ok_or(StoreError::NoSuchReplay(id))?.into_replay()
    }

    /// Replays of a job in the order in which they were planned, after so many that are skipped.
    pub async fn replays_of_job(
        &self,
        id: ReplayJobId,
        skipped: u64,
        limit: u32,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut query = of_job(id);
        query.push(format!(" ORDER BY number LIMIT {limit} OFFSET {skipped}"));
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
        rows.into_iter().map(ReplayRow::into_replay).collect()
    }

    /// Events of a job in the order in which they were planned, all or those in one state.
    pub async fn events_of_job(
        &self,
        id: ReplayJobId,
        state: Option<ReplayStateName>,
        page: &PageRequest,
    ) -> Result<Page<Replay>, StoreError> {
        let mut query = of_job(id);
        if let Some(state) = state {
            query.push(" AND state = ").push_bind(state.as_str());
            if OFF_THE_WAY.contains(&state) {
                query.push(" AND ").push(IS_OFF_THE_WAY);
            }
        }
        if let Some(last) = page.key()? {
            query.push(" AND number > ").push_bind(last);
        }
        query.push(" ORDER BY number LIMIT ").push_bind(page.rows());
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let page = Page::of(rows, page, |row: &ReplayRow| row.number);
        let items = page.items.into_iter().map(ReplayRow::into_replay);
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            next_cursor: page.next_cursor,
        })
    }

    /// Counts of replays by DLQ and state, for `dlq_replayed_total` after a restart.
    pub async fn replay_outcomes(
        &self,
    ) -> Result<Vec<(String, ClusterName, String, ReplayStateName, u64)>, StoreError> {
        let rows: Vec<(String, String, String, String, i64)> = sqlx::query_as(
            "SELECT d.system, d.cluster, d.dlq, r.state, COUNT(*) FROM replay_states r \
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

/// The number by which states name a job, a cluster or a topic.
pub(super) fn push_number_of(query: &mut QueryBuilder<Sqlite>, name: &str) {
    query
        .push("(SELECT number FROM replay_names WHERE name = ")
        .push_bind(name.to_owned())
        .push(")");
}

fn of_job(job: ReplayJobId) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM replays WHERE job_number = "));
    push_number_of(&mut query, &job.to_string());
    query
}

/// The ID as it was written; nil, which no replay has, if somebody changed it.
pub(super) fn replay_id(text: &str) -> ReplayId {
    text.parse().unwrap_or(ReplayId(Uuid::nil()))
}

pub(super) fn decode_destination(json: &str) -> Result<Destination, StoreError> {
    serde_json::from_str(json).map_err(StoreError::corrupt("the destination of a replay"))
}

#[derive(Debug, FromRow)]
pub(super) struct ReplayRow {
    id: String,
    pub(super) number: i64,
    job: String,
    dead_letter: i64,
    revision: u32,
    destination: String,
    attempt: u32,
    detail: String,
    pub(super) updated_at_ms: i64,
}

impl ReplayRow {
    pub(super) fn into_replay(self) -> Result<Replay, StoreError> {
        Ok(Replay {
            id: replay_id(&self.id),
            number: ReplayNumber(self.number),
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
