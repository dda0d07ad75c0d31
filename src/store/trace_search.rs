//! Traces found by what is known of them.

use std::time::Duration;

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Store, StoreError};
use crate::domain::Timestamp;

/// The newest events and dead letters that a search looks at, of those with the ID and in the time that it names.
pub(super) const NEWEST_EVENTS: i64 = 20_000;
const NEWEST_LETTERS: i64 = 2_000;

/// Traces that a search tells.
pub const TRACES_FOUND: i64 = 100;

/// Which traces are looked for. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceQuery {
    /// A correlation, event or aggregate ID, whole.
    pub id: Option<String>,
    pub event_type: Option<String>,
    /// The service that published one of its events.
    pub source: Option<String>,
    /// Something happened in it from here on.
    pub since: Option<Timestamp>,
    /// Something happened in it before this.
    pub until: Option<Timestamp>,
    /// From its first step to its last.
    pub at_least: Option<Duration>,
    pub has_dead_letter: bool,
    /// An event came to the same destination twice, and was neither retried nor replayed.
    pub has_duplicate: bool,
}

/// A trace in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSummary {
    pub correlation_id: String,
    /// Of the events and dead letters together.
    pub first: Timestamp,
    pub last: Timestamp,
    pub events: u64,
    pub dead_letters: u64,
    /// Of the first event, else of the first dead letter.
    pub event_type: Option<String>,
    /// Who published the first event.
    pub source: Option<String>,
}

impl Store {
    /// Traces that match, those with the newest step first.
    pub async fn traces(&self, wanted: &TraceQuery) -> Result<Vec<TraceSummary>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("WITH seen AS MATERIALIZED (");
        push_seen(&mut query, wanted);
        query.push("), dead AS (");
        push_dead(&mut query, wanted);
        query.push("), found AS (SELECT correlation_id, at_ms FROM seen WHERE TRUE");
        push_is(&mut query, "event_type", wanted.event_type.as_deref());
        push_is(&mut query, "source", wanted.source.as_deref());
        if wanted.source.is_none() {
            query.push(" UNION ALL SELECT correlation_id, at_ms FROM dead WHERE TRUE");
            push_is(&mut query, "event_type", wanted.event_type.as_deref());
        }
        query.push(
            "), newest AS (SELECT correlation_id AS trace, MAX(at_ms) AS newest_ms FROM found \
             GROUP BY correlation_id HAVING TRUE",
        );
        push_conditions(&mut query, wanted);
        query.push(format!(
            " ORDER BY newest_ms DESC LIMIT {TRACES_FOUND}) \
             SELECT trace AS correlation_id, {FIRST} AS first_ms, {LAST} AS last_ms, \
             (SELECT COUNT(*) FROM traced_events e WHERE e.correlation_id = trace) AS events, \
             (SELECT COUNT(*) FROM dead_letters d WHERE d.correlation_id = trace) AS dead_letters, \
             COALESCE((SELECT event_type FROM traced_events e WHERE e.correlation_id = trace \
             ORDER BY at_ms LIMIT 1), (SELECT event_type FROM dead_letters d \
             WHERE d.correlation_id = trace ORDER BY dead_at_ms LIMIT 1)) AS event_type, \
             (SELECT source FROM traced_events e WHERE e.correlation_id = trace \
             ORDER BY at_ms LIMIT 1) AS source \
             FROM newest ORDER BY newest_ms DESC, trace"
        ));
        let rows: Vec<FoundRow> = query.build_query_as().fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(TraceSummary::from).collect())
    }
}

/// The first and the last step of the trace `trace`; each part is the end of an index.
const FIRST: &str = "(SELECT MIN(at) FROM \
    (SELECT MIN(at_ms) AS at FROM traced_events e WHERE e.correlation_id = trace UNION ALL \
     SELECT MIN(dead_at_ms) FROM dead_letters d WHERE d.correlation_id = trace))";
const LAST: &str = "(SELECT MAX(at) FROM \
    (SELECT MAX(at_ms) AS at FROM traced_events e WHERE e.correlation_id = trace UNION ALL \
     SELECT MAX(dead_at_ms) FROM dead_letters d WHERE d.correlation_id = trace))";

fn push_seen(query: &mut QueryBuilder<Sqlite>, wanted: &TraceQuery) {
    query.push(
        "SELECT correlation_id, at_ms, event_type, source, event_id, cluster, topic, vhost, exchange, \
         routing_key, is_retry, replay FROM traced_events WHERE TRUE",
    );
    if let Some(id) = &wanted.id {
        let columns = ["correlation_id", "event_id", "aggregate_id"];
        push_has_id(query, "traced_events", &columns, id);
    }
    push_time(query, "at_ms", wanted);
    query.push(format!(" ORDER BY at_ms DESC LIMIT {NEWEST_EVENTS}"));
}

fn push_dead(query: &mut QueryBuilder<Sqlite>, wanted: &TraceQuery) {
    query.push(
        "SELECT correlation_id, dead_at_ms AS at_ms, event_type FROM dead_letters \
         WHERE correlation_id IS NOT NULL",
    );
    if let Some(id) = &wanted.id {
        let columns = ["correlation_id", "event_id", "aggregate_id"];
        push_has_id(query, "dead_letters", &columns, id);
    }
    push_time(query, "dead_at_ms", wanted);
    query.push(format!(" ORDER BY id DESC LIMIT {NEWEST_LETTERS}"));
}

fn push_time(query: &mut QueryBuilder<Sqlite>, column: &str, wanted: &TraceQuery) {
    if let Some(since) = wanted.since {
        query.push(format!(" AND {column} >= "));
        query.push_bind(since.as_millis());
    }
    if let Some(until) = wanted.until {
        query.push(format!(" AND {column} < "));
        query.push_bind(until.as_millis());
    }
}

fn push_is(query: &mut QueryBuilder<Sqlite>, column: &str, value: Option<&str>) {
    if let Some(value) = value {
        query.push(format!(" AND {column} = "));
        query.push_bind(value.to_owned());
    }
}

/// What must hold of a whole trace.
fn push_conditions(query: &mut QueryBuilder<Sqlite>, wanted: &TraceQuery) {
    if wanted.has_dead_letter {
        query.push(" AND EXISTS (SELECT 1 FROM dead_letters d WHERE d.correlation_id = trace)");
    }
    if wanted.has_duplicate {
        query.push(
            " AND trace IN (SELECT correlation_id FROM seen \
             WHERE event_id IS NOT NULL AND NOT is_retry AND replay IS NULL \
             GROUP BY correlation_id, event_id, cluster, topic, vhost, exchange, routing_key \
             HAVING COUNT(*) > 1)",
        );
    }
    if let Some(at_least) = wanted.at_least {
        query.push(format!(" AND {LAST} - {FIRST} >= "));
        query.push_bind(i64::try_from(at_least.as_millis()).unwrap_or(i64::MAX));
    }
}

/// That one of the columns holds the ID. Each is looked up in its own index, whatever else is asked.
fn push_has_id(query: &mut QueryBuilder<Sqlite>, table: &str, columns: &[&str], id: &str) {
    query.push(" AND id IN (");
    for (index, column) in columns.iter().enumerate() {
        let union = if index == 0 { "" } else { " UNION ALL " };
        query.push(format!("{union}SELECT id FROM {table} WHERE {column} = "));
        query.push_bind(id.to_owned());
    }
    query.push(")");
}

#[derive(Debug, FromRow)]
struct FoundRow {
    correlation_id: String,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    events: i64,
    dead_letters: i64,
    event_type: Option<String>,
    source: Option<String>,
}

impl From<FoundRow> for TraceSummary {
    fn from(row: FoundRow) -> Self {
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Self {
            first: Timestamp(row.first_ms.unwrap_or_default()),
            last: Timestamp(row.last_ms.unwrap_or_default()),
            events: count(row.events),
            dead_letters: count(row.dead_letters),
            correlation_id: row.correlation_id,
            event_type: row.event_type,
            source: row.source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::traces::tests::{event, letter};
    use super::*;
    use crate::store::tests::{NOW, fixture};

    async fn found(store: &Store, query: TraceQuery) -> Vec<String> {
        let found = store.traces(&query).await.unwrap();
        found
            .into_iter()
            .map(|trace| trace.correlation_id)
            .collect()
    }

    #[tokio::test]
    async fn a_search_finds_by_any_of_the_ids_and_tells_the_newest_first() {
        let fixture = fixture().await;
        let store = &fixture.store;
        let mut paid = event(9, "b", "e9");
        paid.event.event_type = Some("PaymentTaken".to_owned());
        let events = [event(2, "a", "e2"), event(3, "a", "e3"), paid];
        store.put_traced_events(&events).await.unwrap();
        let letters = [letter(0, "a"), letter(1, "dead-only")];
        store
            .index_kafka_batch(&"c".into(), &letters, &[], &[], NOW)
            .await
            .unwrap();

        let all = store.traces(&TraceQuery::default()).await.unwrap();
        let counts: Vec<_> = all
            .iter()
            .map(|trace| {
                (
                    trace.correlation_id.as_str(),
                    trace.events,
                    trace.dead_letters,
                )
            })
            .collect();
        assert_eq!(counts, [("a", 2, 1), ("dead-only", 0, 1), ("b", 1, 0)]);
        assert_eq!((all[0].first, all[0].last), (Timestamp(2), NOW));
        let begins: Vec<_> = all
            .iter()
            .map(|trace| (trace.event_type.as_deref(), trace.source.as_deref()))
            .collect();
        let expected = [
            (Some("OrderCreated"), None),
            (None, None),
            (Some("PaymentTaken"), None),
        ];
        assert_eq!(begins, expected);

        let by_id = |id: &str| TraceQuery {
            id: Some(id.to_owned()),
            ..TraceQuery::default()
        };
        assert_eq!(found(store, by_id("a")).await, ["a"]);
        assert_eq!(found(store, by_id("e9")).await, ["b"]);
        assert_eq!(found(store, by_id("aggregate-e3")).await, ["a"]);
        assert_eq!(found(store, by_id("dead-event")).await, ["a", "dead-only"]);
        assert!(found(store, by_id("nobody")).await.is_empty());
        let typed = TraceQuery {
            event_type: Some("PaymentTaken".to_owned()),
            ..TraceQuery::default()
        };
        assert_eq!(found(store, typed).await, ["b"]);
        let dead = TraceQuery {
            has_dead_letter: true,
            ..TraceQuery::default()
        };
        assert_eq!(found(store, dead).await, ["a", "dead-only"]);
    }

    #[tokio::test]
    async fn a_search_narrows_by_time_length_source_and_duplicates() {
        let fixture = fixture().await;
        let store = &fixture.store;
        let mut retried = event(12, "retried", "r");
        retried.is_retry = true;
        let mut shop = event(40, "shop", "s");
        shop.source = Some("shop".to_owned());
        let events = [
            event(1, "twice", "t"),
            event(2, "twice", "t"),
            event(11, "retried", "r"),
            retried,
            event(20, "long", "l1"),
            event(30, "long", "l2"),
            shop,
        ];
        store.put_traced_events(&events).await.unwrap();
        let query = TraceQuery::default;
        let check = async |wanted: TraceQuery, expected: &[&str]| {
            let text = format!("{wanted:?}");
            assert_eq!(found(store, wanted).await, expected, "{text}");
        };
        let has_duplicate = true;
        check(
            TraceQuery {
                has_duplicate,
                ..query()
            },
            &["twice"],
        )
        .await;
        let source = Some("shop".to_owned());
        check(TraceQuery { source, ..query() }, &["shop"]).await;
        let since = Some(Timestamp(12));
        check(
            TraceQuery { since, ..query() },
            &["shop", "long", "retried"],
        )
        .await;
        let until = Some(Timestamp(30));
        let between = TraceQuery {
            since,
            until,
            ..query()
        };
        check(between, &["long", "retried"]).await;
        let at_least = Some(Duration::from_millis(10));
        check(
            TraceQuery {
                at_least,
                ..query()
            },
            &["long"],
        )
        .await;
    }
}
