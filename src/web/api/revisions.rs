use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::Body;
use super::dead_letters::{Payload, payload};
use crate::domain::{AmqpProperties, DeadLetterId, Header, RevisionNumber};
use crate::store::NewRevision;
use crate::web::AppState;
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
    payload: PayloadChange,
    /// All headers in their order, in the form in which a dead letter gives them.
    headers: Option<Vec<Header>>,
    note: Option<String>,
}

/// Null makes a null body, which is not the same as leaving the field out.
#[derive(Debug, Default)]
enum PayloadChange {
    #[default]
    Unchanged,
    Null,
    Replaced(PayloadBody),
}

impl<'de> Deserialize<'de> for PayloadChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload = Option::<PayloadBody>::deserialize(deserializer)?;
        Ok(payload.map_or(Self::Null, Self::Replaced))
    }
}

/// A payload as text, as `{"text": …}`, or as `{"base64": …}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PayloadBody {
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
    if let (Some(omitted), PayloadChange::Unchanged) = (&letter.body_omitted, &body.payload) {
        return Err(Problem::conflict(format!("give a payload: {omitted}")));
    }
    let latest = letter.summary.latest_revision;
    let builds_on = body.builds_on.map_or(latest, RevisionNumber);
    let mut message = state.store.message(id, builds_on).await?;
    match body.payload {
        PayloadChange::Unchanged => {}
        PayloadChange::Null => message.body = None,
        PayloadChange::Replaced(payload) => message.body = Some(payload.into_bytes()?),
    }
    if let Some(headers) = body.headers {
        message.headers = headers;
    }
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
        note: body.note.filter(|note| !note.is_empty()),
        at: visit.now,
    };
    let number = save_revision(&state, &visit, &revision).await?;
    let created = Created {
        dead_letter_id: id.0,
        revision: number.0,
    };
    Ok((StatusCode::CREATED, Json(created)))
}

impl PayloadBody {
    fn into_bytes(self) -> Result<Bytes, Problem> {
        match self {
            Self::Plain(text) | Self::Text { text } => Ok(Bytes::from(text)),
            Self::Base64 { base64 } => STANDARD
                .decode(base64)
                .map(Bytes::from)
                .map_err(|error| Problem::bad_request(format!("payload.base64: {error}"))),
        }
    }
}
