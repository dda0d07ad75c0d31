use sqlx::FromRow;

use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{Filter, FilterName, SavedFilter, Timestamp};

/// More names help nobody to find one.
const MOST_SAVED_FILTERS: i64 = 100;

impl Store {
    /// All saved filters by name. One that is not understood any more, after a change of the language, is left
    /// out.
    pub async fn saved_filters(&self) -> Result<Vec<SavedFilter>, StoreError> {
        let rows: Vec<SavedFilterRow> = sqlx::query_as(
            "SELECT name, filter, created_at_ms, created_by FROM saved_filters ORDER BY name",
        )
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().filter_map(SavedFilterRow::parse).collect())
    }

    /// Saves a filter; one of that name is replaced. The audit entry gets what it was before.
    pub async fn save_filter(
        &self,
        saved: &SavedFilter,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let before: Option<String> =
            sqlx::query_scalar("SELECT filter FROM saved_filters WHERE name = ?")
                .bind(saved.name.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM saved_filters")
            .fetch_one(&mut *transaction)
            .await?;
        if before.is_none() && count >= MOST_SAVED_FILTERS {
            return Err(StoreError::TooManySavedFilters(MOST_SAVED_FILTERS));
        }
        sqlx::query(
            "INSERT INTO saved_filters (name, filter, created_at_ms, created_by) \
             VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET filter = excluded.filter, \
             created_at_ms = excluded.created_at_ms, created_by = excluded.created_by",
        )
        .bind(saved.name.as_str())
        .bind(saved.filter.text())
        .bind(saved.created_at.as_millis())
        .bind(&saved.created_by)
        .execute(&mut *transaction)
        .await?;
        audit::append(&mut transaction, &entry.with_detail("before", &before)).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes a saved filter. The audit entry gets what it was.
    pub async fn remove_saved_filter(
        &self,
        name: &FilterName,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let before: Option<String> =
            sqlx::query_scalar("DELETE FROM saved_filters WHERE name = ? RETURNING filter")
                .bind(name.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        if before.is_none() {
            return Err(StoreError::NoSuchSavedFilter(name.clone()));
        }
        audit::append(&mut transaction, &entry.with_detail("before", &before)).await?;
        Ok(transaction.commit().await?)
    }
}

#[derive(Debug, FromRow)]
struct SavedFilterRow {
    name: String,
    filter: String,
    created_at_ms: i64,
    created_by: String,
}

impl SavedFilterRow {
    fn parse(self) -> Option<SavedFilter> {
        Some(SavedFilter {
            name: FilterName::parse(&self.name).ok()?,
            filter: Filter::parse(&self.filter).ok()?,
            created_at: Timestamp(self.created_at_ms),
            created_by: self.created_by,
        })
    }
}
