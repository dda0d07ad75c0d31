use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::download::{self, Download};
use super::list::filter;
use crate::config::Config;
use crate::dead_letters::from_export;
use crate::dialects::readable;
use crate::domain::{DeadLetterId, ExportedDeadLetter, Filter, Message, Timestamp};
use crate::store::{ImportedDeadLetter, NewAuditEntry, Store, StoreError};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::views::actor;
use crate::web::visit::Visit;

/// Bytes of one request of an import; a larger file goes in several. A line of the largest message fits.
pub(crate) const IMPORT_BODY_LIMIT: usize = 48 * 1024 * 1024;

/// IDs that an export knows at once.
const EXPORT_CHUNK: u32 = 500;

/// An export sends as much at once, and more only if one line is longer.
const EXPORT_BYTES: usize = 256 * 1024;

/// Lines that an answer explains; of the others only the number is said.
const EXPLAINED_LINES: usize = 100;

/// What an import did, or with `dry_run` would do.
#[expect(clippy::struct_field_names, reason = "the names of the wire format")]
#[derive(Debug, Default, Serialize)]
pub(super) struct Imported {
    dry_run: bool,
    lines: usize,
    imported: usize,
    /// Lines whose dead letter is here, or was in an earlier line.
    already_here: usize,
    /// Imported as open, because what they waited for, a replay or a restore, does not travel.
    reopened: usize,
    /// Imported as still lying in a RabbitMQ queue that was only observed: not replayed before they are taken
    /// into custody.
    still_in_queue: usize,
    /// The imported ones as ranges, such as `17-20,25`.
    dead_letter_ids: Option<String>,
    /// Lines that cannot be imported. If there is one, nothing is.
    faulty: usize,
    faults: Vec<Fault>,
}

/// A line that cannot be imported.
#[derive(Debug, Serialize)]
struct Fault {
    /// From 1.
    line: usize,
    error: String,
}

/// Where an export is.
struct ExportState {
    store: Store,
    config: Arc<Config>,
    filter: Filter,
    now: Timestamp,
    through: DeadLetterId,
    after: DeadLetterId,
    ids: VecDeque<DeadLetterId>,
}

/// Everything that matches now, the oldest first, with what is needed to import it elsewhere.
pub(super) async fn export(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let start = ExportState {
        filter: filter(&visit)?,
        now: visit.now,
        through: state.store.newest_id().await?,
        after: DeadLetterId(0),
        ids: VecDeque::new(),
        store: state.store,
        config: state.config,
    };
    let download = Download {
        media_type: download::NDJSON,
        name: "dead-letters.ndjson",
    };
    Ok(download.of(String::new(), start, next_part))
}

async fn next_part(mut state: ExportState) -> Result<Option<(String, ExportState)>, StoreError> {
    let mut part = String::new();
    while part.len() < EXPORT_BYTES {
        let Some(id) = state.next_id().await? else {
            break;
        };
        match state.store.exported(id).await {
            Ok(letter) => {
                let is_wrapped = |message: &Message| readable(message).is_some();
                let letter = letter.masked_by(&state.config.masking, is_wrapped);
                part.push_str(&download::json_line(&letter));
            }
            // Retention took it since.
            Err(StoreError::NoSuchDeadLetter(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((!part.is_empty()).then_some((part, state)))
}

impl ExportState {
    async fn next_id(&mut self) -> Result<Option<DeadLetterId>, StoreError> {
        if self.ids.is_empty() {
            let range = (self.after, self.through);
            let ids = self
                .store
                .matching_ids_between(&self.filter, self.now, range, EXPORT_CHUNK)
                .await?;
            self.ids = ids.into();
        }
        let next = self.ids.pop_front();
        self.after = next.unwrap_or(self.after);
        Ok(next)
    }
}

/// Imports the lines of an export. The same line twice is one dead letter, so that a broken import is
/// simply repeated.
pub(super) async fn import(
    State(state): State<AppState>,
    visit: Visit,
    body: Bytes,
) -> Result<Json<Imported>, Problem> {
    let dry_run = match visit.query.get("dry_run") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(Problem::bad_request(format!(
                "dry_run={other} is none of true, false"
            )));
        }
    };
    let mut result = Imported {
        dry_run,
        ..Imported::default()
    };
    let batch = read_lines(&state, &body, visit.now, &mut result).await?;
    if result.faulty == 0 {
        result.imported = batch.len();
        if !dry_run && !batch.is_empty() {
            let entry = audit_entry(&visit);
            let ids = state.store.import(batch, &entry, visit.now).await?;
            result.dead_letter_ids = Some(ids.to_string());
        }
    }
    Ok(Json(result))
}

async fn read_lines(
    state: &AppState,
    body: &[u8],
    now: Timestamp,
    result: &mut Imported,
) -> Result<Vec<ImportedDeadLetter>, StoreError> {
    let mut batch = Vec::new();
    let mut origins = HashSet::new();
    let lines = (1..).zip(body.split(|byte| *byte == b'\n'));
    for (number, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        result.lines += 1;
        let exported = match ExportedDeadLetter::parse(line) {
            Ok(exported) => exported,
            Err(error) => {
                result.add_fault(number, error.to_string());
                continue;
            }
        };
        let is_here = state.store.already_here(&exported).await?.is_some();
        if is_here || !origins.insert(exported.origin.clone()) {
            result.already_here += 1;
            continue;
        }
        let status = exported.status_after_import();
        result.reopened += usize::from(status != exported.status);
        result.still_in_queue += usize::from(exported.lies_in_observed_queue());
        batch.push(ImportedDeadLetter {
            letter: from_export(&exported, &state.config, now),
            origin: exported.origin,
            status,
            revisions: exported.revisions,
        });
    }
    Ok(batch)
}

impl Imported {
    fn add_fault(&mut self, line: usize, error: String) {
        self.faulty += 1;
        if self.faults.len() < EXPLAINED_LINES {
            self.faults.push(Fault { line, error });
        }
    }
}

fn audit_entry(visit: &Visit) -> NewAuditEntry {
    let actor = actor(visit);
    NewAuditEntry {
        at: visit.now,
        actor: actor.name,
        address: actor.address,
        action: "dead_letters.import".to_owned(),
        detail: json!({}),
    }
}
