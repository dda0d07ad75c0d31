use sqlx::{FromRow, QueryBuilder, Sqlite};
use uuid::Uuid;

use super::message_rows::MessageRow;
use super::{Page, PageRequest, Store, StoreError, filter_sql, order_bounds};
use crate::domain::{
    AttemptsKind, Custody, DeadLetter, DeadLetterId, DeadLetterOrder, DeadLetterStatus,
    DeadLetterSummary, DeathReason, EventIdentity, Filter, Message, Offset, Partition, Position,
    RevisionNumber, Timestamp,
};

pub(super) const POSITION_COLUMNS: &str =
    "system, vhost, dlq, topic_id, partition, log_offset, fingerprint";

pub(super) const SUMMARY_COLUMNS: &str = "id, system, cluster, vhost, dlq, topic_id, partition, log_offset, \
     fingerprint, status, custody, dead_at_ms, indexed_at_ms, reason, source, consumer, \
     failure_class, failure_message, event_id, event_type, correlation_id, causation_id, \
     aggregate_id, failure_group, size, attempts, attempts_kind, latest_revision, \
     died_from_replay, possible_duplicate_of";

/// Matches of a filter are counted up to here; beyond, it is "more".
pub const COUNTED: u64 = 10_000;

impl Store {
    /// Dead letters that match, those indexed last first.
    pub async fn dead_letters(
        &self,
        filter: &Filter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<DeadLetterSummary>, StoreError> {
        self.dead_letters_by(DeadLetterOrder::Newest, filter, now, page)
            .await
    }

    /// Dead letters that match, in that order.
    pub async fn dead_letters_by(
        &self,
        order: DeadLetterOrder,
        filter: &Filter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<DeadLetterSummary>, StoreError> {
        let (beyond, direction) = match order {
            DeadLetterOrder::Newest => ("<", "DESC"),
            DeadLetterOrder::Oldest => (">", "ASC"),
        };
        let mut query = filter_sql::select(SUMMARY_COLUMNS, filter, now);
        let id = filter_sql::id_column(filter);
        match page.key()? {
            Some(last) => drop(query.push(format!(" AND {id} {beyond} ")).push_bind(last)),
            None => order_bounds::push(&mut query, order, filter, now),
        }
        query
            .push(format!(" ORDER BY {id} {direction} LIMIT "))
            .push_bind(page.rows());
        let rows: Vec<SummaryRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let items = rows.into_iter().map(DeadLetterSummary::from).collect();
        Ok(Page::of(items, page, |summary: &DeadLetterSummary| {
            summary.id.0
        }))
    }

    /// How many match.
    pub async fn count_dead_letters(
        &self,
        filter: &Filter,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut query = filter_sql::select("COUNT(*)", filter, now);
        let count: i64 = query.build_query_scalar().fetch_one(&self.reader).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// How many match, counted no further than just beyond [`COUNTED`], so that a page of a million does
    /// not wait for its number. Of all dead letters the exact number is known.
    pub async fn count_up_to_limit(
        &self,
        filter: &Filter,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let count: i64 = if filter.is_empty() {
            let known = sqlx::query_scalar(
                "SELECT COALESCE(SUM(total), 0) - (SELECT number FROM removed_dead_letters) \
                 FROM failure_groups",
            );
            known.fetch_one(&self.reader).await?
        } else {
            let mut query = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM (SELECT 1 FROM ");
            filter_sql::push_counted(&mut query, filter, now);
            query
                .push(" LIMIT ")
                .push_bind(i64::try_from(COUNTED).unwrap_or(i64::MAX) + 1)
                .push(")");
            query.build_query_scalar().fetch_one(&self.reader).await?
        };
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The first `limit` that match, oldest first: the frozen set of a bulk action.
    pub async fn matching_ids(
        &self,
        filter: &Filter,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        let id = filter_sql::id_column(filter);
        let query = filter_sql::select(id, filter, now);
        self.first_ids(query, id, limit).await
    }

    /// A chunk of what matches, oldest first: those after `after` up to `through`. Whoever freezes a large
    /// selection notes `now` and the newest ID once and walks it in chunks, none of which holds the
    /// database for long.
    pub async fn matching_ids_between(
        &self,
        filter: &Filter,
        now: Timestamp,
        (after, through): (DeadLetterId, DeadLetterId),
        limit: u32,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        let id = filter_sql::id_column(filter);
        let mut query = filter_sql::select(id, filter, now);
        query.push(format!(" AND {id} > ")).push_bind(after.0);
        query.push(format!(" AND {id} <= ")).push_bind(through.0);
        self.first_ids(query, id, limit).await
    }

    /// The first rows of a query that selects the column `id`, oldest first.
    pub(super) async fn first_ids(
        &self,
        mut query: QueryBuilder<Sqlite>,
        id: &str,
        limit: u32,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        query
            .push(format!(" ORDER BY {id} LIMIT "))
            .push_bind(i64::from(limit));
        let ids: Vec<i64> = query.build_query_scalar().fetch_all(&self.reader).await?;
        Ok(ids.into_iter().map(DeadLetterId).collect())
    }

    /// The newest dead letter; 0 if there is none.
    pub async fn newest_id(&self) -> Result<DeadLetterId, StoreError> {
        let id = sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) FROM dead_letters");
        Ok(DeadLetterId(id.fetch_one(&self.reader).await?))
    }

    /// The dead letters beside one in the list of a filter: the newer and the older.
    pub async fn neighbours(
        &self,
        id: DeadLetterId,
        filter: &Filter,
        now: Timestamp,
    ) -> Result<(Option<DeadLetterId>, Option<DeadLetterId>), StoreError> {
        let newer = self.next_id(filter, now, (">", "ASC"), id).await?;
        let older = self.next_id(filter, now, ("<", "DESC"), id).await?;
        Ok((newer, older))
    }

    async fn next_id(
        &self,
        filter: &Filter,
        now: Timestamp,
        (comparison, order): (&str, &str),
        id: DeadLetterId,
    ) -> Result<Option<DeadLetterId>, StoreError> {
        let column = filter_sql::id_column(filter);
        let mut query = filter_sql::select(column, filter, now);
        query
            .push(format!(" AND {column} {comparison} "))
            .push_bind(id.0)
            .push(format!(" ORDER BY {column} {order} LIMIT 1"));
        let found: Option<i64> = query
            .build_query_scalar()
            .fetch_optional(&self.reader)
            .await?;
        Ok(found.map(DeadLetterId))
    }

    /// Everything about one dead letter.
    pub async fn dead_letter(&self, id: DeadLetterId) -> Result<DeadLetter, StoreError> {
        let summary = self.dead_letter_summary(id).await?;
        let row: DetailRow = sqlx::query_as(
            "SELECT b.message_key, b.body, b.headers, b.properties, b.body_omitted, b.decoded, \
             g.title, g.explanation FROM bodies b, failure_groups g \
             WHERE b.dead_letter = ? AND g.id = ?",
        )
        .bind(id.0)
        .bind(summary.group.as_str())
        .fetch_optional(&self.reader)
        .await?
        .ok_or(StoreError::NoSuchDeadLetter(id))?;
        row.into_dead_letter(summary)
    }

    pub async fn dead_letter_summary(
        &self,
        id: DeadLetterId,
    ) -> Result<DeadLetterSummary, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {SUMMARY_COLUMNS} FROM dead_letters WHERE id = "
        ));
        query.push_bind(id.0);
        let row: Option<SummaryRow> = query.build_query_as().fetch_optional(&self.reader).await?;
        row.map(DeadLetterSummary::from)
            .ok_or(StoreError::NoSuchDeadLetter(id))
    }

    /// The message of one revision; revision 0 is the original.
    pub async fn message(
        &self,
        id: DeadLetterId,
        revision: RevisionNumber,
    ) -> Result<Message, StoreError> {
        let query = if revision == RevisionNumber(0) {
            sqlx::query_as(
                "SELECT message_key, body, headers, properties FROM bodies WHERE dead_letter = ?",
            )
            .bind(id.0)
        } else {
            sqlx::query_as(
                "SELECT message_key, body, headers, properties FROM revisions \
                 WHERE dead_letter = ? AND number = ?",
            )
            .bind(id.0)
            .bind(revision.0)
        };
        let row: Option<MessageRow> = query.fetch_optional(&self.reader).await?;
        row.ok_or(StoreError::NoSuchRevision {
            dead_letter: id,
            revision,
        })?
        .into_message()
    }

    /// Dead letters with that correlation ID, on whatever broker, oldest first.
    pub async fn dead_letters_of_event(
        &self,
        correlation_id: &str,
        limit: u32,
    ) -> Result<Vec<DeadLetterSummary>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {SUMMARY_COLUMNS} FROM dead_letters WHERE correlation_id = "
        ));
        query
            .push_bind(correlation_id)
            .push(" ORDER BY id LIMIT ")
            .push_bind(i64::from(limit));
        let rows: Vec<SummaryRow> = query.build_query_as().fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(DeadLetterSummary::from).collect())
    }
}

#[derive(Debug, FromRow)]
pub(super) struct DetailRow {
    #[sqlx(flatten)]
    message: MessageRow,
    body_omitted: Option<String>,
    decoded: String,
    title: String,
    explanation: String,
}

impl DetailRow {
    pub(super) fn into_dead_letter(
        self,
        summary: DeadLetterSummary,
    ) -> Result<DeadLetter, StoreError> {
        Ok(DeadLetter {
            summary,
            message: self.message.into_message()?,
            body_omitted: self.body_omitted,
            decoded: serde_json::from_str(&self.decoded).map_err(StoreError::corrupt("decoded"))?,
            group_title: self.title,
            group_explanation: self.explanation,
        })
    }
}

#[derive(Debug, FromRow)]
pub(super) struct PositionRow {
    system: String,
    vhost: String,
    dlq: String,
    topic_id: String,
    partition: Option<i32>,
    log_offset: Option<i64>,
    fingerprint: Option<String>,
}

#[derive(Debug, FromRow)]
pub(super) struct SummaryRow {
    id: i64,
    cluster: String,
    #[sqlx(flatten)]
    position: PositionRow,
    status: String,
    custody: String,
    dead_at_ms: i64,
    indexed_at_ms: i64,
    reason: String,
    source: Option<String>,
    consumer: Option<String>,
    failure_class: Option<String>,
    failure_message: Option<String>,
    event_id: Option<String>,
    event_type: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    aggregate_id: Option<String>,
    failure_group: String,
    size: i64,
    attempts: Option<i64>,
    attempts_kind: Option<String>,
    latest_revision: u32,
    died_from_replay: Option<String>,
    possible_duplicate_of: Option<i64>,
}

impl PositionRow {
    pub(super) fn position(self) -> Position {
        if self.system == "kafka" {
            Position::Kafka {
                topic: self.dlq.into(),
                topic_id: Uuid::parse_str(&self.topic_id).ok(),
                partition: Partition(self.partition.unwrap_or_default()),
                offset: Offset(self.log_offset.unwrap_or_default()),
            }
        } else {
            Position::RabbitMq {
                vhost: self.vhost.into(),
                queue: self.dlq.into(),
                fingerprint: self.fingerprint.unwrap_or_default(),
            }
        }
    }
}

impl From<SummaryRow> for DeadLetterSummary {
    fn from(row: SummaryRow) -> Self {
        let position = row.position.position();
        let attempts = row.attempts.and_then(|count| u64::try_from(count).ok());
        let attempts_kind = row.attempts_kind.as_deref().and_then(attempts_kind);
        Self {
            id: DeadLetterId(row.id),
            cluster: row.cluster.into(),
            position,
            status: row.status.parse().unwrap_or(DeadLetterStatus::Open),
            custody: Custody::parse(&row.custody),
            dead_at: Timestamp(row.dead_at_ms),
            indexed_at: Timestamp(row.indexed_at_ms),
            reason: DeathReason::parse(&row.reason),
            source: row.source,
            consumer: row.consumer.map(Into::into),
            failure_class: row.failure_class,
            failure_message: row.failure_message,
            event: EventIdentity {
                event_id: row.event_id,
                event_type: row.event_type,
                correlation_id: row.correlation_id,
                causation_id: row.causation_id,
                aggregate_id: row.aggregate_id,
            },
            group: row.failure_group.into(),
            size: u64::try_from(row.size).unwrap_or(0),
            attempts: attempts.zip(attempts_kind),
            latest_revision: RevisionNumber(row.latest_revision),
            died_from_replay: row.died_from_replay.and_then(|id| id.parse().ok()),
            possible_duplicate_of: row.possible_duplicate_of.map(DeadLetterId),
        }
    }
}

fn attempts_kind(text: &str) -> Option<AttemptsKind> {
    match text {
        "deliveries" => Some(AttemptsKind::Deliveries),
        "retries" => Some(AttemptsKind::Retries),
        "deaths" => Some(AttemptsKind::Deaths),
        _ => None,
    }
}

pub(super) const fn attempts_kind_name(kind: AttemptsKind) -> &'static str {
    match kind {
        AttemptsKind::Deliveries => "deliveries",
        AttemptsKind::Retries => "retries",
        AttemptsKind::Deaths => "deaths",
    }
}
