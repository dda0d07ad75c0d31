//! From a line of an export to a dead letter.

use super::letters::{Found, dead_letter};
use crate::config::Config;
use crate::domain::{Custody, ExportedDeadLetter, NewDeadLetter, Timestamp};

/// The dead letter of a line, decoded and grouped as if it had been found here. The store is its record:
/// no broker of this installation needs to hold it. What still lies in a queue elsewhere stays what it is, so
/// that it is not replayed as a second copy.
pub fn from_export(line: &ExportedDeadLetter, config: &Config, now: Timestamp) -> NewDeadLetter {
    let found = Found {
        cluster: line.cluster.clone(),
        position: line.position.clone(),
        message: line.message.clone(),
        arrived_at: Some(line.dead_at),
        custody: Custody::Store,
        redelivered: false,
    };
    // Read as taken, because that keeps a body of any size.
    let letter = dead_letter(found, config, now);
    NewDeadLetter {
        custody: line.custody,
        dead_at: line.dead_at.min(now),
        body_omitted: line.body_omitted.clone().or(letter.body_omitted),
        ..letter
    }
}
