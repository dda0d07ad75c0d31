//! One alert: its expression as it is shipped and as it is loaded, what fires, and its runbook.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::alerts::{ActiveRow, Source, active_rows, hidden, severity_badge, source, state_of};
use super::frame::NavigationEntry;
use crate::alerts::{Block, LoadedRule, Runbook, Span, alert_overviews};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// A rule as Prometheus has it.
struct LoadedRow {
    query: String,
    pending_for: String,
    problem: String,
}

#[derive(Template)]
#[template(path = "alert.html")]
struct AlertPage {
    name: &'static str,
    state: Markup,
    severity: Markup,
    pending_for: String,
    source: Source,
    active: Vec<ActiveRow>,
    hidden: usize,
    shipped: Vec<String>,
    loaded: Vec<LoadedRow>,
    runbook: Runbook,
}

/// The name may end in `.md`, as the links to runbooks do.
pub(crate) async fn alert(
    State(state): State<AppState>,
    Path(name): Path<String>,
    visit: Visit,
) -> Result<Response, Problem> {
    let view = state.alerts.view();
    let answer = view.answer.as_ref().map(|(_, answer)| answer.as_ref());
    let wanted = name.strip_suffix(".md").unwrap_or(&name);
    let mut known = alert_overviews(answer).into_iter();
    let Some(overview) = known.find(|overview| overview.name == wanted) else {
        return Err(Problem::not_found(format!(
            "no alert that Redrive ships is named {:?}; Alerts has all of them",
            markup::cut_end(wanted, 100)
        )));
    };
    let only = std::slice::from_ref(&overview);
    let active = active_rows(only, visit.now);
    let content = AlertPage {
        name: overview.name,
        state: state_of(&overview, answer.is_some()),
        severity: severity_badge(overview.severity),
        pending_for: match &overview.pending_for {
            Some(pending) => format!("after {pending}"),
            None => "at once".to_owned(),
        },
        source: source(&state, &view, visit.now),
        hidden: hidden(only, &active),
        active,
        loaded: overview.loaded.iter().map(loaded_row).collect(),
        runbook: Runbook::of(overview.name).unwrap_or_default(),
        shipped: overview.expressions,
    };
    visit.page(&state, NavigationEntry::Alerts, overview.name, &content)
}

fn loaded_row(rule: &LoadedRule) -> LoadedRow {
    LoadedRow {
        query: rule.query.clone(),
        pending_for: markup::duration(rule.pending_for),
        problem: rule.problem.clone(),
    }
}
