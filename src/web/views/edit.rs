use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::json;

use super::diff_view::{DiffLine, body_diff, header_diff};
use super::edit_form::{BodyForm, EditForm, HeaderField, header_kinds};
use super::frame::NavigationEntry;
use super::payload::{self, Reading};
use super::preflight::{AudienceRow, audience_row};
use crate::domain::{DeadLetterId, Message, RevisionNumber, System, sha256_hex};
use crate::replay::{DestinationChoice, ReplayRequest, RevisionChoice, Selection};
use crate::store::{NewAuditEntry, NewRevision};
use crate::web::AppState;
use crate::web::escape::{Markup, textarea};
use crate::web::problem::Problem;
use crate::web::visit::{ANONYMOUS, CheckedForm, Visit};

/// Empty rows for new headers, for those who have no script to add some.
const EMPTY_ROWS: usize = 2;

struct Choice {
    value: &'static str,
    is_chosen: bool,
}

struct HeaderInput {
    index: usize,
    name: String,
    value: Markup,
    from: String,
    kinds: Vec<Choice>,
    removed: bool,
    /// It cannot be typed, so it can only stay or go.
    locked: bool,
    type_name: &'static str,
    shown: String,
}

/// The editor.
#[derive(Template)]
#[template(path = "edit.html")]
struct Editor {
    id: i64,
    back: String,
    action: String,
    csrf: String,
    builds_on: u32,
    problem: String,
    body_forms: Vec<Choice>,
    body: Markup,
    headers: Vec<HeaderInput>,
    header_count: usize,
    note: String,
    key: String,
}

/// The step before saving: what differs from the original.
#[derive(Template)]
#[template(path = "review_edit.html")]
struct Review {
    id: i64,
    action: String,
    save: String,
    hidden: Vec<(String, Markup)>,
    body: Vec<DiffLine>,
    headers: Vec<DiffLine>,
    verdict: String,
    verdict_status: &'static str,
    builds_on: u32,
    audiences: Vec<AudienceRow>,
}

pub(crate) async fn edit(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
) -> Result<Response, Problem> {
    let base = Base::load(&state, DeadLetterId(id)).await?;
    let form = EditForm::of(&base.latest, base.revision);
    editor(&state, &visit, &base, form, String::new())
}

/// Shows the diff, or the editor again: with what is wrong, or because the person went back.
pub(crate) async fn review_edit(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let base = Base::load(&state, DeadLetterId(id)).await?;
    let form = EditForm::sent(&fields);
    if fields.get("step") == Some("back") {
        return editor(&state, &visit, &base, form, String::new());
    }
    let edited = match base.edited(&form) {
        Ok(edited) => edited,
        Err(problem) => return editor(&state, &visit, &base, form, problem),
    };
    if edited == base.original && base.revision == RevisionNumber(0) {
        let problem = "nothing was changed; change something, or replay the message as it is";
        return editor(&state, &visit, &base, form, problem.to_owned());
    }
    let (verdict_status, verdict) = verdict(&base.original, &edited);
    let content = Review {
        id,
        action: format!("/dead-letters/{id}/edit"),
        save: format!("/dead-letters/{id}/revisions"),
        hidden: hidden_fields(&visit, &form),
        body: body_diff(base.original.body.as_deref(), edited.body.as_deref()),
        headers: header_diff(&base.original, &edited),
        verdict,
        verdict_status,
        builds_on: form.builds_on.0,
        audiences: audiences(&state, base.id).await,
    };
    visit.page(
        &state,
        NavigationEntry::DeadLetters,
        "Review the edit",
        &content,
    )
}

pub(crate) async fn save_edit(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let base = Base::load(&state, DeadLetterId(id)).await?;
    let form = EditForm::sent(&fields);
    let message = match base.edited(&form) {
        Ok(message) => message,
        Err(problem) => return editor(&state, &visit, &base, form, problem),
    };
    let revision = NewRevision {
        dead_letter: base.id,
        builds_on: form.builds_on,
        message,
        author: ANONYMOUS.to_owned(),
        note: (!form.note.is_empty()).then(|| form.note.clone()),
        at: visit.now,
    };
    let number = save_revision(&state, &visit, &revision).await?;
    let next = match fields.get("then") {
        Some("replay") => format!("/replays/new?id={id}&revision={number}"),
        _ => format!("/dead-letters/{id}?tab=history&saved={number}"),
    };
    Ok(Redirect::to(&next).into_response())
}

/// Stores an edit with its audit entry, for the page and the API.
pub(crate) async fn save_revision(
    state: &AppState,
    visit: &Visit,
    revision: &NewRevision,
) -> Result<RevisionNumber, Problem> {
    let body = revision.message.body.as_deref().unwrap_or_default();
    let entry = NewAuditEntry {
        at: revision.at,
        actor: revision.author.clone(),
        address: visit.address.clone(),
        action: "revision.create".to_owned(),
        detail: json!({
            "dead_letter": revision.dead_letter,
            "builds_on": revision.builds_on,
            "sha256": sha256_hex(body),
            "note": revision.note,
        }),
    };
    Ok(state.store.add_revision(revision, &entry).await?)
}

/// Who would see a replay to where it came from; empty if that is not known or not possible now.
async fn audiences(state: &AppState, id: DeadLetterId) -> Vec<AudienceRow> {
    let request = ReplayRequest {
        selection: Selection::DeadLetters(vec![id]),
        revision: RevisionChoice::Latest,
        destination: DestinationChoice::Original,
    };
    match state.replay.preflight(&request).await {
        Ok(preflight) => preflight.audiences.iter().map(audience_row).collect(),
        Err(error) => {
            tracing::debug!(%error, "the recipients of a replay are not known");
            Vec::new()
        }
    }
}

/// The message that an edit begins with, and the one that it is compared with.
struct Base {
    id: DeadLetterId,
    original: Message,
    latest: Message,
    revision: RevisionNumber,
}

impl Base {
    async fn load(state: &AppState, id: DeadLetterId) -> Result<Self, Problem> {
        let letter = state.store.dead_letter(id).await?;
        if let Some(omitted) = letter.body_omitted {
            return Err(Problem::conflict(format!(
                "dead letter {id} cannot be edited: {omitted}"
            )));
        }
        let revision = letter.summary.latest_revision;
        let latest = state.store.message(id, revision).await?;
        Ok(Self {
            id,
            original: letter.message,
            latest,
            revision,
        })
    }

    /// Only RabbitMQ's messages have properties.
    const fn system(&self) -> System {
        if self.original.properties.is_some() {
            System::RabbitMq
        } else {
            System::Kafka
        }
    }

    fn edited(&self, form: &EditForm) -> Result<Message, String> {
        if form.builds_on != self.revision {
            return Err(format!(
                "somebody saved revision {} meanwhile and you began with {}; copy what you need, \
                 reload the editor and edit again",
                self.revision, form.builds_on
            ));
        }
        form.message(&self.latest)
    }
}

/// Whether the new body can be read, compared with the old one.
fn verdict(original: &Message, edited: &Message) -> (&'static str, String) {
    let old = payload::read(original.body.as_deref().unwrap_or_default());
    match payload::read(edited.body.as_deref().unwrap_or_default()) {
        Reading::Json => ("ok", "The new payload is well-formed JSON.".to_owned()),
        Reading::Text(why) if matches!(old, Reading::Json) => (
            "critical",
            format!("The original is JSON and the new payload is not: {why}."),
        ),
        Reading::Text(why) => (
            "warning",
            format!("The new payload is text, not JSON: {why}."),
        ),
        Reading::Binary(_) => ("idle", "The new payload is binary.".to_owned()),
    }
}

fn editor(
    state: &AppState,
    visit: &Visit,
    base: &Base,
    mut form: EditForm,
    problem: String,
) -> Result<Response, Problem> {
    let opened = EditForm::of(&base.latest, base.revision);
    let filled = form
        .headers
        .iter()
        .filter(|field| field.from.is_some() || !field.name.is_empty());
    let mut fields: Vec<_> = filled.cloned().collect();
    fields.extend(std::iter::repeat_n(empty_field(), EMPTY_ROWS));
    let inputs = fields.iter().enumerate();
    let choice = |value: BodyForm| Choice {
        value: value.as_str(),
        is_chosen: value == form.body_form,
    };
    let content = Editor {
        id: base.id.0,
        back: format!("/dead-letters/{}", base.id),
        action: format!("/dead-letters/{}/edit", base.id),
        csrf: visit.csrf.clone(),
        builds_on: form.builds_on.0,
        problem,
        body_forms: [BodyForm::Text, BodyForm::Base64, BodyForm::Null]
            .map(choice)
            .into(),
        body: textarea(&form.body),
        headers: inputs
            .map(|(i, field)| input(i, field, &opened, header_kinds(base.system())))
            .collect(),
        header_count: fields.len(),
        note: std::mem::take(&mut form.note),
        key: base
            .original
            .key
            .as_deref()
            .map(super::headers_view::bytes_text)
            .unwrap_or_default(),
    };
    visit.page(state, NavigationEntry::DeadLetters, "Edit", &content)
}

const fn empty_field() -> HeaderField {
    HeaderField {
        name: String::new(),
        kind: String::new(),
        value: String::new(),
        from: None,
        removed: false,
        type_name: "",
    }
}

fn input(
    index: usize,
    field: &HeaderField,
    opened: &EditForm,
    kinds: &'static [&'static str],
) -> HeaderInput {
    let original = field.from.and_then(|from| opened.headers.get(from));
    let locked = original.is_some_and(|original| original.kind == "keep");
    let choice = |value: &&'static str| Choice {
        value,
        is_chosen: field.kind == **value,
    };
    HeaderInput {
        index,
        name: field.name.clone(),
        value: textarea(&field.value),
        from: field.from.map(|from| from.to_string()).unwrap_or_default(),
        kinds: kinds.iter().map(choice).collect(),
        removed: field.removed,
        locked,
        type_name: original.map_or("", |original| original.type_name),
        shown: original
            .map(|original| original.value.clone())
            .unwrap_or_default(),
    }
}

/// The form once more, for the buttons under the diff.
fn hidden_fields(visit: &Visit, form: &EditForm) -> Vec<(String, Markup)> {
    let mut fields = vec![
        ("csrf".to_owned(), textarea(&visit.csrf)),
        (
            "builds_on".to_owned(),
            textarea(&form.builds_on.to_string()),
        ),
        ("body_form".to_owned(), textarea(form.body_form.as_str())),
        ("body".to_owned(), textarea(&form.body)),
        ("note".to_owned(), textarea(&form.note)),
        (
            "headers".to_owned(),
            textarea(&form.headers.len().to_string()),
        ),
    ];
    for (index, field) in form.headers.iter().enumerate() {
        let from = field.from.map(|from| from.to_string()).unwrap_or_default();
        let removed = if field.removed { "1" } else { "" };
        let parts = [
            ("name", field.name.as_str()),
            ("kind", &field.kind),
            ("value", &field.value),
            ("from", &from),
            ("remove", removed),
        ];
        let named = parts.map(|(part, value)| (format!("h{index}-{part}"), textarea(value)));
        fields.extend(named);
    }
    fields
}
