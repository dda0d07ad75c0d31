//! What a single-purpose program would do with rows that it holds ready: the same SQLite, the same table with its
//! indexes, the same pragmas, prepared statements, as many rows a transaction, synced at each commit.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redrive::store::Store;

use crate::prepared::{Connection, Row};
use crate::site;

/// As many as the tap stores at once.
const ROWS_A_TRANSACTION: u32 = 2_000;

/// As `Store::open` sets them for the connection that writes.
const PRAGMAS: [&str; 5] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -32000",
    "PRAGMA wal_autocheckpoint = 8000",
];

/// Copies the events of a store into a fresh one; the seconds that the inserts took.
pub(crate) fn insert(from: &Path, events: u64) -> Result<f64> {
    let database = site::fresh_database("peer.db")?;
    let runtime = site::runtime()?;
    let store = runtime.block_on(Store::open(&site::store_url(&database)))?;
    runtime.block_on(store.close());
    let (source, target) = (Connection::open(from)?, Connection::open(&database)?);
    for pragma in PRAGMAS {
        target.execute(pragma)?;
    }
    let columns = source.rows("SELECT name FROM pragma_table_info('traced_events')", 0)?;
    let values = vec!["?"; columns.len()].join(", ");
    let mut insert = target.prepare(&format!("INSERT INTO traced_events VALUES ({values})"))?;
    let (mut taken, mut last, mut copied) = (Duration::ZERO, 0, 0);
    loop {
        let chunk = source.rows(
            &format!(
                "SELECT * FROM traced_events WHERE id > ? ORDER BY id LIMIT {ROWS_A_TRANSACTION}"
            ),
            last,
        )?;
        let Some(newest) = chunk.last().and_then(Row::integer) else {
            break;
        };
        last = newest;
        copied += chunk.len() as u64;
        let started = Instant::now();
        target.execute("BEGIN IMMEDIATE")?;
        chunk.iter().try_for_each(|row| insert.run(row))?;
        target.execute("COMMIT")?;
        taken += started.elapsed();
    }
    ensure!(
        copied == events,
        "{copied} events were stored, not {events}"
    );
    Ok(taken.as_secs_f64())
}
