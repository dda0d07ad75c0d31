//! The editor of one dead letter: the form ([`form`]), its page ([`rows`]), its buttons ([`steps`]),
//! and the review of the difference before anything is saved.

mod bytes_field;
mod drafts;
mod form;
mod hex;
mod properties;
mod rows;
mod steps;
pub(crate) mod typed;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::json;

use self::form::EditForm;
use self::rows::Editor;
use super::diff_view::{DiffLine, body_diff, header_diff, property_diff};
use super::frame::NavigationEntry;
use super::payload::{self, Reading};
use super::preflight::{AudienceRow, audience_row};
use super::schema_view::SchemaView;
use crate::domain::{DeadLetter, DeadLetterId, Message, ReplayOptions, RevisionNumber, sha256_hex};
use crate::replay::{
    DestinationChoice, Finding, ReplayRequest, RevisionChoice, Selection, Severity,
};
use crate::store::{NewAuditEntry, NewRevision};
use crate::web::AppState;
use crate::web::escape::{Markup, textarea};
use crate::web::parameters::Parameters;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::{ANONYMOUS, CheckedForm, Visit};

pub(super) use self::drafts::DraftNote;
pub(crate) use self::properties::PROPERTIES;

/// The message as it comes back from the editor if nothing was touched. Fuzz targets come in here.
pub fn edited_without_change(message: &Message) -> Result<Message, String> {
    let form = EditForm::of(message, RevisionNumber(0));
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in form.fields() {
        // As HTML demands of a browser.
        let lines = value.replace("\r\n", "\n").replace(['\r', '\n'], "\r\n");
        encoded.append_pair(&name, &lines);
    }
    EditForm::sent(&Parameters::parse(encoded.finish().as_bytes())).message(message)
}

/// Something about the edit that a broker would not take, or would take otherwise.
struct FindingRow {
    status: &'static str,
    field: String,
    text: String,
}

/// The step before saving: what differs from the original, if that is here.
#[derive(Template)]
#[template(path = "review_edit.html")]
struct Review {
    id: i64,
    action: String,
    save: String,
    hidden: Vec<(String, Markup)>,
    compared: String,
    body: Vec<DiffLine>,
    properties: Vec<DiffLine>,
    headers: Vec<DiffLine>,
    verdict: String,
    verdict_status: &'static str,
    findings: Vec<FindingRow>,
    /// The broker would refuse it, so it cannot be saved.
    refused: bool,
    builds_on: u32,
    audiences: Vec<AudienceRow>,
    schema: Option<SchemaView>,
}

pub(crate) async fn edit(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
) -> Result<Response, Problem> {
    let id = DeadLetterId(id);
    if visit.query.get("draft").is_some()
        && let Some(form) = drafts::resumed(&state, id).await?
    {
        let base = Base::load(&state, id, Some(form.opened)).await?;
        let problem = base.is_newest(&form).err().unwrap_or_default();
        return editor(&state, &visit, &base, form, problem).await;
    }
    let asked = visit.query.revision().map_err(Problem::bad_request)?;
    let base = Base::load(&state, id, asked).await?;
    let mut form = EditForm::of(&base.opened, base.newest);
    form.opened = asked.unwrap_or(base.newest);
    editor(&state, &visit, &base, form, String::new()).await
}

/// Shows the diff, or the editor again: with what is wrong, or because the person went back.
pub(crate) async fn review_edit(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let mut form = EditForm::sent(&fields);
    let base = Base::load(&state, DeadLetterId(id), Some(form.opened)).await?;
    match fields.get("step") {
        Some("draft") => return drafts::save(&state, &visit, base.id(), &form).await,
        Some("discard-draft") => return drafts::discard(&state, &visit, base.id()).await,
        _ => {}
    }
    match steps::apply(&mut form, fields.get("step").unwrap_or(""), &base.opened) {
        Ok(false) => {}
        Ok(true) => return editor(&state, &visit, &base, form, String::new()).await,
        Err(problem) => return editor(&state, &visit, &base, form, problem).await,
    }
    let edited = match base.edited(&form) {
        Ok(edited) => edited,
        Err(problem) => return editor(&state, &visit, &base, form, problem).await,
    };
    if edited == *base.original() && base.newest == RevisionNumber(0) {
        let problem = "nothing was changed; change something, or replay the message as it is";
        return editor(&state, &visit, &base, form, problem.to_owned()).await;
    }
    let before = base.compared();
    let (verdict_status, verdict) = verdict(before, &edited);
    let findings = state.replay.deliverability(&base.letter, &edited).await;
    let content = Review {
        id,
        action: format!("/dead-letters/{id}/edit"),
        save: format!("/dead-letters/{id}/revisions"),
        hidden: hidden_fields(&visit, &form),
        compared: match base.letter.body_omitted {
            None => "original against edit".to_owned(),
            Some(_) => format!("revision {} against edit", base.begun),
        },
        body: body_diff(before.body.as_deref(), edited.body.as_deref()),
        properties: property_diff(before, &edited),
        headers: header_diff(before, &edited),
        verdict,
        verdict_status,
        refused: findings.iter().any(|f| f.severity == Severity::Refused),
        findings: findings.iter().map(finding_row).collect(),
        builds_on: form.builds_on.0,
        audiences: audiences(&state, base.id()).await,
        schema: SchemaView::load(&state.schemas, base.event_type(), &edited).await,
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
    let form = EditForm::sent(&fields);
    let base = Base::load(&state, DeadLetterId(id), Some(form.opened)).await?;
    let message = match base.edited(&form) {
        Ok(message) => message,
        Err(problem) => return editor(&state, &visit, &base, form, problem).await,
    };
    if let Err(problem) = must_be_deliverable(&state, &base.letter, &message).await {
        return editor(&state, &visit, &base, form, problem).await;
    }
    let revision = NewRevision {
        dead_letter: base.id(),
        builds_on: form.builds_on,
        message,
        author: ANONYMOUS.to_owned(),
        note: (!form.note.is_empty()).then(|| form.note.clone()),
        at: visit.now,
    };
    let number = save_revision(&state, &visit, &revision).await?;
    drafts::finish(&state, &visit, base.id()).await?;
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
        options: ReplayOptions::default(),
    };
    match state.replay.preflight(&request).await {
        Ok(preflight) => preflight.audiences.iter().map(audience_row).collect(),
        Err(error) => {
            tracing::debug!(%error, "the recipients of a replay are not known");
            Vec::new()
        }
    }
}

/// The dead letter with its original, and the message that an edit begins with.
struct Base {
    letter: DeadLetter,
    opened: Message,
    /// The revision that `opened` is.
    begun: RevisionNumber,
    newest: RevisionNumber,
}

impl Base {
    /// Begins with the revision that is asked for, or with the newest.
    async fn load(
        state: &AppState,
        id: DeadLetterId,
        asked: Option<RevisionNumber>,
    ) -> Result<Self, Problem> {
        let letter = state.store.dead_letter(id).await?;
        let newest = letter.summary.latest_revision;
        let begun = asked.unwrap_or(newest);
        if let (Some(omitted), RevisionNumber(0)) = (&letter.body_omitted, begun) {
            return Err(Problem::conflict(format!(
                "dead letter {id} cannot be edited: {omitted}"
            )));
        }
        let opened = state.store.message(id, begun).await?;
        Ok(Self {
            letter,
            opened,
            begun,
            newest,
        })
    }

    const fn id(&self) -> DeadLetterId {
        self.letter.summary.id
    }

    const fn original(&self) -> &Message {
        &self.letter.message
    }

    /// What an edit is compared with: the original, or what it began with where the body of the original is not here.
    const fn compared(&self) -> &Message {
        match self.letter.body_omitted {
            None => self.original(),
            Some(_) => &self.opened,
        }
    }

    fn event_type(&self) -> Option<&str> {
        self.letter.summary.event.event_type.as_deref()
    }

    fn edited(&self, form: &EditForm) -> Result<Message, String> {
        self.is_newest(form)?;
        form.message(&self.opened)
    }

    /// Whether the form began with the newest revision.
    fn is_newest(&self, form: &EditForm) -> Result<(), String> {
        if form.builds_on != self.newest {
            return Err(format!(
                "somebody saved revision {} meanwhile and you began with {}; copy what you need, \
                 reload the editor and edit again",
                self.newest, form.builds_on
            ));
        }
        Ok(())
    }
}

/// Whether the new body can be read, compared with the old one.
fn verdict(before: &Message, edited: &Message) -> (&'static str, String) {
    let old = payload::read(before.body.as_deref().unwrap_or_default());
    match payload::read(edited.body.as_deref().unwrap_or_default()) {
        Reading::Json => ("ok", "The new payload is well-formed JSON.".to_owned()),
        Reading::Text(why) if matches!(old, Reading::Json) => (
            "critical",
            format!("The payload was JSON and the new one is not: {why}."),
        ),
        Reading::Text(why) => (
            "warning",
            format!("The new payload is text, not JSON: {why}."),
        ),
        Reading::Binary(_) => ("idle", "The new payload is binary.".to_owned()),
    }
}

async fn editor(
    state: &AppState,
    visit: &Visit,
    base: &Base,
    form: EditForm,
    problem: String,
) -> Result<Response, Problem> {
    let schema = match form.body.bytes() {
        Ok(Some(body)) => {
            let typed = Message {
                body: Some(body),
                ..base.opened.clone()
            };
            SchemaView::load(&state.schemas, base.event_type(), &typed).await
        }
        _ => None,
    };
    let draft = DraftNote::load(state, base.id(), visit).await?;
    let content = Editor::of(visit, base, form, problem, (schema, draft));
    visit.page(state, NavigationEntry::DeadLetters, "Edit", &content)
}

/// The form once more, for the buttons under the diff.
fn hidden_fields(visit: &Visit, form: &EditForm) -> Vec<(String, Markup)> {
    let csrf = ("csrf".to_owned(), visit.csrf.clone());
    let fields = std::iter::once(csrf).chain(form.fields());
    fields
        .map(|(name, value)| (name, textarea(&value)))
        .collect()
}

fn finding_row(finding: &Finding) -> FindingRow {
    FindingRow {
        status: match finding.severity {
            Severity::Refused => "critical",
            Severity::Warning => "warning",
        },
        field: finding.field.clone(),
        text: format!("{}; {}", finding.reason, finding.remedy),
    }
}

/// Refuses what a broker would refuse, naming the first fault and its remedy.
pub(crate) async fn must_be_deliverable(
    state: &AppState,
    letter: &DeadLetter,
    edited: &Message,
) -> Result<(), String> {
    let findings = state.replay.deliverability(letter, edited).await;
    Finding::refusal(&findings).map_or(Ok(()), Err)
}
