//! Values that filters can ask for, as the filter bar offers them: a few of each kind, found by seeks.

use super::{Store, StoreError};
use crate::domain::FilterField;

/// Fields whose values are offered, each with an index that begins with its column.
const SUGGESTED: [(FilterField, &str); 3] = [
    (FilterField::Source, "source"),
    (FilterField::Type, "event_type"),
    (FilterField::Consumer, "consumer"),
];

/// Values of one field.
const VALUES: i64 = 20;

impl Store {
    /// Terms with some of the values that dead letters have, by field and in their order; no more than twenty of
    /// each.
    pub async fn suggested_terms(&self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for (field, column) in SUGGESTED {
            let values = self.some_values(column).await?;
            found.extend(values.iter().map(|value| field.term(value)));
        }
        let dlqs = sqlx::query_scalar("SELECT DISTINCT dlq FROM dlq_depths ORDER BY dlq LIMIT ?");
        let dlqs: Vec<String> = dlqs.bind(VALUES).fetch_all(&self.reader).await?;
        found.extend(dlqs.iter().map(|dlq| FilterField::Dlq.term(dlq)));
        Ok(found)
    }

    /// Jumps from value to value instead of reading all rows.
    async fn some_values(&self, column: &'static str) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "WITH RECURSIVE found (value) AS (SELECT MIN({column}) FROM dead_letters UNION ALL \
             SELECT (SELECT MIN({column}) FROM dead_letters WHERE {column} > found.value) \
             FROM found WHERE found.value IS NOT NULL LIMIT ?) \
             SELECT value FROM found WHERE value IS NOT NULL"
        );
        let values = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(VALUES);
        Ok(values.fetch_all(&self.reader).await?)
    }
}
