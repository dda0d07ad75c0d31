//! A filter as a condition over `dead_letters`. Values are always bound, never written into the text.

use sqlx::{QueryBuilder, Sqlite};

use crate::domain::{Filter, FilterCondition, FilterField, FilterTerm, Timestamp};

/// What free text looks at.
const TEXT_COLUMNS: [&str; 10] = [
    "failure_class",
    "failure_message",
    "event_type",
    "source",
    "dlq",
    "consumer",
    "event_id",
    "correlation_id",
    "causation_id",
    "aggregate_id",
];

/// Appends the condition; `TRUE` for the empty filter.
pub(super) fn push(query: &mut QueryBuilder<Sqlite>, filter: &Filter, now: Timestamp) {
    query.push("TRUE");
    for term in filter.terms() {
        query.push(if term.negated { " AND NOT (" } else { " AND (" });
        push_term(query, term, now);
        query.push(")");
    }
}

fn push_term(query: &mut QueryBuilder<Sqlite>, term: &FilterTerm, now: Timestamp) {
    for (index, column) in columns(term.field).iter().enumerate() {
        if index > 0 {
            query.push(" OR ");
        }
        // A column that is unknown does not match, so that its negation does.
        query
            .push("(")
            .push(column)
            .push(" IS NOT NULL AND ")
            .push(column);
        push_comparison(query, &term.condition, now);
        query.push(")");
    }
}

fn push_comparison(query: &mut QueryBuilder<Sqlite>, condition: &FilterCondition, now: Timestamp) {
    match condition {
        FilterCondition::Is(value) => query.push(" = ").push_bind(value.clone()),
        FilterCondition::Matches(pattern) => query.push(" GLOB ").push_bind(glob(pattern)),
        FilterCondition::Contains(part) => query
            .push(" LIKE ")
            .push_bind(like(part))
            .push(" ESCAPE '\\'"),
        FilterCondition::OlderThan(age) => query.push(" < ").push_bind(now.minus(*age).as_millis()),
        FilterCondition::YoungerThan(age) => {
            query.push(" > ").push_bind(now.minus(*age).as_millis())
        }
    };
}

const fn columns(field: FilterField) -> &'static [&'static str] {
    match field {
        FilterField::Status => &["status"],
        FilterField::Source => &["source"],
        FilterField::Error => &["failure_class", "failure_message"],
        FilterField::Dlq => &["dlq"],
        FilterField::Cluster => &["cluster"],
        FilterField::System => &["system"],
        FilterField::Vhost => &["vhost"],
        FilterField::Consumer => &["consumer"],
        FilterField::Type => &["event_type"],
        FilterField::Group => &["failure_group"],
        FilterField::Correlation => &["correlation_id"],
        FilterField::Causation => &["causation_id"],
        FilterField::Event => &["event_id"],
        FilterField::Aggregate => &["aggregate_id"],
        FilterField::Reason => &["reason"],
        FilterField::Age => &["dead_at_ms"],
        FilterField::Text => &TEXT_COLUMNS,
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

fn like(part: &str) -> String {
    let mut pattern = String::from("%");
    for character in part.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
