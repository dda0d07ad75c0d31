use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::list::time;
use crate::alerts::{AlertOverview, FiringAlert, alert_overviews};
use crate::web::AppState;

/// The shipped alerts and what Prometheus says about them.
#[derive(Debug, Serialize)]
pub(super) struct Alerts {
    prometheus: Prometheus,
    items: Vec<Alert>,
}

/// Its URL is not told.
#[derive(Debug, Serialize)]
struct Prometheus {
    configured: bool,
    read_at: Option<String>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Alert {
    name: &'static str,
    severity: &'static str,
    #[serde(rename = "for")]
    pending_for: Option<String>,
    expressions: Vec<String>,
    runbook: String,
    state: Option<&'static str>,
    problem: Option<String>,
    active_count: usize,
    active: Vec<Active>,
}

#[derive(Debug, Serialize)]
struct Active {
    state: &'static str,
    summary: String,
    labels: BTreeMap<String, String>,
    since: Option<String>,
}

pub(super) async fn list(State(state): State<AppState>) -> Json<Alerts> {
    let view = state.alerts.view();
    let answer = view.answer.as_ref().map(|(_, answer)| answer.as_ref());
    Json(Alerts {
        items: alert_overviews(answer).iter().map(Alert::of).collect(),
        prometheus: Prometheus {
            configured: state.config.prometheus.url.is_some(),
            read_at: view.answer.as_ref().map(|(at, _)| time(*at)),
            problem: view.problem,
        },
    })
}

impl Alert {
    fn of(overview: &AlertOverview) -> Self {
        let (firing, pending) = overview.counts();
        Self {
            name: overview.name,
            severity: overview.severity.as_str(),
            pending_for: overview.pending_for.clone(),
            expressions: overview.expressions.clone(),
            runbook: format!("/alerts/{}", overview.name),
            state: overview.state().map(crate::alerts::AlertState::as_str),
            problem: Some(overview.problem().to_owned()).filter(|problem| !problem.is_empty()),
            active_count: firing + pending,
            active: overview.alerts().map(Active::of).collect(),
        }
    }
}

impl Active {
    fn of(alert: &FiringAlert) -> Self {
        Self {
            state: alert.state.as_str(),
            summary: alert.summary.clone(),
            labels: alert.labels.clone(),
            since: alert.since.map(time),
        }
    }
}
