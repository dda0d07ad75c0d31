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
    sections: Vec<Section>,
    jobs: Vec<JobRow>,
    older: String,
}

/// A page about replays, as one of several links.
pub(super) struct Section {
    pub(super) href: &'static str,
    pub(super) label: String,
    pub(super) is_current: bool,
}

/// How many replays of all jobs are under way.
pub(super) struct Totals {
    sending: u64,
    pub(super) awaiting: u64,
    pub(super) unknown: u64,
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
        let totals = Totals::load(state).await?;
        let older = page
            .next_cursor
            .map(|cursor| visit.url_with("cursor", &cursor));
        Ok(Self {
            sentence: totals.sentence(),
            unknown: totals.unknown,
            sections: totals.sections("/replays"),
            jobs: job_rows(page.items, visit.now),
            older: older.unwrap_or_default(),
        })
    }
}

impl Totals {
    pub(super) async fn load(state: &AppState) -> Result<Self, Problem> {
        use ReplayStateName::{Passed, Planned, Sending, Sent, Unknown};
        let totals = state.store.replay_totals().await?;
        let count = |wanted: &[ReplayStateName]| -> u64 {
            let counts = totals.iter().filter(|(state, _)| wanted.contains(state));
            counts.map(|(_, count)| count).sum()
        };
        Ok(Self {
            sending: count(&[Planned, Sending]),
            awaiting: count(&[Sent, Passed]),
            unknown: count(&[Unknown]),
        })
    }

    fn sentence(&self) -> String {
        format!(
            "{} being sent, {} awaiting their outcome, {} unknown.",
            markup::thousands(self.sending),
            markup::thousands(self.awaiting),
            markup::thousands(self.unknown)
        )
    }

    fn sections(&self, current: &str) -> Vec<Section> {
        let section = |href, label| Section {
            href,
            label,
            is_current: href == current,
        };
        vec![
            section("/replays", "Jobs".to_owned()),
            section(
                "/replays/awaiting",
                format!("Awaiting outcome {}", markup::thousands(self.awaiting)),
            ),
            section(
                "/replays/unknown",
                format!("Unknown {}", markup::thousands(self.unknown)),
            ),
        ]
    }
}

/// The pages about replays, with how many are on each.
pub(super) async fn sections(state: &AppState, current: &str) -> Result<Vec<Section>, Problem> {
    Ok(Totals::load(state).await?.sections(current))
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
