//! The outbox of webhooks. Notices wait per target until a message takes them; a message keeps its ID
//! and its bytes until its receiver has taken it or it is given up, whatever crashes in between.

use sqlx::{FromRow, Sqlite, Transaction};
use uuid::Uuid;

use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::Timestamp;

/// Notices that wait for one target; of further ones only the number is kept.
pub const NOTICES_KEPT: u32 = 500;

/// Finished messages that are kept of each target.
const MESSAGES_KEPT: i64 = 1_000;

/// Something that a target shall be told.
#[derive(Clone, Debug)]
pub struct NewNotice {
    pub target: String,
    /// What it is about: while one waits, a second of the same subject is not queued.
    pub subject: String,
    /// JSON, for who writes the message.
    pub content: String,
}

/// A notice that waits for a message.
#[derive(Clone, Debug, FromRow)]
pub struct Notice {
    pub id: i64,
    pub content: String,
}

/// A message on its way to a target.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The same at every attempt, so that the receiver knows a repetition.
    pub id: Uuid,
    pub body: String,
    pub created_at: Timestamp,
    /// Attempts that failed.
    pub attempts: u32,
    pub next_attempt: Timestamp,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    Delivered,
    /// Another one follows at that time.
    Failed {
        problem: String,
        next: Timestamp,
    },
    GivenUp {
        problem: String,
    },
}

/// How the messages of one target stand.
#[derive(Clone, Debug, Default)]
pub struct TargetStatus {
    /// Notices in no message yet.
    pub waiting: u64,
    pub last_delivered: Option<Timestamp>,
    /// Messages that were given up, among those that are kept.
    pub given_up: u64,
    /// Why the newest message is not delivered, since when, and after how many attempts.
    pub failing: Option<(String, Timestamp, u32)>,
}

/// Queues notices; beyond [`NOTICES_KEPT`] it only counts them.
pub(super) async fn put_notices(
    transaction: &mut Transaction<'_, Sqlite>,
    notices: &[NewNotice],
    now: Timestamp,
) -> Result<(), StoreError> {
    for notice in notices {
        let put = sqlx::query(
            "INSERT INTO notices (target, subject, content, created_at_ms) SELECT ?1, ?2, ?3, ?4 \
             WHERE (SELECT COUNT(*) FROM notices WHERE target = ?1) < ?5 \
             OR EXISTS (SELECT 1 FROM notices WHERE target = ?1 AND subject = ?2) \
             ON CONFLICT DO UPDATE SET content = excluded.content",
        )
        .bind(&notice.target)
        .bind(&notice.subject)
        .bind(&notice.content)
        .bind(now.as_millis())
        .bind(i64::from(NOTICES_KEPT))
        .execute(&mut **transaction)
        .await?;
        if put.rows_affected() == 0 {
            sqlx::query(
                "INSERT INTO notices_beyond (target, number) VALUES (?, 1) \
                 ON CONFLICT DO UPDATE SET number = number + 1",
            )
            .bind(&notice.target)
            .execute(&mut **transaction)
            .await?;
        }
    }
    Ok(())
}

impl Store {
    /// Queues a notice that a person asked for, with its audit entry.
    pub async fn put_audited_notice(
        &self,
        notice: NewNotice,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        put_notices(&mut transaction, &[notice], entry.at).await?;
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// What waits for a target, oldest first, and how many more there were.
    pub async fn notices(&self, target: &str) -> Result<(Vec<Notice>, u64), StoreError> {
        let notices =
            sqlx::query_as("SELECT id, content FROM notices WHERE target = ? ORDER BY id")
                .bind(target)
                .fetch_all(&self.reader)
                .await?;
        let beyond: Option<i64> =
            sqlx::query_scalar("SELECT number FROM notices_beyond WHERE target = ?")
                .bind(target)
                .fetch_optional(&self.reader)
                .await?;
        Ok((notices, u64::try_from(beyond.unwrap_or(0)).unwrap_or(0)))
    }

    /// Makes the message that tells all notices up to one and, if it tells them all, those beyond the
    /// bound.
    pub async fn create_notification(
        &self,
        target: &str,
        message: &Notification,
        (through, tells_all): (i64, bool),
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "INSERT INTO notifications (id, target, body, created_at_ms, next_attempt_ms) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(message.id.to_string())
        .bind(target)
        .bind(&message.body)
        .bind(message.created_at.as_millis())
        .bind(message.next_attempt.as_millis())
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM notices WHERE target = ? AND id <= ?")
            .bind(target)
            .bind(through)
            .execute(&mut *transaction)
            .await?;
        if tells_all {
            sqlx::query("DELETE FROM notices_beyond WHERE target = ?")
                .bind(target)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The message of a target that is neither delivered nor given up; there is at most one.
    pub async fn unfinished_notification(
        &self,
        target: &str,
    ) -> Result<Option<Notification>, StoreError> {
        let row: Option<(String, String, i64, i64, i64)> = sqlx::query_as(
            "SELECT id, body, created_at_ms, attempts, next_attempt_ms FROM notifications \
             WHERE target = ? AND finished_at_ms IS NULL",
        )
        .bind(target)
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.map(
            |(id, body, created_at, attempts, next_attempt)| Notification {
                id: Uuid::parse_str(&id).unwrap_or_default(),
                body,
                created_at: Timestamp(created_at),
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                next_attempt: Timestamp(next_attempt),
            },
        ))
    }

    /// Writes down what became of an attempt and forgets messages that nobody asks for any more.
    pub async fn note_attempt(
        &self,
        target: &str,
        id: Uuid,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (problem, next, is_delivered) = match attempt {
            Attempt::Delivered => (None, None, true),
            Attempt::Failed { problem, next } => (Some(problem), Some(next.as_millis()), false),
            Attempt::GivenUp { problem } => (Some(problem), None, false),
        };
        let finished_at = next.is_none().then(|| now.as_millis());
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "UPDATE notifications SET attempts = attempts + NOT ?1, problem = ?2, \
             next_attempt_ms = COALESCE(?3, next_attempt_ms), finished_at_ms = ?4, \
             is_delivered = ?1 WHERE id = ?5",
        )
        .bind(is_delivered)
        .bind(problem)
        .bind(next)
        .bind(finished_at)
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM notifications WHERE target = ?1 AND finished_at_ms IS NOT NULL \
             AND created_at_ms < (SELECT created_at_ms FROM notifications WHERE target = ?1 \
             ORDER BY created_at_ms DESC LIMIT 1 OFFSET ?2)",
        )
        .bind(target)
        .bind(MESSAGES_KEPT)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// How many messages of a target were made after a time.
    pub async fn notifications_since(
        &self,
        target: &str,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM notifications WHERE target = ? AND created_at_ms > ?";
        let count: i64 = sqlx::query_scalar(sql)
            .bind(target)
            .bind(since.as_millis())
            .fetch_one(&self.reader)
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub async fn notification_status(&self, target: &str) -> Result<TargetStatus, StoreError> {
        let row: StatusRow = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM notices WHERE target = ?1) \
             + COALESCE((SELECT number FROM notices_beyond WHERE target = ?1), 0) AS waiting, \
             MAX(CASE WHEN is_delivered THEN finished_at_ms END) AS last_delivered_ms, \
             COALESCE(SUM(finished_at_ms IS NOT NULL AND NOT is_delivered), 0) AS given_up \
             FROM notifications WHERE target = ?1",
        )
        .bind(target)
        .fetch_one(&self.reader)
        .await?;
        let newest: Option<(Option<String>, i64, i64)> = sqlx::query_as(
            "SELECT problem, created_at_ms, attempts FROM notifications WHERE target = ? \
             ORDER BY created_at_ms DESC LIMIT 1",
        )
        .bind(target)
        .fetch_optional(&self.reader)
        .await?;
        let failing = newest.and_then(|(problem, since, attempts)| {
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            Some((problem?, Timestamp(since), attempts))
        });
        Ok(TargetStatus {
            waiting: u64::try_from(row.waiting).unwrap_or(0),
            last_delivered: row.last_delivered_ms.map(Timestamp),
            given_up: u64::try_from(row.given_up).unwrap_or(0),
            failing,
        })
    }

    /// Removes what is queued for targets that are no longer configured; answers how many messages
    /// and notices that were.
    pub async fn forget_other_targets(&self, targets: &[String]) -> Result<u64, StoreError> {
        let known = serde_json::to_string(targets).map_err(StoreError::corrupt("targets"))?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut forgotten = 0;
        for sql in [
            "DELETE FROM notices WHERE target NOT IN (SELECT value FROM json_each(?))",
            "DELETE FROM notices_beyond WHERE target NOT IN (SELECT value FROM json_each(?))",
            "DELETE FROM notifications WHERE finished_at_ms IS NULL \
             AND target NOT IN (SELECT value FROM json_each(?))",
        ] {
            let deleted = sqlx::query(sql)
                .bind(&known)
                .execute(&mut *transaction)
                .await?;
            forgotten += deleted.rows_affected();
        }
        transaction.commit().await?;
        Ok(forgotten)
    }
}

#[derive(Debug, FromRow)]
struct StatusRow {
    waiting: i64,
    last_delivered_ms: Option<i64>,
    given_up: i64,
}
