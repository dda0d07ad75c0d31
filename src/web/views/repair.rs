//! Many payloads repaired by one jq program: what it would do to real members of the selection, the
//! confirmation, and how far it has come.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::bulk_form::{PATIENCE, TYPED_FROM, selecting_fields, selection_of};
use super::diff_view::{DiffLine, body_diff};
use super::frame::NavigationEntry;
use super::preflight::actor;
use crate::dead_letters::{RepairError, Sample, Trial};
use crate::domain::{BulkSelection, DeadLetterId, FilterField, Repair, RepairId};
use crate::store::NewRepair;
use crate::web::AppState;
use crate::web::escape::{Markup, textarea};
use crate::web::markup;
use crate::web::parameters::{Parameters, list_url};
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

/// Failures that the page of a repair lists.
const FAILURES: u32 = 100;

/// A sentence or two for the history.
const LONGEST_NOTE: usize = 500;

struct SampleView {
    id: i64,
    lines: Vec<DiffLine>,
}

struct FailureRow {
    id: i64,
    why: String,
}

/// What a program would do.
struct TrialView {
    changed: String,
    unchanged: String,
    failed: String,
    has_failures: bool,
    /// "Of the first 2,000 of 12,000"; empty if all were looked at.
    limit: String,
    samples: Vec<SampleView>,
    failures: Vec<FailureRow>,
    warnings: Vec<FailureRow>,
}

/// The program, and what it would do to the selection.
#[derive(Template)]
#[template(path = "repair.html")]
struct RepairPage {
    notice: String,
    selection: String,
    count: u64,
    count_words: String,
    program: Markup,
    note: String,
    trial: Option<TrialView>,
    must_type: bool,
    fields: Vec<(String, String)>,
    csrf: String,
    back: String,
}

/// How far a repair has come.
#[derive(Template)]
#[template(path = "repair_progress.html")]
struct RepairProgress {
    id: i64,
    state: Markup,
    problem: String,
    selection: String,
    by: String,
    at: Markup,
    program: String,
    note: String,
    changed: String,
    unchanged: String,
    failed: String,
    failures: Vec<FailureRow>,
    has_changed: bool,
    list: String,
    replay: String,
}

pub(crate) async fn new_repair(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    show(&state, &visit, &visit.query, (String::new(), None)).await
}

/// Tries a program out, or has it done if the person confirmed what the trial showed.
pub(crate) async fn repair(
    State(state): State<AppState>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let selection = selection_of(&fields)?;
    let program = program_of(&fields);
    if fields.get("step") == Some("confirm") {
        let count = state.repairs.count(&selection, visit.now).await?;
        match is_confirmed(count, &program, &fields) {
            Ok(()) => return confirm(&state, &visit, &fields, (selection, program)).await,
            Err(notice) => return show(&state, &visit, &fields, (notice, None)).await,
        }
    }
    match state.repairs.try_out(&program, &selection, visit.now).await {
        Ok(trial) => show(&state, &visit, &fields, (String::new(), Some(trial))).await,
        Err(error) => {
            let notice = refusal(error)?;
            show(&state, &visit, &fields, (notice, None)).await
        }
    }
}

async fn confirm(
    state: &AppState,
    visit: &Visit,
    fields: &Parameters,
    (selection, program): (BulkSelection, String),
) -> Result<Response, Problem> {
    let actor = actor(visit);
    let note = fields.get("note").map(str::trim).unwrap_or_default();
    let new = NewRepair {
        program,
        note: (!note.is_empty()).then(|| note.chars().take(LONGEST_NOTE).collect()),
        selection,
        requested_at: visit.now,
        requested_by: actor.name,
        address: actor.address,
    };
    match state.repairs.request(&new, PATIENCE).await {
        Ok(repair) => Ok(Redirect::to(&format!("/repairs/{}", repair.id)).into_response()),
        Err(error) => {
            let notice = refusal(error)?;
            show(state, visit, fields, (notice, None)).await
        }
    }
}

/// A fault of the program as a notice; anything else is no fault of the person.
fn refusal(error: RepairError) -> Result<String, Problem> {
    match error {
        RepairError::TooLong | RepairError::Empty | RepairError::Program(_) => {
            Ok(error.to_string())
        }
        error => Err(error.into()),
    }
}

/// Whether the person tried out this program, saw this number and, if it is large, typed it.
fn is_confirmed(count: u64, program: &str, fields: &Parameters) -> Result<(), String> {
    let seen = fields.get("count").unwrap_or("");
    if count == 0 {
        return Err("nothing of the selection is open any more".to_owned());
    }
    let tried = fields.all("tried").next().unwrap_or_default();
    if tried.replace("\r\n", "\n") != program {
        return Err("the program was changed after it was tried out; try it out again".to_owned());
    }
    if seen != count.to_string() {
        return Err(format!(
            "meanwhile the number of open dead letters in the selection changed from {seen} to \
             {count}; try the program out again"
        ));
    }
    let typed = fields.get("typed").unwrap_or("").replace([',', ' '], "");
    if count > TYPED_FROM && typed != seen {
        return Err(format!(
            "type {count} into the field beside the button to confirm; try the program out again"
        ));
    }
    Ok(())
}

pub(crate) async fn repair_progress(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
) -> Result<Response, Problem> {
    let repair = state.store.repair(RepairId(id)).await?;
    let failures = state.store.repair_failures(repair.id, FAILURES).await?;
    let content = RepairProgress::of(repair, failures, &visit);
    let title = format!("Repair {id}");
    visit.page(&state, NavigationEntry::DeadLetters, &title, &content)
}

async fn show(
    state: &AppState,
    visit: &Visit,
    fields: &Parameters,
    (notice, trial): (String, Option<Trial>),
) -> Result<Response, Problem> {
    let selection = selection_of(fields)?;
    let count = state.repairs.count(&selection, visit.now).await?;
    let content = RepairPage {
        notice,
        selection: selection.describe(),
        count,
        count_words: markup::counted(count, "dead letter", "dead letters"),
        program: textarea(&program_of(fields)),
        note: fields.get("note").unwrap_or("").to_owned(),
        trial: trial.map(TrialView::of),
        must_type: count > TYPED_FROM,
        fields: selecting_fields(fields),
        csrf: visit.csrf.clone(),
        back: back(&selection),
    };
    visit.page(state, NavigationEntry::DeadLetters, "Repair", &content)
}

/// As it was typed, with line breaks as `\n`.
fn program_of(fields: &Parameters) -> String {
    let typed = fields.all("program").next().unwrap_or_default();
    typed.replace("\r\n", "\n")
}

fn back(selection: &BulkSelection) -> String {
    match selection {
        BulkSelection::DeadLetters(ids) if ids.len() == 1 => format!("/dead-letters/{}", ids[0]),
        BulkSelection::DeadLetters(_) => "/dead-letters/list".to_owned(),
        BulkSelection::Filter(filter) => list_url(filter.text()),
    }
}

impl TrialView {
    fn of(trial: Trial) -> Self {
        let looked_at = trial.looked_at();
        let limit = if looked_at < trial.selected {
            format!(
                "These are the first {} of {}; the rest is looked at when you confirm.",
                markup::thousands(looked_at),
                markup::thousands(trial.selected)
            )
        } else {
            String::new()
        };
        Self {
            changed: markup::thousands(trial.changed),
            unchanged: markup::thousands(trial.unchanged),
            failed: markup::thousands(trial.failed),
            has_failures: trial.failed > 0,
            limit,
            samples: trial.samples.iter().map(sample).collect(),
            failures: trial.failures.into_iter().map(failure).collect(),
            warnings: trial.warnings.into_iter().map(failure).collect(),
        }
    }
}

fn sample(sample: &Sample) -> SampleView {
    SampleView {
        id: sample.dead_letter.0,
        lines: body_diff(Some(&sample.before), Some(&sample.after)),
    }
}

fn failure((id, why): (DeadLetterId, String)) -> FailureRow {
    FailureRow { id: id.0, why }
}

impl RepairProgress {
    fn of(repair: Repair, failures: Vec<(DeadLetterId, String)>, visit: &Visit) -> Self {
        let filter = FilterField::Repair.term(&repair.id.to_string());
        let state = match (&repair.problem, repair.finished_at) {
            (Some(_), _) => markup::status(markup::Status::Critical, "given up"),
            (None, Some(_)) => markup::status(markup::Status::Ok, "done"),
            (None, None) => markup::status(markup::Status::Idle, "running"),
        };
        Self {
            id: repair.id.0,
            state,
            problem: repair.problem.unwrap_or_default(),
            selection: repair.selection.describe(),
            by: repair.requested_by,
            at: markup::ago(repair.requested_at, visit.now),
            program: repair.program,
            note: repair.note.unwrap_or_default(),
            changed: markup::thousands(repair.changed),
            unchanged: markup::thousands(repair.unchanged),
            failed: markup::thousands(repair.failed),
            failures: failures.into_iter().map(failure).collect(),
            has_changed: repair.changed > 0,
            list: list_url(&filter),
            replay: Parameters::default()
                .with("filter", &filter)
                .url("/replays/new"),
        }
    }
}

impl From<RepairError> for Problem {
    fn from(error: RepairError) -> Self {
        match error {
            RepairError::Store(error) => error.into(),
            RepairError::TooLong | RepairError::Empty | RepairError::Program(_) => {
                Self::bad_request(error.to_string())
            }
            RepairError::Sandbox(error) => Self::internal("a program could not be run", &error),
        }
    }
}
