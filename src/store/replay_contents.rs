//! What replays send, read for a batch at once: engines read thousands a second, so no column more than
//! a message is made of.

use std::collections::HashMap;

use sqlx::FromRow;

use super::dead_letters::{POSITION_COLUMNS, PositionRow};
use super::message_rows::MessageRow;
use super::{Store, StoreError};
use crate::domain::{
    ClusterName, DeadLetterId, LastDeath, Message, Position, Replay, RevisionNumber,
};

/// What a replay sends, as far as it is there.
#[derive(Clone, Debug)]
pub struct ReplayContent {
    /// Where the dead letter lies or lay.
    pub cluster: ClusterName,
    pub position: Position,
    pub original: Message,
    pub death: LastDeath,
    /// The edited message, unless the original is sent.
    pub revision: Option<Message>,
}

impl Store {
    /// The content of each replay, in their order; none where the dead letter or the revision is not there.
    pub async fn replay_contents(
        &self,
        replays: &[&Replay],
    ) -> Result<Vec<Option<ReplayContent>>, StoreError> {
        let edited = replays.iter().filter(|replay| replay.revision.0 > 0);
        let edited: Vec<(DeadLetterId, RevisionNumber)> = edited
            .map(|replay| (replay.dead_letter, replay.revision))
            .collect();
        let mut revisions = self.messages_of(&edited).await?;
        let mut originals = self.originals(replays).await?;
        let mut contents = Vec::with_capacity(replays.len());
        for replay in replays {
            let Some(row) = originals.remove(&replay.dead_letter.0) else {
                contents.push(None);
                continue;
            };
            let mut content = row.into_content()?;
            if replay.revision.0 > 0 {
                content.revision = revisions.remove(&replay.dead_letter);
            }
            let is_there = replay.revision.0 == 0 || content.revision.is_some();
            contents.push(is_there.then_some(content));
        }
        Ok(contents)
    }

    async fn originals(
        &self,
        replays: &[&Replay],
    ) -> Result<HashMap<i64, OriginalRow>, StoreError> {
        let ids: Vec<DeadLetterId> = replays.iter().map(|replay| replay.dead_letter).collect();
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
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
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
    fn into_content(self) -> Result<ReplayContent, StoreError> {
        let death = serde_json::from_str(&self.decoded);
        Ok(ReplayContent {
            cluster: self.cluster.into(),
            position: self.position.position(),
            original: self.message.into_message()?,
            death: death.map_err(StoreError::corrupt("decoded"))?,
            revision: None,
        })
    }
}

#[derive(Debug, FromRow)]
struct EditedRow {
    dead_letter: i64,
    #[sqlx(flatten)]
    message: MessageRow,
}
