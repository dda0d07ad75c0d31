use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::list::time;
use crate::domain::{ClusterSnapshot, GroupVerdict};
use crate::store::DlqDepth;
use crate::web::AppState;
use crate::web::problem::Problem;

/// The numbers of the first page.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    taken_at: String,
    brokers: Vec<Broker>,
    consumer_groups: u64,
    groups_with_problems: u64,
    total_lag: u64,
    oldest_lag_seconds: Option<f64>,
    queues: u64,
    dead_letters_open: u64,
    dlqs: Vec<Dlq>,
}

#[derive(Debug, Serialize)]
struct Broker {
    name: String,
    system: &'static str,
    up: bool,
    error: Option<String>,
    last_success: Option<String>,
    problems: Vec<String>,
    requests: u64,
    sample_seconds: f64,
}

#[expect(clippy::struct_field_names, reason = "the names of the wire format")]
#[derive(Debug, Serialize)]
struct Dlq {
    system: &'static str,
    cluster: String,
    vhost: Option<String>,
    dlq: String,
    open: u64,
    oldest: Option<String>,
}

pub(super) async fn overview(State(state): State<AppState>) -> Result<Json<Overview>, Problem> {
    let snapshot = state.snapshot();
    let depths = state.store.dlq_depths().await?;
    let groups: Vec<_> = snapshot.groups().map(|(_, group)| group).collect();
    let lags = groups.iter().filter_map(|group| group.time_lag);
    let with_problems = groups
        .iter()
        .filter(|group| group.verdict != GroupVerdict::Ok);
    Ok(Json(Overview {
        taken_at: time(snapshot.taken_at),
        brokers: snapshot
            .clusters
            .iter()
            .map(|cluster| broker(cluster))
            .collect(),
        consumer_groups: groups.len() as u64,
        groups_with_problems: with_problems.count() as u64,
        total_lag: groups.iter().map(|group| group.lag).sum(),
        oldest_lag_seconds: lags
            .map(|lag| lag.duration().as_secs_f64())
            .max_by(f64::total_cmp),
        queues: snapshot.queues().count() as u64,
        dead_letters_open: depths.iter().map(|depth| depth.open).sum(),
        dlqs: depths.into_iter().map(dlq).collect(),
    }))
}

fn broker(cluster: &ClusterSnapshot) -> Broker {
    let health = &cluster.health;
    Broker {
        name: cluster.name.to_string(),
        system: cluster.system.as_str(),
        up: health.up,
        error: health.error.clone(),
        last_success: health.last_success.map(time),
        problems: health.problems.clone(),
        requests: health.cost.requests,
        sample_seconds: health.cost.duration.as_secs_f64(),
    }
}

fn dlq(depth: DlqDepth) -> Dlq {
    Dlq {
        system: depth.system.as_str(),
        cluster: depth.cluster.to_string(),
        vhost: (!depth.vhost.is_empty()).then_some(depth.vhost),
        dlq: depth.dlq,
        open: depth.open,
        oldest: depth.oldest.map(time),
    }
}
