use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::dialects::unwrapped;
use crate::domain::DeadLetterId;
use crate::schemas::{Verdict, Violation};
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// What the JSON Schema of its event type says of a payload.
#[derive(Debug, Serialize)]
pub(super) struct SchemaVerdict {
    event_type: Option<String>,
    revision: u32,
    /// `valid`, `invalid`, `not_checked`, or `no_schema`.
    verdict: &'static str,
    /// Why it was not checked.
    reason: Option<String>,
    violations: Vec<ViolationView>,
}

#[derive(Debug, Serialize)]
struct ViolationView {
    /// Empty for the whole payload.
    path: String,
    message: String,
}

/// The verdict on what a replay of the latest or the named revision would send.
pub(super) async fn verdict(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
) -> Result<Json<SchemaVerdict>, Problem> {
    let summary = state.store.dead_letter_summary(DeadLetterId(id)).await?;
    let asked = visit.query.revision().map_err(Problem::bad_request)?;
    let revision = asked.unwrap_or(summary.latest_revision);
    let stored = state.store.message(summary.id, revision).await?;
    let message = unwrapped(&stored).map_or(stored, |(original, _)| original);
    let event_type = summary.event.event_type;
    let verdict = match message.body {
        None => None,
        Some(body) => state.schemas.verdict(event_type.as_deref(), &body).await,
    };
    let (word, reason, violations) = match verdict {
        None => ("no_schema", None, Vec::new()),
        Some(Verdict::Valid) => ("valid", None, Vec::new()),
        Some(Verdict::Invalid(violations)) => ("invalid", None, violations),
        Some(Verdict::NotChecked(why)) => ("not_checked", Some(why), Vec::new()),
    };
    Ok(Json(SchemaVerdict {
        event_type,
        revision: revision.0,
        verdict: word,
        reason,
        violations: violations.into_iter().map(view).collect(),
    }))
}

fn view(violation: Violation) -> ViolationView {
    ViolationView {
        path: violation.path,
        message: violation.message,
    }
}
