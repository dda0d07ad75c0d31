//! What traces are stitched from: events that the tap saw, dead letters and replays.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::dead_letters::{SUMMARY_COLUMNS, SummaryRow};
use super::replays::{COLUMNS, ReplayRow};
use super::trace_search::NEWEST_EVENTS;
use super::{Store, StoreError};
use crate::domain::{
    ApplicationSpan, ClusterName, DeadLetterId, DeadLetterSummary, Decoded, EventIdentity,
    EventPlace, KnownHandover, Offset, Origin, Partition, PublishedEvent, RecordPlace, Replay,
    RevisionNumber, RoutedPlace, Timestamp, TracedEdit, TracedEvent,
};

const EVENT_COLUMNS: &str = "cluster, topic, partition, log_offset, vhost, exchange, routing_key, \
     fingerprint, at_ms, basis, correlation_id, event_id, event_type, causation_id, aggregate_id, \
     source, is_retry, replay, application_trace, application_span";

/// Rows of one statement.
const ROWS: usize = 500;

/// Events that one transaction removes.
const PRUNED_AT_ONCE: i64 = 5_000;

/// All that has one correlation ID, up to the limit of each kind.
#[derive(Clone, Debug, Default)]
pub struct TraceParts {
    /// The earliest.
    pub events: Vec<TracedEvent>,
    /// How many there are.
    pub all_events: u64,
    pub all_dead_letters: u64,
    pub dead_letters: Vec<(DeadLetterSummary, Origin)>,
    pub edits: Vec<TracedEdit>,
    pub replays: Vec<Replay>,
}

impl Store {
    /// Keeps events; a record of a place that is known takes the place of what was there.
    pub async fn put_traced_events(&self, events: &[TracedEvent]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for chunk in events.chunks(ROWS) {
            let mut query = QueryBuilder::<Sqlite>::new(format!(
                "INSERT OR REPLACE INTO traced_events ({EVENT_COLUMNS}) "
            ));
            query.push_values(chunk, |mut row, traced| {
                let (event, place) = (&traced.event, &traced.place);
                let (record, routed) = match place {
                    EventPlace::Record(record) => (Some(record), None),
                    EventPlace::Routed(routed) => (None, Some(routed)),
                };
                let application = traced.application.as_ref();
                row.push_bind(place.cluster().as_str())
                    .push_bind(record.map(|record| record.topic.as_str()))
                    .push_bind(record.map(|record| record.partition.0))
                    .push_bind(record.map(|record| record.offset.0))
                    .push_bind(routed.map(|routed| routed.vhost.as_str()))
                    .push_bind(routed.map(|routed| routed.exchange.as_str()))
                    .push_bind(routed.map(|routed| routed.routing_key.as_str()))
                    .push_bind(routed.map(|routed| routed.fingerprint.as_str()))
                    .push_bind(traced.at.as_millis())
                    .push_bind(traced.basis.as_str())
                    .push_bind(event.correlation_id.as_deref().unwrap_or_default())
                    .push_bind(event.event_id.as_deref())
                    .push_bind(event.event_type.as_deref())
                    .push_bind(event.causation_id.as_deref())
                    .push_bind(event.aggregate_id.as_deref())
                    .push_bind(traced.source.as_deref())
                    .push_bind(traced.is_retry)
                    .push_bind(traced.replay.map(|id| id.to_string()))
                    .push_bind(application.map(|span| span.trace.as_str()))
                    .push_bind(application.and_then(|span| span.span.as_deref()));
            });
            query.build().execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The event that was seen first of each ID, given as correlation ID and event ID.
    pub async fn published_events(
        &self,
        ids: &[(&str, &str)],
    ) -> Result<Vec<PublishedEvent>, StoreError> {
        let mut published = Vec::new();
        for chunk in ids.chunks(ROWS) {
            let mut query = QueryBuilder::<Sqlite>::new("WITH wanted (correlation, event) AS (");
            query.push_values(chunk, |mut row, (correlation_id, event_id)| {
                row.push_bind(*correlation_id).push_bind(*event_id);
            });
            query.push(format!(
                ") SELECT {EVENT_COLUMNS} FROM wanted JOIN traced_events ON id = \
                 (SELECT id FROM traced_events seen WHERE seen.event_id = wanted.event \
                 AND seen.correlation_id = wanted.correlation ORDER BY seen.id LIMIT 1)"
            ));
            let rows: Vec<EventRow> = query.build_query_as().fetch_all(&self.reader).await?;
            for row in rows {
                published.push(PublishedEvent::from(&row.into_event()?));
            }
        }
        Ok(published)
    }

    /// Those of the newest events whose ID came more than once in their trace.
    pub async fn repeated_events(&self) -> Result<Vec<TracedEvent>, StoreError> {
        let query = format!(
            "WITH seen AS MATERIALIZED (SELECT {EVENT_COLUMNS} FROM traced_events \
             WHERE event_id IS NOT NULL ORDER BY at_ms DESC LIMIT {NEWEST_EVENTS}) \
             SELECT * FROM seen WHERE (correlation_id, event_id) IN \
             (SELECT correlation_id, event_id FROM seen GROUP BY 1, 2 HAVING COUNT(*) > 1)"
        );
        let rows: Vec<EventRow> = QueryBuilder::<Sqlite>::new(query)
            .build_query_as()
            .fetch_all(&self.reader)
            .await?;
        rows.into_iter().map(EventRow::into_event).collect()
    }

    /// Remembers handovers, and when they were seen.
    pub async fn remember_handovers(
        &self,
        seen: &[KnownHandover],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for chunk in seen.chunks(ROWS) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT OR REPLACE INTO known_handovers (cluster, channel, service, seen_ms) ",
            );
            query.push_values(chunk, |mut row, seen| {
                row.push_bind(seen.cluster.as_str())
                    .push_bind(seen.channel.as_str())
                    .push_bind(seen.service.as_str())
                    .push_bind(now.as_millis());
            });
            query.build().execute(&self.writer).await?;
        }
        Ok(())
    }

    /// The handovers that were seen last.
    pub async fn known_handovers(&self, most: usize) -> Result<Vec<KnownHandover>, StoreError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT cluster, channel, service FROM known_handovers \
             ORDER BY seen_ms DESC, cluster, channel, service LIMIT ?",
        )
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.reader)
        .await?;
        let handover = |(cluster, channel, service): (String, String, String)| KnownHandover {
            cluster: cluster.into(),
            channel,
            service,
        };
        Ok(rows.into_iter().map(handover).collect())
    }

    /// Forgets handovers that were not seen since `oldest`, and all but the last `most`.
    pub async fn prune_known_handovers(
        &self,
        oldest: Timestamp,
        most: usize,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM known_handovers WHERE seen_ms < ? OR (cluster, channel, service) NOT IN \
             (SELECT cluster, channel, service FROM known_handovers ORDER BY seen_ms DESC LIMIT ?)",
        )
        .bind(oldest.as_millis())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Removes events from before `oldest`, and of more than `most` those that were seen first, whatever time a
    /// producer gave them; in short transactions. The one that was seen last stays in any case.
    pub async fn prune_traced_events(
        &self,
        oldest: Timestamp,
        most: u64,
    ) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM traced_events")
                .fetch_one(&self.reader)
                .await?;
            let excess = count.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
            let pruned = sqlx::query(
                // The newest stays, so that its row ID is not given again: the export reads on from it.
                "DELETE FROM traced_events WHERE id < (SELECT MAX(id) FROM traced_events) AND (id IN \
                 (SELECT id FROM traced_events WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?3) \
                 OR id IN (SELECT id FROM traced_events ORDER BY id LIMIT MIN(?2, ?3)))",
            )
            .bind(oldest.as_millis())
            .bind(excess.max(0))
            .bind(PRUNED_AT_ONCE)
            .execute(&self.writer)
            .await?;
            if pruned.rows_affected() == 0 {
                return Ok(removed);
            }
            removed += pruned.rows_affected();
        }
    }

    /// What a trace is stitched from, at most so many events, dead letters and replays.
    pub async fn trace_parts(
        &self,
        correlation_id: &str,
        most: usize,
    ) -> Result<TraceParts, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {EVENT_COLUMNS} FROM traced_events WHERE correlation_id = "
        ));
        query.push_bind(correlation_id);
        query.push(" ORDER BY at_ms, id LIMIT ").push_bind(most);
        let events: Vec<EventRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let events: Result<Vec<_>, _> = events.into_iter().map(EventRow::into_event).collect();
        let all_events: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM traced_events WHERE correlation_id = ?")
                .bind(correlation_id)
                .fetch_one(&self.reader)
                .await?;
        let all_dead_letters: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM dead_letters WHERE correlation_id = ?")
                .bind(correlation_id)
                .fetch_one(&self.reader)
                .await?;
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {SUMMARY_COLUMNS}, b.decoded FROM dead_letters d \
             JOIN bodies b ON b.dead_letter = d.id WHERE d.correlation_id = "
        ));
        query.push_bind(correlation_id);
        query.push(" ORDER BY d.id LIMIT ").push_bind(most);
        let letters: Vec<LetterRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let letters: Result<Vec<_>, _> = letters.into_iter().map(LetterRow::into_letter).collect();
        let dead_letters = letters?;
        let ids: Vec<DeadLetterId> = dead_letters.iter().map(|(summary, _)| summary.id).collect();
        Ok(TraceParts {
            events: events?,
            all_events: u64::try_from(all_events).unwrap_or(0),
            all_dead_letters: u64::try_from(all_dead_letters).unwrap_or(0),
            edits: self.edits_of_all(&ids, most).await?,
            replays: self.replays_of_all(&ids, most).await?,
            dead_letters,
        })
    }

    async fn edits_of_all(
        &self,
        ids: &[DeadLetterId],
        most: i64,
    ) -> Result<Vec<TracedEdit>, StoreError> {
        let mut edits = Vec::new();
        for chunk in ids.chunks(ROWS) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT dead_letter, number, author, created_at_ms, note FROM revisions \
                 WHERE dead_letter IN (",
            );
            let mut list = query.separated(", ");
            for id in chunk {
                list.push_bind(id.0);
            }
            query.push(") ORDER BY dead_letter, number LIMIT ");
            query.push_bind(most);
            let rows: Vec<EditRow> = query.build_query_as().fetch_all(&self.reader).await?;
            edits.extend(rows.into_iter().map(TracedEdit::from));
        }
        Ok(edits)
    }

    async fn replays_of_all(
        &self,
        ids: &[DeadLetterId],
        most: i64,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut replays = Vec::new();
        for chunk in ids.chunks(ROWS) {
            let mut query = QueryBuilder::<Sqlite>::new(format!(
                "SELECT {COLUMNS} FROM replays WHERE dead_letter IN ("
            ));
            let mut list = query.separated(", ");
            for id in chunk {
                list.push_bind(id.0);
            }
            query.push(") ORDER BY id LIMIT ").push_bind(most);
            let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
            for row in rows {
                replays.push(row.into_replay()?);
            }
        }
        Ok(replays)
    }
}

#[derive(Debug, FromRow)]
struct EventRow {
    cluster: String,
    topic: Option<String>,
    partition: Option<i32>,
    log_offset: Option<i64>,
    vhost: Option<String>,
    exchange: Option<String>,
    routing_key: Option<String>,
    fingerprint: Option<String>,
    at_ms: i64,
    basis: String,
    correlation_id: String,
    event_id: Option<String>,
    event_type: Option<String>,
    causation_id: Option<String>,
    aggregate_id: Option<String>,
    source: Option<String>,
    is_retry: bool,
    replay: Option<String>,
    application_trace: Option<String>,
    application_span: Option<String>,
}

impl EventRow {
    fn into_event(self) -> Result<TracedEvent, StoreError> {
        let basis = serde_json::from_value(self.basis.into());
        let cluster: ClusterName = self.cluster.into();
        let place = match self.topic {
            Some(topic) => EventPlace::Record(RecordPlace {
                cluster,
                topic: topic.into(),
                partition: Partition(self.partition.unwrap_or_default()),
                offset: Offset(self.log_offset.unwrap_or_default()),
            }),
            None => EventPlace::Routed(RoutedPlace {
                cluster,
                vhost: self.vhost.unwrap_or_default().into(),
                exchange: self.exchange.unwrap_or_default().into(),
                routing_key: self.routing_key.unwrap_or_default(),
                fingerprint: self.fingerprint.unwrap_or_default(),
            }),
        };
        Ok(TracedEvent {
            place,
            at: Timestamp(self.at_ms),
            basis: basis.map_err(StoreError::corrupt("basis"))?,
            event: EventIdentity {
                event_id: self.event_id,
                event_type: self.event_type,
                correlation_id: Some(self.correlation_id),
                causation_id: self.causation_id,
                aggregate_id: self.aggregate_id,
            },
            source: self.source,
            is_retry: self.is_retry,
            replay: self.replay.and_then(|id| id.parse().ok()),
            application: self.application_trace.map(|trace| ApplicationSpan {
                trace,
                span: self.application_span,
            }),
        })
    }
}

#[derive(Debug, FromRow)]
struct EditRow {
    dead_letter: i64,
    number: u32,
    author: String,
    created_at_ms: i64,
    note: Option<String>,
}

impl From<EditRow> for TracedEdit {
    fn from(row: EditRow) -> Self {
        Self {
            letter: DeadLetterId(row.dead_letter),
            revision: RevisionNumber(row.number),
            at: Timestamp(row.created_at_ms),
            author: row.author,
            note: row.note,
        }
    }
}

#[derive(Debug, FromRow)]
struct LetterRow {
    #[sqlx(flatten)]
    summary: SummaryRow,
    decoded: String,
}

impl LetterRow {
    fn into_letter(self) -> Result<(DeadLetterSummary, Origin), StoreError> {
        let decoded: Decoded =
            serde_json::from_str(&self.decoded).map_err(StoreError::corrupt("decoded"))?;
        Ok((self.summary.into(), decoded.origin))
    }
}

#[cfg(test)]
pub(in crate::store) mod tests;
