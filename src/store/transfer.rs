//! Dead letters from one store to another.

use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::insert::{insert_all, set_status};
use super::{NewAuditEntry, NewRevision, Store, StoreError, audit, revisions};
use crate::domain::{
    Custody, DeadLetterId, DeadLetterIds, DeadLetterStatus, EXPORT_FORMAT, ExportedDeadLetter,
    ExportedRevision, NewDeadLetter, Position, RevisionNumber, System, Timestamp,
};

/// Dead letters of one transaction of an import.
const CHUNK: usize = 200;

/// A dead letter of an export on its way into the store.
#[derive(Clone, Debug)]
pub struct ImportedDeadLetter {
    /// [`ExportedDeadLetter::origin`].
    pub origin: String,
    pub letter: NewDeadLetter,
    pub status: DeadLetterStatus,
    /// Oldest first.
    pub revisions: Vec<ExportedRevision>,
}

impl Store {
    /// A dead letter with all that is needed to import it elsewhere.
    pub async fn exported(&self, id: DeadLetterId) -> Result<ExportedDeadLetter, StoreError> {
        let letter = self.dead_letter(id).await?;
        let revisions = self.revisions(id).await?;
        let (installation, imported, topic_id_there): (String, Option<String>, Option<String>) =
            sqlx::query_as(
                "SELECT i.id, m.origin, m.topic_id FROM installation i \
                 LEFT JOIN imported_dead_letters m ON m.dead_letter = ?",
            )
            .bind(id.0)
            .fetch_one(&self.reader)
            .await?;
        let custody = match letter.summary.position.system() {
            System::Kafka => Custody::Store,
            System::RabbitMq => letter.summary.custody,
        };
        let mut position = letter.summary.position;
        let origin = match imported {
            Some(origin) => {
                if let Position::Kafka { topic_id, .. } = &mut position {
                    *topic_id = topic_id_there.and_then(|id| Uuid::parse_str(&id).ok());
                }
                origin
            }
            None => format!("{installation}/{id}"),
        };
        Ok(ExportedDeadLetter {
            format: EXPORT_FORMAT.to_owned(),
            origin,
            cluster: letter.summary.cluster,
            position,
            dead_at: letter.summary.dead_at,
            status: letter.summary.status,
            custody,
            message: letter.message,
            body_omitted: letter.body_omitted,
            revisions: revisions
                .into_iter()
                .map(|revision| ExportedRevision {
                    message: revision.message,
                    author: revision.author,
                    created_at: revision.created_at,
                    note: revision.note,
                })
                .collect(),
            masked: false,
        })
    }

    /// The dead letter of a line, if it is here already: by its origin, or because its Kafka record was
    /// indexed here.
    pub async fn already_here(
        &self,
        line: &ExportedDeadLetter,
    ) -> Result<Option<DeadLetterId>, StoreError> {
        let number = line.origin.rsplit('/').next();
        let number = number.and_then(|number| number.parse::<i64>().ok());
        let (topic_id, partition, offset) = match &line.position {
            Position::Kafka {
                topic_id,
                partition,
                offset,
                ..
            } => {
                let topic_id = topic_id.map(|id| id.to_string()).unwrap_or_default();
                (topic_id, Some(partition.0), Some(offset.0))
            }
            Position::RabbitMq { .. } => (String::new(), None, None),
        };
        let id: Option<i64> = sqlx::query_scalar(
            "SELECT dead_letter FROM imported_dead_letters WHERE origin = ?1 \
             UNION ALL SELECT d.id FROM dead_letters d, installation i \
             WHERE d.id = ?2 AND i.id || '/' || d.id = ?1 \
             UNION ALL SELECT id FROM dead_letters WHERE system = 'kafka' AND cluster = ?3 \
             AND dlq = ?4 AND topic_id = ?5 AND partition = ?6 AND log_offset = ?7 LIMIT 1",
        )
        .bind(&line.origin)
        .bind(number)
        .bind(line.cluster.as_str())
        .bind(line.position.dlq())
        .bind(topic_id)
        .bind(partition)
        .bind(offset)
        .fetch_optional(&self.reader)
        .await?;
        Ok(id.map(DeadLetterId))
    }

    /// Stores dead letters of an export, none of which may be here already, in transactions of a few with
    /// an audit entry each. An error leaves whole transactions behind; who imports again goes on.
    pub async fn import(
        &self,
        batch: Vec<ImportedDeadLetter>,
        entry: &NewAuditEntry,
        now: Timestamp,
    ) -> Result<DeadLetterIds, StoreError> {
        let mut ids = Vec::with_capacity(batch.len());
        let mut rest = batch.into_iter().peekable();
        while rest.peek().is_some() {
            let chunk: Vec<_> = rest.by_ref().take(CHUNK).collect();
            ids.extend(self.import_chunk(chunk, entry, now).await?);
        }
        Ok(ids.into_iter().collect())
    }

    async fn import_chunk(
        &self,
        mut chunk: Vec<ImportedDeadLetter>,
        entry: &NewAuditEntry,
        now: Timestamp,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        let topic_ids: Vec<_> = chunk.iter_mut().map(set_apart).collect();
        let letters: Vec<_> = chunk.iter().map(|import| import.letter.clone()).collect();
        let letters = self.prepare(letters)?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let indexed = insert_all(&mut transaction, &letters, now).await?;
        let mut ids = Vec::with_capacity(chunk.len());
        for row in &indexed {
            let (Some(import), Some(topic_id)) =
                (chunk.get(row.batch_index), topic_ids.get(row.batch_index))
            else {
                continue;
            };
            put_origin(&mut transaction, row.id, &import.origin, *topic_id).await?;
            for (number, revision) in (1..).zip(&import.revisions) {
                let revision = NewRevision {
                    dead_letter: row.id,
                    builds_on: RevisionNumber(number - 1),
                    message: revision.message.clone(),
                    author: revision.author.clone(),
                    note: revision.note.clone(),
                    at: revision.created_at,
                };
                revisions::insert(&mut transaction, &revision).await?;
            }
            if import.status != DeadLetterStatus::Open {
                set_status(&mut transaction, row.id.0, import.status).await?;
            }
            ids.push(row.id);
        }
        let set: DeadLetterIds = ids.iter().copied().collect();
        let entry = entry.with_detail("dead_letters", &set.to_string());
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        self.announce_to_search(&letters);
        Ok(ids)
    }
}

/// Gives a Kafka record an identity that no record read here has; answers the topic ID that it had.
fn set_apart(import: &mut ImportedDeadLetter) -> Option<Uuid> {
    match &mut import.letter.position {
        Position::Kafka { topic_id, .. } => topic_id.replace(Uuid::now_v7()),
        Position::RabbitMq { .. } => None,
    }
}

async fn put_origin(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
    origin: &str,
    topic_id: Option<Uuid>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO imported_dead_letters (origin, dead_letter, topic_id) VALUES (?, ?, ?)",
    )
    .bind(origin)
    .bind(id.0)
    .bind(topic_id.map(|id| id.to_string()))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
