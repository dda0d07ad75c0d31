//! What a batch of new dead letters changes beside its rows: failure groups, totals, depths. Summed up first,
//! so that a batch of a thousand costs a few statements and not some for each.

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::StoreError;
use super::failure_groups::{MINUTE_MS, SPARKLINE_MS};
use crate::domain::{FailureGroupId, NewDeadLetter, Position, Timestamp};

/// The counts of a batch.
#[derive(Default)]
pub(super) struct Arrivals<'a> {
    groups: BTreeMap<&'a FailureGroupId, GroupArrivals<'a>>,
    totals: BTreeMap<[&'a str; 5], i64>,
    depths: BTreeMap<[&'a str; 4], i64>,
    minutes: BTreeMap<(&'a str, i64), i64>,
}

struct GroupArrivals<'a> {
    /// Whose title and explanation a new group gets.
    first: &'a NewDeadLetter,
    first_died: Timestamp,
    last_died: Timestamp,
    count: i64,
    is_known: bool,
    /// All of it was resolved before.
    regressed: bool,
}

impl<'a> Arrivals<'a> {
    /// Sums up; the second answer says of each dead letter whether it made its group new or brought it back.
    pub(super) async fn of(
        transaction: &mut Transaction<'_, Sqlite>,
        letters: impl Iterator<Item = &'a NewDeadLetter>,
        now: Timestamp,
    ) -> Result<(Self, Vec<bool>), StoreError> {
        let mut arrivals = Self::default();
        let mut news = Vec::new();
        for letter in letters {
            news.push(arrivals.add_to_group(transaction, letter).await?);
            arrivals.count(letter, now);
        }
        Ok((arrivals, news))
    }

    async fn add_to_group(
        &mut self,
        transaction: &mut Transaction<'_, Sqlite>,
        letter: &'a NewDeadLetter,
    ) -> Result<bool, StoreError> {
        let id = &letter.classification.group;
        if let Some(group) = self.groups.get_mut(id) {
            group.count += 1;
            group.first_died = group.first_died.min(letter.dead_at);
            group.last_died = group.last_died.max(letter.dead_at);
            return Ok(false);
        }
        let known: Option<(i64, i64)> =
            sqlx::query_as("SELECT total, open + replaying FROM failure_groups WHERE id = ?")
                .bind(id.as_str())
                .fetch_optional(&mut **transaction)
                .await?;
        // A replay of ours that died again is no new failure.
        let regressed =
            matches!(known, Some((total, 0)) if total > 0) && letter.replay_id.is_none();
        let group = GroupArrivals {
            first: letter,
            first_died: letter.dead_at,
            last_died: letter.dead_at,
            count: 1,
            is_known: known.is_some(),
            regressed,
        };
        let is_news = regressed || !group.is_known;
        self.groups.insert(id, group);
        Ok(is_news)
    }

    fn count(&mut self, letter: &'a NewDeadLetter, now: Timestamp) {
        let (system, cluster) = (letter.position.system().as_str(), letter.cluster.as_str());
        let dlq = letter.position.dlq();
        let vhost = match &letter.position {
            Position::Kafka { .. } => "",
            Position::RabbitMq { vhost, .. } => vhost.as_str(),
        };
        let source = letter.decoded.origin.destination.as_deref();
        let reason = letter.decoded.reason.as_str();
        let total = [system, cluster, dlq, source.unwrap_or_default(), reason];
        *self.totals.entry(total).or_default() += 1;
        *self
            .depths
            .entry([cluster, vhost, dlq, system])
            .or_default() += 1;
        let died = letter.dead_at.as_millis();
        if died >= now.as_millis() - SPARKLINE_MS {
            let minute = (letter.classification.group.as_str(), died / MINUTE_MS);
            *self.minutes.entry(minute).or_default() += 1;
        }
    }

    /// Writes the groups, to which the rows of the dead letters refer, and all counts.
    pub(super) async fn write(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for (id, group) in &self.groups {
            put_group(transaction, id, group, now).await?;
        }
        for (total, count) in &self.totals {
            add_total(transaction, total, *count).await?;
        }
        for (depth, count) in &self.depths {
            add_depth(transaction, depth, *count).await?;
        }
        let minutes: Vec<_> = self.minutes.iter().collect();
        for chunk in minutes.chunks(MINUTES_A_STATEMENT) {
            add_minutes(transaction, chunk).await?;
        }
        Ok(())
    }
}

/// Few enough that a statement stays small.
const MINUTES_A_STATEMENT: usize = 100;

async fn put_group(
    transaction: &mut Transaction<'_, Sqlite>,
    id: &FailureGroupId,
    group: &GroupArrivals<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let classification = &group.first.classification;
    sqlx::query(
        "INSERT INTO failure_groups \
         (id, title, explanation, first_seen_ms, last_seen_ms, total, open) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (id) DO UPDATE SET \
         last_seen_ms = MAX(last_seen_ms, ?5), total = total + ?6, open = open + ?6, \
         regressed_ms = CASE WHEN ?7 THEN ?8 ELSE regressed_ms END",
    )
    .bind(id.as_str())
    .bind(&classification.title)
    .bind(&classification.explanation)
    .bind(group.first_died.as_millis())
    .bind(group.last_died.as_millis())
    .bind(group.count)
    .bind(group.regressed)
    .bind(now.as_millis())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn add_total(
    transaction: &mut Transaction<'_, Sqlite>,
    [system, cluster, dlq, source, reason]: &[&str; 5],
    count: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO dead_letter_totals (system, cluster, dlq, source, reason, total) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (system, cluster, dlq, source, reason) \
         DO UPDATE SET total = total + excluded.total",
    )
    .bind(*system)
    .bind(*cluster)
    .bind(*dlq)
    .bind(*source)
    .bind(*reason)
    .bind(count)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn add_depth(
    transaction: &mut Transaction<'_, Sqlite>,
    [cluster, vhost, dlq, system]: &[&str; 4],
    count: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO dlq_depths (cluster, vhost, dlq, system, waiting) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (cluster, vhost, dlq) DO UPDATE SET waiting = waiting + excluded.waiting",
    )
    .bind(*cluster)
    .bind(*vhost)
    .bind(*dlq)
    .bind(*system)
    .bind(count)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn add_minutes(
    transaction: &mut Transaction<'_, Sqlite>,
    minutes: &[(&(&str, i64), &i64)],
) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO failure_group_minutes (failure_group, minute, deaths) ",
    );
    query.push_values(minutes, |mut row, ((group, minute), deaths)| {
        row.push_bind(*group).push_bind(*minute).push_bind(**deaths);
    });
    query.push(
        " ON CONFLICT (failure_group, minute) DO UPDATE SET deaths = deaths + excluded.deaths",
    );
    query
        .build()
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
