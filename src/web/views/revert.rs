//! Back to an earlier revision: it becomes the newest one once more, and what came after it stays in the
//! history.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::edit::save_revision;
use crate::domain::{DeadLetterId, RevisionNumber};
use crate::store::NewRevision;
use crate::web::AppState;
use crate::web::parameters::Parameters;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::{ANONYMOUS, CheckedForm, Visit};

/// Which revision a button goes back to, and the newest that its person saw.
pub(super) struct Revert {
    pub(super) revision: u32,
    pub(super) builds_on: u32,
}

impl Revert {
    /// None from the newest to itself.
    pub(super) fn to(revision: RevisionNumber, latest: RevisionNumber) -> Option<Self> {
        (revision != latest).then_some(Self {
            revision: revision.0,
            builds_on: latest.0,
        })
    }
}

pub(crate) async fn revert_edit(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let dead_letter = DeadLetterId(id);
    let wanted = number(&fields, "revision")?;
    let letter = state.store.dead_letter(dead_letter).await?;
    if let (RevisionNumber(0), Some(omitted)) = (wanted, &letter.body_omitted) {
        return Err(Problem::conflict(format!(
            "dead letter {id} cannot go back to its original: {omitted}"
        )));
    }
    let revision = NewRevision {
        dead_letter,
        builds_on: number(&fields, "builds_on")?,
        message: state.store.message(dead_letter, wanted).await?,
        author: ANONYMOUS.to_owned(),
        note: Some(back_to(wanted.0)),
        at: visit.now,
    };
    let saved = save_revision(&state, &visit, &revision).await?;
    let page = format!("/dead-letters/{id}?tab=history&saved={saved}");
    Ok(Redirect::to(&page).into_response())
}

/// What the history says of it.
pub(crate) fn back_to(revision: u32) -> String {
    match revision {
        0 => "back to the original".to_owned(),
        earlier => format!("back to revision {earlier}"),
    }
}

fn number(fields: &Parameters, name: &str) -> Result<RevisionNumber, Problem> {
    let text = fields.get(name).unwrap_or("");
    let number = text.parse().map(RevisionNumber);
    number.map_err(|_| Problem::bad_request(format!("{text:?} is no number of a revision")))
}
