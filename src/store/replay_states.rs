//! The states of replays as rows. Thousands are written a second, so values are bound to statements of two sizes
//! and no more columns change than must: a column that is not named costs its indexes nothing.

use sqlx::{AssertSqlSafe, Sqlite, Transaction};

use super::StoreError;
use crate::domain::{Landing, ReplayNumber, ReplayState, ReplayStateName, Timestamp};

/// Rows of a statement. What is left empty matches no replay.
const FEW: usize = 8;
const MANY: usize = 256;

/// A replay that changes.
pub(super) struct NewState<'a> {
    pub(super) number: ReplayNumber,
    pub(super) state: &'a ReplayState,
    /// No other write leaves both the state and the time of the last change as they are.
    pub(super) changed_before: Timestamp,
}

/// Writes the states of replays that are as they were; answers how many were. All go the same way.
pub(super) async fn put(
    transaction: &mut Transaction<'_, Sqlite>,
    (before, after): (ReplayStateName, ReplayStateName),
    states: &[NewState<'_>],
    at: Timestamp,
) -> Result<u64, StoreError> {
    let moves = stage_of(before) != stage_of(after);
    let mut changed = 0;
    for chunk in states.chunks(MANY) {
        let rows = if chunk.len() <= FEW { FEW } else { MANY };
        let mut query = sqlx::query(AssertSqlSafe(statement(rows, moves)));
        for new in chunk {
            let place = place_of(new.state);
            query = query
                .bind(new.number.0)
                .bind(encode(new.state)?)
                .bind(place.map(|place| place.partition.0))
                .bind(place.map(|place| place.offset.0))
                .bind(new.changed_before.as_millis());
        }
        for _ in chunk.len()..rows {
            for _ in 0..COLUMNS {
                query = query.bind(None::<i64>);
            }
        }
        query = query.bind(after.as_str()).bind(at.as_millis());
        if moves {
            query = query.bind(stage_of(after));
        }
        let written = query.bind(before.as_str()).execute(&mut **transaction);
        changed += written.await?.rows_affected();
    }
    Ok(changed)
}

const COLUMNS: usize = 5;

fn statement(rows: usize, moves: bool) -> String {
    let values = vec!["(?, ?, ?, ?, ?)"; rows].join(", ");
    let stage = if moves { ", stage = ?" } else { "" };
    // The list is the outer loop: each row is found by its number. Whoever meets an error gives the transaction up,
    // so `OR FAIL`: otherwise SQLite keeps a copy of every page to undo the statement alone. The `+` hides the state from
    // the partial indexes: SQLite would plan anew with each value that one of them might be about.
    format!(
        "WITH changed (number, detail, partition, log_offset, old_time) AS (VALUES {values}) \
         UPDATE OR FAIL replay_states SET detail = changed.detail, partition = changed.partition, \
         log_offset = changed.log_offset, state = ?, updated_at_ms = ?{stage} \
         FROM changed WHERE replay_states.number = changed.number \
         AND +replay_states.state = ? AND replay_states.updated_at_ms = changed.old_time"
    )
}

/// What the large indexes of the states hang on (migration 0174).
const fn stage_of(state: ReplayStateName) -> &'static str {
    match state {
        ReplayStateName::Planned | ReplayStateName::Sending => "to_send",
        ReplayStateName::Unknown => "unknown",
        _ => "ended",
    }
}

/// The partition and offset by which a replay is looked up, as its state knows them.
const fn place_of(state: &ReplayState) -> Option<Landing> {
    match state {
        ReplayState::Sending { high_watermark, .. } => *high_watermark,
        ReplayState::Sent { landing, .. } | ReplayState::NotSeenAgain { landing, .. } => *landing,
        ReplayState::Passed { landing, .. } | ReplayState::Consumed { landing, .. } => {
            Some(*landing)
        }
        _ => None,
    }
}

/// A state with its data, as the column `detail` holds it.
pub(super) fn encode(state: &ReplayState) -> Result<String, StoreError> {
    serde_json::to_string(state).map_err(StoreError::corrupt("the state of a replay"))
}

#[cfg(test)]
mod tests;
