use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::group_care::Note;
use super::list::{List, filter, page_request, time, word};
use super::replays::Event;
use crate::domain::{
    DeadLetter, DeadLetterId, DeadLetterOrder, DeadLetterSummary, Discard, Header, Hop, Message,
    Origin, Position, Revision, Timestamp,
};
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::NOTES;
use crate::web::visit::Visit;

/// A dead letter as lists show it.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    id: i64,
    system: &'static str,
    cluster: String,
    vhost: Option<String>,
    dlq: String,
    partition: Option<i32>,
    offset: Option<i64>,
    status: &'static str,
    custody: &'static str,
    dead_at: String,
    indexed_at: String,
    origin: SummaryOrigin,
    error: SummaryError,
    event: crate::domain::EventIdentity,
    failure_group: String,
    size: u64,
    attempts: Option<u64>,
    latest_revision: u32,
    died_from_replay: Option<String>,
    possible_duplicate_of: Option<i64>,
}

#[derive(Debug, Serialize)]
struct SummaryOrigin {
    destination: Option<String>,
    consumer: Option<String>,
}

#[derive(Debug, Serialize)]
struct SummaryError {
    reason: &'static str,
    class: Option<String>,
    message: Option<String>,
}

/// Everything about one dead letter.
#[expect(clippy::struct_field_names, reason = "the names of the wire format")]
#[derive(Debug, Serialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    summary: Summary,
    origin_detail: Origin,
    stack_trace: Option<String>,
    failure_group_title: String,
    key: Option<Payload>,
    /// Null for a null body.
    payload: Option<Payload>,
    payload_omitted: Option<String>,
    headers: Vec<HeaderView>,
    properties: Option<Box<crate::domain::AmqpProperties>>,
    history: History,
}

#[derive(Debug, Serialize)]
pub(super) struct Payload {
    base64: String,
    /// Where it is UTF-8.
    text: Option<String>,
}

/// A header in its order; `value` can be sent back in a revision as it is.
#[derive(Debug, Serialize)]
struct HeaderView {
    #[serde(flatten)]
    header: Header,
    text: Option<String>,
}

#[derive(Debug, Serialize)]
struct History {
    deaths: Vec<Hop>,
    /// Whose replay it is.
    replay_of: Option<i64>,
    revisions: Vec<RevisionView>,
    replays: Vec<Event>,
    /// Null if it is not discarded.
    discard: Option<DiscardView>,
    /// Of its failure group.
    notes: Vec<Note>,
}

#[derive(Debug, Serialize)]
struct DiscardView {
    by: String,
    at: String,
    reason: String,
    expires_at: String,
}

#[derive(Debug, Serialize)]
struct RevisionView {
    number: u32,
    author: String,
    created_at: String,
    note: Option<String>,
}

/// Dead letters that match, those indexed last first if nothing else is asked.
pub(super) async fn list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<List<Summary>>, Problem> {
    let request = page_request(&visit)?;
    let words = DeadLetterOrder::ALL.map(DeadLetterOrder::as_str);
    let order = word(&visit, "sort", DeadLetterOrder::parse, &words)?.unwrap_or_default();
    let page = state
        .store
        .dead_letters_by(order, &filter(&visit)?, visit.now, &request)
        .await?;
    Ok(Json(List::of(page, |letter| Summary::of(&letter))))
}

pub(super) async fn detail(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
) -> Result<Json<Detail>, Problem> {
    let id = DeadLetterId(id);
    let letter = state.store.dead_letter(id).await?;
    let history = History::load(&state, &letter, visit.now).await?;
    Ok(Json(Detail::of(letter, history)))
}

impl Summary {
    pub(super) fn of(letter: &DeadLetterSummary) -> Self {
        let (vhost, partition, offset) = match &letter.position {
            Position::Kafka {
                partition, offset, ..
            } => (None, Some(partition.0), Some(offset.0)),
            Position::RabbitMq { vhost, .. } => (Some(vhost.to_string()), None, None),
        };
        Self {
            id: letter.id.0,
            system: letter.position.system().as_str(),
            cluster: letter.cluster.to_string(),
            vhost,
            dlq: letter.position.dlq().to_owned(),
            partition,
            offset,
            status: letter.status.as_str(),
            custody: letter.custody.as_str(),
            dead_at: time(letter.dead_at),
            indexed_at: time(letter.indexed_at),
            origin: SummaryOrigin {
                destination: letter.source.clone(),
                consumer: letter.consumer.as_ref().map(ToString::to_string),
            },
            error: SummaryError {
                reason: letter.reason.as_str(),
                class: letter.failure_class.clone(),
                message: letter.failure_message.clone(),
            },
            event: letter.event.clone(),
            failure_group: letter.group.to_string(),
            size: letter.size,
            attempts: letter.attempts.map(|(count, _)| count),
            latest_revision: letter.latest_revision.0,
            died_from_replay: letter.died_from_replay.map(|id| id.to_string()),
            possible_duplicate_of: letter.possible_duplicate_of.map(|id| id.0),
        }
    }
}

impl History {
    async fn load(state: &AppState, letter: &DeadLetter, now: Timestamp) -> Result<Self, Problem> {
        let (store, id) = (&state.store, letter.summary.id);
        let replay_of = match letter.summary.died_from_replay {
            Some(replay) => store.replay(replay).await.ok(),
            None => None,
        };
        let revisions = store.revisions(id).await?;
        let replays = store.replays_of(id).await?;
        let discard = store.discard_of(id).await?;
        let notes = store.group_notes(&letter.summary.group, NOTES).await?;
        Ok(Self {
            deaths: letter.decoded.hops.clone(),
            replay_of: replay_of.map(|replay| replay.dead_letter.0),
            revisions: revisions.iter().map(revision_view).collect(),
            replays: replays.iter().map(|r| Event::of(r, now)).collect(),
            discard: discard.map(discard_view),
            notes: notes.into_iter().map(Note::of).collect(),
        })
    }
}

fn discard_view(discard: Discard) -> DiscardView {
    DiscardView {
        by: discard.by,
        at: time(discard.at),
        reason: discard.reason,
        expires_at: time(discard.expires_at),
    }
}

impl Detail {
    fn of(letter: DeadLetter, history: History) -> Self {
        let Message {
            key,
            body,
            headers,
            properties,
        } = letter.message;
        let mut summary = Summary::of(&letter.summary);
        // Lists cut long messages; here the whole one is known.
        summary.error.message = letter.decoded.failure.message.or(summary.error.message);
        Self {
            summary,
            origin_detail: letter.decoded.origin,
            stack_trace: letter.decoded.failure.stack_trace,
            failure_group_title: letter.group_title,
            key: key.as_deref().map(payload),
            payload: body.as_deref().map(payload),
            payload_omitted: letter.body_omitted,
            headers: headers.into_iter().map(header_view).collect(),
            properties,
            history,
        }
    }
}

pub(super) fn payload(bytes: &[u8]) -> Payload {
    Payload {
        base64: STANDARD.encode(bytes),
        text: std::str::from_utf8(bytes).ok().map(str::to_owned),
    }
}

fn header_view(header: Header) -> HeaderView {
    HeaderView {
        text: header.value.as_text().map(str::to_owned),
        header,
    }
}

fn revision_view(revision: &Revision) -> RevisionView {
    RevisionView {
        number: revision.number.0,
        author: revision.author.clone(),
        created_at: time(revision.created_at),
        note: revision.note.clone(),
    }
}
