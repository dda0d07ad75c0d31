//! The rows of a trace: a causal tree whose every line says what happened, when, by which evidence it stands
//! there, and, as a drawing, where it lies between the first and the last step.

use std::fmt::Write as _;

use askama::Template;
use askama::filters::Safe;

use super::passes::Passes;
use super::replays::state_status;
use super::trace_gaps::gap_sentence;
use crate::config::TracesConfig;
use crate::domain::{
    DeadLetterStatus, EventPlace, TimeBasis, Timestamp, TracedEdit, TracedEvent, TracedLetter,
    TracedReplay,
};
use crate::traces::{Cause, Node, Repeat, Step, Trace};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::parameters::path;

/// Deeper lines are drawn as deep as this.
const DEEPEST: usize = 12;

/// Width and height of the drawing of a line.
const TRACK: (f64, f64) = (180.0, 20.0);
const MARGIN: f64 = 6.0;

/// One line of a trace.
struct TraceRow {
    /// Names the class of its indentation.
    depth: usize,
    /// For those who do not see the indentation.
    level: usize,
    what: Markup,
    href: String,
    title: String,
    place: String,
    badges: Vec<Markup>,
    evidence: &'static str,
    at: Markup,
    after: Markup,
    track: Markup,
    details: Vec<Detail>,
}

/// A fact of a step.
struct Detail {
    name: &'static str,
    value: String,
    /// Empty if it leads nowhere.
    href: String,
}

/// The time that a trace spans.
#[derive(Clone, Copy)]
struct Span {
    first: Timestamp,
    last: Timestamp,
}

#[derive(Template)]
#[template(path = "parts/trace.html")]
struct TraceTable {
    rows: Vec<TraceRow>,
    left_out: u64,
    gaps: Vec<Markup>,
}

/// What a line needs beside its step.
struct Context<'a> {
    config: &'a TracesConfig,
    passes: Passes<'a>,
}

/// A trace as a table.
pub(super) fn trace_table(trace: &Trace, state: &AppState) -> Result<Markup, askama::Error> {
    let snapshot = state.snapshot();
    let context = Context {
        config: &state.config.traces,
        passes: Passes::of(trace, &snapshot),
    };
    let table = TraceTable {
        rows: trace_rows(trace, &context),
        left_out: trace.left_out,
        gaps: trace.gaps.iter().map(gap_sentence).collect(),
    };
    Ok(Safe(table.render()?))
}

fn trace_rows(trace: &Trace, context: &Context) -> Vec<TraceRow> {
    let (first, last) = trace.span().unwrap_or_default();
    let span = Span { first, last };
    let row = |node: &Node| {
        let above = node.parent.map(|parent| &trace.nodes[parent]);
        row(node, above, span, context)
    };
    trace.nodes.iter().map(row).collect()
}

fn row(node: &Node, above: Option<&Node>, span: Span, context: &Context) -> TraceRow {
    let (status, word) = kind(&node.step);
    let shown = match &node.step {
        Step::Event(event) => event_line(event, context),
        Step::Letter(letter) => letter_line(letter),
        Step::Edit(edit) => edit_line(edit),
        Step::Replay(replay) => replay_line(replay),
        Step::Missing(id) => Line {
            title: "An event that was not seen".to_owned(),
            details: with_text(vec![("Event ID", id.clone())]),
            ..Line::default()
        },
    };
    TraceRow {
        depth: node.depth.min(DEEPEST),
        level: node.depth + 1,
        what: markup::status(status, word),
        href: shown.href,
        title: shown.title,
        place: shown.place,
        badges: badges(node),
        evidence: evidence(node),
        at: since_start(node.step.at(), span),
        after: after(node.after_ms),
        track: track(node, above, span, status),
        details: shown.details,
    }
}

#[derive(Default)]
struct Line {
    href: String,
    title: String,
    place: String,
    details: Vec<Detail>,
}

fn event_line(event: &TracedEvent, context: &Context) -> Line {
    let config = context.config;
    let place = &event.place;
    let known = |text: &Option<String>| text.clone().unwrap_or_default();
    let basis = match event.basis {
        TimeBasis::CreateTime => "the producer's (CreateTime)",
        TimeBasis::LogAppendTime => "the broker's (LogAppendTime)",
        TimeBasis::Publisher => "the publisher's (AMQP timestamp)",
        TimeBasis::Observed => "when Redrive saw it: the message has none",
    };
    let (shown, vhost) = match place {
        EventPlace::Record(record) => (
            format!("{} {}:{}", record.topic, record.partition, record.offset),
            None,
        ),
        EventPlace::Routed(routed) => (place.destination(), Some(routed.vhost.to_string())),
    };
    let passed_by = place.record().map(|record| context.passes.by(record));
    let passed_by = passed_by.unwrap_or_default();
    let mut details = with_text(vec![
        ("Event ID", known(&event.event.event_id)),
        ("Causation ID", known(&event.event.causation_id)),
        ("Aggregate ID", known(&event.event.aggregate_id)),
        ("Source", known(&event.source)),
        ("Passed by", passed_by),
        ("Cluster", place.cluster().to_string()),
        ("Vhost", known(&vhost)),
        ("Time", basis.to_owned()),
    ]);
    details.extend(event.application.as_ref().map(|span| Detail {
        name: "Application's trace",
        value: span.trace.clone(),
        href: config.application_trace(&span.trace).unwrap_or_default(),
    }));
    Line {
        href: String::new(),
        title: event
            .event
            .event_type
            .clone()
            .unwrap_or_else(|| "Event".to_owned()),
        place: shown,
        details,
    }
}

fn letter_line(letter: &TracedLetter) -> Line {
    Line {
        href: format!("/dead-letters/{}", letter.id),
        title: format!("Died: {}", markup::cut_end(&letter.failure(), 160)),
        place: letter.position.dlq().to_owned(),
        details: with_text(vec![
            (
                "Event ID",
                letter.event.event_id.clone().unwrap_or_default(),
            ),
            ("Consumer", letter.consumer.clone().unwrap_or_default()),
            ("Cluster", letter.cluster.to_string()),
            ("Broker", letter.position.system().as_str().to_owned()),
        ]),
    }
}

fn edit_line(edit: &TracedEdit) -> Line {
    Line {
        href: format!("/dead-letters/{}?tab=history", edit.letter),
        title: format!("Edited by {}: revision {}", edit.author, edit.revision),
        details: with_text(vec![("Note", edit.note.clone().unwrap_or_default())]),
        ..Line::default()
    }
}

fn replay_line(replay: &TracedReplay) -> Line {
    Line {
        href: format!("/replays/{}", replay.job),
        title: format!("Replay {}", replay.attempt),
        place: replay.destination.to_string(),
        details: with_text(vec![("Replay ID", replay.id.to_string())]),
    }
}

/// Facts that are given.
fn with_text(details: Vec<(&'static str, String)>) -> Vec<Detail> {
    let given = details.into_iter().filter(|(_, value)| !value.is_empty());
    let detail = |(name, value)| Detail {
        name,
        value,
        href: String::new(),
    };
    given.map(detail).collect()
}

const fn kind(step: &Step) -> (Status, &'static str) {
    match step {
        Step::Event(_) => (Status::Ok, "event"),
        Step::Letter(letter) => match letter.status {
            DeadLetterStatus::Open => (Status::Critical, "dead letter"),
            DeadLetterStatus::Replaying | DeadLetterStatus::Replayed => {
                (Status::Warning, "dead letter")
            }
            DeadLetterStatus::Discarded | DeadLetterStatus::Gone => (Status::Idle, "dead letter"),
        },
        Step::Edit(_) => (Status::Idle, "edit"),
        Step::Replay(_) => (Status::Warning, "replay"),
        Step::Missing(_) => (Status::Unknown, "not seen"),
    }
}

fn badges(node: &Node) -> Vec<Markup> {
    let mut badges = Vec::new();
    match node.repeat {
        Some(Repeat::Duplicate) => badges.push(markup::badge(Status::Warning, "duplicate")),
        Some(Repeat::Retry) => badges.push(markup::badge(Status::Idle, "retry")),
        Some(Repeat::Elsewhere) => badges.push(markup::badge(Status::Idle, "also published here")),
        Some(Repeat::Replay) => badges.push(markup::badge(Status::Idle, "replayed")),
        None => {}
    }
    match &node.step {
        Step::Letter(letter) => badges.push(markup::badge(Status::Idle, letter.status.as_str())),
        Step::Replay(replay) => {
            let (status, word) = state_status(replay.state);
            badges.push(markup::badge(status, word));
        }
        Step::Event(_) | Step::Edit(_) | Step::Missing(_) => {}
    }
    badges
}

/// Why the line stands where it does.
const fn evidence(node: &Node) -> &'static str {
    match (node.cause, &node.step) {
        (Cause::Unknown, Step::Missing(_)) => "named as a cause by what is below",
        (Cause::Unknown, _) => "no header names a cause",
        (Cause::CausationId, _) => "by its causation ID",
        (Cause::Provenance, Step::Letter(_)) => "by the headers of the dead letter",
        (Cause::Provenance, _) => "by the replay ID",
        (Cause::OwnRecord, _) => "by Redrive's own record",
        (Cause::SameEvent, _) => "by the same event ID",
        (Cause::Inferred, _) => "inferred: its service published because of such events before",
    }
}

/// The time since the first step, with the time itself as title.
fn since_start(at: Option<Timestamp>, span: Span) -> Markup {
    let Some(at) = at else {
        return markup::absent("not known");
    };
    let moment = at.to_rfc3339();
    let since = markup::duration(at.since(span.first));
    Safe(format!(
        "<time datetime=\"{moment}\" title=\"{moment}\">{since}</time>"
    ))
}

fn after(after_ms: Option<i64>) -> Markup {
    let Some(millis) = after_ms else {
        return Safe(String::new());
    };
    let duration = markup::duration(std::time::Duration::from_millis(millis.unsigned_abs()));
    if millis < 0 {
        let title = "it has an earlier time than what caused it: the clocks disagree";
        return Safe(format!("<span title=\"{title}\">−{duration}</span>"));
    }
    Safe(format!("+{duration}"))
}

/// A line from the time of the step above to its own, and a mark for itself.
fn track(node: &Node, above: Option<&Node>, span: Span, status: Status) -> Markup {
    let Some(at) = node.step.at() else {
        return Safe(String::new());
    };
    let (width, height) = TRACK;
    let middle = height / 2.0;
    let x = position(at, span);
    let mut svg = format!(
        "<svg class=\"track {}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" aria-hidden=\"true\">",
        status.class()
    );
    if let Some(from) = above.and_then(|above| above.step.at()) {
        let from = position(from, span);
        let class = match node.cause {
            Cause::Inferred => " class=\"inferred\"",
            _ => "",
        };
        let _ = write!(svg, "<path{class} d=\"M{from:.1} {middle}H{x:.1}\"/>");
    }
    let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{middle}\" r=\"4\"/></svg>");
    Safe(svg)
}

fn position(at: Timestamp, span: Span) -> f64 {
    let whole = span.last.since(span.first).as_secs_f64();
    let share = if whole > 0.0 {
        at.since(span.first).as_secs_f64() / whole
    } else {
        0.0
    };
    MARGIN + share * (TRACK.0 - 2.0 * MARGIN)
}

/// The page of a trace.
pub(super) fn trace_url(correlation_id: &str) -> String {
    path(["traces", correlation_id])
}

/// What the drawing spans, in words.
pub(super) fn spanned(trace: &Trace) -> String {
    match trace.span() {
        Some((first, last)) => markup::duration(last.since(first)),
        None => String::new(),
    }
}
