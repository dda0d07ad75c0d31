//! What the page of a dead letter offers about its message at the broker: to take it out of its queue, to put
//! it back, or to fetch the body that the topic alone has.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use crate::dead_letters::Requester;
use crate::domain::{
    BulkSelection, Custody, DeadLetter, DeadLetterId, DeadLetterStatus, LookCost, System,
};
use crate::store::ReturnState;
use crate::web::AppState;
use crate::web::markup;
use crate::web::parameters::Parameters;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::{ANONYMOUS, CheckedForm, Visit};

/// A button.
pub(super) struct CustodyAction {
    pub(super) label: &'static str,
    pub(super) means: &'static str,
    pub(super) href: String,
    /// Why it is not possible; empty if it is.
    pub(super) refusal: String,
    /// What has to be accepted first.
    pub(super) cost: Option<LookCost>,
}

/// What can be done about where the message lies: of RabbitMQ with an open dead letter.
pub(super) fn custody_action(state: &AppState, letter: &DeadLetter) -> Option<CustodyAction> {
    if letter.has_body_in_topic() {
        return Some(CustodyAction {
            label: "Fetch the body",
            means: "Reads the body from its topic into the store, from where it can be replayed",
            href: format!("/dead-letters/{}/fetch-body", letter.summary.id),
            refusal: String::new(),
            cost: None,
        });
    }
    let letter = &letter.summary;
    let is_open = letter.status == DeadLetterStatus::Open;
    if !is_open || letter.position.system() != System::RabbitMq {
        return None;
    }
    let id = letter.id;
    Some(match letter.custody {
        Custody::Stream => return None,
        Custody::Broker => CustodyAction {
            label: "Take into custody",
            means: "Takes this one message out of its queue into the store, from where it can be replayed",
            href: format!("/dead-letters/{id}/take"),
            refusal: state.observer.take_refusal(letter).unwrap_or_default(),
            cost: state.observer.take_cost(letter),
        },
        Custody::Store => CustodyAction {
            label: "Return to queue",
            means: "Publishes the original back into the queue that it was taken from",
            href: format!("/dead-letters/{id}/return"),
            refusal: state.observer.return_refusal(letter).unwrap_or_default(),
            cost: None,
        },
    })
}

/// What is known of its last return; empty if there was none.
pub(super) async fn return_notice(
    state: &AppState,
    visit: &Visit,
    id: DeadLetterId,
) -> Result<String, Problem> {
    let Some(last) = state.store.return_of(id).await? else {
        return Ok(String::new());
    };
    let ago = markup::ago_text(last.at, visit.now);
    let by = last.by;
    Ok(match last.state {
        ReturnState::Sending => format!("It is on its way back into its queue, by {by}, {ago}."),
        ReturnState::Returned => format!("It was returned to its queue by {by}, {ago}."),
        ReturnState::Unknown => format!(
            "Its return to the queue by {by}, {ago}, was cut short: it may lie there as well. What is found \
             there with the same content will be marked as its possible duplicate."
        ),
    })
}

/// Who asks, for the audit.
pub(crate) fn requester(visit: &Visit) -> Requester {
    Requester {
        name: ANONYMOUS.to_owned(),
        address: visit.address.clone(),
    }
}

/// Whether a form accepts what a look at a queue costs.
pub(super) fn accepts_cost(fields: &Parameters) -> bool {
    fields.get("accept_cost").is_some()
}

pub(crate) async fn take_dead_letter(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let requester = requester(&visit);
    let take = state
        .observer
        .take(DeadLetterId(id), &requester, accepts_cost(&fields));
    take.await?;
    Ok(Redirect::to(&format!("/dead-letters/{id}")).into_response())
}

pub(crate) async fn fetch_body(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
    CheckedForm(_): CheckedForm,
) -> Result<Response, Problem> {
    let selection = BulkSelection::DeadLetters(vec![DeadLetterId(id)]);
    let requester = requester(&visit);
    let report = state.observer.fetch_bodies(&selection, &requester).await?;
    let refusal = format!("the body of dead letter {id} was not fetched");
    back_to(id, &report.refused, &refusal)
}

pub(crate) async fn return_dead_letter(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
    CheckedForm(_): CheckedForm,
) -> Result<Response, Problem> {
    let selection = BulkSelection::DeadLetters(vec![DeadLetterId(id)]);
    let requester = requester(&visit);
    let report = state.observer.give_back(&selection, &requester).await?;
    let refusal = format!("dead letter {id} was not returned to its queue");
    back_to(id, &report.refused, &refusal)
}

/// The page of the one that was asked for, or the `refusal` with its reason.
fn back_to(
    id: i64,
    refused: &[(DeadLetterId, String)],
    refusal: &str,
) -> Result<Response, Problem> {
    match refused.first() {
        Some((_, reason)) => Err(Problem::conflict(format!("{refusal}: {reason}"))),
        None => Ok(Redirect::to(&format!("/dead-letters/{id}")).into_response()),
    }
}
