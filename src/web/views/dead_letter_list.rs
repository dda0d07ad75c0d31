use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::bulk_form::{discard_link, repair_link};
use super::frame::NavigationEntry;
use super::look_notice::look_notice;
use super::saved_filters::SavedLink;
use crate::domain::{
    DeadLetterStatus, DeadLetterSummary, Filter, FilterField, RevisionNumber, Timestamp,
};
use crate::store::{COUNTED, Page, PageRequest};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Rows of one page.
const ROWS: u32 = 50;

/// One dead letter in a list.
pub(crate) struct LetterRow {
    id: i64,
    href: String,
    edit: String,
    replay: String,
    status: Markup,
    is_open: bool,
    died: Markup,
    event: String,
    event_id: Markup,
    source: String,
    dlq: String,
    cluster: String,
    class: String,
    message: String,
    marks: Vec<Markup>,
}

/// The terms that the filter bar offers as links.
struct Suggestion {
    label: &'static str,
    href: String,
    is_current: bool,
}

/// Dead letters as a list under a filter.
#[derive(Template)]
#[template(path = "dead_letter_list.html")]
pub(crate) struct DeadLetterList {
    sentence: String,
    /// What the look has seen that led here.
    look: String,
    /// What the search index does not know yet.
    behind: String,
    filter: String,
    filter_error: String,
    /// Terms with values that there are.
    known: Vec<String>,
    suggestions: Vec<Suggestion>,
    saved: Vec<SavedLink>,
    can_save: bool,
    csrf: String,
    groups: String,
    matching_words: String,
    replay_all: String,
    discard_all: String,
    repair_all: String,
    rows: Vec<LetterRow>,
    newest: String,
    older: String,
}

pub(crate) async fn dead_letter_list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = DeadLetterList::load(&state, &visit).await?;
    visit.page(
        &state,
        NavigationEntry::DeadLetters,
        "Dead letters",
        &content,
    )
}

/// The filter of the URL, or why it is none. A filter that is not understood selects nothing: showing
/// everything instead would offer to replay everything.
pub(crate) fn parse_filter(visit: &Visit) -> (Option<Filter>, String) {
    let typed = visit.query.get("filter").unwrap_or("");
    match Filter::parse(typed) {
        Ok(filter) => (Some(filter), String::new()),
        Err(error) => (None, error.shown_in(typed)),
    }
}

impl DeadLetterList {
    async fn load(state: &AppState, visit: &Visit) -> Result<Self, Problem> {
        let (filter, filter_error) = parse_filter(visit);
        let request = PageRequest {
            limit: ROWS,
            cursor: visit.query.get("cursor").map(str::to_owned),
        };
        let (page, matching) = match &filter {
            Some(filter) => (
                state
                    .store
                    .dead_letters(filter, visit.now, &request)
                    .await?,
                state.store.count_up_to_limit(filter, visit.now).await?,
            ),
            None => (Page::empty(), 0),
        };
        let behind = match &filter {
            Some(filter) => state.store.search_backlog_of(filter).await?,
            None => 0,
        };
        let saved = state.store.saved_filters().await?;
        let text = visit.query.get("filter").unwrap_or("");
        let rows = page.items.iter();
        let older = page
            .next_cursor
            .map(|cursor| visit.url_with("cursor", &cursor));
        let newest = request.cursor.map(|_| visit.url_with("cursor", ""));
        Ok(Self {
            sentence: sentence(matching, filter.as_ref()),
            look: look_notice(&visit.query),
            behind: behind_words(behind),
            filter: text.to_owned(),
            filter_error,
            known: state.store.suggested_terms().await?,
            suggestions: suggestions(text),
            saved: saved.iter().map(|it| SavedLink::of(it, text)).collect(),
            can_save: filter.as_ref().is_some_and(|filter| !filter.is_empty()),
            csrf: visit.csrf.clone(),
            groups: Parameters::default()
                .with("filter", text)
                .url("/dead-letters"),
            matching_words: matching_words(matching, filter.as_ref()),
            replay_all: replay_all(text),
            discard_all: discard_link(text),
            repair_all: repair_link(text),
            rows: rows
                .map(|letter| LetterRow::of(letter, text, visit.now))
                .collect(),
            newest: newest.unwrap_or_default(),
            older: older.unwrap_or_default(),
        })
    }
}

impl LetterRow {
    pub(crate) fn of(letter: &DeadLetterSummary, filter: &str, now: Timestamp) -> Self {
        let within = Parameters::default().with("filter", filter);
        let page = format!("/dead-letters/{}", letter.id);
        let (status, word) = letter_status(letter.status);
        Self {
            id: letter.id.0,
            href: within.url(&page),
            edit: within.url(&format!("{page}/edit")),
            replay: format!("/replays/new?id={}", letter.id),
            status: markup::status(status, word),
            is_open: letter.status == DeadLetterStatus::Open,
            died: markup::ago(letter.dead_at, now),
            event: letter.event.event_type.clone().unwrap_or_default(),
            event_id: match &letter.event.event_id {
                Some(id) => markup::identifier(id),
                None => markup::absent("the message carries no event ID"),
            },
            source: letter.source.clone().unwrap_or_default(),
            dlq: letter.position.dlq().to_owned(),
            cluster: letter.cluster.to_string(),
            class: letter
                .failure_class
                .clone()
                .unwrap_or_else(|| letter.reason.to_string()),
            message: markup::cut_end(letter.failure_message.as_deref().unwrap_or(""), 160),
            marks: marks(letter),
        }
    }
}

pub(crate) const fn letter_status(status: DeadLetterStatus) -> (Status, &'static str) {
    match status {
        DeadLetterStatus::Open => (Status::Critical, "open"),
        DeadLetterStatus::Replaying => (Status::Warning, "replaying"),
        DeadLetterStatus::Replayed => (Status::Ok, "replayed"),
        DeadLetterStatus::Gone => (Status::Idle, "gone"),
        DeadLetterStatus::Discarded => (Status::Idle, "discarded"),
    }
}

fn marks(letter: &DeadLetterSummary) -> Vec<Markup> {
    let mut marks = Vec::new();
    if letter.latest_revision > RevisionNumber(0) {
        marks.push(markup::badge(Status::Idle, "edited"));
    }
    if letter.died_from_replay.is_some() {
        marks.push(markup::badge(Status::Warning, "died again"));
    }
    if letter.possible_duplicate_of.is_some() {
        marks.push(markup::badge(Status::Unknown, "maybe a duplicate"));
    }
    marks
}

fn sentence(matching: u64, filter: Option<&Filter>) -> String {
    let letters = matching_words(matching, filter);
    match filter {
        None => "The filter is not understood.".to_owned(),
        Some(filter) if filter.is_empty() => format!("{letters} in all."),
        Some(filter) => format!("{letters} where {}.", filter.describe()),
    }
}

/// Empty if the index is not behind.
fn behind_words(behind: u64) -> String {
    if behind == 0 {
        return String::new();
    }
    let letters = markup::counted(behind, "dead letter", "dead letters");
    format!("{letters} are not in the search index yet and missing here; it is catching up.")
}

/// A filter's matches are not counted to the end.
fn matching_words(matching: u64, filter: Option<&Filter>) -> String {
    if matching > COUNTED && filter.is_some_and(|filter| !filter.is_empty()) {
        return format!("{}+ dead letters", markup::thousands(COUNTED));
    }
    markup::counted(matching, "dead letter", "dead letters")
}

/// The page that replays everything that matches; the empty filter must say so in so many words.
fn replay_all(text: &str) -> String {
    if text.trim().is_empty() {
        return "/replays/new?all=1".to_owned();
    }
    Parameters::default()
        .with("filter", text)
        .url("/replays/new")
}

fn suggestions(text: &str) -> Vec<Suggestion> {
    let known = [
        ("All", ""),
        ("Open", "status:open"),
        ("Replayed", "status:replayed"),
        ("Discarded", "status:discarded"),
        ("Died in the last hour", "age:<1h"),
        ("Kafka", "system:kafka"),
        ("RabbitMQ", "system:rabbitmq"),
    ];
    let link = |(label, filter): (&'static str, &str)| Suggestion {
        label,
        href: Parameters::default()
            .with("filter", filter)
            .url("/dead-letters/list"),
        is_current: filter == text.trim(),
    };
    known.into_iter().map(link).collect()
}

/// The list of everything with one value, for links from a detail.
pub(crate) fn list_of(field: FilterField, value: &str) -> String {
    crate::web::parameters::list_url(&field.term(value))
}
