//! Whether the audit is what was written: the chain from the first entry to the last, without gaps.

use std::fmt;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::{AuditHead, AuditRow, COLUMNS};
use crate::store::{BUSY_TIMEOUT, StoreError, connect_options};

/// Entries that are in memory at once.
const CHUNK: i64 = 500;

/// More faults are counted and not kept: the first ones tell where somebody began.
const MOST_FAULTS: usize = 20;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFault {
    /// The fields of the entry do not give its hash.
    Changed { seq: i64 },
    /// The entry does not build on the one before it: that one was replaced together with its hash.
    Detached { seq: i64 },
    /// Entries are missing between two others, or before the first.
    Removed { first: i64, last: i64 },
    /// Entries are missing after the last one: the database gave out higher numbers.
    CutOff { first: i64, last: i64 },
    /// No entry has the hash that was kept elsewhere.
    HeadNotFound { hash: String },
}

/// What [`verify_audit`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    pub entries: u64,
    /// The newest entry.
    pub head: Option<AuditHead>,
    /// The number of the entry whose hash was asked for.
    pub asked: Option<i64>,
    /// The first faults.
    pub faults: Vec<AuditFault>,
    /// All faults, also those that were not kept.
    pub fault_count: u64,
}

/// Reads the audit of the store at `url` without writing to it, also while Redrive runs, and follows the
/// chain. `asked` is a hash that was kept elsewhere: only that shows a chain that was cut off or
/// rewritten as a whole.
pub async fn verify_audit(url: &str, asked: Option<&str>) -> Result<AuditReport, StoreError> {
    let mut connection = open_to_read(url).await?;
    // Before the rows: what is appended meanwhile must not look cut off.
    let highest: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
            .fetch_optional(&mut connection)
            .await?;
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > ? ORDER BY seq LIMIT ?");
    let mut chain = Chain::new(asked);
    loop {
        let rows: Vec<AuditRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(chain.last_seq())
            .bind(CHUNK)
            .fetch_all(&mut connection)
            .await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            chain.follow(row);
        }
    }
    connection.close().await?;
    Ok(chain.finish(highest.unwrap_or(0)))
}

async fn open_to_read(url: &str) -> Result<SqliteConnection, StoreError> {
    let options = connect_options(url)?
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT);
    SqliteConnection::connect_with(&options)
        .await
        .map_err(|source| StoreError::OpenToRead {
            url: url.to_owned(),
            source,
        })
}

/// The chain as far as it was read.
struct Chain<'a> {
    asked: Option<&'a str>,
    report: AuditReport,
}

impl<'a> Chain<'a> {
    fn new(asked: Option<&'a str>) -> Self {
        Self {
            asked,
            report: AuditReport::default(),
        }
    }

    fn last_seq(&self) -> i64 {
        self.report.head.as_ref().map_or(0, |head| head.seq)
    }

    fn follow(&mut self, row: &AuditRow) {
        let expected = self.last_seq() + 1;
        let previous = self.report.head.as_ref().map_or("", |head| &head.hash);
        if row.seq != expected {
            self.fault(AuditFault::Removed {
                first: expected,
                last: row.seq - 1,
            });
        } else if row.previous_hash != previous {
            self.fault(AuditFault::Detached { seq: row.seq });
        }
        if row.computed_hash() != row.hash {
            self.fault(AuditFault::Changed { seq: row.seq });
        }
        if self.asked == Some(row.hash.as_str()) {
            self.report.asked = Some(row.seq);
        }
        self.report.entries += 1;
        self.report.head = Some(AuditHead {
            seq: row.seq,
            hash: row.hash.clone(),
        });
    }

    fn finish(mut self, highest: i64) -> AuditReport {
        let last = self.last_seq();
        if highest > last {
            self.fault(AuditFault::CutOff {
                first: last + 1,
                last: highest,
            });
        }
        if let (Some(hash), None) = (self.asked, self.report.asked) {
            self.fault(AuditFault::HeadNotFound {
                hash: hash.to_owned(),
            });
        }
        self.report
    }

    fn fault(&mut self, fault: AuditFault) {
        self.report.fault_count += 1;
        if self.report.faults.len() < MOST_FAULTS {
            self.report.faults.push(fault);
        }
    }
}

impl fmt::Display for AuditFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { seq } => write!(formatter, "entry {seq} was changed"),
            Self::Detached { seq } => write!(
                formatter,
                "entry {seq} does not build on the one before it, which was replaced"
            ),
            Self::Removed { first, last } if first == last => {
                write!(formatter, "entry {first} was removed")
            }
            Self::Removed { first, last } => {
                write!(formatter, "entries {first} to {last} were removed")
            }
            Self::CutOff { first, last } if first == last => {
                write!(formatter, "entry {first}, the last one, was removed")
            }
            Self::CutOff { first, last } => {
                write!(
                    formatter,
                    "entries {first} to {last}, the last ones, were removed"
                )
            }
            Self::HeadNotFound { hash } => write!(
                formatter,
                "no entry has the hash {hash}: it was removed, or the chain was rewritten"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
