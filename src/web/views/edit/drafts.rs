//! Drafts: the editor's form, kept until somebody finishes or discards it.

use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::json;
use url::form_urlencoded;

use super::form::EditForm;
use crate::domain::DeadLetterId;
use crate::store::{Draft, NewAuditEntry};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;
use crate::web::visit::{ANONYMOUS, Visit};

/// Whose draft there is, for a notice.
pub(in crate::web::views) struct DraftNote {
    pub(in crate::web::views) by: String,
    pub(in crate::web::views) at: Markup,
}

impl DraftNote {
    pub(in crate::web::views) async fn load(
        state: &AppState,
        id: DeadLetterId,
        visit: &Visit,
    ) -> Result<Option<Self>, Problem> {
        let draft = state.store.draft(id).await?;
        Ok(draft.map(|draft| Self {
            by: draft.author,
            at: markup::ago(draft.saved_at, visit.now),
        }))
    }
}

/// The form as the draft has it.
pub(super) async fn resumed(
    state: &AppState,
    id: DeadLetterId,
) -> Result<Option<EditForm>, Problem> {
    let draft = state.store.draft(id).await?;
    Ok(draft.map(|draft| EditForm::sent(&Parameters::parse(draft.form.as_bytes()))))
}

/// Keeps the form and leaves the editor.
pub(super) async fn save(
    state: &AppState,
    visit: &Visit,
    id: DeadLetterId,
    form: &EditForm,
) -> Result<Response, Problem> {
    let draft = Draft {
        form: encoded(form),
        author: ANONYMOUS.to_owned(),
        saved_at: visit.now,
    };
    let entry = entry(visit, "draft.save", id);
    state.store.save_draft(id, &draft, &entry).await?;
    Ok(Redirect::to(&format!("/dead-letters/{id}")).into_response())
}

fn encoded(form: &EditForm) -> String {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(form.fields()).finish()
}

/// Forgets the draft and opens the editor without it.
pub(super) async fn discard(
    state: &AppState,
    visit: &Visit,
    id: DeadLetterId,
) -> Result<Response, Problem> {
    forget(state, visit, id, "draft.discard").await?;
    Ok(Redirect::to(&format!("/dead-letters/{id}/edit")).into_response())
}

/// A draft ends with the revision that it became.
pub(super) async fn finish(
    state: &AppState,
    visit: &Visit,
    id: DeadLetterId,
) -> Result<(), Problem> {
    forget(state, visit, id, "draft.finish").await
}

async fn forget(
    state: &AppState,
    visit: &Visit,
    id: DeadLetterId,
    action: &str,
) -> Result<(), Problem> {
    let entry = entry(visit, action, id);
    Ok(state.store.discard_draft(id, &entry).await?)
}

fn entry(visit: &Visit, action: &str, id: DeadLetterId) -> NewAuditEntry {
    NewAuditEntry {
        at: visit.now,
        actor: ANONYMOUS.to_owned(),
        address: visit.address.clone(),
        action: action.to_owned(),
        detail: json!({ "dead_letter": id }),
    }
}
