use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::NavigationEntry;
use crate::domain::{ReplayJob, ReplayStateName, Timestamp};
use crate::store::PageRequest;
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Jobs of one page.
const ROWS: u32 = 50;

/// One job in a list.
pub(crate) struct JobRow {
    pub(crate) id: String,
    pub(crate) href: String,
    pub(crate) selection: String,
    pub(crate) total: Markup,
    /// "3 consumed", "1 died again".
    pub(crate) states: Vec<Markup>,
    pub(crate) created: Markup,
    pub(crate) created_by: String,
}

/// Every replay job, the newest first.
#[derive(Template)]
#[template(path = "replays.html")]
pub(crate) struct Replays {
    sentence: String,
    unknown: u64,
    jobs: Vec<JobRow>,
    older: String,
}

pub(crate) async fn replays(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = Replays::load(&state, &visit).await?;
    visit.page(&state, NavigationEntry::Replays, "Replays", &content)
}

impl Replays {
    async fn load(state: &AppState, visit: &Visit) -> Result<Self, Problem> {
        let request = PageRequest {
            limit: ROWS,
            cursor: visit.query.get("cursor").map(str::to_owned),
        };
        let page = state.store.replay_jobs(&request).await?;
        let in_state = |wanted: &[ReplayStateName]| -> u64 {
            let counts = page.items.iter().flat_map(|job| &job.counts);
            counts
                .filter(|(state, _)| wanted.contains(state))
                .map(|(_, count)| count)
                .sum()
        };
        let running = in_state(&[ReplayStateName::Planned, ReplayStateName::Sending]);
        let awaiting = in_state(&[ReplayStateName::Sent, ReplayStateName::Passed]);
        let unknown = in_state(&[ReplayStateName::Unknown]);
        let older = page
            .next_cursor
            .map(|cursor| visit.url_with("cursor", &cursor));
        Ok(Self {
            sentence: format!(
                "{} being sent, {} awaiting their outcome, {} unknown.",
                markup::thousands(running),
                markup::thousands(awaiting),
                markup::thousands(unknown)
            ),
            unknown,
            jobs: job_rows(page.items, visit.now),
            older: older.unwrap_or_default(),
        })
    }
}

pub(crate) fn job_rows(jobs: Vec<ReplayJob>, now: Timestamp) -> Vec<JobRow> {
    let row = |job: ReplayJob| JobRow {
        id: job.id.to_string(),
        href: format!("/replays/{}", job.id),
        total: markup::count(job.total()),
        states: state_counts(&job),
        created: markup::ago(job.created_at, now),
        selection: job.selection,
        created_by: job.created_by,
    };
    jobs.into_iter().map(row).collect()
}

/// The counts of a job in the order in which a replay goes through the states.
pub(crate) fn state_counts(job: &ReplayJob) -> Vec<Markup> {
    let count = |state: ReplayStateName| {
        let known = job.counts.iter().find(|(known, _)| *known == state);
        let (_, count) = known.filter(|(_, count)| *count > 0)?;
        let (status, word) = state_status(state);
        Some(markup::status(
            status,
            &format!("{} {word}", markup::thousands(*count)),
        ))
    };
    ReplayStateName::ALL.into_iter().filter_map(count).collect()
}

/// A replay's state as status and words. Only evidence is green.
pub(crate) const fn state_status(state: ReplayStateName) -> (Status, &'static str) {
    match state {
        ReplayStateName::Planned => (Status::Idle, "planned"),
        ReplayStateName::Sending => (Status::Warning, "sending"),
        ReplayStateName::Sent => (Status::Idle, "sent"),
        ReplayStateName::Passed => (Status::Ok, "passed"),
        ReplayStateName::Consumed => (Status::Ok, "consumed"),
        ReplayStateName::DiedAgain => (Status::Critical, "died again"),
        ReplayStateName::NotSeenAgain => (Status::Unknown, "not seen again"),
        ReplayStateName::Failed => (Status::Critical, "failed"),
        ReplayStateName::Unknown => (Status::Unknown, "unknown"),
        ReplayStateName::Cancelled => (Status::Idle, "cancelled"),
    }
}
