//! What was put aside: by whom, why, when it expires, and the way back.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::bulk_form::{PATIENCE, selection_of};
use super::dead_letter_list::parse_filter;
use super::frame::NavigationEntry;
use super::preflight::actor;
use crate::domain::{
    BulkAction, BulkActionId, BulkActionKind, BulkSelection, DeadLetterSummary, Discard, Timestamp,
};
use crate::store::{NewBulkAction, Page, PageRequest};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

/// Rows of one page.
const ROWS: u32 = 50;

struct Row {
    id: i64,
    href: String,
    event: String,
    source: String,
    dlq: String,
    cluster: String,
    class: String,
    message: String,
    by: String,
    at: Markup,
    reason: String,
    expires: Markup,
}

/// Discarded dead letters under a filter.
#[derive(Template)]
#[template(path = "discarded.html")]
struct Discarded {
    sentence: String,
    /// What the action of the URL did, and whether it is still at it.
    done: String,
    is_running: bool,
    problem: String,
    filter: String,
    filter_error: String,
    /// Terms with values that there are.
    known: Vec<String>,
    matching_words: String,
    rows: Vec<Row>,
    csrf: String,
    newest: String,
    older: String,
}

pub(crate) async fn discarded(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = Discarded::load(&state, &visit).await?;
    visit.page(&state, NavigationEntry::Discarded, "Discarded", &content)
}

/// Restores the ticked ones, or all that match.
pub(crate) async fn restore(
    State(state): State<AppState>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let selection = match fields.get("scope") {
        Some("all") => selection_of(&fields.with("id", ""))?,
        _ => selection_of(&fields.with("filter", "").with("all", ""))?,
    };
    let actor = actor(&visit);
    let only = match &selection {
        BulkSelection::DeadLetters(ids) if ids.len() == 1 => Some(ids[0]),
        _ => None,
    };
    let action = NewBulkAction {
        kind: BulkActionKind::Restore,
        selection,
        requested_at: visit.now,
        requested_by: actor.name,
        address: actor.address,
    };
    let action = state.bulk_actions.request(&action, PATIENCE).await?;
    let back = match (fields.get("back"), only) {
        (Some("page"), Some(id)) => format!("/dead-letters/{id}"),
        _ => Parameters::default()
            .with("filter", fields.get("filter").unwrap_or(""))
            .with("action", &action.id.to_string())
            .url("/discards"),
    };
    Ok(Redirect::to(&back).into_response())
}

impl Discarded {
    async fn load(state: &AppState, visit: &Visit) -> Result<Self, Problem> {
        let (filter, filter_error) = parse_filter(visit);
        let request = PageRequest {
            limit: ROWS,
            cursor: visit.query.get("cursor").map(str::to_owned),
        };
        let (page, matching) = match &filter {
            Some(filter) => {
                let selection = BulkSelection::Filter(filter.clone());
                let restore = BulkActionKind::Restore;
                let counted = state.bulk_actions.count(&restore, &selection, visit.now);
                let page = state.store.discarded(filter, visit.now, &request);
                (page.await?, counted.await?)
            }
            None => (Page::empty(), 0),
        };
        let action = action_of(state, visit).await?;
        let older = page
            .next_cursor
            .map(|cursor| visit.url_with("cursor", &cursor));
        let newest = request.cursor.map(|_| visit.url_with("cursor", ""));
        let matching_words = markup::counted(matching, "dead letter", "dead letters");
        Ok(Self {
            sentence: format!("{matching_words} put aside. Each can be restored."),
            done: action.as_ref().map(action_words).unwrap_or_default(),
            is_running: action.as_ref().is_some_and(|a| a.finished_at.is_none()),
            problem: action.and_then(|a| a.problem).unwrap_or_default(),
            filter: visit.query.get("filter").unwrap_or("").to_owned(),
            filter_error,
            known: state.store.suggested_terms().await?,
            matching_words,
            rows: page
                .items
                .iter()
                .map(|(letter, discard)| Row::of(letter, discard, visit.now))
                .collect(),
            csrf: visit.csrf.clone(),
            newest: newest.unwrap_or_default(),
            older: older.unwrap_or_default(),
        })
    }
}

async fn action_of(state: &AppState, visit: &Visit) -> Result<Option<BulkAction>, Problem> {
    let Some(number) = visit.query.get("action") else {
        return Ok(None);
    };
    let id = number
        .parse()
        .map_err(|_| Problem::bad_request(format!("{number:?} is no number of a bulk action")))?;
    Ok(Some(state.store.bulk_action(BulkActionId(id)).await?))
}

/// "12 dead letters discarded", "3 dead letters restored so far".
fn action_words(action: &BulkAction) -> String {
    let verb = match action.kind {
        BulkActionKind::Discard { .. } => "discarded",
        BulkActionKind::Restore => "restored",
    };
    let count = markup::counted(action.changed, "dead letter", "dead letters");
    let so_far = if action.finished_at.is_none() {
        " so far"
    } else {
        ""
    };
    format!("{count} {verb}{so_far}.")
}

impl Row {
    fn of(letter: &DeadLetterSummary, discard: &Discard, now: Timestamp) -> Self {
        Self {
            id: letter.id.0,
            href: format!("/dead-letters/{}", letter.id),
            event: letter.event.event_type.clone().unwrap_or_default(),
            source: letter.source.clone().unwrap_or_default(),
            dlq: letter.position.dlq().to_owned(),
            cluster: letter.cluster.to_string(),
            class: letter
                .failure_class
                .clone()
                .unwrap_or_else(|| letter.reason.to_string()),
            message: markup::cut_end(letter.failure_message.as_deref().unwrap_or(""), 120),
            by: discard.by.clone(),
            at: markup::ago(discard.at, now),
            reason: discard.reason.clone(),
            expires: expires(discard.expires_at, now),
        }
    }
}

/// "in 29 d", with the absolute time as title.
pub(super) fn expires(at: Timestamp, now: Timestamp) -> Markup {
    let absolute = at.to_rfc3339();
    let words = match at.since(now).as_secs() {
        0 => "expired".to_owned(),
        1..=3_599 => "within the hour".to_owned(),
        seconds @ 3_600..=172_799 => format!("in {} h", seconds / 3_600),
        seconds => format!("in {} d", seconds / 86_400),
    };
    askama::filters::Safe(format!(
        "<time datetime=\"{absolute}\" title=\"{absolute}\">{words}</time>"
    ))
}
