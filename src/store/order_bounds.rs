//! Where a list begins that is cut by time of death and ordered by ID.
//!
//! Dead letters are taken in about as they die, so with the oldest first, all of what `age:<1h` refuses comes before
//! its first row, and a page would read a million rows to find it. The index by time of death knows the first ID: its
//! part of the time in question is read instead, unless that part is the larger one.

use sqlx::{QueryBuilder, Sqlite};

use super::filter_sql;
use crate::domain::{DeadLetterOrder, Filter, FilterCondition, FilterTerm, Timestamp};

/// Bounds of the ID that every match is within; they exclude no match.
pub(super) fn push(
    query: &mut QueryBuilder<Sqlite>,
    order: DeadLetterOrder,
    filter: &Filter,
    now: Timestamp,
) {
    let id = filter_sql::id_column(filter);
    for term in filter.terms() {
        if let Some(bound) = Bound::of(term, order, now) {
            bound.push(query, id);
        }
    }
}

/// What refuses rows at the beginning of the order.
struct Bound {
    order: DeadLetterOrder,
    /// Of the time of death.
    comparison: &'static str,
    at: Timestamp,
}

impl Bound {
    fn of(term: &FilterTerm, order: DeadLetterOrder, now: Timestamp) -> Option<Self> {
        if term.negated {
            return None;
        }
        let (begins_late, comparison, at) = match &term.condition {
            FilterCondition::YoungerThan(age) => (DeadLetterOrder::Oldest, ">", now.minus(*age)),
            FilterCondition::Since(at) => (DeadLetterOrder::Oldest, ">=", *at),
            FilterCondition::OlderThan(age) => (DeadLetterOrder::Newest, "<", now.minus(*age)),
            FilterCondition::Until(at) => (DeadLetterOrder::Newest, "<", *at),
            _ => return None,
        };
        (begins_late == order).then_some(Self {
            order,
            comparison,
            at,
        })
    }

    /// A row of the table costs several times one of the index, so the index is read where at least 15 % of the rows
    /// would be read in vain: where the row that far into the order is refused. The sign before the ID keeps SQLite
    /// from walking the table in search of the first or last one.
    fn push(&self, query: &mut QueryBuilder<Sqlite>, id: &str) {
        const LAST: i64 = i64::MAX;
        let Self { comparison, at, .. } = self;
        let (beyond, first, percent, direction, all, none) = match self.order {
            DeadLetterOrder::Oldest => (">=", "MIN(+id)", 15, "ASC", 0, LAST),
            DeadLetterOrder::Newest => ("<=", "MAX(+id)", 85, "DESC", LAST, 0),
        };
        query.push(format!(
            " AND {id} {beyond} (SELECT CASE WHEN (SELECT dead_at_ms FROM dead_letters WHERE id {beyond} \
             (SELECT MIN(id) FROM dead_letters) + ((SELECT MAX(id) FROM dead_letters) \
             - (SELECT MIN(id) FROM dead_letters)) * {percent} / 100 ORDER BY id {direction} LIMIT 1) \
             {comparison} "
        ));
        query.push_bind(at.as_millis());
        query.push(format!(
            " THEN {all} ELSE COALESCE((SELECT {first} FROM dead_letters WHERE dead_at_ms {comparison} "
        ));
        query.push_bind(at.as_millis());
        query.push(format!("), {none}) END)"));
    }
}

#[cfg(test)]
mod tests;
