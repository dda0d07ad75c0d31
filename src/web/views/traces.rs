//! Traces found by an ID, an event type, or a death.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::frame::NavigationEntry;
use super::trace_gaps::{TapRow, gap_sentence, tap_row};
use super::trace_rows::trace_url;
use crate::config::TracesConfig;
use crate::domain::{Timestamp, TraceGap};
use crate::store::{TRACES_FOUND, TraceQuery, TraceSummary};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;
use crate::web::trace_query::trace_query;
use crate::web::visit::Visit;

/// Gaps that the page tells of.
const GAPS: u32 = 5;

struct Row {
    href: String,
    correlation_id: String,
    event_type: String,
    source: String,
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
    taps: Vec<TapRow>,
    gaps: Vec<Markup>,
    has_more_gaps: bool,
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
    let gaps = trace_gaps(&state, visit.now, GAPS + 1).await?;
    let content = TracesPage {
        taps: state.taps.statuses().into_iter().map(tap_row).collect(),
        gaps: gaps.iter().take(GAPS as usize).map(gap_sentence).collect(),
        has_more_gaps: gaps.len() > GAPS as usize,
        sentence: sentence(&found, &wanted),
        tapped: tapped(&state.config.traces),
        is_narrowed: wanted != TraceQuery::default() || !error.is_empty(),
        is_cut: i64::try_from(found.len()).is_ok_and(|found| found >= TRACES_FOUND),
        rows: found.iter().map(|found| row(found, visit.now)).collect(),
        typed: Typed::of(&visit.query, error),
    };
    visit.page(&state, NavigationEntry::Traces, "Traces", &content)
}

/// The last gaps among the events that are kept.
pub(crate) async fn trace_gaps(
    state: &AppState,
    now: Timestamp,
    most: u32,
) -> Result<Vec<TraceGap>, Problem> {
    let oldest = now.minus(*state.config.traces.max_age);
    let kept = (oldest, Timestamp(i64::MAX));
    Ok(state.store.trace_gaps(kept, most).await?)
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
    if !config.follows_anything() {
        return "No topic and no exchange is followed, so that a trace has only its dead letters and their \
             replays. Name some in traces.kafka_topics and traces.rabbitmq_exchanges to see what came before."
            .to_owned();
    }
    let named = |what: &str, patterns: &[String]| {
        (!patterns.is_empty()).then(|| format!("{what} that match {}", patterns.join(", ")))
    };
    let topics = named("Kafka topics", &config.kafka_topics);
    let exchanges = named("RabbitMQ exchanges", &config.rabbitmq_exchanges);
    let mut sentence = format!(
        "Events of {} are kept for {}.",
        [topics.as_deref(), exchanges.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" and of "),
        config.max_age
    );
    if exchanges.is_some() {
        sentence.push_str(" What is sent to the default exchange cannot be followed.");
    }
    sentence
}

fn row(found: &TraceSummary, now: Timestamp) -> Row {
    Row {
        href: trace_url(&found.correlation_id),
        correlation_id: found.correlation_id.clone(),
        event_type: found.event_type.clone().unwrap_or_default(),
        source: found.source.clone().unwrap_or_default(),
        events: markup::count(found.events),
        dead_letters: found.dead_letters,
        took: markup::duration(found.last.since(found.first)),
        last: markup::ago(found.last, now),
    }
}
