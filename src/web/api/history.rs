use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::list::time;
use crate::domain::{ClusterName, ConsumerGroup, QueueName, VhostName};
use crate::sampling::HistoryPoint;
use crate::web::AppState;
use crate::web::lines::{LineOf, group_lines, overview_lines, queue_lines, range};
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// What the charts of a page show.
#[derive(Debug, Serialize)]
pub(super) struct History {
    range: &'static str,
    from: String,
    to: String,
    series: Vec<HistorySeries>,
}

#[derive(Debug, Serialize)]
struct HistorySeries {
    name: &'static str,
    unit: &'static str,
    step_seconds: u64,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    at: String,
    value: Option<f64>,
}

pub(super) async fn overview(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<History>, Problem> {
    let lines = overview_lines(&state.snapshot());
    Ok(Json(history(&state, &visit, &lines).await?))
}

/// A group that has gone is answered as long as something is known of it.
pub(super) async fn consumer_group(
    State(state): State<AppState>,
    Path((cluster, group)): Path<(String, String)>,
    visit: Visit,
) -> Result<Json<History>, Problem> {
    let (cluster, group) = (ClusterName::new(cluster), ConsumerGroup::new(group));
    let history = history(&state, &visit, &group_lines(&cluster, &group)).await?;
    let snapshot = state.snapshot();
    let mut groups = snapshot.groups();
    if history.is_empty() && !groups.any(|(c, g)| c.name == cluster && g.group == group) {
        return Err(Problem::not_found("no such consumer group is known"));
    }
    Ok(Json(history))
}

/// A queue that has gone is answered as long as something is known of it.
pub(super) async fn queue(
    State(state): State<AppState>,
    Path((cluster, vhost, queue)): Path<(String, String, String)>,
    visit: Visit,
) -> Result<Json<History>, Problem> {
    let (cluster, vhost) = (ClusterName::new(cluster), VhostName::new(vhost));
    let queue = QueueName::new(queue);
    let lines = queue_lines(&cluster, (&vhost, &queue));
    let history = history(&state, &visit, &lines).await?;
    let snapshot = state.snapshot();
    let known = |(c, q): (&crate::domain::ClusterSnapshot, &crate::domain::QueueStatus)| {
        c.name == cluster && q.sample.vhost == vhost && q.sample.queue == queue
    };
    if history.is_empty() && !snapshot.queues().any(known) {
        return Err(Problem::not_found("no such queue is known"));
    }
    Ok(Json(history))
}

async fn history(state: &AppState, visit: &Visit, lines: &[LineOf]) -> Result<History, Problem> {
    let range = range(visit)?;
    let point = |point: &HistoryPoint| Point {
        at: time(point.at),
        value: point.value,
    };
    let mut series = Vec::with_capacity(lines.len());
    for of in lines {
        let line = of.load(state, range, visit).await?;
        series.push(HistorySeries {
            name: of.name,
            unit: of.unit.as_str(),
            step_seconds: line.step.as_secs(),
            points: line.points.iter().map(point).collect(),
        });
    }
    Ok(History {
        range: range.as_str(),
        from: time(visit.now.minus(range.span())),
        to: time(visit.now),
        series,
    })
}

impl History {
    fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }
}
