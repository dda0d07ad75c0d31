//! Open dead letters by what they have in common: a bounded number of the newest, so that the answer
//! takes the same time however many there are.

use sqlx::FromRow;

use super::{Store, StoreError, filter_sql};
use crate::domain::{Filter, PivotField, Timestamp};

/// Open dead letters that are looked at.
pub const PIVOTED: u32 = 10_000;

/// Values that are told.
const VALUES: u32 = 100;

/// One value of a pivot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PivotRow {
    /// `None` where it is unknown.
    pub value: Option<String>,
    pub open: u64,
    pub groups: u64,
    pub last_death: Timestamp,
}

/// Open dead letters that match, by one field.
#[derive(Clone, Debug, Default)]
pub struct Pivot {
    /// Those with the most first, at most a hundred.
    pub rows: Vec<PivotRow>,
    /// How many were looked at; [`PIVOTED`] means that there are more.
    pub looked_at: u64,
}

impl Store {
    pub async fn pivot(
        &self,
        field: PivotField,
        filter: &Filter,
        now: Timestamp,
    ) -> Result<Pivot, StoreError> {
        let columns = format!(
            "dead_letters.{} AS value, dead_letters.failure_group, dead_letters.dead_at_ms",
            column(field)
        );
        let newest = filter_sql::id_column(filter);
        let mut query = sqlx::QueryBuilder::new(
            "SELECT value, COUNT(*) AS open, COUNT(DISTINCT failure_group) AS groups, \
             MAX(dead_at_ms) AS last_death_ms, SUM(COUNT(*)) OVER () AS looked_at FROM (SELECT ",
        );
        query.push(columns).push(" FROM ");
        filter_sql::push_source(&mut query, filter, now);
        query.push(format!(
            " AND dead_letters.status = 'open' ORDER BY {newest} DESC LIMIT {PIVOTED}) \
             GROUP BY value ORDER BY open DESC, last_death_ms DESC LIMIT {VALUES}"
        ));
        let rows: Vec<Row> = query.build_query_as().fetch_all(&self.reader).await?;
        let looked_at = rows.first().map_or(0, |row| row.looked_at);
        Ok(Pivot {
            rows: rows.into_iter().map(PivotRow::from).collect(),
            looked_at: u64::try_from(looked_at).unwrap_or(0),
        })
    }
}

const fn column(field: PivotField) -> &'static str {
    match field {
        PivotField::Exception => "failure_class",
        PivotField::Source => "source",
        PivotField::EventType => "event_type",
        PivotField::Consumer => "consumer",
        PivotField::Dlq => "dlq",
    }
}

#[derive(Debug, FromRow)]
struct Row {
    value: Option<String>,
    open: i64,
    groups: i64,
    last_death_ms: i64,
    looked_at: i64,
}

impl From<Row> for PivotRow {
    fn from(row: Row) -> Self {
        Self {
            value: row.value,
            open: u64::try_from(row.open).unwrap_or(0),
            groups: u64::try_from(row.groups).unwrap_or(0),
            last_death: Timestamp(row.last_death_ms),
        }
    }
}
