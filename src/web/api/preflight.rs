use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Body;
use super::replay_request::NewReplays;
use crate::domain::Destination;
use crate::replay::{Audience, Preflight, PreflightEvent, Recipient, RefusalKind};
use crate::web::AppState;
use crate::web::problem::Problem;

/// What a replay would do if it were confirmed now.
#[derive(Debug, Serialize)]
pub(super) struct PreflightView {
    matching: u64,
    eligible: u64,
    /// Of the eligible ones, those that were sent before.
    already_replayed: u64,
    refused: BTreeMap<RefusalKind, u64>,
    audiences: Vec<AudienceView>,
    /// What the options may do.
    cautions: Vec<String>,
    /// The first thousand, in the order of sending.
    events: Vec<EventView>,
}

#[derive(Debug, Serialize)]
struct AudienceView {
    destination: Destination,
    /// The same for people.
    name: String,
    events: usize,
    /// False if the broker was not sampled, so that nobody knows the recipients.
    known: bool,
    recipients: Vec<RecipientView>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum RecipientView {
    Group {
        name: String,
        /// Null: there are some, which the broker does not describe.
        members: Option<usize>,
        /// Some of these events failed in this group.
        failed: bool,
    },
    Queue {
        name: String,
        consumers: Option<u64>,
    },
}

#[derive(Debug, Serialize)]
struct EventView {
    dead_letter_id: i64,
    revision: u32,
    replayed_before: bool,
    /// Null if it is refused.
    destination: Option<Destination>,
    refusal: Option<RefusalView>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RefusalView {
    kind: RefusalKind,
    reason: String,
}

/// Judges a request as the page before a replay does. Changes nothing.
pub(super) async fn preflight(
    State(state): State<AppState>,
    Body(body): Body<NewReplays>,
) -> Result<Json<PreflightView>, Problem> {
    let request = body.request()?;
    body.brake()?;
    let judged = state.replay.preflight(&request).await?;
    Ok(Json(PreflightView::of(judged)))
}

impl PreflightView {
    fn of(judged: Preflight) -> Self {
        Self {
            matching: judged.matching,
            eligible: judged.eligible,
            already_replayed: judged.already_replayed,
            refused: judged.refused,
            cautions: judged.cautions,
            audiences: judged.audiences.into_iter().map(AudienceView::of).collect(),
            events: judged.events.into_iter().map(EventView::of).collect(),
        }
    }
}

impl AudienceView {
    fn of(audience: Audience) -> Self {
        Self {
            name: audience.destination.to_string(),
            destination: audience.destination,
            events: audience.events,
            known: audience.known,
            recipients: audience
                .recipients
                .into_iter()
                .map(RecipientView::of)
                .collect(),
        }
    }
}

impl RecipientView {
    fn of(recipient: Recipient) -> Self {
        match recipient {
            Recipient::Group {
                group,
                members,
                failed,
            } => Self::Group {
                name: group.to_string(),
                members,
                failed,
            },
            Recipient::Queue { queue, consumers } => Self::Queue {
                name: queue.to_string(),
                consumers,
            },
        }
    }
}

impl EventView {
    fn of(event: PreflightEvent) -> Self {
        let (destination, refusal) = match event.verdict {
            Ok(destination) => (Some(destination), None),
            Err(refusal) => (None, Some(refusal)),
        };
        Self {
            dead_letter_id: event.dead_letter.0,
            revision: event.revision.0,
            replayed_before: event.replayed_before,
            destination,
            refusal: refusal.map(|refusal| RefusalView {
                kind: refusal.kind,
                reason: refusal.reason,
            }),
            warnings: event.warnings,
        }
    }
}
