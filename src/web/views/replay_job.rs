use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::decision_form::DecisionForm;
use super::evidence::evidence;
use super::frame::NavigationEntry;
use super::replay_form::BrakeFields;
use super::replays::state_status;
use crate::domain::{
    ClusterName, Replay, ReplayJob, ReplayJobId, ReplayJobState, ReplayOptions, ReplayState,
    ReplayStateName, Timestamp, UnknownWord,
};
use crate::replay::Obstacle;
use crate::store::PageRequest;
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Events on one page.
const EVENTS: u32 = 200;

/// One replay with the evidence for its outcome.
pub(super) struct EventRow {
    pub(super) id: String,
    pub(super) letter: i64,
    pub(super) letter_href: String,
    pub(super) job_href: String,
    pub(super) event: String,
    pub(super) status: Markup,
    pub(super) destination: String,
    pub(super) revision: u32,
    pub(super) evidence: String,
    again: String,
    pub(super) is_unknown: bool,
}

/// The bar above the events: shares of the states.
struct Share {
    class: &'static str,
    x: f64,
    width: f64,
}

/// One job: live progress, and each event's outcome with the evidence for it.
#[derive(Template)]
#[template(path = "replay_job.html")]
pub(crate) struct ReplayJobPage {
    id: Markup,
    selection: String,
    created: Markup,
    created_by: String,
    /// What it does otherwise than replays usually do, a sentence; empty if nothing.
    options: String,
    bar: Vec<Share>,
    events: Vec<EventRow>,
    /// The states that occur, to choose which events are shown.
    states: Vec<StateChoice>,
    /// The page with the next events; empty at the end.
    next: String,
    planned: u64,
    decide: DecisionForm,
    /// Why a decision was not taken.
    notice: String,
    csrf: String,
    /// The address of the job, under which its actions are.
    address: String,
    is_running: bool,
    is_paused: bool,
    /// Why nothing, or not everything, is being sent now.
    held: String,
    /// What keeps planned events from being sent, though nobody holds them.
    obstacles: Vec<String>,
    brake: BrakeFields,
    cancel: String,
    resolve: String,
    reached: Vec<Step>,
    refused: u64,
}

/// Shows the events in one state, or all.
struct StateChoice {
    href: String,
    label: String,
    is_chosen: bool,
}

/// A step of the way that a replay goes, and how many events got there.
struct Step {
    label: &'static str,
    count: u64,
    status: &'static str,
}

pub(crate) async fn replay_job(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Problem> {
    let Ok(id) = id.parse::<ReplayJobId>() else {
        return Ok(Redirect::to("/replays").into_response());
    };
    show_job(&state, &visit, id, String::new()).await
}

/// The page of a job, with what somebody has to be told first.
pub(super) async fn show_job(
    state: &AppState,
    visit: &Visit,
    id: ReplayJobId,
    notice: String,
) -> Result<Response, Problem> {
    let content = ReplayJobPage::load(state, visit, id, notice).await?;
    visit.page(state, NavigationEntry::Replays, "Replay", &content)
}

impl ReplayJobPage {
    async fn load(
        state: &AppState,
        visit: &Visit,
        id: ReplayJobId,
        notice: String,
    ) -> Result<Self, Problem> {
        let job = state.store.replay_job(id).await?;
        let job = job.ok_or_else(|| Problem::not_found(format!("there is no replay job {id}")))?;
        let chosen = chosen_state(visit)?;
        let request = PageRequest {
            limit: EVENTS,
            cursor: visit.query.get("cursor").map(str::to_owned),
        };
        let page = state.store.events_of_job(id, chosen, &request).await?;
        let replays = page.items;
        let next = page.next_cursor;
        let address = format!("/replays/{id}");
        let next = next.map(|cursor| visit.query.with("cursor", &cursor).url(&address));
        let count = |wanted: &[ReplayStateName]| -> u64 {
            let counts = job
                .counts
                .iter()
                .filter(|(state, _)| wanted.contains(state));
            counts.map(|(_, count)| count).sum()
        };
        let refused = visit
            .query
            .get("refused")
            .and_then(|text| text.parse().ok());
        Ok(Self {
            id: markup::identifier(&id.to_string()),
            created: markup::ago(job.created_at, visit.now),
            bar: shares(&job.counts, job.total()),
            events: event_rows(state, &replays, visit.now).await?,
            states: state_choices(&job, chosen),
            next: next.unwrap_or_default(),
            planned: count(&[ReplayStateName::Planned]),
            decide: DecisionForm::new(
                format!("/replays/{id}/resolve"),
                "",
                count(&[ReplayStateName::Unknown]),
                visit.now,
            ),
            notice,
            csrf: visit.csrf.clone(),
            address,
            is_running: job.state != ReplayJobState::Paused,
            is_paused: job.state == ReplayJobState::Paused,
            held: held(&job, visit.now),
            obstacles: obstacles(state, &job).await?,
            brake: BrakeFields::of(&job.brake),
            options: options_sentence(job.options),
            cancel: format!("/replays/{id}/cancel"),
            resolve: format!("/replays/{id}/resolve"),
            reached: steps(&count, job.total()),
            refused: refused.unwrap_or(job.refused),
            selection: job.selection,
            created_by: job.created_by,
        })
    }
}

/// "On RabbitMQ it keeps x-death and keeps CC."
fn options_sentence(options: ReplayOptions) -> String {
    match options.words().as_slice() {
        [] => String::new(),
        [only] => format!(" On RabbitMQ it {only}."),
        [others @ .., last] => format!(" On RabbitMQ it {} and {last}.", others.join(", ")),
    }
}

async fn obstacles(state: &AppState, job: &ReplayJob) -> Result<Vec<String>, Problem> {
    let met = state.replay.obstacles(job).await?.into_iter();
    let sentence = |(cluster, obstacle): (ClusterName, Obstacle)| {
        format!(
            "Something on {cluster} could not be sent at {}, and is tried again by itself: {}",
            obstacle.at.to_rfc3339(),
            obstacle.reason
        )
    };
    Ok(met.map(sentence).collect())
}

/// What holds the rest of a job back, for people.
fn held(job: &ReplayJob, now: Timestamp) -> String {
    if job.state == ReplayJobState::Freezing {
        let planned = markup::counted(job.total(), "event", "events");
        return format!(
            "Being written down: {planned} so far. Nothing is sent before it is whole."
        );
    }
    if job.count(ReplayStateName::Planned) == 0 {
        return String::new();
    }
    if job.state == ReplayJobState::Paused {
        let reason = job.reason.as_deref().unwrap_or_default();
        return format!("Paused: {reason}. What was handed to a broker before goes its way.");
    }
    if let Some(start) = job.brake.not_before.filter(|start| *start > now) {
        return format!("Waits until {}.", start.to_rfc3339());
    }
    let mut held = Vec::new();
    if let Some(limit) = job.ramp_limit() {
        held.push(format!(
            "Canary step of {limit} events: the next begins when the outcome of each is known."
        ));
    }
    if let Some(rate) = job.brake.events_per_second {
        let left =
            Duration::from_secs(job.count(ReplayStateName::Planned) / u64::from(rate.max(1)));
        held.push(format!(
            "At {rate} events per second, {} left.",
            markup::duration(left)
        ));
    }
    if held.is_empty() {
        held.extend(pace(job, now));
    }
    held.join(" ")
}

/// How fast a job that nothing holds back was so far, and how long the rest takes at that pace.
fn pace(job: &ReplayJob, now: Timestamp) -> Option<String> {
    let started = job
        .brake
        .not_before
        .map_or(job.created_at, |start| start.max(job.created_at));
    let rate = job.released() as f64 / now.since(started).as_secs_f64();
    let seconds = job.count(ReplayStateName::Planned) as f64 / rate;
    let left = Duration::try_from_secs_f64(seconds.ceil()).ok()?;
    Some(format!(
        "Sent {rate:.0} events per second since it began; at that pace {} left.",
        markup::duration(left)
    ))
}

/// The state to which the page is narrowed, from its address.
pub(crate) fn chosen_state(visit: &Visit) -> Result<Option<ReplayStateName>, Problem> {
    let chosen = visit.query.get("state").filter(|text| !text.is_empty());
    let parsed = chosen.map(str::parse).transpose();
    parsed.map_err(|error: UnknownWord| Problem::bad_request(format!("state: {error}")))
}

fn state_choices(job: &ReplayJob, chosen: Option<ReplayStateName>) -> Vec<StateChoice> {
    let mut choices = vec![StateChoice {
        href: format!("/replays/{}", job.id),
        label: format!("all {}", markup::thousands(job.total())),
        is_chosen: chosen.is_none(),
    }];
    let states = ReplayStateName::ALL.into_iter();
    let occurring = states.filter(|state| job.count(*state) > 0 || chosen == Some(*state));
    choices.extend(occurring.map(|state| StateChoice {
        href: format!("/replays/{}?state={state}", job.id),
        label: format!(
            "{} {}",
            markup::thousands(job.count(state)),
            state_status(state).1
        ),
        is_chosen: chosen == Some(state),
    }));
    choices
}

/// Planned → sent → passed → consumed, each with those that went on as well.
fn steps(count: &impl Fn(&[ReplayStateName]) -> u64, total: u64) -> Vec<Step> {
    use ReplayStateName as S;
    let consumed = count(&[S::Consumed]);
    let passed = consumed + count(&[S::Passed]);
    let sent = passed + count(&[S::Sent, S::NotSeenAgain, S::DiedAgain]);
    let step = |label, count, status| Step {
        label,
        count,
        status,
    };
    let mut steps = vec![
        step("planned", total, "idle"),
        step("sent", sent, "idle"),
        step("passed", passed, "ok"),
        step("consumed", consumed, "ok"),
    ];
    let ends = [
        (S::DiedAgain, "died again", "critical"),
        (S::Failed, "failed", "critical"),
        (S::Unknown, "unknown", "unknown"),
        (S::NotSeenAgain, "not seen again", "unknown"),
        (S::Cancelled, "cancelled", "idle"),
    ];
    let reached = ends
        .into_iter()
        .map(|(state, label, status)| step(label, count(&[state]), status));
    steps.extend(reached.filter(|step| step.count > 0));
    steps
}

/// The shares of a hundred, from left to right.
fn shares(counts: &[(ReplayStateName, u64)], total: u64) -> Vec<Share> {
    use ReplayStateName as S;
    let order = [
        S::Consumed,
        S::Passed,
        S::Sent,
        S::NotSeenAgain,
        S::Unknown,
        S::DiedAgain,
        S::Failed,
        S::Sending,
        S::Cancelled,
        S::Planned,
    ];
    let mut x = 0.0;
    let mut shares = Vec::new();
    for state in order {
        let known = counts.iter().find(|(known, _)| *known == state);
        let Some((_, count)) = known.filter(|(_, count)| *count > 0) else {
            continue;
        };
        let width = 100.0 * *count as f64 / total.max(1) as f64;
        let class = match state {
            S::Consumed => "consumed",
            S::Passed => "passed",
            S::Sent | S::Sending => "sent",
            S::NotSeenAgain | S::Unknown => "unknown",
            S::DiedAgain | S::Failed => "critical",
            S::Cancelled | S::Planned => "idle",
        };
        shares.push(Share { class, x, width });
        x += width;
    }
    shares
}

/// Replays as rows of a page.
pub(super) async fn event_rows(
    state: &AppState,
    replays: &[Replay],
    now: Timestamp,
) -> Result<Vec<EventRow>, Problem> {
    let mut rows = Vec::with_capacity(replays.len());
    for replay in replays {
        let letter = state.store.dead_letter_summary(replay.dead_letter).await?;
        rows.push(EventRow::of(replay, letter.event.event_type, now));
    }
    Ok(rows)
}

impl EventRow {
    fn of(replay: &Replay, event: Option<String>, now: Timestamp) -> Self {
        let (status, word) = state_status(replay.state.name());
        Self {
            id: replay.id.to_string(),
            letter: replay.dead_letter.0,
            letter_href: format!("/dead-letters/{}?tab=history", replay.dead_letter),
            job_href: format!("/replays/{}", replay.job),
            event: event.unwrap_or_default(),
            status: markup::status(status, word),
            destination: replay.destination.to_string(),
            revision: replay.revision.0,
            evidence: evidence(replay, now),
            again: match &replay.state {
                ReplayState::DiedAgain { dead_letter, .. } => {
                    format!("/dead-letters/{dead_letter}")
                }
                _ => String::new(),
            },
            is_unknown: replay.state.name() == ReplayStateName::Unknown,
        }
    }
}
