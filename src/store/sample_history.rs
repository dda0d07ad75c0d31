//! What sampling remembers across a restart. The bytes are sampling's own; here they have a place and an age.
//! Each call is one short transaction, so that neither intake nor a replay waits for it.

use std::time::Duration;

use sqlx::FromRow;

use super::{Store, StoreError};
use crate::domain::{ClusterName, Timestamp};

/// Rows that one transaction removes.
const FORGOTTEN_AT_ONCE: u32 = 500;

/// Some points of some series of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    pub cluster: ClusterName,
    pub page: u16,
    pub began_at: Timestamp,
    /// Between two points.
    pub step: Duration,
    pub points: Vec<u8>,
}

impl Store {
    /// Writes pages in one transaction; a page of the same place and time is replaced.
    pub async fn write_history(&self, pages: &[HistoryPage]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for page in pages {
            insert(page).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// One page of a cluster from `from` to `to`, oldest first.
    pub async fn history_page(
        &self,
        cluster: &ClusterName,
        page: u16,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<HistoryPage>, StoreError> {
        let rows: Vec<PageRow> = sqlx::query_as(
            "SELECT * FROM sample_history WHERE cluster = ? AND page = ? \
             AND began_at_ms BETWEEN ? AND ? ORDER BY began_at_ms",
        )
        .bind(cluster.as_str())
        .bind(page)
        .bind(from.as_millis())
        .bind(to.as_millis())
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(HistoryPage::from).collect())
    }

    /// Every page of a cluster with that step that began from `from` to `to`.
    pub async fn recent_history(
        &self,
        cluster: &ClusterName,
        step: Duration,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<HistoryPage>, StoreError> {
        let rows: Vec<PageRow> = sqlx::query_as(
            "SELECT * FROM sample_history WHERE step = ? AND began_at_ms BETWEEN ? AND ? \
             AND cluster = ? ORDER BY began_at_ms",
        )
        .bind(seconds(step))
        .bind(from.as_millis())
        .bind(to.as_millis())
        .bind(cluster.as_str())
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(HistoryPage::from).collect())
    }

    /// When the oldest page with that step began.
    pub async fn oldest_history(&self, step: Duration) -> Result<Option<Timestamp>, StoreError> {
        let oldest: Option<i64> =
            sqlx::query_scalar("SELECT MIN(began_at_ms) FROM sample_history WHERE step = ?")
                .bind(seconds(step))
                .fetch_one(&self.reader)
                .await?;
        Ok(oldest.map(Timestamp))
    }

    /// Which pages there are with that step that began from `from` until before `to`.
    pub async fn history_places(
        &self,
        step: Duration,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<(ClusterName, u16)>, StoreError> {
        let rows: Vec<(String, u16)> = sqlx::query_as(
            "SELECT DISTINCT cluster, page FROM sample_history WHERE step = ? \
             AND began_at_ms >= ? AND began_at_ms < ?",
        )
        .bind(seconds(step))
        .bind(from.as_millis())
        .bind(to.as_millis())
        .fetch_all(&self.reader)
        .await?;
        let place = |(cluster, page): (String, u16)| (ClusterName::new(cluster), page);
        Ok(rows.into_iter().map(place).collect())
    }

    /// Puts a page in the place of those of another step that began from its time until before `to`.
    pub async fn thin_history(
        &self,
        thinned: &HistoryPage,
        of_step: Duration,
        to: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        insert(thinned).execute(&mut *transaction).await?;
        sqlx::query(
            "DELETE FROM sample_history WHERE cluster = ? AND page = ? AND step = ? \
             AND began_at_ms >= ? AND began_at_ms < ?",
        )
        .bind(thinned.cluster.as_str())
        .bind(thinned.page)
        .bind(seconds(of_step))
        .bind(thinned.began_at.as_millis())
        .bind(to.as_millis())
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Removes some of the pages that began before `from` or after `to`, which only a wrong clock writes; `false`
    /// if none is left.
    pub async fn forget_history(
        &self,
        step: Duration,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<bool, StoreError> {
        let removed = sqlx::query(
            "DELETE FROM sample_history WHERE rowid IN (SELECT rowid FROM sample_history \
             WHERE step = ? AND (began_at_ms < ? OR began_at_ms > ?) LIMIT ?)",
        )
        .bind(seconds(step))
        .bind(from.as_millis())
        .bind(to.as_millis())
        .bind(FORGOTTEN_AT_ONCE)
        .execute(&self.writer)
        .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// What sampling remembers takes so many bytes: no dead letter has to go for it.
    pub async fn history_bytes(&self) -> Result<u64, StoreError> {
        let bytes: i64 = sqlx::query_scalar(
            "SELECT (SELECT COALESCE(SUM(LENGTH(points)), 0) FROM sample_history) \
             + (SELECT COALESCE(SUM(LENGTH(topics)), 0) FROM offset_times)",
        )
        .fetch_one(&self.reader)
        .await?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Replaces pages of the offset times of a cluster in one transaction; an empty one is removed.
    pub async fn write_offset_times(
        &self,
        cluster: &ClusterName,
        pages: &[(u16, Vec<u8>)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for (page, topics) in pages {
            let query = if topics.is_empty() {
                sqlx::query("DELETE FROM offset_times WHERE cluster = ? AND page = ?")
                    .bind(cluster.as_str())
                    .bind(page)
            } else {
                sqlx::query(
                    "INSERT OR REPLACE INTO offset_times (cluster, page, saved_at_ms, topics) \
                     VALUES (?, ?, ?, ?)",
                )
                .bind(cluster.as_str())
                .bind(page)
                .bind(now.as_millis())
                .bind(topics)
            };
            query.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// All pages of the offset times of a cluster.
    pub async fn offset_times(&self, cluster: &ClusterName) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT topics FROM offset_times WHERE cluster = ? ORDER BY page";
        let query = sqlx::query_scalar(sql).bind(cluster.as_str());
        Ok(query.fetch_all(&self.reader).await?)
    }

    /// Removes the offset times that were saved before `before`, of clusters that are not watched any more.
    pub async fn forget_offset_times(&self, before: Timestamp) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM offset_times WHERE saved_at_ms < ?")
            .bind(before.as_millis())
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

fn insert(
    page: &HistoryPage,
) -> sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    let sql = "INSERT OR REPLACE INTO sample_history (cluster, page, began_at_ms, step, points) \
               VALUES (?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(page.cluster.as_str())
        .bind(page.page)
        .bind(page.began_at.as_millis())
        .bind(seconds(page.step))
        .bind(&page.points)
}

fn seconds(step: Duration) -> i64 {
    i64::try_from(step.as_secs()).unwrap_or(i64::MAX)
}

#[derive(Debug, FromRow)]
struct PageRow {
    cluster: String,
    page: u16,
    began_at_ms: i64,
    step: i64,
    points: Vec<u8>,
}

impl From<PageRow> for HistoryPage {
    fn from(row: PageRow) -> Self {
        Self {
            cluster: ClusterName::new(row.cluster),
            page: row.page,
            began_at: Timestamp(row.began_at_ms),
            step: Duration::from_secs(u64::try_from(row.step).unwrap_or(0)),
            points: row.points,
        }
    }
}
