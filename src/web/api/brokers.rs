use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::list::{List, page_request};
use crate::domain::{ClusterSnapshot, GroupPartitionStatus, GroupStatus, QueueName, QueueStatus};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

#[expect(clippy::struct_field_names, reason = "the names of the wire format")]
#[derive(Debug, Serialize)]
pub(super) struct Group {
    cluster: String,
    group: String,
    kind: &'static str,
    state: String,
    status: &'static str,
    /// Null: there are some, which the broker does not describe.
    members: Option<usize>,
    lag: u64,
    lag_seconds: Option<f64>,
    consume_rate: Option<f64>,
    produce_rate: Option<f64>,
    lost_total: u64,
    topics: Vec<GroupTopic>,
}

#[derive(Debug, Serialize)]
struct GroupTopic {
    topic: String,
    lag: u64,
    partitions: Vec<GroupPartition>,
}

#[derive(Debug, Serialize)]
struct GroupPartition {
    partition: i32,
    committed: i64,
    log_start: Option<i64>,
    log_end: Option<i64>,
    lag: Option<u64>,
}

/// Consumer groups of all Kafka clusters.
pub(super) async fn consumer_groups(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<List<Group>>, Problem> {
    let snapshot = state.snapshot();
    let request = page_request(&visit)?;
    let list = List::cut(snapshot.groups(), &request, |(cluster, status)| {
        group(cluster, status)
    })?;
    Ok(Json(list))
}

fn group(cluster: &ClusterSnapshot, group: &GroupStatus) -> Group {
    let partition = |status: &GroupPartitionStatus| GroupPartition {
        partition: status.partition.0,
        committed: status.committed.0,
        log_start: status.log_start.map(|offset| offset.0),
        log_end: status.log_end.map(|offset| offset.0),
        lag: status.lag,
    };
    let topics = group.topics.iter().map(|topic| GroupTopic {
        topic: topic.topic.to_string(),
        lag: topic.lag,
        partitions: topic.partitions.iter().map(partition).collect(),
    });
    Group {
        cluster: cluster.name.to_string(),
        group: group.group.to_string(),
        kind: group.kind.as_str(),
        state: group.state.clone(),
        status: group.verdict.as_str(),
        members: group.member_count(),
        lag: group.lag,
        lag_seconds: group.time_lag.map(|lag| lag.duration().as_secs_f64()),
        consume_rate: group.consume_rate,
        produce_rate: group.produce_rate,
        lost_total: group.lost_total,
        topics: topics.collect(),
    }
}

#[expect(clippy::struct_field_names, reason = "the names of the wire format")]
#[derive(Debug, Serialize)]
pub(super) struct Queue {
    cluster: String,
    vhost: String,
    queue: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    messages: Option<u64>,
    ready: Option<u64>,
    unacked: Option<u64>,
    bytes: Option<u64>,
    consumers: Option<u64>,
    publish_rate: Option<f64>,
    settle_rate: Option<f64>,
    redeliver_rate: Option<f64>,
    dead_letters_to: Vec<String>,
    dead_letters_unroutable: bool,
    circling: Option<Circling>,
}

#[derive(Debug, Serialize)]
struct Circling {
    since: String,
    delivered: u64,
    through: Vec<String>,
}

/// Queues of all RabbitMQ clusters.
pub(super) async fn queues(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<List<Queue>>, Problem> {
    let snapshot = state.snapshot();
    let request = page_request(&visit)?;
    let list = List::cut(snapshot.queues(), &request, |(cluster, status)| {
        queue(cluster, status)
    })?;
    Ok(Json(list))
}

fn queue(cluster: &ClusterSnapshot, status: &QueueStatus) -> Queue {
    let sample = &status.sample;
    let names = |queues: &[QueueName]| queues.iter().map(ToString::to_string).collect();
    Queue {
        cluster: cluster.name.to_string(),
        vhost: sample.vhost.to_string(),
        queue: sample.queue.to_string(),
        kind: sample.queue_type.as_str(),
        role: status.role.as_str(),
        messages: sample.messages,
        ready: sample.ready,
        unacked: sample.unacked,
        bytes: sample.bytes,
        consumers: sample.consumers,
        publish_rate: status.rates.publish,
        settle_rate: status.rates.settle,
        redeliver_rate: status.rates.redeliver,
        dead_letters_to: names(&status.dead_letters_to),
        dead_letters_unroutable: status.dead_letters_unroutable,
        circling: status.circling.as_ref().map(|circling| Circling {
            since: circling.since.to_rfc3339(),
            delivered: circling.delivered,
            through: names(&circling.through),
        }),
    }
}
