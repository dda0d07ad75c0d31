//! The webhooks on Status: what waits, what was taken, what fails, and a test of each.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::preflight::actor;
use crate::config::{NotificationConfig, NotificationKind};
use crate::domain::Timestamp;
use crate::notifications::test_notice;
use crate::store::{NewAuditEntry, TargetStatus};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

/// One webhook. Its URL and its secret are never shown.
pub(super) struct NotificationRow {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) state: Markup,
    /// Why its newest message was not taken; empty if it was.
    pub(super) problem: String,
    pub(super) waiting: Markup,
    pub(super) delivered: Markup,
    pub(super) given_up: Markup,
}

pub(super) async fn notification_rows(
    state: &AppState,
    now: Timestamp,
) -> Result<Vec<NotificationRow>, Problem> {
    let mut rows = Vec::new();
    for config in &state.config.notifications {
        let status = state.store.notification_status(&config.name()).await?;
        rows.push(row(config, &status, now));
    }
    Ok(rows)
}

fn row(config: &NotificationConfig, status: &TargetStatus, now: Timestamp) -> NotificationRow {
    let (mark, word) = match (&status.failing, status.last_delivered) {
        (Some(_), _) => (Status::Critical, "failing"),
        (None, Some(_)) => (Status::Ok, "delivered"),
        (None, None) => (Status::Idle, "nothing sent yet"),
    };
    NotificationRow {
        name: config.name(),
        kind: kind_name(config.kind),
        state: markup::status(mark, word),
        problem: status.failing.as_ref().map_or_else(String::new, |failing| {
            let (problem, since, attempts) = failing;
            let attempts = markup::counted(u64::from(*attempts), "attempt", "attempts");
            let age = markup::ago_text(*since, now);
            format!("{problem}; {attempts}, the message is of {age}")
        }),
        waiting: markup::count(status.waiting),
        delivered: markup::optional_ago(status.last_delivered, now, "nothing was delivered"),
        given_up: markup::count(status.given_up),
    }
}

pub(crate) const fn kind_name(kind: NotificationKind) -> &'static str {
    match kind {
        NotificationKind::Generic => "generic",
        NotificationKind::Slack => "slack",
    }
}

pub(crate) async fn send_test_notification(
    State(state): State<AppState>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let target = fields.get("target").unwrap_or("");
    queue_test(&state, &visit, target).await?;
    Ok(Redirect::to("/status#notifications").into_response())
}

/// Queues a test for one webhook, in the name of who asks for it.
pub(crate) async fn queue_test(
    state: &AppState,
    visit: &Visit,
    target: &str,
) -> Result<(), Problem> {
    let mut known = state.config.notifications.iter();
    if !known.any(|config| config.name() == target) {
        let target = markup::cut_end(target, 100);
        return Err(Problem::not_found(format!(
            "no [[notifications]] of the configuration is named {target:?}"
        )));
    }
    let actor = actor(visit);
    let notice = test_notice(target, &actor.name);
    let entry = NewAuditEntry {
        at: visit.now,
        actor: actor.name,
        address: actor.address,
        action: "notification.test".to_owned(),
        detail: serde_json::json!({ "target": target }),
    };
    Ok(state.store.put_audited_notice(notice, &entry).await?)
}
