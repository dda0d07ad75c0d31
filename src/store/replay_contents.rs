//! What replays send, read for a batch at once: engines read thousands a second, so no column more than
//! a message is made of.

use std::collections::HashMap;

use sqlx::FromRow;

use super::dead_letters::{POSITION_COLUMNS, PositionRow};
use super::message_rows::MessageRow;
use super::{Store, StoreError};
use crate::domain::{
    ClusterName, DeadLetterId, Decoded, Message, Position, Replay, RevisionNumber,
};

/// What a replay sends, as far as it is there.
#[derive(Clone, Debug)]
pub struct ReplayContent {
    /// Where the dead letter lies or lay.
    pub cluster: ClusterName,
    pub position: Position,
    pub original: Message,
    pub decoded: Decoded,
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
        let mut contents = self.originals(&ids).await?;
        let edited = replays.iter().filter(|replay| replay.revision.0 > 0);
        let edited: Vec<(DeadLetterId, RevisionNumber)> = edited
            .map(|replay| (replay.dead_letter, replay.revision))
            .collect();
        let mut revisions = self.messages_of(&edited).await?;
        for (id, _) in edited {
            match (contents.get_mut(&id), revisions.remove(&id)) {
                (Some(content), Some(revision)) => content.revision = Some(revision),
                _ => drop(contents.remove(&id)),
            }
        }
        Ok(contents)
    }

    async fn originals(
        &self,
        ids: &[DeadLetterId],
    ) -> Result<HashMap<DeadLetterId, ReplayContent>, StoreError> {
        let query = format!(
            "SELECT d.id, d.cluster, {POSITION_COLUMNS}, \
             b.message_key, b.body, b.headers, b.properties, b.decoded \
             FROM json_each(?) wanted CROSS JOIN dead_letters d ON d.id = wanted.value \
             CROSS JOIN bodies b ON b.dead_letter = wanted.value"
        );
        let rows: Vec<OriginalRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(json(&ids)?)
            .fetch_all(&self.reader)
            .await?;
        rows.into_iter().map(OriginalRow::into_content).collect()
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
struct OriginalRow {
    id: i64,
    cluster: String,
    #[sqlx(flatten)]
    position: PositionRow,
    #[sqlx(flatten)]
    message: MessageRow,
    decoded: String,
}

impl OriginalRow {
    fn into_content(self) -> Result<(DeadLetterId, ReplayContent), StoreError> {
        let decoded = serde_json::from_str(&self.decoded);
        let content = ReplayContent {
            cluster: self.cluster.into(),
            position: self.position.position(),
            original: self.message.into_message()?,
            decoded: decoded.map_err(StoreError::corrupt("decoded"))?,
            revision: None,
        };
        Ok((DeadLetterId(self.id), content))
    }
}

#[derive(Debug, FromRow)]
struct EditedRow {
    dead_letter: i64,
    #[sqlx(flatten)]
    message: MessageRow,
}
