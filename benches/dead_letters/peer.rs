//! The peer of intake: what a single-purpose program would do with rows that it holds ready. The same SQLite,
//! the same schema with its indexes and triggers, the same pragmas, the rows of the store that intake has
//! just filled; prepared statements, one transaction a thousand rows, synced at each commit. It decodes
//! nothing, reads no broker, and knows no duplicates, groups or cursors.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redrive::domain::DeadLetterId;
use redrive::store::Store;
use tokio::runtime::Runtime;

use crate::prepared::{Connection, Row, Statement, Value};
use crate::site;

const ROWS_A_TRANSACTION: u32 = 1_000;

/// As `Store::open` sets them for the connection that writes.
const PRAGMAS: [&str; 5] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -32000",
    "PRAGMA wal_autocheckpoint = 8000",
];

/// Whether the peer fills the full-text index as well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    Without,
    With,
}

/// Copies the dead letters of a store into a fresh one; the seconds that the inserts took.
pub(crate) fn insert(from: &Path, search: Search) -> Result<f64> {
    let database = site::fresh_database("peer.db")?;
    let runtime = site::runtime()?;
    let store = runtime.block_on(Store::open(&site::store_url(&database)))?;
    runtime.block_on(store.close());
    let source = Source {
        rows: Connection::open(from)?,
        documents: runtime.block_on(Store::open(&site::store_url(from)))?,
        runtime: &runtime,
        search,
    };
    let target = Connection::open(&database)?;
    for pragma in PRAGMAS {
        target.execute(pragma)?;
    }
    copy_groups(&source.rows, &target)?;
    let taken = copy_letters(&source, &target)?;
    drop(target);
    runtime.block_on(source.documents.close());
    site::remove_database(&database)?;
    Ok(taken.as_secs_f64())
}

/// Untimed: the rows of the dead letters refer to them.
fn copy_groups(source: &Connection, target: &Connection) -> Result<()> {
    let groups = source.rows(
        "SELECT id, title, explanation, first_seen_ms, last_seen_ms FROM failure_groups",
        0,
    )?;
    let mut insert = target.prepare(
        "INSERT INTO failure_groups (id, title, explanation, first_seen_ms, last_seen_ms) \
         VALUES (?, ?, ?, ?, ?)",
    )?;
    groups.iter().try_for_each(|row| insert.run(row))
}

fn copy_letters(source: &Source<'_>, target: &Connection) -> Result<Duration> {
    let mut letters = insert_all_columns(&source.rows, target, "dead_letters")?;
    let mut bodies = insert_all_columns(&source.rows, target, "bodies")?;
    let mut documents = target.prepare("INSERT INTO search_index (rowid, terms) VALUES (?, ?)")?;
    let (mut taken, mut last) = (Duration::ZERO, 0);
    loop {
        let chunk = source.chunk(last)?;
        let Some(newest) = chunk.letters.last().and_then(Row::integer) else {
            return Ok(taken);
        };
        last = newest;
        let started = Instant::now();
        target.execute("BEGIN IMMEDIATE")?;
        for (letter, body) in chunk.letters.iter().zip(&chunk.bodies) {
            letters.run(letter)?;
            bodies.run(body)?;
        }
        for document in &chunk.documents {
            documents.run(document)?;
        }
        target.execute("COMMIT")?;
        taken += started.elapsed();
    }
}

fn insert_all_columns<'c>(
    source: &Connection,
    target: &'c Connection,
    table: &str,
) -> Result<Statement<'c>> {
    let columns = source.rows(&format!("SELECT name FROM pragma_table_info('{table}')"), 0)?;
    let values = vec!["?"; columns.len()].join(", ");
    target.prepare(&format!("INSERT INTO {table} VALUES ({values})"))
}

/// Where the rows come from; reading them is not timed.
struct Source<'a> {
    rows: Connection,
    documents: Store,
    runtime: &'a Runtime,
    search: Search,
}

/// The rows of one transaction.
struct Chunk {
    letters: Vec<Row>,
    bodies: Vec<Row>,
    documents: Vec<Row>,
}

impl Source<'_> {
    fn chunk(&self, last: i64) -> Result<Chunk> {
        let after = |table: &str, id: &str| {
            let sql = format!(
                "SELECT * FROM {table} WHERE {id} > ? ORDER BY {id} LIMIT {ROWS_A_TRANSACTION}"
            );
            self.rows.rows(&sql, last)
        };
        let letters = after("dead_letters", "id")?;
        let bodies = after("bodies", "dead_letter")?;
        ensure!(
            letters.len() == bodies.len(),
            "a dead letter lacks its body"
        );
        let documents = match self.search {
            Search::Without => Vec::new(),
            Search::With => self.documents_after(last)?,
        };
        Ok(Chunk {
            letters,
            bodies,
            documents,
        })
    }

    fn documents_after(&self, last: i64) -> Result<Vec<Row>> {
        let documents = self
            .documents
            .search_documents(DeadLetterId(last), ROWS_A_TRANSACTION);
        let row = |(id, terms): (DeadLetterId, String)| {
            Row(vec![Value::Integer(id.0), Value::Text(terms.into_bytes())])
        };
        Ok(self
            .runtime
            .block_on(documents)?
            .into_iter()
            .map(row)
            .collect())
    }
}
