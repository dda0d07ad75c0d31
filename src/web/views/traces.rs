//! Traces found by an ID, an event type, or a death.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::frame::NavigationEntry;
use super::trace_rows::trace_url;
use crate::config::TracesConfig;
use crate::domain::Timestamp;
use crate::store::{TRACES_FOUND, TraceQuery, TraceSummary};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;
use crate::web::trace_query::trace_query;
use crate::web::visit::Visit;

struct Row {
    href: String,
    correlation_id: String,
    events: Markup,
    dead_letters: u64,
    took: String,
    last: Markup,
}

/// The search as it was typed.
struct Typed {
    id: String,
    event_type: String,
    source: String,
    since: String,
    until: String,
    at_least: String,
    has_dead_letter: bool,
    has_duplicate: bool,
    /// Why it is none.
    error: String,
}

#[derive(Template)]
#[template(path = "traces.html")]
struct TracesPage {
    sentence: String,
    /// What is followed, or how to begin.
    tapped: String,
    typed: Typed,
    is_narrowed: bool,
    /// There may be more.
    is_cut: bool,
    rows: Vec<Row>,
}

pub(crate) async fn traces(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let (wanted, found, error) = match trace_query(&visit.query) {
        Ok(wanted) => {
            let found = state.store.traces(&wanted).await?;
            (wanted, found, String::new())
        }
        Err(error) => (TraceQuery::default(), Vec::new(), error),
    };
    // Who has an ID wants its story.
    if let (Some(_), [only]) = (&wanted.id, found.as_slice()) {
        return Ok(Redirect::to(&trace_url(&only.correlation_id)).into_response());
    }
    let content = TracesPage {
        sentence: sentence(&found, &wanted),
        tapped: tapped(&state.config.traces),
        is_narrowed: wanted != TraceQuery::default() || !error.is_empty(),
        is_cut: i64::try_from(found.len()).is_ok_and(|found| found >= TRACES_FOUND),
        rows: found.iter().map(|found| row(found, visit.now)).collect(),
        typed: Typed::of(&visit.query, error),
    };
    visit.page(&state, NavigationEntry::Traces, "Traces", &content)
}

impl Typed {
    fn of(query: &Parameters, error: String) -> Self {
        let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
        Self {
            id: text("id"),
            event_type: text("type"),
            source: text("source"),
            since: text("since"),
            until: text("until"),
            at_least: text("at_least"),
            has_dead_letter: query.get("dead").is_some(),
            has_duplicate: query.get("duplicate").is_some(),
            error,
        }
    }
}

fn sentence(found: &[TraceSummary], wanted: &TraceQuery) -> String {
    let with_letters = found.iter().filter(|trace| trace.dead_letters > 0).count();
    let traces = markup::counted(found.len() as u64, "trace", "traces");
    match (found.len(), wanted.has_dead_letter) {
        (0, _) => "No trace.".to_owned(),
        (_, true) => format!("{traces} with dead letters, the newest first."),
        (_, false) => format!("{traces}, the newest first; {with_letters} with dead letters."),
    }
}

fn tapped(config: &TracesConfig) -> String {
    if config.kafka_topics.is_empty() {
        return "No topic is followed, so that a trace has only its dead letters and their replays. \
             Name topics in traces.kafka_topics to see what came before."
            .to_owned();
    }
    format!(
        "Events of Kafka topics that match {} are kept for {}.",
        config.kafka_topics.join(", "),
        config.max_age
    )
}

fn row(found: &TraceSummary, now: Timestamp) -> Row {
    Row {
        href: trace_url(&found.correlation_id),
        correlation_id: found.correlation_id.clone(),
        events: markup::count(found.events),
        dead_letters: found.dead_letters,
        took: markup::duration(found.last.since(found.first)),
        last: markup::ago(found.last, now),
    }
}
