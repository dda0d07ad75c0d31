use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Page, PageRequest, Store, StoreError, filter_sql};
use crate::domain::{FailureGroupId, Filter, GroupOrder, GroupState, Timestamp};

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
    /// Who takes care of it.
    pub assignee: Option<String>,
    /// How many notes it has.
    pub notes: u64,
    /// It was [`GroupState::Growing`] when that was judged last.
    pub is_growing: bool,
    /// Its redrive policy is on.
    pub is_redriven: bool,
}

impl FailureGroup {
    /// What it is at `now`.
    pub fn states(&self, now: Timestamp) -> Vec<GroupState> {
        let is_recent = |at: Timestamp| now.since(at) < GroupState::NEWS_FOR;
        GroupState::ALL
            .into_iter()
            .filter(|state| match state {
                GroupState::New => is_recent(self.first_seen),
                GroupState::Regressed => self.open > 0 && self.regressed_at.is_some_and(is_recent),
                GroupState::Growing => self.is_growing,
                GroupState::Open => self.open > 0,
                GroupState::Resolved => self.open == 0,
            })
            .collect()
    }
}

/// Which failure groups are asked for, and in which order.
#[derive(Clone, Debug, Default)]
pub struct GroupQuery {
    /// Groups with members that match.
    pub filter: Filter,
    pub state: Option<GroupState>,
    pub order: GroupOrder,
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
     g.regressed_ms, g.total, g.open, d.id AS newest_id, d.system, d.cluster, d.dlq, d.source, \
     a.assignee, (SELECT COUNT(*) FROM failure_group_notes n WHERE n.failure_group = g.id) AS notes, \
     w.failure_group IS NOT NULL AS is_growing, EXISTS (SELECT 1 FROM redrive_policies p \
     WHERE p.failure_group = g.id AND p.enabled) AS is_redriven";

const NEWEST: &str = "LEFT JOIN dead_letters d ON d.id = \
     (SELECT MAX(id) FROM dead_letters WHERE failure_group = g.id) \
     LEFT JOIN failure_group_assignees a ON a.failure_group = g.id \
     LEFT JOIN growing_failure_groups w ON w.failure_group = g.id";

impl Store {
    /// Groups with members that match, those with the newest dead letters first. The counts are of
    /// the whole group, whatever the filter.
    pub async fn failure_groups(
        &self,
        filter: &Filter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<FailureGroup>, StoreError> {
        let asked = GroupQuery {
            filter: filter.clone(),
            ..GroupQuery::default()
        };
        self.failure_groups_by(&asked, now, page).await
    }

    /// Groups in a state and an order. The counts are of the whole group, whatever the filter.
    pub async fn failure_groups_by(
        &self,
        asked: &GroupQuery,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<FailureGroup>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM (SELECT g.* FROM failure_groups g WHERE TRUE"
        ));
        if filter_sql::asks_index(&asked.filter) {
            query.push(" AND g.id IN (SELECT failure_group FROM ");
            filter_sql::push_source(&mut query, &asked.filter, now);
            query.push(")");
        } else if !asked.filter.is_empty() {
            // Ends with the first member that matches, of a group that is shown anyway.
            query.push(" AND EXISTS (SELECT 1 FROM ");
            filter_sql::push_source(&mut query, &asked.filter, now);
            query.push(" AND dead_letters.failure_group = g.id)");
        }
        if let Some(state) = asked.state {
            push_state(&mut query, state, now);
        }
        let offset = page.key()?.unwrap_or(0).max(0);
        let order = order_sql(asked.order);
        query
            .push(format!(" ORDER BY {order} LIMIT "))
            .push_bind(page.rows());
        query.push(" OFFSET ").push_bind(offset);
        // Only the groups of the page are joined with what else is shown of them.
        query.push(format!(") g {NEWEST} ORDER BY {order}"));
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

fn push_state(query: &mut QueryBuilder<Sqlite>, state: GroupState, now: Timestamp) {
    let news_since = now.minus(GroupState::NEWS_FOR).as_millis();
    match state {
        GroupState::New => query.push(" AND g.first_seen_ms > ").push_bind(news_since),
        GroupState::Regressed => query
            .push(" AND g.open > 0 AND g.regressed_ms > ")
            .push_bind(news_since),
        GroupState::Growing => {
            query.push(" AND g.id IN (SELECT failure_group FROM growing_failure_groups)")
        }
        GroupState::Open => query.push(" AND g.open > 0"),
        GroupState::Resolved => query.push(" AND g.open = 0"),
    };
}

const fn order_sql(order: GroupOrder) -> &'static str {
    match order {
        GroupOrder::Last => "g.last_seen_ms DESC, g.id",
        GroupOrder::Open => "g.open DESC, g.last_seen_ms DESC, g.id",
        GroupOrder::Total => "g.total DESC, g.last_seen_ms DESC, g.id",
        GroupOrder::First => "g.first_seen_ms DESC, g.id",
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
    assignee: Option<String>,
    notes: i64,
    is_growing: bool,
    is_redriven: bool,
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
            assignee: row.assignee,
            notes: u64::try_from(row.notes).unwrap_or(0),
            is_growing: row.is_growing,
            is_redriven: row.is_redriven,
        }
    }
}
