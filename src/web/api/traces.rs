use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::list::time;
use crate::domain::{EventIdentity, EventPlace, TapPlace, TraceGap, TracedEvent};
use crate::store::TraceSummary;
use crate::traces::{Node, Repeat, Step, TraceId};
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::trace_query::trace_query;
use crate::web::views;
use crate::web::visit::Visit;

/// Gaps that the list tells of, the last first.
const GAPS: u32 = 100;

#[derive(Debug, Serialize)]
pub(super) struct Traces {
    items: Vec<Summary>,
    gaps: Vec<Gap>,
}

/// A time in which events may be missing.
#[derive(Debug, Serialize)]
struct Gap {
    cluster: String,
    #[serde(flatten)]
    place: GapPlace,
    from: String,
    to: String,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum GapPlace {
    Topic(String),
    Vhost(String),
}

impl From<&TraceGap> for Gap {
    fn from(gap: &TraceGap) -> Self {
        Self {
            cluster: gap.cluster.to_string(),
            place: match &gap.place {
                TapPlace::Topics => GapPlace::Topic("*".to_owned()),
                TapPlace::Topic(topic) => GapPlace::Topic(topic.to_string()),
                TapPlace::Vhost(vhost) => GapPlace::Vhost(vhost.to_string()),
            },
            from: time(gap.from),
            to: time(gap.to),
            reason: gap.reason.as_str(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Summary {
    correlation_id: String,
    first_at: String,
    last_at: String,
    events: u64,
    dead_letters: u64,
    event_type: Option<String>,
    source: Option<String>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<Traces>, Problem> {
    let wanted = trace_query(&visit.query).map_err(Problem::bad_request)?;
    let found = state.store.traces(&wanted).await?;
    let summary = |found: TraceSummary| Summary {
        correlation_id: found.correlation_id,
        first_at: time(found.first),
        last_at: time(found.last),
        events: found.events,
        dead_letters: found.dead_letters,
        event_type: found.event_type,
        source: found.source,
    };
    let gaps = views::trace_gaps(&state, visit.now, GAPS).await?;
    Ok(Json(Traces {
        items: found.into_iter().map(summary).collect(),
        gaps: gaps.iter().map(Gap::from).collect(),
    }))
}

/// A trace: each step stands behind the one that caused it.
#[derive(Debug, Serialize)]
pub(super) struct Trace {
    correlation_id: String,
    /// Under which it is exported.
    #[serde(rename = "trace_id")]
    exported_id: Option<String>,
    left_out: u64,
    gaps: Vec<Gap>,
    steps: Vec<TraceStep>,
}

#[derive(Debug, Serialize)]
struct TraceStep {
    kind: &'static str,
    at: Option<String>,
    /// Its index in the list.
    parent: Option<usize>,
    evidence: Option<&'static str>,
    repeat: Option<&'static str>,
    after_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventIdentity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Published>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<String>,
    /// Of a dead letter or of a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// Of an edit, or what a replay sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
}

/// Where and when an event was published.
#[derive(Debug, Serialize)]
struct Published {
    cluster: String,
    system: &'static str,
    #[serde(flatten)]
    place: Place,
    time_basis: &'static str,
    source: Option<String>,
    application_trace: Option<String>,
    application_span: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Place {
    Kafka {
        topic: String,
        partition: i32,
        offset: i64,
    },
    RabbitMq {
        vhost: String,
        exchange: String,
        routing_key: String,
    },
}

pub(super) async fn detail(
    State(state): State<AppState>,
    Path(correlation_id): Path<String>,
) -> Result<Json<Trace>, Problem> {
    let trace = views::known_trace(&state, &correlation_id).await?;
    Ok(Json(Trace {
        exported_id: TraceId::of(&correlation_id).map(|id| id.to_string()),
        correlation_id,
        left_out: trace.left_out,
        gaps: trace.gaps.iter().map(Gap::from).collect(),
        steps: trace.nodes.iter().map(TraceStep::of).collect(),
    }))
}

impl TraceStep {
    fn of(node: &Node) -> Self {
        let base = Self {
            kind: "missing",
            at: node.step.at().map(time),
            parent: node.parent,
            evidence: node.cause.as_str(),
            repeat: node.repeat.map(Repeat::as_str),
            after_ms: node.after_ms,
            event: None,
            published: None,
            dead_letter: None,
            replay: None,
            state: None,
            revision: None,
            author: None,
        };
        match &node.step {
            Step::Event(event) => Self {
                kind: "event",
                event: Some(event.event.clone()),
                published: Some(published(event)),
                replay: event.replay.map(|id| id.to_string()),
                ..base
            },
            Step::Letter(letter) => Self {
                kind: "dead_letter",
                event: Some(letter.event.clone()),
                dead_letter: Some(letter.id.0),
                state: Some(letter.status.as_str()),
                ..base
            },
            Step::Edit(edit) => Self {
                kind: "edit",
                dead_letter: Some(edit.letter.0),
                revision: Some(edit.revision.0),
                author: Some(edit.author.clone()),
                ..base
            },
            Step::Replay(replay) => Self {
                kind: "replay",
                dead_letter: Some(replay.letter.0),
                replay: Some(replay.id.to_string()),
                revision: Some(replay.revision.0),
                state: Some(replay.state.as_str()),
                ..base
            },
            Step::Missing(id) => Self {
                event: Some(EventIdentity {
                    event_id: Some(id.clone()),
                    ..EventIdentity::default()
                }),
                ..base
            },
        }
    }
}

fn published(event: &TracedEvent) -> Published {
    let application = event.application.as_ref();
    Published {
        cluster: event.place.cluster().to_string(),
        system: event.place.system().as_str(),
        place: match &event.place {
            EventPlace::Record(place) => Place::Kafka {
                topic: place.topic.to_string(),
                partition: place.partition.0,
                offset: place.offset.0,
            },
            EventPlace::Routed(place) => Place::RabbitMq {
                vhost: place.vhost.to_string(),
                exchange: place.exchange.to_string(),
                routing_key: place.routing_key.clone(),
            },
        },
        time_basis: event.basis.as_str(),
        source: event.source.clone(),
        application_trace: application.map(|span| span.trace.clone()),
        application_span: application.and_then(|span| span.span.clone()),
    }
}
