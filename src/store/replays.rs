//! Replays and how jobs plan them.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::{FromRow, QueryBuilder, Sqlite, Transaction};
use uuid::Uuid;

use super::insert::set_status;
use super::replay_transitions::{count_planned, encode_state};
use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{
    Brake, ClusterName, Custody, DeadLetterId, DeadLetterStatus, Destination, Replay, ReplayId,
    ReplayJobId, ReplayState, ReplayStateName, RevisionNumber, Timestamp,
};

pub(super) const COLUMNS: &str =
    "id, job, dead_letter, revision, destination, attempt, detail, updated_at_ms";

/// A job as it was confirmed.
#[derive(Clone, Debug)]
pub struct NewReplayJob {
    pub id: ReplayJobId,
    pub created_at: Timestamp,
    pub created_by: String,
    /// For people: "1 dead letter", or the filter as typed.
    pub selection: String,
    pub replays: Vec<NewReplay>,
}

/// One dead letter of a new job.
#[derive(Clone, Debug)]
pub struct NewReplay {
    pub id: ReplayId,
    pub dead_letter: DeadLetterId,
    pub revision: RevisionNumber,
    pub destination: Destination,
}

/// What became of a new job.
#[derive(Clone, Debug, Default)]
pub struct JobCreated {
    pub planned: Vec<ReplayId>,
    pub refused: Vec<RefusedReplay>,
}

/// A dead letter that cannot be replayed now.
#[derive(Clone, Debug)]
pub struct RefusedReplay {
    pub dead_letter: DeadLetterId,
    /// For people: "a replay of it is still active".
    pub reason: String,
}

impl Store {
    /// Freezes a job: all its replays are planned, or refused one by one, in one transaction with
    /// the audit, to whose detail the exact set is added. A job of which everything is refused is not
    /// stored.
    pub async fn create_job(
        &self,
        job: &NewReplayJob,
        entry: &NewAuditEntry,
    ) -> Result<JobCreated, StoreError> {
        self.create_held_job(job, &Brake::default(), entry).await
    }

    /// The same with a brake from the first event on.
    pub async fn create_held_job(
        &self,
        job: &NewReplayJob,
        brake: &Brake,
        entry: &NewAuditEntry,
    ) -> Result<JobCreated, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "INSERT INTO replay_jobs (id, created_at_ms, created_by, selection, not_before_ms, \
             events_per_second, ramp_step, stop_percent, stop_count) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(job.id.to_string())
        .bind(job.created_at.as_millis())
        .bind(&job.created_by)
        .bind(&job.selection)
        .bind(brake.not_before.map(Timestamp::as_millis))
        .bind(brake.events_per_second)
        .bind(brake.ramp.then_some(0_i64))
        .bind(brake.stop_percent)
        .bind(brake.stop_count)
        .execute(&mut *transaction)
        .await?;
        let mut created = JobCreated::default();
        for replay in &job.replays {
            match plan(&mut transaction, job, replay).await? {
                Ok(()) => created.planned.push(replay.id),
                Err(reason) => {
                    created.refused.push(RefusedReplay {
                        dead_letter: replay.dead_letter,
                        reason,
                    });
                }
            }
        }
        if created.planned.is_empty() {
            return Ok(created);
        }
        count_planned(&mut transaction, job.id, created.planned.len()).await?;
        let frozen = frozen_set(job, &created);
        audit::append(&mut transaction, &entry.with_detail("replays", &frozen)).await?;
        transaction.commit().await?;
        Ok(created)
    }

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

    /// All replays of a job in the order in which they were planned.
    pub async fn replays_of_job(
        &self,
        id: ReplayJobId,
        limit: u32,
    ) -> Result<Vec<Replay>, StoreError> {
        let limit = format!(" ORDER BY id LIMIT {limit}");
        self.replays_where("job = ", id.to_string(), &limit).await
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

/// What the audit says of each replay that was planned.
#[derive(Serialize)]
struct FrozenReplay {
    dead_letter: DeadLetterId,
    revision: RevisionNumber,
    replay: ReplayId,
}

fn frozen_set(job: &NewReplayJob, created: &JobCreated) -> Vec<FrozenReplay> {
    let planned: HashSet<ReplayId> = created.planned.iter().copied().collect();
    let frozen = job
        .replays
        .iter()
        .filter(|replay| planned.contains(&replay.id));
    frozen
        .map(|replay| FrozenReplay {
            dead_letter: replay.dead_letter,
            revision: replay.revision,
            replay: replay.id,
        })
        .collect()
}

/// Plans one replay, or says why it cannot be.
async fn plan(
    transaction: &mut Transaction<'_, Sqlite>,
    job: &NewReplayJob,
    replay: &NewReplay,
) -> Result<Result<(), String>, StoreError> {
    let id = replay.dead_letter;
    let known: Option<(String, String, String, u32, Option<String>)> = sqlx::query_as(
        "SELECT d.system, d.custody, d.status, d.latest_revision, b.body_omitted \
         FROM dead_letters d JOIN bodies b ON b.dead_letter = d.id WHERE d.id = ?",
    )
    .bind(id.0)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some((system, custody, status, latest_revision, body_omitted)) = known else {
        return Ok(Err("there is no such dead letter".to_owned()));
    };
    if replay.revision.0 > latest_revision {
        return Ok(Err(format!("it has no revision {}", replay.revision)));
    }
    if status == DeadLetterStatus::Replaying.as_str() {
        return Ok(Err("a replay of it is still active".to_owned()));
    }
    if status == DeadLetterStatus::Gone.as_str() {
        return Ok(Err("it has left its queue".to_owned()));
    }
    if status == DeadLetterStatus::Discarded.as_str() {
        return Ok(Err("it was discarded; restore it first".to_owned()));
    }
    if system == "rabbitmq" && custody == Custody::Broker.as_str() {
        let remedy = "it still lies in its queue, which Redrive only observes, so a replay would be a \
                      second copy; take it into custody first";
        return Ok(Err(remedy.to_owned()));
    }
    if let Some(omitted) = body_omitted.filter(|_| replay.revision == RevisionNumber(0)) {
        return Ok(Err(omitted));
    }
    insert_planned(transaction, job, replay).await?;
    set_status(transaction, id.0, DeadLetterStatus::Replaying).await?;
    Ok(Ok(()))
}

async fn insert_planned(
    transaction: &mut Transaction<'_, Sqlite>,
    job: &NewReplayJob,
    replay: &NewReplay,
) -> Result<(), StoreError> {
    let destination =
        serde_json::to_string(&replay.destination).map_err(StoreError::corrupt("destination"))?;
    let detail = encode_state(&ReplayState::Planned)?;
    let topic = match &replay.destination {
        Destination::Kafka { topic, .. } => Some(topic.as_str()),
        Destination::RabbitMq { .. } => None,
    };
    sqlx::query(
        "INSERT INTO replays (id, job, dead_letter, revision, destination, cluster, topic, attempt, \
         state, detail, updated_at_ms) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, \
         COALESCE(MAX(attempt), 0) + 1, 'planned', ?8, ?9 FROM replays WHERE dead_letter = ?3",
    )
    .bind(replay.id.to_string())
    .bind(job.id.to_string())
    .bind(replay.dead_letter.0)
    .bind(replay.revision.0)
    .bind(destination)
    .bind(replay.destination.cluster().as_str())
    .bind(topic)
    .bind(detail)
    .bind(job.created_at.as_millis())
    .execute(&mut **transaction)
    .await?;
    Ok(())
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
        let nil = || Uuid::nil();
        Ok(Replay {
            id: self.id.parse().unwrap_or_else(|_| ReplayId(nil())),
            job: self.job.parse().unwrap_or_else(|_| ReplayJobId(nil())),
            dead_letter: DeadLetterId(self.dead_letter),
            revision: RevisionNumber(self.revision),
            destination: serde_json::from_str(&self.destination)
                .map_err(StoreError::corrupt("the destination of a replay"))?,
            attempt: self.attempt,
            state: serde_json::from_str(&self.detail)
                .map_err(StoreError::corrupt("the state of a replay"))?,
            updated_at: Timestamp(self.updated_at_ms),
        })
    }
}
