use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Page, PageRequest, Store, StoreError, filter_sql};
use crate::domain::{FailureGroupId, Filter, Timestamp};

/// A failure group with its counts.
#[derive(Clone, Debug)]
pub struct FailureGroup {
    pub id: FailureGroupId,
    pub title: String,
    pub explanation: String,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// When it came back after everything in it had been resolved.
    pub regressed_at: Option<Timestamp>,
    pub total: u64,
    pub open: u64,
    /// One of the clusters, DLQs and sources in it, of the newest dead letter.
    pub newest: Option<NewestMember>,
}

/// Where the newest dead letter of a group came from.
#[derive(Clone, Debug)]
pub struct NewestMember {
    pub id: crate::domain::DeadLetterId,
    pub system: String,
    pub cluster: String,
    pub dlq: String,
    pub source: Option<String>,
}

pub(super) const MINUTE_MS: i64 = 60_000;
/// What sparklines show is kept: a day, and an hour to spare.
pub(super) const SPARKLINE_MS: i64 = 25 * 60 * MINUTE_MS;

const COLUMNS: &str = "g.id, g.title, g.explanation, g.first_seen_ms, g.last_seen_ms, \
     g.regressed_ms, g.total, g.open, d.id AS newest_id, d.system, d.cluster, d.dlq, d.source";

const NEWEST: &str = "LEFT JOIN dead_letters d ON d.id = \
     (SELECT MAX(id) FROM dead_letters WHERE failure_group = g.id)";

impl Store {
    /// Groups with members that match, those with the newest dead letters first. The counts are of
    /// the whole group, whatever the filter.
    pub async fn failure_groups(
        &self,
        filter: &Filter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<FailureGroup>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM failure_groups g {NEWEST} WHERE TRUE"
        ));
        if filter_sql::asks_index(filter) {
            query.push(" AND g.id IN (SELECT failure_group FROM ");
            filter_sql::push_source(&mut query, filter, now);
            query.push(")");
        } else if !filter.is_empty() {
            // Ends with the first member that matches, of a group that is shown anyway.
            query.push(" AND EXISTS (SELECT 1 FROM ");
            filter_sql::push_source(&mut query, filter, now);
            query.push(" AND dead_letters.failure_group = g.id)");
        }
        let offset = page.key()?.unwrap_or(0).max(0);
        query
            .push(" ORDER BY g.last_seen_ms DESC, g.id LIMIT ")
            .push_bind(page.rows());
        query.push(" OFFSET ").push_bind(offset);
        let rows: Vec<GroupRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let groups: Vec<FailureGroup> = rows.into_iter().map(FailureGroup::from).collect();
        let mut result = Page::of(groups, page, |_| 0);
        let shown = i64::try_from(result.items.len()).unwrap_or(0);
        result.next_cursor = result.next_cursor.map(|_| (offset + shown).to_string());
        Ok(result)
    }

    pub async fn failure_group(
        &self,
        id: &FailureGroupId,
    ) -> Result<Option<FailureGroup>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM failure_groups g {NEWEST} WHERE g.id = "
        ));
        query.push_bind(id.as_str());
        let row: Option<GroupRow> = query.build_query_as().fetch_optional(&self.reader).await?;
        Ok(row.map(FailureGroup::from))
    }

    /// Dead letters of a group by time, for its sparkline: counts of `buckets` equal spans, to the minute, of
    /// the last day at most.
    pub async fn failure_group_arrivals(
        &self,
        id: &FailureGroupId,
        (from, to): (Timestamp, Timestamp),
        buckets: u32,
    ) -> Result<Vec<u64>, StoreError> {
        let span = (to.as_millis() - from.as_millis()).max(1);
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT MAX(minute * ?6 - ?1, 0) * ?2 / ?3 AS bucket, SUM(deaths) \
             FROM failure_group_minutes \
             WHERE failure_group = ?4 AND minute >= ?1 / ?6 AND minute * ?6 < ?5 GROUP BY bucket",
        )
        .bind(from.as_millis())
        .bind(i64::from(buckets))
        .bind(span)
        .bind(id.as_str())
        .bind(to.as_millis())
        .bind(MINUTE_MS)
        .fetch_all(&self.reader)
        .await?;
        let mut counts = vec![0; buckets as usize];
        for (bucket, count) in rows {
            if let Some(slot) = usize::try_from(bucket)
                .ok()
                .and_then(|index| counts.get_mut(index))
            {
                *slot = u64::try_from(count).unwrap_or(0);
            }
        }
        Ok(counts)
    }

    /// Forgets the minutes that no sparkline shows any more.
    pub async fn forget_old_minutes(&self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM failure_group_minutes WHERE minute < ?")
            .bind((now.as_millis() - SPARKLINE_MS) / MINUTE_MS)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

#[derive(Debug, FromRow)]
struct GroupRow {
    id: String,
    title: String,
    explanation: String,
    first_seen_ms: i64,
    last_seen_ms: i64,
    regressed_ms: Option<i64>,
    total: i64,
    open: i64,
    newest_id: Option<i64>,
    system: Option<String>,
    cluster: Option<String>,
    dlq: Option<String>,
    source: Option<String>,
}

impl From<GroupRow> for FailureGroup {
    fn from(row: GroupRow) -> Self {
        let newest = row.newest_id.map(|id| NewestMember {
            id: crate::domain::DeadLetterId(id),
            system: row.system.unwrap_or_default(),
            cluster: row.cluster.unwrap_or_default(),
            dlq: row.dlq.unwrap_or_default(),
            source: row.source,
        });
        Self {
            id: row.id.into(),
            title: row.title,
            explanation: row.explanation,
            first_seen: Timestamp(row.first_seen_ms),
            last_seen: Timestamp(row.last_seen_ms),
            regressed_at: row.regressed_ms.map(Timestamp),
            total: u64::try_from(row.total).unwrap_or(0),
            open: u64::try_from(row.open).unwrap_or(0),
            newest,
        }
    }
}
