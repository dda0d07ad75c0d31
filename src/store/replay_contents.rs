//! What replays send, read for a batch at once.

use std::collections::HashMap;

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::dead_letters::{DetailRow, SUMMARY_COLUMNS, SummaryRow};
use super::message_rows::MessageRow;
use super::{Store, StoreError};
use crate::domain::{DeadLetter, DeadLetterId, Message, Replay, RevisionNumber};

/// What a replay sends, as far as it is there.
#[derive(Clone, Debug)]
pub struct ReplayContent {
    pub letter: DeadLetter,
    /// The edited message, unless the original is sent.
    pub revision: Option<Message>,
}

impl Store {
    /// The contents of replays by dead letter. One whose dead letter or revision is not there is missing.
    pub async fn replay_contents(
        &self,
        replays: &[&Replay],
    ) -> Result<HashMap<DeadLetterId, ReplayContent>, StoreError> {
        let ids: Vec<DeadLetterId> = replays.iter().map(|replay| replay.dead_letter).collect();
        let letters = self.dead_letters_named(&ids).await?;
        let edited = replays.iter().filter(|replay| replay.revision.0 > 0);
        let edited: Vec<(DeadLetterId, RevisionNumber)> = edited
            .map(|replay| (replay.dead_letter, replay.revision))
            .collect();
        let mut revisions = self.messages_of(&edited).await?;
        let mut contents = HashMap::with_capacity(letters.len());
        for letter in letters {
            contents.insert(
                letter.summary.id,
                ReplayContent {
                    revision: revisions.remove(&letter.summary.id),
                    letter,
                },
            );
        }
        let is_missing = |(id, _): &(DeadLetterId, RevisionNumber)| {
            contents
                .get(id)
                .is_some_and(|content| content.revision.is_none())
        };
        let missing: Vec<DeadLetterId> = edited
            .iter()
            .filter(|e| is_missing(e))
            .map(|e| e.0)
            .collect();
        for id in missing {
            contents.remove(&id);
        }
        Ok(contents)
    }

    async fn dead_letters_named(
        &self,
        ids: &[DeadLetterId],
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {SUMMARY_COLUMNS}, b.message_key, b.body, b.headers, b.properties, \
             b.body_omitted, b.decoded, \
             (SELECT g.title FROM failure_groups g WHERE g.id = d.failure_group) AS title, \
             (SELECT g.explanation FROM failure_groups g WHERE g.id = d.failure_group) AS explanation \
             FROM dead_letters d JOIN bodies b ON b.dead_letter = d.id \
             WHERE d.id IN (SELECT value FROM json_each("
        ));
        query.push_bind(json(&ids)?).push("))");
        let rows: Vec<LetterRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let letters = rows.into_iter();
        letters
            .map(|row| row.detail.into_dead_letter(row.summary.into()))
            .collect()
    }

    async fn messages_of(
        &self,
        revisions: &[(DeadLetterId, RevisionNumber)],
    ) -> Result<HashMap<DeadLetterId, Message>, StoreError> {
        if revisions.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<EditedRow> = sqlx::query_as(
            "SELECT v.dead_letter, v.message_key, v.body, v.headers, v.properties \
             FROM json_each(?) wanted JOIN revisions v \
             ON v.dead_letter = wanted.value ->> 0 AND v.number = wanted.value ->> 1",
        )
        .bind(json(&revisions)?)
        .fetch_all(&self.reader)
        .await?;
        let message =
            |row: EditedRow| Ok((DeadLetterId(row.dead_letter), row.message.into_message()?));
        rows.into_iter().map(message).collect()
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::corrupt("a list of dead letters"))
}

#[derive(Debug, FromRow)]
struct LetterRow {
    #[sqlx(flatten)]
    summary: SummaryRow,
    #[sqlx(flatten)]
    detail: DetailRow,
}

#[derive(Debug, FromRow)]
struct EditedRow {
    dead_letter: i64,
    #[sqlx(flatten)]
    message: MessageRow,
}
