use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::domain::Channel;
use crate::traces::{FlowEdge, FlowGraph, FlowKind, FlowNode};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::views;
use crate::web::visit::Visit;

/// What flowed in the last hour. Edges name nodes by their index.
#[derive(Debug, Serialize)]
pub(super) struct Flow {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

#[derive(Debug, Default, Serialize)]
struct Node {
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vhost: Option<String>,
    is_dlq: bool,
}

#[derive(Debug, Serialize)]
struct Edge {
    from: usize,
    to: usize,
    kind: &'static str,
    per_second: Option<f64>,
    error_share: Option<f64>,
}

pub(super) async fn graph(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<Flow>, Problem> {
    let graph = views::flow_of_the_last_hour(&state, visit.now).await?;
    Ok(Json(Flow {
        nodes: graph.nodes.iter().map(|of| node(&graph, of)).collect(),
        edges: graph.edges.iter().map(edge).collect(),
    }))
}

fn node(graph: &FlowGraph, node: &FlowNode) -> Node {
    let (kind, name, cluster, vhost) = match node {
        FlowNode::Service(name) => ("service", name.clone(), None, None),
        FlowNode::Channel(Channel::Topic { cluster, topic }) => {
            ("topic", topic.to_string(), Some(cluster), None)
        }
        FlowNode::Channel(Channel::Exchange {
            cluster,
            vhost,
            exchange,
        }) => ("exchange", exchange.to_string(), Some(cluster), Some(vhost)),
        FlowNode::Queue(cluster, vhost, queue) => {
            ("queue", queue.to_string(), Some(cluster), Some(vhost))
        }
        FlowNode::Group(cluster, group) => ("group", group.to_string(), Some(cluster), None),
    };
    Node {
        kind,
        name,
        cluster: cluster.map(ToString::to_string),
        vhost: vhost.map(ToString::to_string),
        is_dlq: graph.dlqs.contains(node),
    }
}

fn edge(edge: &FlowEdge) -> Edge {
    Edge {
        from: edge.from,
        to: edge.to,
        kind: match edge.kind {
            FlowKind::Publishes => "publishes",
            FlowKind::Routes => "routes",
            FlowKind::Reads => "reads",
            FlowKind::Causes => "causes",
            FlowKind::DeadLetters => "dead_letters",
        },
        per_second: edge.measure.rate,
        error_share: edge.measure.error_share,
    }
}
