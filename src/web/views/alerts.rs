//! The shipped alert rules, and what a configured Prometheus says about them.

use std::cmp::Reverse;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::NavigationEntry;
use crate::alerts::{
    AlertOverview, AlertState, FiringAlert, PrometheusView, Severity, alert_overviews,
};
use crate::domain::Timestamp;
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// An alert that is pending or fires.
pub(super) struct ActiveRow {
    pub(super) name: &'static str,
    pub(super) href: String,
    pub(super) state: Markup,
    pub(super) summary: String,
    pub(super) labels: Vec<Label>,
    pub(super) since: Markup,
}

pub(super) struct Label {
    pub(super) name: String,
    pub(super) value: String,
}

/// An alert and its rules.
struct RuleRow {
    name: &'static str,
    href: String,
    state: Markup,
    severity: Markup,
    pending_for: String,
    problem: String,
    expressions: Vec<String>,
}

/// What the page can know of Prometheus.
pub(super) struct Source {
    pub(super) is_configured: bool,
    /// When it answered last; absent if never.
    pub(super) read: Option<Markup>,
    pub(super) problem: String,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    sentence: String,
    source: Source,
    not_loaded: String,
    active: Vec<ActiveRow>,
    hidden: usize,
    rules: Vec<RuleRow>,
}

pub(crate) async fn alerts(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let view = state.alerts.view();
    let content = AlertsPage::new(&state, &view, visit.now);
    visit.page(&state, NavigationEntry::Alerts, "Alerts", &content)
}

impl AlertsPage {
    fn new(state: &AppState, view: &PrometheusView, now: Timestamp) -> Self {
        let answer = view.answer.as_ref().map(|(_, answer)| answer.as_ref());
        let overviews = alert_overviews(answer);
        let active = active_rows(&overviews, now);
        let missing = overviews
            .iter()
            .filter(|overview| overview.loaded.is_empty());
        let missing = missing.count();
        Self {
            sentence: sentence(&overviews, answer.is_some()),
            source: source(state, view, now),
            not_loaded: match (answer, missing) {
                (None, _) | (_, 0) => String::new(),
                (Some(_), missing) if missing == overviews.len() => {
                    "none of these alerts".to_owned()
                }
                (Some(_), missing) => format!("{missing} of these alerts not"),
            },
            hidden: hidden(&overviews, &active),
            active,
            rules: overviews
                .iter()
                .map(|o| rule_row(o, answer.is_some()))
                .collect(),
        }
    }
}

fn sentence(overviews: &[AlertOverview], is_known: bool) -> String {
    let alerts = markup::counted(overviews.len() as u64, "alert", "alerts");
    if !is_known {
        return format!("{alerts} shipped in alerts/.");
    }
    let counts = || overviews.iter().map(AlertOverview::counts);
    let firing: usize = counts().map(|(firing, _)| firing).sum();
    let pending: usize = counts().map(|(_, pending)| pending).sum();
    format!("{firing} firing, {pending} pending, of {alerts}.")
}

pub(super) fn source(state: &AppState, view: &PrometheusView, now: Timestamp) -> Source {
    Source {
        is_configured: state.config.prometheus.url.is_some(),
        read: view.answer.as_ref().map(|(at, _)| markup::ago(*at, now)),
        problem: view.problem.clone().unwrap_or_default(),
    }
}

/// What is pending or fires, the worst first.
pub(super) fn active_rows(overviews: &[AlertOverview], now: Timestamp) -> Vec<ActiveRow> {
    let pairs = overviews
        .iter()
        .flat_map(|o| o.alerts().map(move |alert| (o, alert)));
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by_key(|(o, alert)| (Reverse(alert.state), Reverse(o.severity), alert.since));
    let rows = pairs
        .into_iter()
        .map(|(o, alert)| active_row(o, alert, now));
    rows.collect()
}

/// How many alerts are not among the rows.
pub(super) fn hidden(overviews: &[AlertOverview], rows: &[ActiveRow]) -> usize {
    let counts = overviews.iter().map(AlertOverview::counts);
    let all: usize = counts.map(|(firing, pending)| firing + pending).sum();
    all.saturating_sub(rows.len())
}

fn active_row(overview: &AlertOverview, alert: &FiringAlert, now: Timestamp) -> ActiveRow {
    let label = |(name, value): (&String, &String)| Label {
        name: name.clone(),
        value: value.clone(),
    };
    let is_shown = |(name, _): &(&String, &String)| name.as_str() != "severity";
    ActiveRow {
        name: overview.name,
        href: href(overview.name),
        state: state_mark(overview.severity, alert.state),
        summary: alert.summary.clone(),
        labels: alert.labels.iter().filter(is_shown).map(label).collect(),
        since: markup::optional_ago(alert.since, now, "Prometheus does not tell since when"),
    }
}

fn rule_row(overview: &AlertOverview, is_known: bool) -> RuleRow {
    RuleRow {
        name: overview.name,
        href: href(overview.name),
        state: state_of(overview, is_known),
        severity: severity_badge(overview.severity),
        pending_for: overview
            .pending_for
            .clone()
            .unwrap_or_else(|| "at once".to_owned()),
        problem: overview.problem().to_owned(),
        expressions: overview.expressions.clone(),
    }
}

pub(super) fn state_of(overview: &AlertOverview, is_known: bool) -> Markup {
    match overview.state() {
        _ if !overview.problem().is_empty() => markup::status(Status::Critical, "failing"),
        Some(state) => state_mark(overview.severity, state),
        None if is_known => markup::status(Status::Idle, "not loaded"),
        None => markup::absent("no Prometheus tells how it stands"),
    }
}

fn state_mark(severity: Severity, state: AlertState) -> Markup {
    let status = match (state, severity) {
        (AlertState::Firing, Severity::Critical) => Status::Critical,
        (AlertState::Firing, Severity::Warning) => Status::Warning,
        (AlertState::Pending, _) => Status::Unknown,
        (AlertState::Inactive, _) => Status::Ok,
    };
    markup::status(status, state.as_str())
}

pub(super) fn severity_badge(severity: Severity) -> Markup {
    let status = match severity {
        Severity::Warning => Status::Warning,
        Severity::Critical => Status::Critical,
    };
    markup::badge(status, severity.as_str())
}

fn href(name: &str) -> String {
    format!("/alerts/{name}")
}
