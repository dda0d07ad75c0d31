//! How jobs plan their replays: all that can be, each of the others refused with its reason, by a few
//! statements however many they are.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};

use super::replay_transitions::count_planned;
use super::{NewAuditEntry, Store, StoreError, audit, replay_states};
use crate::domain::{
    Brake, Custody, DeadLetterId, DeadLetterStatus, Destination, ReplayId, ReplayJobId,
    ReplayOptions, ReplayState, RevisionNumber, Timestamp,
};

/// A job as it was confirmed.
#[derive(Clone, Debug)]
pub struct NewReplayJob {
    pub id: ReplayJobId,
    pub created_at: Timestamp,
    pub created_by: String,
    /// For people: "1 dead letter", or the filter as typed.
    pub selection: String,
    pub options: ReplayOptions,
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

/// What was replayed before and is selected again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// By somebody who named it.
    AreSentAgain,
    /// A filter selects what waits.
    AreRefused,
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
        self.create_held_job(job, &Brake::default(), Replayed::AreSentAgain, entry)
            .await
    }

    /// The same with a brake from the first event on.
    pub async fn create_held_job(
        &self,
        job: &NewReplayJob,
        brake: &Brake,
        replayed: Replayed,
        entry: &NewAuditEntry,
    ) -> Result<JobCreated, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        insert_job(&mut transaction, job, brake).await?;
        let at = job.created_at;
        let created = plan(&mut transaction, (job.id, at), &job.replays, replayed).await?;
        if created.planned.is_empty() {
            return Ok(created);
        }
        let frozen = frozen_set(job, &created);
        audit::append(&mut transaction, &entry.with_detail("replays", &frozen)).await?;
        transaction.commit().await?;
        Ok(created)
    }
}

pub(super) async fn insert_job(
    transaction: &mut Transaction<'_, Sqlite>,
    job: &NewReplayJob,
    brake: &Brake,
) -> Result<(), StoreError> {
    let options = serde_json::to_string(&job.options).map_err(StoreError::corrupt("options"))?;
    sqlx::query(
        "INSERT INTO replay_jobs (id, created_at_ms, created_by, selection, not_before_ms, \
         events_per_second, ramp_step, stop_percent, stop_count, options) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    .bind(options)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Plans replays of a job, or says of each why it cannot be.
pub(super) async fn plan(
    transaction: &mut Transaction<'_, Sqlite>,
    (job, at): (ReplayJobId, Timestamp),
    replays: &[NewReplay],
    replayed: Replayed,
) -> Result<JobCreated, StoreError> {
    let known = letters(transaction, replays).await?;
    let mut created = JobCreated::default();
    let mut taken = HashSet::new();
    let mut rows = Vec::with_capacity(replays.len());
    for replay in replays {
        let letter = known.get(&replay.dead_letter.0);
        let refusal = if taken.contains(&replay.dead_letter) {
            Some(STILL_ACTIVE.to_owned())
        } else {
            refusal(letter, replay, replayed)
        };
        if let Some(reason) = refusal {
            created.refused.push(RefusedReplay {
                dead_letter: replay.dead_letter,
                reason,
            });
            continue;
        }
        taken.insert(replay.dead_letter);
        created.planned.push(replay.id);
        rows.push(Row::of(replay)?);
    }
    insert(transaction, job, at, &rows).await?;
    count_planned(transaction, job, rows.len()).await?;
    Ok(created)
}

const STILL_ACTIVE: &str = "a replay of it is still active";

/// Why a dead letter cannot be replayed now.
fn refusal(letter: Option<&LetterRow>, replay: &NewReplay, replayed: Replayed) -> Option<String> {
    let Some(letter) = letter else {
        return Some("there is no such dead letter".to_owned());
    };
    if replay.revision.0 > letter.latest_revision {
        return Some(format!("it has no revision {}", replay.revision));
    }
    let by_status = [
        (DeadLetterStatus::Replaying, STILL_ACTIVE),
        (DeadLetterStatus::Gone, "it has left its queue"),
        (
            DeadLetterStatus::Discarded,
            "it was discarded; restore it first",
        ),
    ];
    let again = (replayed == Replayed::AreRefused).then_some((
        DeadLetterStatus::Replayed,
        "it was replayed meanwhile; select it by itself to send it again",
    ));
    let mut by_status = by_status.into_iter().chain(again);
    if let Some((_, reason)) = by_status.find(|(status, _)| letter.status == status.as_str()) {
        return Some(reason.to_owned());
    }
    if letter.system == "rabbitmq" && letter.custody == Custody::Broker.as_str() {
        let remedy = "it still lies in its queue, which Redrive only observes, so a replay would be a \
                      second copy; take it into custody first";
        return Some(remedy.to_owned());
    }
    let omitted = letter.body_omitted.clone();
    omitted.filter(|_| replay.revision == RevisionNumber(0))
}

#[derive(Debug, FromRow)]
struct LetterRow {
    id: i64,
    system: String,
    custody: String,
    status: String,
    latest_revision: u32,
    body_omitted: Option<String>,
}

async fn letters(
    transaction: &mut Transaction<'_, Sqlite>,
    replays: &[NewReplay],
) -> Result<HashMap<i64, LetterRow>, StoreError> {
    let ids: Vec<DeadLetterId> = replays.iter().map(|replay| replay.dead_letter).collect();
    let rows: Vec<LetterRow> = sqlx::query_as(
        "SELECT d.id, d.system, d.custody, d.status, d.latest_revision, b.body_omitted \
         FROM dead_letters d JOIN bodies b ON b.dead_letter = d.id \
         WHERE d.id IN (SELECT value FROM json_each(?))",
    )
    .bind(json(&ids)?)
    .fetch_all(&mut **transaction)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// One replay as it is inserted.
#[derive(Serialize)]
struct Row<'a>(
    ReplayId,
    DeadLetterId,
    RevisionNumber,
    String,
    &'a str,
    Option<&'a str>,
);

impl<'a> Row<'a> {
    fn of(replay: &'a NewReplay) -> Result<Self, StoreError> {
        let topic = match &replay.destination {
            Destination::Kafka { topic, .. } => Some(topic.as_str()),
            Destination::RabbitMq { .. } => None,
        };
        let destination = serde_json::to_string(&replay.destination)
            .map_err(StoreError::corrupt("destination"))?;
        let cluster = replay.destination.cluster().as_str();
        Ok(Self(
            replay.id,
            replay.dead_letter,
            replay.revision,
            destination,
            cluster,
            topic,
        ))
    }
}

async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    job: ReplayJobId,
    at: Timestamp,
    rows: &[Row<'_>],
) -> Result<(), StoreError> {
    let (job, planned) = (job.to_string(), json(&rows)?);
    sqlx::query(
        "INSERT OR IGNORE INTO replay_names (name) SELECT ?2 UNION \
         SELECT value ->> 4 FROM json_each(?1) UNION \
         SELECT value ->> 5 FROM json_each(?1) WHERE value ->> 5 IS NOT NULL",
    )
    .bind(&planned)
    .bind(&job)
    .execute(&mut **transaction)
    .await?;
    sqlx::query(
        "INSERT INTO replay_plans (id, job, dead_letter, revision, destination, cluster, topic, attempt, \
         message_key, size) \
         SELECT value ->> 0, ?2, d.id, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
         (SELECT COALESCE(MAX(p.attempt), 0) + 1 FROM replay_plans p WHERE p.dead_letter = d.id), \
         CASE value ->> 2 WHEN 0 \
         THEN (SELECT b.message_key FROM bodies b WHERE b.dead_letter = d.id) \
         ELSE (SELECT v.message_key FROM revisions v \
         WHERE v.dead_letter = d.id AND v.number = value ->> 2) END, d.size \
         FROM json_each(?1) CROSS JOIN dead_letters d ON d.id = value ->> 1 ORDER BY key",
    )
    .bind(&planned)
    .bind(&job)
    .execute(&mut **transaction)
    .await?;
    sqlx::query(
        "INSERT INTO replay_states (number, dead_letter, job, cluster, topic, state, stage, detail, \
         updated_at_ms) SELECT p.number, p.dead_letter, j.number, c.number, t.number, 'planned', 'to_send', \
         ?2, ?3 FROM json_each(?1) CROSS JOIN replay_plans p ON p.id = value ->> 0 \
         JOIN replay_names j ON j.name = p.job JOIN replay_names c ON c.name = p.cluster \
         LEFT JOIN replay_names t ON t.name = p.topic ORDER BY p.number",
    )
    .bind(&planned)
    .bind(replay_states::encode(&ReplayState::Planned)?)
    .bind(at.as_millis())
    .execute(&mut **transaction)
    .await?;
    let letters: Vec<DeadLetterId> = rows.iter().map(|row| row.1).collect();
    sqlx::query(
        "UPDATE dead_letters SET status = 'replaying' WHERE id IN (SELECT value FROM json_each(?))",
    )
    .bind(json(&letters)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::corrupt("a list of replays"))
}

/// What the audit says of each replay that was planned.
#[derive(Serialize)]
pub(super) struct FrozenReplay {
    dead_letter: DeadLetterId,
    revision: RevisionNumber,
    replay: ReplayId,
}

pub(super) fn frozen_set(job: &NewReplayJob, created: &JobCreated) -> Vec<FrozenReplay> {
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
