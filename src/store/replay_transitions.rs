//! How replays change their state. Only [`ReplayState::advance`](crate::domain::ReplayState::advance)
//! decides what may follow; here its answer is written together with the status of the dead letter and
//! the counts of the job: a whole batch by a handful of statements, since engines move thousands of
//! replays a second.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::replay_states::{self, NewState};
use super::replays::{COLUMNS, ReplayRow};
use super::{Store, StoreError};
use crate::domain::{
    DeadLetterId, DeadLetterStatus, Replay, ReplayEvent, ReplayId, ReplayJobId, ReplayStateName,
    Timestamp,
};

impl Store {
    /// Applies one event to one replay, on disk when this returns.
    pub async fn advance_replay(
        &self,
        id: ReplayId,
        event: ReplayEvent,
        at: Timestamp,
    ) -> Result<Replay, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let replay = advance_in(&mut transaction, id, event, at).await?;
        transaction.commit().await?;
        Ok(replay)
    }

    /// The same for a batch in one transaction. A refused transition leaves only its own replay as
    /// it was; a failure of the database leaves all.
    pub async fn advance_replays(
        &self,
        events: Vec<(ReplayId, ReplayEvent)>,
        at: Timestamp,
    ) -> Result<Vec<Result<Replay, StoreError>>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let results = advance_all_in(&mut transaction, events, at).await?;
        transaction.commit().await?;
        Ok(results)
    }

    /// The same for replays of which the caller knows how they are: they are written without being read
    /// first. If one of them is not so any more, all are read.
    pub async fn advance_known_replays(
        &self,
        events: Vec<(Replay, ReplayEvent)>,
        at: Timestamp,
    ) -> Result<Vec<Result<Replay, StoreError>>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut batch = Batch::known(&mut transaction, &events).await?;
        let advance =
            |(replay, event): &(Replay, ReplayEvent)| batch.advance(replay.id, event.clone(), at);
        let results = events.iter().map(advance).collect();
        if batch.write(&mut transaction, at).await? {
            transaction.commit().await?;
            return Ok(results);
        }
        transaction.rollback().await?;
        let events = events.into_iter();
        let events = events.map(|(replay, event)| (replay.id, event));
        self.advance_replays(events.collect(), at).await
    }
}

pub(super) async fn advance_in(
    transaction: &mut Transaction<'_, Sqlite>,
    id: ReplayId,
    event: ReplayEvent,
    at: Timestamp,
) -> Result<Replay, StoreError> {
    let mut results = advance_all_in(transaction, vec![(id, event)], at).await?;
    results.pop().ok_or(StoreError::NoSuchReplay(id))?
}

/// Applies events in their order; one result each. Nothing is written of those that are refused.
pub(super) async fn advance_all_in(
    transaction: &mut Transaction<'_, Sqlite>,
    events: Vec<(ReplayId, ReplayEvent)>,
    at: Timestamp,
) -> Result<Vec<Result<Replay, StoreError>>, StoreError> {
    let mut batch = Batch::load(transaction, &events).await?;
    let results = events
        .into_iter()
        .map(|(id, event)| batch.advance(id, event, at))
        .collect();
    batch.write(transaction, at).await?;
    Ok(results)
}

/// By what a replay is told to be as it was: no other write leaves both as they are.
#[derive(Clone, Copy)]
struct Before {
    state: ReplayStateName,
    updated_at: Timestamp,
}

/// A replay that may change, and how it was if it does.
struct Entry {
    replay: Replay,
    before: Option<Before>,
}

/// Replays that are about to change.
struct Batch {
    entries: Vec<Entry>,
    positions: HashMap<ReplayId, usize>,
    /// A pause holds from the moment in which it is committed: nothing begins to be sent after it.
    paused: HashSet<ReplayJobId>,
    /// Of a cancelled job what never left is not planned again.
    cancelled: HashSet<ReplayJobId>,
}

impl Batch {
    async fn load(
        transaction: &mut Transaction<'_, Sqlite>,
        events: &[(ReplayId, ReplayEvent)],
    ) -> Result<Self, StoreError> {
        let ids: Vec<ReplayId> = events.iter().map(|(id, _)| *id).collect();
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM replays WHERE id IN (SELECT value FROM json_each("
        ));
        query.push_bind(json(&ids)?).push("))");
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&mut **transaction).await?;
        let replays = rows.into_iter().map(ReplayRow::into_replay);
        let replays: Vec<Replay> = replays.collect::<Result<_, _>>()?;
        let events = events.iter().map(|(_, event)| event);
        Self::of(transaction, replays.into_iter(), events).await
    }

    async fn known(
        transaction: &mut Transaction<'_, Sqlite>,
        events: &[(Replay, ReplayEvent)],
    ) -> Result<Self, StoreError> {
        let replays = events.iter().map(|(replay, _)| replay.clone());
        let events = events.iter().map(|(_, event)| event);
        Self::of(transaction, replays, events).await
    }

    async fn of(
        transaction: &mut Transaction<'_, Sqlite>,
        replays: impl Iterator<Item = Replay>,
        events: impl Iterator<Item = &ReplayEvent>,
    ) -> Result<Self, StoreError> {
        let entry = |replay| Entry {
            replay,
            before: None,
        };
        let entries: Vec<Entry> = replays.map(entry).collect();
        let positions = entries.iter().enumerate();
        let positions = positions.map(|(position, entry)| (entry.replay.id, position));
        let mut batch = Self {
            positions: positions.collect(),
            entries,
            paused: HashSet::new(),
            cancelled: HashSet::new(),
        };
        let (mut any_sending, mut any_absent) = (false, false);
        for event in events {
            any_sending |= matches!(event, ReplayEvent::Sending { .. });
            any_absent |= matches!(event, ReplayEvent::ProvenAbsent);
        }
        if any_sending {
            batch.paused = jobs_where(transaction, "state <> 'ready'").await?;
        }
        if any_absent {
            batch.cancelled = jobs_where(transaction, "cancelled_at_ms IS NOT NULL").await?;
        }
        Ok(batch)
    }

    fn advance(
        &mut self,
        id: ReplayId,
        event: ReplayEvent,
        at: Timestamp,
    ) -> Result<Replay, StoreError> {
        let position = self.positions.get(&id).copied();
        let entry = position.and_then(|position| self.entries.get_mut(position));
        let Entry { replay, before } = entry.ok_or(StoreError::NoSuchReplay(id))?;
        if matches!(event, ReplayEvent::Sending { .. }) && self.paused.contains(&replay.job) {
            return Err(StoreError::JobPaused(replay.job));
        }
        let is_absent = matches!(event, ReplayEvent::ProvenAbsent);
        let mut state = replay.state.clone().advance(event)?;
        if is_absent && self.cancelled.contains(&replay.job) {
            state = state.advance(ReplayEvent::Cancel { at })?;
        }
        before.get_or_insert(Before {
            state: replay.state.name(),
            updated_at: replay.updated_at,
        });
        replay.state = state;
        replay.updated_at = at;
        Ok(replay.clone())
    }

    /// What changed, and how it was before.
    fn changed(&self) -> impl Iterator<Item = (&Replay, Before)> {
        let entries = self.entries.iter();
        entries.filter_map(|entry| Some((&entry.replay, entry.before?)))
    }

    /// Writes what changed; `false` if one of the replays was not as this batch knew it, after which the
    /// transaction has to be given up.
    async fn write(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut ways: BTreeMap<_, Vec<NewState<'_>>> = BTreeMap::new();
        for (replay, before) in self.changed() {
            let way = (before.state, replay.state.name());
            ways.entry(way).or_default().push(NewState {
                number: replay.number,
                state: &replay.state,
                changed_before: before.updated_at,
            });
        }
        for (way, states) in ways {
            if replay_states::put(transaction, way, &states, at).await? < states.len() as u64 {
                return Ok(false);
            }
        }
        self.count(transaction).await?;
        self.update_dead_letters(transaction).await?;
        Ok(true)
    }

    /// Counts of a job are maintained, never aggregated while a page waits.
    async fn count(&self, transaction: &mut Transaction<'_, Sqlite>) -> Result<(), StoreError> {
        let mut changes: BTreeMap<(ReplayJobId, ReplayStateName), i64> = BTreeMap::new();
        for (replay, before) in self.changed() {
            *changes.entry((replay.job, before.state)).or_default() -= 1;
            *changes
                .entry((replay.job, replay.state.name()))
                .or_default() += 1;
        }
        let changes = changes.into_iter();
        let changes = changes.map(|((job, state), change)| (job, state, change));
        change_counts(transaction, changes.collect()).await
    }

    /// The newest replay decides what its dead letter waits for. One that is active is the newest, since no
    /// other is planned before it ended; when one changes that is not, the status stays as it is, unless it was
    /// taken for not sent and came back: then the event lies in a DLQ anew and its first dead letter is not open.
    async fn update_dead_letters(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
    ) -> Result<(), StoreError> {
        let mut statuses: BTreeMap<&str, Vec<DeadLetterId>> = BTreeMap::new();
        let mut proven_sent = Vec::new();
        for (replay, before) in self.changed() {
            let status = status_after(replay.state.name());
            if before.state.is_active() && status != DeadLetterStatus::Replaying {
                let letters = statuses.entry(status.as_str()).or_default();
                letters.push(replay.dead_letter);
            } else if status_after(before.state) == DeadLetterStatus::Open
                && status == DeadLetterStatus::Replayed
            {
                proven_sent.push(replay.dead_letter);
            }
        }
        if !proven_sent.is_empty() {
            let close = "UPDATE dead_letters SET status = 'replayed' \
                 WHERE id IN (SELECT value FROM json_each(?)) AND status = 'open'";
            let close = sqlx::query(close).bind(json(&proven_sent)?);
            close.execute(&mut **transaction).await?;
        }
        for (status, letters) in statuses {
            let letters = json(&letters)?;
            if status == DeadLetterStatus::Replayed.as_str() {
                count_brought_back(transaction, &letters).await?;
            }
            sqlx::query(
                "UPDATE OR FAIL dead_letters SET status = ?1 \
                 WHERE id IN (SELECT value FROM json_each(?2)) AND status <> ?1",
            )
            .bind(status)
            .bind(letters)
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }
}

const fn status_after(state: ReplayStateName) -> DeadLetterStatus {
    match state {
        state if state.is_active() => DeadLetterStatus::Replaying,
        ReplayStateName::Failed | ReplayStateName::Cancelled => DeadLetterStatus::Open,
        _ => DeadLetterStatus::Replayed,
    }
}

/// Counts the dead letters that are about to be replayed: no trigger does, which would count one at a time
/// (migration 0173).
async fn count_brought_back(
    transaction: &mut Transaction<'_, Sqlite>,
    letters: &str,
) -> Result<(), StoreError> {
    for count in [
        "UPDATE failure_groups SET replaying = replaying - back.letters FROM \
         (SELECT failure_group, COUNT(*) AS letters FROM dead_letters \
         WHERE id IN (SELECT value FROM json_each(?)) AND status = 'replaying' \
         GROUP BY failure_group) AS back WHERE failure_groups.id = back.failure_group",
        "UPDATE dlq_depths SET waiting = waiting - back.letters FROM \
         (SELECT cluster, vhost, dlq, COUNT(*) AS letters FROM dead_letters \
         WHERE id IN (SELECT value FROM json_each(?)) AND status = 'replaying' \
         GROUP BY cluster, vhost, dlq) AS back WHERE dlq_depths.cluster = back.cluster \
         AND dlq_depths.vhost = back.vhost AND dlq_depths.dlq = back.dlq",
    ] {
        let count = sqlx::query(count).bind(letters);
        count.execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn jobs_where(
    transaction: &mut Transaction<'_, Sqlite>,
    condition: &'static str,
) -> Result<HashSet<ReplayJobId>, StoreError> {
    let query = format!("SELECT id FROM replay_jobs WHERE {condition}");
    let ids: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .fetch_all(&mut **transaction)
        .await?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// Adds new replays to the counts of their job.
pub(super) async fn count_planned(
    transaction: &mut Transaction<'_, Sqlite>,
    job: ReplayJobId,
    events: usize,
) -> Result<(), StoreError> {
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    change_counts(transaction, vec![(job, ReplayStateName::Planned, events)]).await
}

async fn change_counts(
    transaction: &mut Transaction<'_, Sqlite>,
    mut changes: Vec<(ReplayJobId, ReplayStateName, i64)>,
) -> Result<(), StoreError> {
    changes.retain(|(_, _, change)| *change != 0);
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO replay_job_counts (job, state, events) \
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true \
         ON CONFLICT (job, state) DO UPDATE SET events = events + excluded.events",
    )
    .bind(json(&changes)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::corrupt("a batch of replays"))
}

#[cfg(test)]
mod tests;
