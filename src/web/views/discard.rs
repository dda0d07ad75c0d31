//! Before dead letters are discarded: how many, why, and until when they can be restored.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::bulk_form::{PATIENCE, TYPED_FROM, checked_reason, selecting_fields, selection_of};
use super::frame::NavigationEntry;
use super::preflight::actor;
use crate::domain::{BulkActionKind, BulkSelection, Timestamp};
use crate::store::NewBulkAction;
use crate::web::AppState;
use crate::web::markup;
use crate::web::parameters::{Parameters, list_url};
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

/// For how many days a discarded dead letter can be restored; the first is the default.
const DAYS: [u64; 4] = [30, 7, 90, 365];

struct Choice {
    days: u64,
    is_chosen: bool,
}

/// What will be discarded.
#[derive(Template)]
#[template(path = "discard.html")]
struct DiscardPage {
    notice: String,
    selection: String,
    count: u64,
    count_words: String,
    others_words: String,
    reason: String,
    choices: Vec<Choice>,
    must_type: bool,
    fields: Vec<(String, String)>,
    csrf: String,
    back: String,
}

pub(crate) async fn confirm_discard(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    show(&state, &visit, &visit.query, String::new()).await
}

/// Discards, unless the number changed since the person saw it or something is missing.
pub(crate) async fn discard(
    State(state): State<AppState>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let selection = selection_of(&fields)?;
    let days = days_of(&fields);
    let kind = BulkActionKind::Discard {
        reason: match checked_reason(fields.get("reason").unwrap_or("")) {
            Ok(reason) => reason,
            Err(notice) => return show(&state, &visit, &fields, notice).await,
        },
        expires_at: visit.now.plus(Duration::from_hours(24 * days)),
    };
    let count = state
        .bulk_actions
        .count(&kind, &selection, visit.now)
        .await?;
    if let Err(notice) = is_confirmed(count, &fields) {
        return show(&state, &visit, &fields, notice).await;
    }
    let actor = actor(&visit);
    let action = NewBulkAction {
        kind,
        selection,
        requested_at: visit.now,
        requested_by: actor.name,
        address: actor.address,
    };
    let action = state.bulk_actions.request(&action, PATIENCE).await?;
    let done = Parameters::default().with("action", &action.id.to_string());
    Ok(Redirect::to(&done.url("/discards")).into_response())
}

/// Whether the person saw this number and, if it is large, typed it.
fn is_confirmed(count: u64, fields: &Parameters) -> Result<(), String> {
    let seen = fields.get("count").unwrap_or("");
    if count == 0 {
        return Err("nothing of the selection is open any more".to_owned());
    }
    if seen != count.to_string() {
        return Err(format!(
            "meanwhile the number of open dead letters in the selection changed from {seen} to \
             {count}; look again and confirm"
        ));
    }
    let typed = fields.get("typed").unwrap_or("").replace([',', ' '], "");
    if count > TYPED_FROM && typed != seen {
        return Err(format!(
            "type {count} into the field beside the button to confirm"
        ));
    }
    Ok(())
}

fn days_of(fields: &Parameters) -> u64 {
    let asked = fields.get("days").and_then(|days| days.parse().ok());
    asked.filter(|days| DAYS.contains(days)).unwrap_or(DAYS[0])
}

async fn show(
    state: &AppState,
    visit: &Visit,
    fields: &Parameters,
    notice: String,
) -> Result<Response, Problem> {
    let selection = selection_of(fields)?;
    let content = DiscardPage::load(state, visit, (fields, &selection), notice).await?;
    visit.page(state, NavigationEntry::Discarded, "Discard", &content)
}

impl DiscardPage {
    async fn load(
        state: &AppState,
        visit: &Visit,
        (fields, selection): (&Parameters, &BulkSelection),
        notice: String,
    ) -> Result<Self, Problem> {
        let days = days_of(fields);
        let kind = BulkActionKind::Discard {
            reason: String::new(),
            expires_at: Timestamp(0),
        };
        let count = state
            .bulk_actions
            .count(&kind, selection, visit.now)
            .await?;
        let matching = match selection {
            BulkSelection::DeadLetters(ids) => ids.len() as u64,
            BulkSelection::Filter(filter) => {
                state.store.count_dead_letters(filter, visit.now).await?
            }
        };
        let others = matching.saturating_sub(count);
        Ok(Self {
            notice,
            selection: selection.describe(),
            count,
            count_words: markup::counted(count, "dead letter", "dead letters"),
            others_words: match others {
                0 => String::new(),
                1 => "1 more is not open and stays as it is".to_owned(),
                more => format!(
                    "{} more are not open and stay as they are",
                    markup::thousands(more)
                ),
            },
            reason: fields.get("reason").unwrap_or("").to_owned(),
            choices: DAYS
                .map(|known| Choice {
                    days: known,
                    is_chosen: known == days,
                })
                .into(),
            must_type: count > TYPED_FROM,
            fields: selecting_fields(fields),
            csrf: visit.csrf.clone(),
            back: back(selection),
        })
    }
}

fn back(selection: &BulkSelection) -> String {
    match selection {
        BulkSelection::DeadLetters(ids) if ids.len() == 1 => format!("/dead-letters/{}", ids[0]),
        BulkSelection::DeadLetters(_) => "/dead-letters/list".to_owned(),
        BulkSelection::Filter(filter) => list_url(filter.text()),
    }
}
