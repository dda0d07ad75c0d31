use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::Body;
use super::discards::selection;
use super::list::time;
use crate::dead_letters::Trial;
use crate::domain::{DeadLetterId, Repair, RepairId};
use crate::store::NewRepair;
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::{PATIENCE, actor};
use crate::web::visit::Visit;

/// Failures that are listed with a repair.
const FAILURES: u32 = 100;

/// What shall be repaired: `dead_letter_ids` or `filter`, and by which program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRepairs {
    dead_letter_ids: Option<Vec<i64>>,
    /// The empty filter means all that is open.
    filter: Option<String>,
    /// In jq.
    program: String,
    note: Option<String>,
    /// Only tells what the program would do.
    #[serde(default)]
    dry_run: bool,
}

/// A repair and how far it has come.
#[derive(Debug, Serialize)]
struct RepairView {
    id: i64,
    program: String,
    note: Option<String>,
    selection: String,
    requested_at: String,
    requested_by: String,
    changed: u64,
    unchanged: u64,
    failed: u64,
    failures: Vec<Failure>,
    /// Null while it goes on.
    finished_at: Option<String>,
    /// Why it ended early.
    problem: Option<String>,
}

/// What a program would do; the numbers are of the members that were looked at.
#[derive(Debug, Serialize)]
struct TrialView {
    selected: u64,
    looked_at: u64,
    changed: u64,
    unchanged: u64,
    failed: u64,
    samples: Vec<SampleView>,
    failures: Vec<Failure>,
    /// Changed ones that a broker may refuse or change.
    warnings: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct SampleView {
    dead_letter_id: i64,
    before: String,
    after: String,
}

#[derive(Debug, Serialize)]
struct Failure {
    dead_letter_id: i64,
    reason: String,
}

/// Repairs what is open of a selection that is frozen now, or tells what would become of it.
pub(super) async fn create(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<NewRepairs>,
) -> Result<Response, Problem> {
    let selection = selection(body.dead_letter_ids, body.filter.as_deref())?;
    let program = body.program;
    if body.dry_run {
        let trial = state
            .repairs
            .try_out(&program, &selection, visit.now)
            .await?;
        return Ok(Json(TrialView::of(trial)).into_response());
    }
    let actor = actor(&visit);
    let new = NewRepair {
        program,
        note: body.note.filter(|note| !note.is_empty()),
        selection,
        requested_at: visit.now,
        requested_by: actor.name,
        address: actor.address,
    };
    let repair = state.repairs.request(&new, PATIENCE).await?;
    let view = RepairView::load(&state, repair).await?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// How far a repair has come.
pub(super) async fn detail(
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    let repair = state.store.repair(RepairId(id)).await?;
    Ok(Json(RepairView::load(&state, repair).await?).into_response())
}

impl RepairView {
    async fn load(state: &AppState, repair: Repair) -> Result<Self, Problem> {
        let failures = state.store.repair_failures(repair.id, FAILURES).await?;
        Ok(Self {
            id: repair.id.0,
            program: repair.program,
            note: repair.note,
            selection: repair.selection.describe(),
            requested_at: time(repair.requested_at),
            requested_by: repair.requested_by,
            changed: repair.changed,
            unchanged: repair.unchanged,
            failed: repair.failed,
            failures: failures.into_iter().map(failure).collect(),
            finished_at: repair.finished_at.map(time),
            problem: repair.problem,
        })
    }
}

impl TrialView {
    fn of(trial: Trial) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let samples = trial.samples.iter().map(|sample| SampleView {
            dead_letter_id: sample.dead_letter.0,
            before: text(&sample.before),
            after: text(&sample.after),
        });
        Self {
            selected: trial.selected,
            looked_at: trial.looked_at(),
            changed: trial.changed,
            unchanged: trial.unchanged,
            failed: trial.failed,
            samples: samples.collect(),
            failures: trial.failures.into_iter().map(failure).collect(),
            warnings: trial.warnings.into_iter().map(failure).collect(),
        }
    }
}

fn failure((id, reason): (DeadLetterId, String)) -> Failure {
    Failure {
        dead_letter_id: id.0,
        reason,
    }
}
