//! The redrive policy of a failure group: what it does, what it leaves to a person, and its form.

use std::str::FromStr;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::failure_group::{author, path_of};
use crate::config::HumanDuration;
use crate::domain::{FailureGroupId, RedrivePolicy, Timestamp};
use crate::store::{RedriveFindings, StoredPolicy};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::parameters::Parameters;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

/// The section on the page of a group.
pub(super) struct PolicySection {
    pub(super) exists: bool,
    pub(super) state: Markup,
    /// What it did so far; empty without a policy.
    pub(super) done: String,
    /// The job of the newest run and when that was.
    pub(super) last_run: Option<(String, Markup)>,
    pub(super) next: String,
    pub(super) next_due: Option<Markup>,
    /// "3 no known destination"
    pub(super) skipped: Vec<String>,
    pub(super) changed: String,
    pub(super) fields: PolicyFields,
}

/// The fields as the form shows them.
pub(super) struct PolicyFields {
    pub(super) enabled: bool,
    pub(super) attempts: u32,
    pub(super) first_delay: String,
    pub(super) factor: u32,
    pub(super) rate: String,
    pub(super) stop_percent: u8,
}

impl PolicySection {
    pub(super) async fn load(
        state: &AppState,
        group: &FailureGroupId,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let stored = state.store.redrive_policy(group).await?;
        let last_run = state.store.last_redrive_run(group).await?;
        let last_run = last_run.map(|(job, at)| (format!("/replays/{job}"), markup::ago(at, now)));
        let Some(stored) = stored else {
            return Ok(Self::absent(last_run));
        };
        let (done, changed) = (done(&stored), changed(&stored, now));
        let findings = stored.findings.filter(|_| stored.enabled);
        let findings = findings.map(|(_, findings)| findings).unwrap_or_default();
        let is_sending = stored.enabled && state.store.redrive_run_is_under_way(group).await?;
        let skipped = findings.skipped.iter();
        Ok(Self {
            exists: true,
            state: state_of(stored.enabled, stored.stopped.as_deref()),
            done,
            last_run,
            next: next(&findings, is_sending),
            next_due: findings.next_due.map(markup::clock),
            skipped: skipped
                .map(|(reason, count)| format!("{} – {reason}", markup::thousands(*count)))
                .collect(),
            changed,
            fields: PolicyFields::of(stored.enabled, &stored.policy),
        })
    }

    fn absent(last_run: Option<(String, Markup)>) -> Self {
        Self {
            exists: false,
            state: markup::badge(Status::Idle, "none"),
            done: String::new(),
            last_run,
            next: String::new(),
            next_due: None,
            skipped: Vec::new(),
            changed: String::new(),
            fields: PolicyFields::of(false, &RedrivePolicy::default()),
        }
    }
}

impl PolicyFields {
    fn of(enabled: bool, policy: &RedrivePolicy) -> Self {
        Self {
            enabled,
            attempts: policy.attempts,
            first_delay: HumanDuration(policy.first_delay).to_string(),
            factor: policy.factor,
            rate: policy
                .events_per_second
                .map_or_else(String::new, |rate| rate.to_string()),
            stop_percent: policy.stop_percent,
        }
    }
}

fn state_of(enabled: bool, stopped: Option<&str>) -> Markup {
    match (enabled, stopped) {
        (true, _) => markup::badge(Status::Ok, "on"),
        (false, None) => markup::badge(Status::Idle, "off"),
        (false, Some(reason)) => {
            let words = format!("switched itself off: {reason}");
            markup::badge(Status::Critical, &words)
        }
    }
}

/// "5 events replayed in 2 runs"
fn done(stored: &StoredPolicy) -> String {
    format!(
        "{} replayed in {}",
        markup::counted(stored.events, "event", "events"),
        markup::counted(stored.runs, "run", "runs"),
    )
}

fn changed(stored: &StoredPolicy, now: Timestamp) -> String {
    let age = markup::ago_text(stored.changed_at, now);
    format!("set by {} {age}", stored.changed_by)
}

fn next(findings: &RedriveFindings, is_sending: bool) -> String {
    let mut parts = Vec::new();
    if is_sending {
        parts.push("after the last run, whose job has still something to send".to_owned());
    }
    if findings.for_next_run > 0 {
        let due = markup::counted(findings.for_next_run, "event is", "events are");
        parts.push(format!("{due} due in the next run"));
    }
    if findings.waiting > 0 {
        let waiting = markup::counted(findings.waiting, "event waits", "events wait");
        parts.push(format!("{waiting} for its time"));
    }
    parts.join(", ")
}

/// Gives the group its policy, or changes it.
pub(crate) async fn set_redrive_policy(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let group = id.as_str().into();
    let enabled = fields.get("enabled").is_some();
    save_policy(&state, &visit, &group, enabled, policy_of(&fields)?).await?;
    Ok(Redirect::to(&path_of(&group)).into_response())
}

/// Removes the policy of the group.
pub(crate) async fn remove_redrive_policy(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
    CheckedForm(_): CheckedForm,
) -> Result<Response, Problem> {
    let group = id.as_str().into();
    remove_policy(&state, &visit, &group).await?;
    Ok(Redirect::to(&path_of(&group)).into_response())
}

/// Keeps a policy whose numbers make sense.
pub(crate) async fn save_policy(
    state: &AppState,
    visit: &Visit,
    group: &FailureGroupId,
    enabled: bool,
    policy: RedrivePolicy,
) -> Result<(), Problem> {
    let policy = policy.checked();
    let policy = policy.map_err(|refused| Problem::bad_request(refused.to_string()))?;
    let author = author(visit);
    let set = state
        .store
        .set_redrive_policy(group, enabled, &policy, &author);
    Ok(set.await?)
}

pub(crate) async fn remove_policy(
    state: &AppState,
    visit: &Visit,
    group: &FailureGroupId,
) -> Result<(), Problem> {
    let removed = state
        .store
        .remove_redrive_policy(group, &author(visit))
        .await?;
    if removed {
        Ok(())
    } else {
        Err(no_policy(group))
    }
}

pub(crate) fn no_policy(group: &FailureGroupId) -> Problem {
    Problem::not_found(format!("failure group {group} has no redrive policy"))
}

/// Reads the form; what is empty is as in a new policy.
fn policy_of(fields: &Parameters) -> Result<RedrivePolicy, Problem> {
    let default = RedrivePolicy::default();
    let first_delay = match fields.get("first_delay").map(str::trim) {
        None | Some("") => default.first_delay,
        Some(text) => parse_delay(text)?,
    };
    Ok(RedrivePolicy {
        attempts: number(fields, "attempts")?.unwrap_or(default.attempts),
        first_delay,
        factor: number(fields, "factor")?.unwrap_or(default.factor),
        events_per_second: number(fields, "rate")?,
        stop_percent: number(fields, "stop_percent")?.unwrap_or(default.stop_percent),
    })
}

/// A delay as people write it.
pub(crate) fn parse_delay(text: &str) -> Result<std::time::Duration, Problem> {
    let parsed = HumanDuration::parse(text).map(|duration| duration.0);
    parsed.ok_or_else(|| {
        Problem::bad_request(format!(
            "first_delay {text:?} is no duration; write a number with s, m or h, for example 1m"
        ))
    })
}

fn number<T: FromStr>(fields: &Parameters, name: &str) -> Result<Option<T>, Problem> {
    let text = fields.get(name).map(str::trim);
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| Problem::bad_request(format!("{name} {text:?} is no whole number")))
    };
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}
