use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, Request, header};
use axum::response::{IntoResponse as _, Response};

use super::custody::{CustodyAction, custody_action, return_notice};
use super::dead_letter_list::{letter_status, parse_filter};
use super::discarded::expires;
use super::edit::DraftNote;
use super::error_view::{ErrorView, error_view, headline};
use super::facts_view::{Fact, facts};
use super::frame::NavigationEntry;
use super::headers_view::{HeaderRow, header_rows, property_rows};
use super::history_view::{Happening, happenings};
use super::letter_columns::ListView;
use super::payload_tab::{Payload, Tab, payload};
use super::schema_view::SchemaView;
use super::shown_revision::{RevisionLine, as_shown, revision_line};
use super::trace_rows::{trace_table, trace_url};
use crate::domain::{
    DeadLetter, DeadLetterId, DeadLetterStatus, LookCost, RevisionNumber, Timestamp,
};
use crate::traces;
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::parameters::Parameters;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

enum Shown {
    Payload(Box<Payload>),
    Error(Box<ErrorView>),
    Headers {
        headers: Vec<HeaderRow>,
        properties: Vec<HeaderRow>,
    },
    History(Vec<Happening>),
    Trace(Box<TraceTab>),
}

impl Shown {
    /// Whether another revision would look different here.
    const fn is_of_a_revision(&self) -> bool {
        matches!(self, Self::Payload(_) | Self::Headers { .. })
    }
}

/// What else has its correlation ID.
struct TraceTab {
    correlation_id: String,
    href: String,
    /// Absent without a correlation ID.
    table: Option<Markup>,
}

/// One dead letter.
#[derive(Template)]
#[template(path = "dead_letter.html")]
pub(crate) struct DeadLetterPage {
    id: i64,
    title: String,
    status: Markup,
    marks: Vec<Markup>,
    error: String,
    facts: Vec<Fact>,
    tabs: Vec<Tab>,
    shown: Shown,
    /// Which revision is shown; absent where there is only one, or none is shown.
    revision: Option<RevisionLine>,
    newer: String,
    older: String,
    list: String,
    edit: String,
    replay: String,
    /// Why it cannot be replayed now; empty if it can.
    blocked: &'static str,
    saved: bool,
    is_open: bool,
    discard: String,
    discarded: Option<DiscardNote>,
    draft: Option<DraftNote>,
    custody: Option<CustodyAction>,
    /// What is known of its last return to its queue; may be empty.
    returned: String,
    csrf: String,
}

/// Why a discarded one was put aside.
struct DiscardNote {
    at: Markup,
    by: String,
    reason: String,
    expires: Markup,
}

pub(crate) async fn dead_letter(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = DeadLetterPage::load(&state, &visit, DeadLetterId(id)).await?;
    let title = format!("Dead letter {id}");
    visit.page(&state, NavigationEntry::DeadLetters, &title, &content)
}

/// The whole body as a file; never shown by the browser itself, whatever it holds.
pub(crate) async fn download_payload(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
) -> Result<Response, Problem> {
    let asked = visit.query.revision().map_err(Problem::bad_request)?;
    let revision = asked.unwrap_or(RevisionNumber(0));
    let message = state.store.message(DeadLetterId(id), revision).await?;
    let mut response = message.body.unwrap_or_default().into_response();
    let of_revision = match revision {
        RevisionNumber(0) => String::new(),
        edited => format!("-revision-{edited}"),
    };
    let disposition = format!("attachment; filename=\"dead-letter-{id}{of_revision}.bin\"");
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

impl DeadLetterPage {
    async fn load(state: &AppState, visit: &Visit, id: DeadLetterId) -> Result<Self, Problem> {
        let letter = state.store.dead_letter(id).await?;
        let revised = as_shown(state, visit, &letter).await?;
        let shown = shown(state, visit, (&letter, &revised)).await?;
        let filter = parse_filter(visit).0.unwrap_or_default();
        let (newer, older) = state.store.neighbours(id, &filter, visit.now).await?;
        let within = |id: Option<DeadLetterId>| {
            let page = |id| {
                visit
                    .query
                    .with("saved", "")
                    .with("revision", "")
                    .url(&format!("/dead-letters/{id}"))
            };
            id.map(page).unwrap_or_default()
        };
        Ok(Self {
            newer: within(newer),
            older: within(older),
            draft: DraftNote::load(state, id, visit).await?,
            discarded: discard_note(state, &letter, visit.now).await?,
            custody: custody_action(state, &letter),
            returned: return_notice(state, visit, id).await?,
            ..Self::of(&letter, visit, shown)
        })
    }

    /// The page by its dead letter alone, without what lies beside it in the store.
    fn of(letter: &DeadLetter, visit: &Visit, shown: Shown) -> Self {
        let summary = &letter.summary;
        let id = summary.id;
        let text = visit.query.get("filter").unwrap_or("");
        let revision = visit.query.get("revision").unwrap_or("");
        let line = revision_line(visit, summary.latest_revision);
        let (status, word) = letter_status(summary.status);
        let event = summary.event.event_type.clone();
        Self {
            id: id.0,
            title: event.unwrap_or_else(|| format!("Dead letter {id}")),
            status: markup::status(status, word),
            marks: marks(letter),
            error: headline(letter),
            facts: facts(letter, visit.now),
            tabs: tabs(visit),
            revision: line.filter(|_| shown.is_of_a_revision()),
            shown,
            newer: String::new(),
            older: String::new(),
            list: ListView::of(visit).url(text),
            edit: Parameters::default()
                .with("filter", text)
                .with("revision", revision)
                .url(&format!("/dead-letters/{id}/edit")),
            replay: Parameters::default()
                .with("id", &id.to_string())
                .with("revision", revision)
                .url("/replays/new"),
            blocked: blocked(letter),
            saved: visit.query.get("saved").is_some(),
            is_open: summary.status == DeadLetterStatus::Open,
            discard: format!("/discards/new?id={id}"),
            draft: None,
            discarded: None,
            custody: None,
            returned: String::new(),
            csrf: visit.csrf.clone(),
        }
    }
}

async fn discard_note(
    state: &AppState,
    letter: &DeadLetter,
    now: Timestamp,
) -> Result<Option<DiscardNote>, Problem> {
    if letter.summary.status != DeadLetterStatus::Discarded {
        return Ok(None);
    }
    let discard = state.store.discard_of(letter.summary.id).await?;
    Ok(discard.map(|discard| DiscardNote {
        at: markup::ago(discard.at, now),
        by: discard.by,
        reason: discard.reason,
        expires: expires(discard.expires_at, now),
    }))
}

/// What is in the tab that the URL names. `revised` is the dead letter with the message of the revision that is shown.
async fn shown(
    state: &AppState,
    visit: &Visit,
    (letter, revised): (&DeadLetter, &DeadLetter),
) -> Result<Shown, Problem> {
    Ok(match visit.query.get("tab") {
        Some("trace") => Shown::Trace(Box::new(trace_tab(state, letter).await?)),
        Some("history") => Shown::History(happenings(state, letter, visit.now).await?),
        Some("error") => message_tab(visit, letter, None),
        Some("headers") => message_tab(visit, revised, None),
        _ => {
            let event_type = letter.summary.event.event_type.as_deref();
            let schema = SchemaView::load(&state.schemas, event_type, &revised.message).await;
            message_tab(visit, revised, schema)
        }
    })
}

async fn trace_tab(state: &AppState, letter: &DeadLetter) -> Result<TraceTab, Problem> {
    let correlation_id = letter.summary.event.correlation_id.clone();
    let correlation_id = correlation_id.unwrap_or_default();
    let table = if correlation_id.is_empty() {
        None
    } else {
        Some(trace_table(
            &traces::load(&state.store, &correlation_id).await?,
            state,
        )?)
    };
    Ok(TraceTab {
        href: trace_url(&correlation_id),
        correlation_id,
        table,
    })
}

/// A tab that shows the message itself.
fn message_tab(visit: &Visit, letter: &DeadLetter, schema: Option<SchemaView>) -> Shown {
    match visit.query.get("tab") {
        Some("error") => Shown::Error(Box::new(error_view(letter))),
        Some("headers") => Shown::Headers {
            headers: header_rows(letter.summary.position.system(), &letter.message),
            properties: property_rows(&letter.message),
        },
        _ => Shown::Payload(Box::new(payload(visit, letter, schema))),
    }
}

fn blocked(letter: &DeadLetter) -> &'static str {
    let summary = &letter.summary;
    let is_original = summary.latest_revision == RevisionNumber(0);
    match summary.status {
        DeadLetterStatus::Open if summary.lies_in_observed_queue() => {
            "it lies in its queue; take it into custody first"
        }
        DeadLetterStatus::Open | DeadLetterStatus::Replayed if is_original => {
            match &letter.body_omitted {
                Some(_) if letter.has_body_in_topic() => "fetch the body first",
                Some(_) => {
                    "its body is not here: give it by redrive dead-letters edit --payload FILE"
                }
                None => "",
            }
        }
        DeadLetterStatus::Open | DeadLetterStatus::Replayed => "",
        DeadLetterStatus::Replaying => "a replay of it is still active",
        DeadLetterStatus::Gone => "it has left its queue",
        DeadLetterStatus::Discarded => "it was discarded; restore it first",
    }
}

fn marks(letter: &DeadLetter) -> Vec<Markup> {
    let summary = &letter.summary;
    let mut marks = Vec::new();
    if summary.latest_revision > RevisionNumber(0) {
        let word = format!("edited, revision {}", summary.latest_revision);
        marks.push(markup::badge(Status::Idle, &word));
    }
    if summary.died_from_replay.is_some() {
        marks.push(markup::badge(Status::Warning, "died again"));
    }
    marks
}

fn tabs(visit: &Visit) -> Vec<Tab> {
    let current = visit.query.get("tab").unwrap_or("");
    let known = [
        ("Payload", ""),
        ("Error", "error"),
        ("Headers", "headers"),
        ("Trace", "trace"),
        ("History", "history"),
    ];
    let tab = |(label, name): (&'static str, &str)| Tab {
        label,
        href: visit
            .query
            .with("saved", "")
            .with("form", "")
            .with("tab", name)
            .url(&visit.path),
        is_current: current == name || (name.is_empty() && !known.iter().any(|k| k.1 == current)),
    };
    known.into_iter().map(tab).collect()
}

/// The page in every form that depends on the message alone, without a store. Fuzz targets come in here.
pub fn dead_letter_pages(letter: &DeadLetter) -> Result<Vec<String>, askama::Error> {
    let forms = [
        "",
        "?form=raw",
        "?form=hex",
        "?form=stored",
        "?tab=error",
        "?tab=headers",
    ];
    let page = |form: &str| {
        let mut request = Request::new(());
        let uri = format!("/dead-letters/{}{form}", letter.summary.id);
        *request.uri_mut() = uri.parse().unwrap_or_default();
        let visit = Visit::of(&request);
        DeadLetterPage::of(letter, &visit, message_tab(&visit, letter, None)).render()
    };
    forms.into_iter().map(page).collect()
}
