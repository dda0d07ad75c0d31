use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::Body;
use super::dead_letters::{Payload, payload};
use crate::domain::{AmqpProperties, DeadLetterId, Header, Message, RevisionNumber};
use crate::store::NewRevision;
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::{must_be_deliverable, save_revision};
use crate::web::visit::{ANONYMOUS, Visit};

/// An edit: what is absent stays as it is in the revision that it builds on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRevisionBody {
    /// The latest if absent; another one in between is a conflict.
    builds_on: Option<u32>,
    #[serde(default)]
    payload: BytesChange,
    /// Of Kafka's record.
    #[serde(default)]
    key: BytesChange,
    /// All headers in their order, in the form in which a dead letter gives them.
    headers: Option<Vec<Header>>,
    /// Of RabbitMQ's message: what is absent stays, and null takes a property away.
    properties: Option<Map<String, Value>>,
    note: Option<String>,
}

/// Null makes a null payload or key, which is not the same as leaving the field out.
#[derive(Debug, Default)]
enum BytesChange {
    #[default]
    Unchanged,
    Null,
    Replaced(BytesBody),
}

impl<'de> Deserialize<'de> for BytesChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Option::<BytesBody>::deserialize(deserializer)?;
        Ok(bytes.map_or(Self::Null, Self::Replaced))
    }
}

/// A payload or a key as text, as `{"text": …}`, or as `{"base64": …}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum BytesBody {
    Plain(String),
    Base64 { base64: String },
    Text { text: String },
}

#[derive(Debug, Serialize)]
pub(super) struct Created {
    dead_letter_id: i64,
    revision: u32,
}

/// The whole message of one revision; 0 is the original.
#[derive(Debug, Serialize)]
pub(super) struct RevisionMessage {
    dead_letter_id: i64,
    revision: u32,
    key: Option<Payload>,
    payload: Option<Payload>,
    headers: Vec<Header>,
    properties: Option<Box<AmqpProperties>>,
}

pub(super) async fn detail(
    State(state): State<AppState>,
    Path((id, number)): Path<(i64, u32)>,
) -> Result<Json<RevisionMessage>, Problem> {
    let (id, revision) = (DeadLetterId(id), RevisionNumber(number));
    let message = state.store.message(id, revision).await?;
    Ok(Json(RevisionMessage {
        dead_letter_id: id.0,
        revision: revision.0,
        key: message.key.as_deref().map(payload),
        payload: message.body.as_deref().map(payload),
        headers: message.headers,
        properties: message.properties,
    }))
}

pub(super) async fn create(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
    Body(body): Body<NewRevisionBody>,
) -> Result<(StatusCode, Json<Created>), Problem> {
    let id = DeadLetterId(id);
    let letter = state.store.dead_letter(id).await?;
    let builds_on = RevisionNumber(body.builds_on.unwrap_or(letter.summary.latest_revision.0));
    if let (RevisionNumber(0), Some(omitted), BytesChange::Unchanged) =
        (builds_on, &letter.body_omitted, &body.payload)
    {
        return Err(Problem::conflict(format!("give a payload: {omitted}")));
    }
    let mut message = state.store.message(id, builds_on).await?;
    let note = body.note.clone().filter(|note| !note.is_empty());
    body.apply(&mut message)?;
    let verdict = must_be_deliverable(&state, &letter, &message).await;
    verdict.map_err(|refusal| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "It could not be replayed",
            refusal,
        )
    })?;
    let revision = NewRevision {
        dead_letter: id,
        builds_on,
        message,
        author: ANONYMOUS.to_owned(),
        note,
        at: visit.now,
    };
    let number = save_revision(&state, &visit, &revision).await?;
    let created = Created {
        dead_letter_id: id.0,
        revision: number.0,
    };
    Ok((StatusCode::CREATED, Json(created)))
}

impl NewRevisionBody {
    fn apply(self, message: &mut Message) -> Result<(), Problem> {
        self.payload.apply(&mut message.body, "payload")?;
        if message.properties.is_some() && !matches!(self.key, BytesChange::Unchanged) {
            return Err(Problem::bad_request(
                "key: a message of RabbitMQ has no key",
            ));
        }
        self.key.apply(&mut message.key, "key")?;
        if let Some(headers) = self.headers {
            message.headers = headers;
        }
        match (&mut message.properties, self.properties) {
            (_, None) => Ok(()),
            (Some(properties), Some(changes)) => change_properties(properties, &changes),
            (None, Some(_)) => Err(Problem::bad_request(
                "properties: a record of Kafka has none",
            )),
        }
    }
}

impl BytesChange {
    fn apply(self, bytes: &mut Option<Bytes>, what: &str) -> Result<(), Problem> {
        *bytes = match self {
            Self::Unchanged => return Ok(()),
            Self::Null => None,
            Self::Replaced(body) => {
                let wrong = |error| Problem::bad_request(format!("{what}.base64: {error}"));
                Some(body.into_bytes().map_err(wrong)?)
            }
        };
        Ok(())
    }
}

impl BytesBody {
    fn into_bytes(self) -> Result<Bytes, base64::DecodeError> {
        match self {
            Self::Plain(text) | Self::Text { text } => Ok(Bytes::from(text)),
            Self::Base64 { base64 } => STANDARD.decode(base64).map(Bytes::from),
        }
    }
}

/// What the destination of a replay decides.
const OF_THE_DESTINATION: [&str; 2] = ["exchange", "routing_key"];

fn change_properties(
    properties: &mut AmqpProperties,
    changes: &Map<String, Value>,
) -> Result<(), Problem> {
    for (name, value) in changes {
        let wrong = |why: &str| Problem::bad_request(format!("properties.{name}: {why}"));
        let mut all = serde_json::to_value(&*properties).map_err(|e| wrong(&e.to_string()))?;
        let Some(present) = all.get_mut(name) else {
            return Err(wrong("there is no such property"));
        };
        if present == value {
            continue;
        }
        if OF_THE_DESTINATION.contains(&name.as_str()) {
            return Err(wrong("it is that of the replay's destination"));
        }
        *present = value.clone();
        let edited: AmqpProperties =
            serde_json::from_value(all).map_err(|e| wrong(&e.to_string()))?;
        if name == "delivery_mode" && edited.delivery_mode.is_some_and(|m| m != 1 && m != 2) {
            return Err(wrong("it is neither 1 (transient) nor 2 (persistent)"));
        }
        *properties = edited;
    }
    Ok(())
}
