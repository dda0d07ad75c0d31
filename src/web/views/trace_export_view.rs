//! The export of traces on Status: where to, what was sent, what failed.

use crate::domain::Timestamp;
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};

pub(super) struct TraceExportView {
    /// Without secrets.
    pub(super) endpoint: String,
    pub(super) protocol: &'static str,
    pub(super) state: Markup,
    /// Empty if there was none.
    pub(super) problem: String,
    pub(super) last_success: Markup,
    pub(super) sent: Markup,
    pub(super) refused: Markup,
    pub(super) given_up: Markup,
    pub(super) waiting: Markup,
}

/// `None` if nothing is exported.
pub(super) fn trace_export_view(state: &AppState, now: Timestamp) -> Option<TraceExportView> {
    let config = &state.config.traces.export;
    let endpoint = config.shown_url()?;
    let status = state.trace_export.status();
    let (mark, word) = match (status.is_failing, status.last_success) {
        (true, _) => (Status::Critical, "failing"),
        (false, Some(_)) => (Status::Ok, "sending"),
        (false, None) => (Status::Idle, "nothing sent yet"),
    };
    let problem = status.last_problem.map(|(problem, at)| {
        let ago = markup::ago_text(at, now);
        format!("{problem} ({ago})")
    });
    Some(TraceExportView {
        endpoint,
        protocol: config.protocol.as_str(),
        state: markup::status(mark, word),
        problem: problem.unwrap_or_default(),
        last_success: markup::optional_ago(status.last_success, now, "nothing was taken"),
        sent: markup::count(status.sent),
        refused: markup::count(status.refused),
        given_up: markup::count(status.given_up),
        waiting: markup::count(status.waiting),
    })
}
