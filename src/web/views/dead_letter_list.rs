use std::collections::HashMap;

use askama::Template;
use askama::filters::Safe;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::bulk_form::{discard_link, repair_link};
use super::facts_view::attempts;
use super::frame::NavigationEntry;
use super::letter_cells::{correlation, key, keys_of, position};
use super::letter_columns::{ColumnChoice, LetterColumn, ListView, shorter_address};
use super::look_notice::look_notice;
use super::saved_filters::SavedLink;
use crate::domain::{
    DeadLetterId, DeadLetterOrder, DeadLetterStatus, DeadLetterSummary, Filter, FilterField,
    RevisionNumber, Timestamp,
};
use crate::store::{COUNTED, Page, PageRequest};
use crate::web::AppState;
use crate::web::escape::{Markup, escaped};
use crate::web::markup::{self, Status};
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;
use crate::web::table::Head;
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
    taken_in: Markup,
    event: String,
    event_id: Markup,
    source: String,
    dlq: String,
    cluster: String,
    position: Markup,
    key: Markup,
    correlation: Markup,
    aggregate: Markup,
    consumer: Markup,
    attempts: Markup,
    size: String,
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

/// An entry of the form.
struct OrderChoice {
    name: &'static str,
    label: &'static str,
    is_current: bool,
}

/// The links to the other pages; each is empty where there is none.
struct Pager {
    first_label: &'static str,
    first: String,
    next_label: &'static str,
    next: String,
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
    /// Without a filter.
    show_all: String,
    filter_error: String,
    /// Terms with values that there are.
    known: Vec<String>,
    suggestions: Vec<Suggestion>,
    choices: Vec<ColumnChoice>,
    orders: Vec<OrderChoice>,
    /// The columns and the order as links and forms say them; empty if they need not.
    columns_chosen: String,
    sort: &'static str,
    /// What the browser can be told to keep; empty if it shows that anyway.
    columns_to_keep: String,
    saved: Vec<SavedLink>,
    can_save: bool,
    csrf: String,
    groups: String,
    matching_words: String,
    replay_all: String,
    discard_all: String,
    repair_all: String,
    columns: Vec<LetterColumn>,
    heads: Vec<Head>,
    rows: Vec<LetterRow>,
    pager: Pager,
}

pub(crate) async fn dead_letter_list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let view = ListView::of(&visit);
    if let Some(address) = shorter_address(&visit, &view) {
        return Ok(Redirect::to(&address).into_response());
    }
    let content = DeadLetterList::load(&state, &visit, view).await?;
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
    async fn load(state: &AppState, visit: &Visit, view: ListView) -> Result<Self, Problem> {
        let (filter, filter_error) = parse_filter(visit);
        let request = PageRequest {
            limit: ROWS,
            cursor: visit.query.get("cursor").map(str::to_owned),
        };
        let (page, matching) = match &filter {
            Some(filter) => (
                state
                    .store
                    .dead_letters_by(view.order, filter, visit.now, &request)
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
        let keys = keys_of(state, &view, &page).await?;
        let rows = page.items.iter();
        Ok(Self {
            sentence: sentence(matching, filter.as_ref()),
            look: look_notice(&visit.query),
            behind: behind_words(behind),
            filter: text.to_owned(),
            show_all: view.url(""),
            filter_error,
            known: state.store.suggested_terms().await?,
            suggestions: suggestions(&view, text),
            choices: view.choices(),
            orders: orders(view.order),
            columns_chosen: view.names_in_links(),
            sort: view.sort(),
            columns_to_keep: if view.is_new() {
                view.names(",")
            } else {
                String::new()
            },
            saved: saved
                .iter()
                .map(|it| SavedLink::of(it, &view, text))
                .collect(),
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
                .map(|letter| LetterRow::of(letter, &view, (text, visit.now), &keys))
                .collect(),
            pager: Pager::of(visit, view.order, &request, page.next_cursor.as_deref()),
            heads: view.heads(text),
            columns: view.columns,
        })
    }
}

impl LetterRow {
    fn of(
        letter: &DeadLetterSummary,
        view: &ListView,
        (filter, now): (&str, Timestamp),
        keys: &HashMap<DeadLetterId, Vec<u8>>,
    ) -> Self {
        let within = Parameters::default().with("filter", filter);
        let page = format!("/dead-letters/{}", letter.id);
        let (status, word) = letter_status(letter.status);
        Self {
            id: letter.id.0,
            href: view.page(letter.id.0, filter),
            edit: within.url(&format!("{page}/edit")),
            replay: format!("/replays/new?id={}", letter.id),
            status: markup::status(status, word),
            is_open: letter.status == DeadLetterStatus::Open,
            died: markup::ago(letter.dead_at, now),
            taken_in: markup::ago(letter.indexed_at, now),
            event: letter.event.event_type.clone().unwrap_or_default(),
            event_id: match &letter.event.event_id {
                Some(id) => markup::identifier(id),
                None => markup::absent("the message carries no event ID"),
            },
            source: letter.source.clone().unwrap_or_default(),
            dlq: letter.position.dlq().to_owned(),
            cluster: letter.cluster.to_string(),
            position: position(&letter.position),
            key: key(keys.get(&letter.id).map(Vec::as_slice)),
            correlation: correlation(letter),
            aggregate: match &letter.event.aggregate_id {
                Some(id) => markup::identifier(id),
                None => markup::absent("the message carries no aggregate ID"),
            },
            consumer: match &letter.consumer {
                Some(consumer) => Safe(escaped(consumer.as_str())),
                None => markup::absent("the message does not say who failed on it"),
            },
            attempts: attempts(letter).unwrap_or_else(|| {
                markup::absent("the message does not say how often it was tried")
            }),
            size: markup::bytes(letter.size),
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

fn orders(current: DeadLetterOrder) -> Vec<OrderChoice> {
    let choice = |order: DeadLetterOrder| OrderChoice {
        name: order.as_str(),
        label: match order {
            DeadLetterOrder::Newest => "Newest first",
            DeadLetterOrder::Oldest => "Oldest first",
        },
        is_current: order == current,
    };
    DeadLetterOrder::ALL.map(choice).into()
}

impl Pager {
    fn of(visit: &Visit, order: DeadLetterOrder, asked: &PageRequest, next: Option<&str>) -> Self {
        let (first_label, next_label) = match order {
            DeadLetterOrder::Newest => ("Newest", "Older"),
            DeadLetterOrder::Oldest => ("Oldest", "Newer"),
        };
        let first = asked.cursor.as_ref().map(|_| visit.url_with("cursor", ""));
        let next = next.map(|cursor| visit.url_with("cursor", cursor));
        Self {
            first_label,
            first: first.unwrap_or_default(),
            next_label,
            next: next.unwrap_or_default(),
        }
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

fn suggestions(view: &ListView, text: &str) -> Vec<Suggestion> {
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
        href: view.url(filter),
        is_current: filter == text.trim(),
    };
    known.into_iter().map(link).collect()
}

/// The list of everything with one value, for links from a detail.
pub(crate) fn list_of(field: FilterField, value: &str) -> String {
    crate::web::parameters::list_url(&field.term(value))
}
