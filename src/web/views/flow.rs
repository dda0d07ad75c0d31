//! The graph of what flows: drawn on the server, and the same as a table.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::flow_drawing::drawing;
use super::frame::NavigationEntry;
use crate::domain::{Channel, Timestamp};
use crate::traces::{FlowEdge, FlowGraph, FlowKind, FlowNode, OwnNames, flow_graph};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::parameters::{list_url, path};
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// What is counted.
const WINDOW: Duration = Duration::from_hours(1);

/// RabbitMQ gives it no name.
const DEFAULT_EXCHANGE: &str = "(default exchange)";

/// A larger graph is cut to the busiest part.
const MOST_NODES: usize = 120;
const MOST_EDGES: usize = 400;

/// An edge in words.
struct Row {
    from: NodeCell,
    what: &'static str,
    to: NodeCell,
    rate: Markup,
    errors: String,
}

struct NodeCell {
    kind: &'static str,
    name: String,
    href: String,
}

#[derive(Template)]
#[template(path = "flow.html")]
struct FlowPage {
    sentence: String,
    name: String,
    drawing: Markup,
    rows: Vec<Row>,
    /// Nodes that are not drawn.
    left_out: usize,
}

pub(crate) async fn flow(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    let whole = flow_of_the_last_hour(&state, visit.now).await?;
    let name = visit
        .query
        .get("name")
        .unwrap_or_default()
        .trim()
        .to_owned();
    let wanted = match name.as_str() {
        "" => whole,
        name => around(&whole, name),
    };
    let shown = busiest(&wanted);
    let content = FlowPage {
        sentence: sentence(&shown),
        drawing: drawing(&shown),
        rows: shown.edges.iter().map(|edge| row(&shown, edge)).collect(),
        left_out: wanted.nodes.len() - shown.nodes.len(),
        name,
    };
    visit.page(&state, NavigationEntry::Traces, "Flow", &content)
}

/// All that was observed in the last hour.
pub(crate) async fn flow_of_the_last_hour(
    state: &AppState,
    now: Timestamp,
) -> Result<FlowGraph, Problem> {
    let observed = state.store.observed_flows(now.minus(WINDOW)).await?;
    let own = OwnNames {
        group: state.config.traces.consumer_group.clone(),
    };
    Ok(flow_graph(&state.snapshot(), &observed, &own, now))
}

/// Whatever leads to the nodes of that name, and what follows from them.
fn around(graph: &FlowGraph, name: &str) -> FlowGraph {
    let name = name.to_lowercase();
    let named = graph.nodes.iter().enumerate();
    let named = named.filter(|(_, node)| node_name(node).to_lowercase().contains(&name));
    let named: Vec<usize> = named.map(|(index, _)| index).collect();
    let mut kept: BTreeSet<usize> = reached(graph, &named, |edge| (edge.from, edge.to));
    kept.extend(reached(graph, &named, |edge| (edge.to, edge.from)));
    only(graph, &kept)
}

fn reached(
    graph: &FlowGraph,
    starts: &[usize],
    direction: fn(&FlowEdge) -> (usize, usize),
) -> BTreeSet<usize> {
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (from, to) in graph.edges.iter().map(direction) {
        next[from].push(to);
    }
    let mut seen: BTreeSet<usize> = starts.iter().copied().collect();
    let mut open: VecDeque<usize> = starts.iter().copied().collect();
    while let Some(node) = open.pop_front() {
        for to in &next[node] {
            if seen.insert(*to) {
                open.push_back(*to);
            }
        }
    }
    seen
}

fn only(graph: &FlowGraph, kept: &BTreeSet<usize>) -> FlowGraph {
    let kept: Vec<usize> = kept.iter().copied().collect();
    let edges = graph.edges.iter().filter_map(|edge| {
        Some(FlowEdge {
            from: kept.binary_search(&edge.from).ok()?,
            to: kept.binary_search(&edge.to).ok()?,
            ..*edge
        })
    });
    FlowGraph {
        edges: edges.collect(),
        dlqs: graph.dlqs.clone(),
        nodes: kept.iter().map(|node| graph.nodes[*node].clone()).collect(),
    }
}

/// DLQs and what dies first, then what carries most.
fn busiest(graph: &FlowGraph) -> FlowGraph {
    let weight = |edge: &FlowEdge| {
        let deaths = if edge.kind == FlowKind::DeadLetters {
            1e9
        } else {
            0.0
        };
        deaths + edge.measure.rate.unwrap_or(0.0)
    };
    let mut weights = vec![0.0_f64; graph.nodes.len()];
    for edge in &graph.edges {
        weights[edge.from] = weights[edge.from].max(weight(edge));
        weights[edge.to] = weights[edge.to].max(weight(edge));
    }
    let mut order: Vec<usize> = (0..graph.nodes.len()).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    let kept: BTreeSet<usize> = order.into_iter().take(MOST_NODES).collect();
    let mut graph = only(graph, &kept);
    graph.edges.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    graph.edges.truncate(MOST_EDGES);
    graph
        .edges
        .sort_by_key(|edge| (edge.from, edge.to, edge.kind));
    graph
}

fn sentence(graph: &FlowGraph) -> String {
    if graph.nodes.is_empty() {
        return "Nothing flowed yet.".to_owned();
    }
    let dying = graph.edges.iter();
    let dying = dying.filter(|edge| edge.measure.error_share.is_some_and(|share| share > 0.0));
    format!(
        "{} and {} of the last hour; on {} something dies.",
        markup::counted(graph.nodes.len() as u64, "place", "places"),
        markup::counted(graph.edges.len() as u64, "way", "ways"),
        dying.count()
    )
}

fn row(graph: &FlowGraph, edge: &FlowEdge) -> Row {
    let cell = |index: usize| {
        let node = &graph.nodes[index];
        NodeCell {
            kind: node_kind(graph, node),
            name: node_name(node),
            href: node_href(graph, node),
        }
    };
    Row {
        from: cell(edge.from),
        what: what(edge.kind),
        to: cell(edge.to),
        rate: markup::rate(edge.measure.rate),
        errors: edge.measure.error_share.map_or(String::new(), share),
    }
}

pub(super) const fn what(kind: FlowKind) -> &'static str {
    match kind {
        FlowKind::Publishes => "publishes to",
        FlowKind::Routes => "is bound to",
        FlowKind::Reads => "is read by",
        FlowKind::Causes => "causes events of",
        FlowKind::DeadLetters => "dead-letters to",
    }
}

/// `2.5 %`; empty where nothing dies.
pub(super) fn share(share: f64) -> String {
    match share * 100.0 {
        percent if percent <= 0.0 => String::new(),
        percent if percent < 0.1 => "< 0.1 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

pub(super) fn node_name(node: &FlowNode) -> String {
    match node {
        FlowNode::Service(name) => name.clone(),
        FlowNode::Channel(Channel::Topic { topic, .. }) => topic.to_string(),
        FlowNode::Channel(Channel::Exchange { exchange, .. }) if exchange.as_str().is_empty() => {
            DEFAULT_EXCHANGE.to_owned()
        }
        FlowNode::Channel(Channel::Exchange { exchange, .. }) => exchange.to_string(),
        FlowNode::Queue(_, _, queue) => queue.to_string(),
        FlowNode::Group(_, group) => group.to_string(),
    }
}

pub(super) fn node_kind(graph: &FlowGraph, node: &FlowNode) -> &'static str {
    if graph.dlqs.contains(node) {
        return "dlq";
    }
    match node {
        FlowNode::Service(_) => "service",
        FlowNode::Channel(Channel::Topic { .. }) => "topic",
        FlowNode::Channel(Channel::Exchange { .. }) => "exchange",
        FlowNode::Queue(..) => "queue",
        FlowNode::Group(..) => "group",
    }
}

/// The page of a node, or where the graph around it is drawn.
pub(super) fn node_href(graph: &FlowGraph, node: &FlowNode) -> String {
    let name = node_name(node);
    let query = |page: &str, key: &str| {
        let query = crate::web::parameters::Parameters::default();
        query.with(key, &name).url(page)
    };
    match node {
        FlowNode::Queue(cluster, vhost, queue) => {
            path(["queues", cluster.as_str(), vhost.as_str(), queue.as_str()])
        }
        FlowNode::Group(cluster, group) => path(["consumers", cluster.as_str(), group.as_str()]),
        FlowNode::Channel(_) if graph.dlqs.contains(node) && !name.contains(['"', '\\']) => {
            list_url(&format!("dlq:\"{name}\""))
        }
        FlowNode::Service(_) => query("/traces", "source"),
        FlowNode::Channel(_) => query("/flow", "name"),
    }
}
