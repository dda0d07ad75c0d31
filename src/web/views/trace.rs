//! The story of one correlation ID.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::NavigationEntry;
use super::trace_rows::{spanned, trace_table};
use crate::traces::{self, Step, Trace, TraceId};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::parameters::list_url;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// A longer text is no correlation ID that intake or tap would have kept.
const LONGEST_ID: usize = 256;

#[derive(Template)]
#[template(path = "trace.html")]
struct TracePage {
    correlation_id: String,
    sentence: String,
    /// Under which it is exported; empty if it cannot be.
    trace_id: String,
    dead_letters: String,
    table: Markup,
}

pub(crate) async fn trace(
    State(state): State<AppState>,
    Path(correlation_id): Path<String>,
    visit: Visit,
) -> Result<Response, Problem> {
    let trace = known_trace(&state, &correlation_id).await?;
    let content = TracePage {
        sentence: sentence(&trace),
        trace_id: TraceId::of(&correlation_id)
            .map(|id| id.to_string())
            .unwrap_or_default(),
        dead_letters: letters_of(&trace, &correlation_id),
        table: trace_table(&trace, &state)?,
        correlation_id,
    };
    visit.page(&state, NavigationEntry::Traces, "Trace", &content)
}

/// The trace, of which something must be known.
pub(crate) async fn known_trace(state: &AppState, correlation_id: &str) -> Result<Trace, Problem> {
    let trace = match correlation_id.len() {
        0..=LONGEST_ID => traces::load(&state.store, correlation_id).await?,
        _ => Trace::default(),
    };
    if trace.nodes.is_empty() {
        return Err(Problem::not_found(format!(
            "nothing is known of the correlation ID {:?}; events leave after traces.max_age = {}, \
             and only topics of traces.kafka_topics and exchanges of traces.rabbitmq_exchanges are followed",
            markup::cut_end(correlation_id, 100),
            state.config.traces.max_age
        )));
    }
    Ok(trace)
}

pub(super) fn sentence(trace: &Trace) -> String {
    let count = |is_such: fn(&Step) -> bool| {
        let such = trace.nodes.iter().filter(|node| is_such(&node.step));
        such.count() as u64
    };
    let events = count(|step| matches!(step, Step::Event(_)));
    let letters = count(|step| matches!(step, Step::Letter(_)));
    let replays = count(|step| matches!(step, Step::Replay(_)));
    let mut parts = vec![markup::counted(events, "event", "events")];
    if letters > 0 {
        parts.push(markup::counted(letters, "dead letter", "dead letters"));
    }
    if replays > 0 {
        parts.push(markup::counted(replays, "replay", "replays"));
    }
    format!("{} within {}.", parts.join(", "), spanned(trace))
}

/// The list of its dead letters; empty without one, or where no filter can say the ID.
fn letters_of(trace: &Trace, correlation_id: &str) -> String {
    let has_letters = trace
        .nodes
        .iter()
        .any(|node| matches!(node.step, Step::Letter(_)));
    let is_plain = !correlation_id.contains(['"', '\\']);
    if has_letters && is_plain {
        return list_url(&format!("correlation:\"{correlation_id}\""));
    }
    String::new()
}
