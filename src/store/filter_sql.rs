//! A filter as a query over `dead_letters`. Values are always bound, never written into the text.
//!
//! Text, errors, payload fields and headers are answered by the full-text index, which then leads the
//! query: it gives row IDs in either order without sorting, so a page ends after its rows. Without them the index of
//! one column leads, chosen here: SQLite, which has no statistics, would take one that knows more columns and sort
//! all that it finds.

use sqlx::{QueryBuilder, Sqlite};

use super::search_terms;
use crate::domain::{Filter, FilterCondition, FilterField, FilterTerm, Timestamp};

/// `SELECT columns FROM … WHERE …`; further conditions may follow.
pub(super) fn select(columns: &str, filter: &Filter, now: Timestamp) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(format!("SELECT {columns} FROM "));
    push_source(&mut query, filter, now);
    query
}

/// `FROM`'s tables and the condition.
pub(super) fn push_source(query: &mut QueryBuilder<Sqlite>, filter: &Filter, now: Timestamp) {
    match search_terms::query(filter.terms()) {
        Some(words) => query
            .push(
                "search_index CROSS JOIN dead_letters ON dead_letters.id = search_index.rowid \
                 WHERE search_index MATCH ",
            )
            .push_bind(words),
        None => query.push("dead_letters WHERE TRUE"),
    };
    push_columns(query, filter, now);
}

/// `FROM`'s tables and the condition for those who only count: the rows stay unread where the index alone knows.
pub(super) fn push_counted(query: &mut QueryBuilder<Sqlite>, filter: &Filter, now: Timestamp) {
    let indexed = |term: &FilterTerm| search_terms::is_indexed(term.field);
    match search_terms::query(filter.terms()) {
        Some(words) if filter.terms().iter().all(indexed) => {
            query
                .push("search_index WHERE search_index MATCH ")
                .push_bind(words);
        }
        _ => push_source(query, filter, now),
    }
}

/// Whether the index answers a part of it, which may be behind the rows.
pub(super) fn asks_index(filter: &Filter) -> bool {
    let leads = |term: &FilterTerm| search_terms::is_indexed(term.field);
    filter.terms().iter().any(leads)
}

/// The condition alone, where `FROM` is written already and need not be led by the index.
pub(super) fn push(query: &mut QueryBuilder<Sqlite>, filter: &Filter, now: Timestamp) {
    query.push("TRUE");
    if let Some(words) = search_terms::query(filter.terms()) {
        query
            .push(
                " AND dead_letters.id IN \
                 (SELECT rowid FROM search_index WHERE search_index MATCH ",
            )
            .push_bind(words)
            .push(")");
    }
    push_columns(query, filter, now);
}

fn push_columns(query: &mut QueryBuilder<Sqlite>, filter: &Filter, now: Timestamp) {
    let of_columns = |term: &&FilterTerm| !search_terms::is_indexed(term.field);
    let leader = leader(filter);
    for term in filter.terms().iter().filter(of_columns) {
        query.push(if term.negated { " AND NOT (" } else { " AND (" });
        push_term(query, term, leader, now);
        query.push(")");
    }
}

/// The field that probably fits the fewest of those whose index lists row IDs in their order.
fn leader(filter: &Filter) -> Option<FilterField> {
    if asks_index(filter) {
        return None;
    }
    let ranked = filter.terms().iter().filter_map(|term| {
        let FilterCondition::Is(value) = &term.condition else {
            return None;
        };
        (!term.negated).then_some((rank(term.field, value)?, term.field))
    });
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, field)| field)
}

/// Lower leads. `None` without such an index.
fn rank(field: FilterField, value: &str) -> Option<u8> {
    Some(match field {
        FilterField::Event => 0,
        FilterField::Correlation => 1,
        FilterField::Aggregate => 2,
        FilterField::Group => 3,
        FilterField::Status if value != "open" && value != "replayed" => 4,
        FilterField::Dlq => 5,
        FilterField::Source => 6,
        FilterField::Consumer => 7,
        FilterField::Type => 8,
        FilterField::Cluster => 9,
        FilterField::Status => 10,
        _ => return None,
    })
}

/// The column by which a selection is ordered and continued.
pub(super) fn id_column(filter: &Filter) -> &'static str {
    if asks_index(filter) {
        "search_index.rowid"
    } else {
        "dead_letters.id"
    }
}

/// A row that a repair changed; the condition on the repair's number follows.
const REPAIRED: &str = "dead_letters.id IN \
     (SELECT dead_letter FROM repair_results WHERE revision IS NOT NULL AND (";

fn push_term(
    query: &mut QueryBuilder<Sqlite>,
    term: &FilterTerm,
    leader: Option<FilterField>,
    now: Timestamp,
) {
    let column = column(term.field);
    if let FilterCondition::Ids(ranges) = &term.condition {
        let is_repair = term.field == FilterField::Repair;
        query.push(if is_repair { REPAIRED } else { "" });
        for (index, (first, last)) in ranges.iter().enumerate() {
            query.push(if index == 0 { "" } else { " OR " });
            query.push(column).push(" BETWEEN ").push_bind(*first);
            query.push(" AND ").push_bind(*last);
        }
        query.push(if is_repair { "))" } else { "" });
        return;
    }
    if let FilterCondition::Flag(yes) = term.condition {
        query.push(if yes { "" } else { "NOT " }).push(column);
        return;
    }
    // A column that is unknown does not match, so that its negation does.
    query.push(column).push(" IS NOT NULL AND ");
    let is_named = matches!(
        term.condition,
        FilterCondition::Is(_) | FilterCondition::Matches(_)
    );
    if is_named && leader != Some(term.field) {
        // The sign keeps its index from leading.
        query.push("+");
    }
    query.push(column);
    push_comparison(query, &term.condition, now);
}

fn push_comparison(query: &mut QueryBuilder<Sqlite>, condition: &FilterCondition, now: Timestamp) {
    let bytes = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
    match condition {
        FilterCondition::Is(value) => query.push(" = ").push_bind(value.clone()),
        FilterCondition::Matches(pattern) => query.push(" GLOB ").push_bind(glob(pattern)),
        FilterCondition::OlderThan(age) => query.push(" < ").push_bind(now.minus(*age).as_millis()),
        FilterCondition::YoungerThan(age) => {
            query.push(" > ").push_bind(now.minus(*age).as_millis())
        }
        FilterCondition::Since(at) => query.push(" >= ").push_bind(at.as_millis()),
        FilterCondition::Until(at) => query.push(" < ").push_bind(at.as_millis()),
        FilterCondition::Larger(size) => query.push(" > ").push_bind(bytes(*size)),
        FilterCondition::Smaller(size) => query.push(" < ").push_bind(bytes(*size)),
        // The index and `push_term` answer these.
        FilterCondition::Contains(_)
        | FilterCondition::Begins(_)
        | FilterCondition::Ids(_)
        | FilterCondition::Flag(_) => query.push(" IS NULL"),
    };
}

/// The column, or for a flag the condition, of a field that the index does not answer.
const fn column(field: FilterField) -> &'static str {
    match field {
        FilterField::Status => "status",
        FilterField::Source => "source",
        FilterField::Dlq => "dlq",
        FilterField::Cluster => "cluster",
        FilterField::System => "system",
        FilterField::Vhost => "vhost",
        FilterField::Consumer => "consumer",
        FilterField::Type => "event_type",
        FilterField::Group => "failure_group",
        FilterField::Correlation => "correlation_id",
        FilterField::Causation => "causation_id",
        FilterField::Event => "event_id",
        FilterField::Aggregate => "aggregate_id",
        FilterField::Reason => "reason",
        FilterField::Age | FilterField::After | FilterField::Before => "dead_at_ms",
        FilterField::Edited => "(latest_revision > 0)",
        FilterField::Duplicate => "(possible_duplicate_of IS NOT NULL)",
        FilterField::Size => "size",
        FilterField::Repair => "repair",
        FilterField::Id
        | FilterField::Text
        | FilterField::Error
        | FilterField::Payload
        | FilterField::Header => "dead_letters.id",
    }
}

/// `*` stays; what else GLOB would interpret is put into brackets.
fn glob(pattern: &str) -> String {
    pattern.chars().fold(String::new(), |mut glob, character| {
        match character {
            '?' | '[' => glob.extend(['[', character, ']']),
            _ => glob.push(character),
        }
        glob
    })
}
