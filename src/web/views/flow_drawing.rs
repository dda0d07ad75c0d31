//! The flow graph as an image of boxes and lines; each box is a link.

use std::fmt::Write as _;

use askama::filters::Safe;

use super::flow::{node_href, node_kind, node_name, share, what};
use super::flow_layout::{Cell, lay_out};
use crate::traces::{FlowEdge, FlowGraph, FlowKind};
use crate::web::escape::{Markup, escaped};
use crate::web::markup;

/// Of a box.
const WIDTH: f64 = 176.0;
const HEIGHT: f64 = 38.0;
/// From one layer, or row, to the next.
const LAYER: f64 = 296.0;
const ROW: f64 = 54.0;
const MARGIN: f64 = 12.0;
/// Between a label and its box; the end of a line is there.
const LABEL_GAP: f64 = 12.0;

/// Characters that fit into a box.
const LONGEST: usize = 22;

pub(super) fn drawing(graph: &FlowGraph) -> Markup {
    let ends: Vec<(usize, usize)> = graph
        .edges
        .iter()
        .map(|edge| (edge.from, edge.to))
        .collect();
    let layout = lay_out(graph.nodes.len(), &ends);
    let width = MARGIN * 2.0 + LAYER * layout.layers.saturating_sub(1) as f64 + WIDTH;
    let height = MARGIN * 2.0 + ROW * (layout.rows - 1.0).max(0.0) + HEIGHT;
    let mut svg = format!(
        "<svg class=\"flow\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"group\" aria-label=\"What flows where; the same as a table below\">\
         <defs><marker id=\"flow-end\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>"
    );
    let mut labels = String::new();
    for (edge, bends) in graph.edges.iter().zip(&layout.bends) {
        let (from, to) = (layout.nodes[edge.from], layout.nodes[edge.to]);
        let points = points(from, bends, to);
        push_line(&mut svg, edge, &points);
        let out = ends.iter().filter(|(from, _)| *from == edge.from).count();
        let into = ends.iter().filter(|(_, to)| *to == edge.to).count();
        push_label(&mut labels, edge, &points, into <= out);
    }
    for (node, cell) in graph.nodes.iter().zip(&layout.nodes) {
        let (kind, name) = (node_kind(graph, node), node_name(node));
        let (x, y) = corner(*cell);
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<a class=\"{kind}\" href=\"{}\"><title>{kind} {}</title>\
             <rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\
             <text class=\"kind\" x=\"{}\" y=\"{}\">{kind}</text>\
             <text x=\"{}\" y=\"{}\">{}</text></a>",
            escaped(&node_href(graph, node)),
            escaped(&name),
            x + 10.0,
            y + 14.0,
            x + 10.0,
            y + 30.0,
            escaped(&shortened(&name)),
        );
    }
    svg.push_str(&labels);
    svg.push_str("</svg>");
    Safe(svg)
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    let head: String = name.chars().take(LONGEST / 2 - 1).collect();
    let skipped = name.chars().count() - (LONGEST / 2);
    let tail: String = name.chars().skip(skipped).collect();
    format!("{head}…{tail}")
}

fn corner(cell: Cell) -> (f64, f64) {
    (MARGIN + LAYER * cell.layer as f64, MARGIN + ROW * cell.row)
}

/// From the side of one box over the gaps between others to the side of another.
fn points(from: Cell, bends: &[Cell], to: Cell) -> Vec<(f64, f64)> {
    let is_forward = from.layer < to.layer;
    let middle = |cell: Cell| corner(cell).1 + HEIGHT / 2.0;
    let (left, right) = (
        |cell: Cell| corner(cell).0,
        |cell: Cell| corner(cell).0 + WIDTH,
    );
    let mut points = vec![if is_forward {
        (right(from), middle(from))
    } else {
        (left(from), middle(from) + 6.0)
    }];
    for bend in bends {
        let ends = [(left(*bend), middle(*bend)), (right(*bend), middle(*bend))];
        if is_forward {
            points.extend(ends);
        } else {
            points.extend(ends.into_iter().rev());
        }
    }
    points.push(if is_forward {
        (left(to), middle(to))
    } else {
        (right(to), middle(to) + 6.0)
    });
    points
}

fn push_line(svg: &mut String, edge: &FlowEdge, points: &[(f64, f64)]) {
    let dies = edge.measure.error_share.is_some_and(|share| share > 0.0);
    let class = match edge.kind {
        FlowKind::DeadLetters => "dead",
        _ if dies => "dying",
        FlowKind::Causes => "causes",
        _ => "way",
    };
    let _ = write!(
        svg,
        "<path class=\"{class}\" marker-end=\"url(#flow-end)\" d=\""
    );
    for (index, (x, y)) in points.iter().enumerate() {
        let Some((last_x, last_y)) = index.checked_sub(1).map(|last| points[last]) else {
            let _ = write!(svg, "M{x:.0} {y:.0}");
            continue;
        };
        // Over a layer it runs straight; between layers it swings.
        let middle = f64::midpoint(last_x, *x);
        if (last_y - y).abs() < 0.5 {
            let _ = write!(svg, "L{x:.0} {y:.0}");
        } else {
            let _ = write!(
                svg,
                "C{middle:.0} {last_y:.0} {middle:.0} {y:.0} {x:.0} {y:.0}"
            );
        }
    }
    svg.push_str("\"/>");
}

/// Beside the box where fewer lines meet, so that labels do not.
fn push_label(labels: &mut String, edge: &FlowEdge, points: &[(f64, f64)], is_at_end: bool) {
    let rate = edge.measure.rate.map(rate);
    let errors = edge.measure.error_share.map(share);
    let errors = errors.filter(|share| !share.is_empty());
    let text = match (rate, errors) {
        (Some(rate), Some(errors)) => format!("{rate}, {errors} die"),
        (Some(rate), None) => rate,
        (None, Some(errors)) => format!("{errors} die"),
        (None, None) => return,
    };
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return;
    };
    let (x, y) = if is_at_end { last } else { first };
    let is_on_the_left = is_at_end == (first.0 < last.0);
    let (x, anchor) = if is_on_the_left {
        (x - LABEL_GAP, "end")
    } else {
        (x + LABEL_GAP, "start")
    };
    let _ = write!(
        labels,
        "<text class=\"rate\" text-anchor=\"{anchor}\" x=\"{x:.0}\" y=\"{:.0}\"><title>{}</title>{text}</text>",
        y - 4.0,
        what(edge.kind)
    );
}

/// By the hour what is rare.
fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 0.1 {
        return format!("{:.0}/h", per_second * 3600.0);
    }
    markup::rate_text(per_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Channel;
    use crate::traces::{FlowMeasure, FlowNode};

    /// Twenty services, each with a topic that three groups read, of which one dead-letters, and that causes the next.
    fn large() -> FlowGraph {
        let topic = |name: String| {
            FlowNode::Channel(Channel::Topic {
                cluster: "k".into(),
                topic: name.into(),
            })
        };
        let mut graph = FlowGraph::default();
        for number in 0..20 {
            let first = graph.nodes.len();
            graph
                .nodes
                .push(FlowNode::Service(format!("service-{number}")));
            graph
                .nodes
                .push(topic(format!("orders.events.of.shop.{number}")));
            let edge = |from, to, kind, rate, error_share| FlowEdge {
                from,
                to,
                kind,
                measure: FlowMeasure { rate, error_share },
            };
            let publishes = edge(first, first + 1, FlowKind::Publishes, Some(12.3), None);
            graph.edges.push(publishes);
            for reader in 0..2 {
                let group = format!("group-{number}-{reader}");
                graph
                    .nodes
                    .push(FlowNode::Group("k".into(), group.as_str().into()));
                let (to, share) = (first + 2 + reader, Some(0.02));
                graph
                    .edges
                    .push(edge(first + 1, to, FlowKind::Reads, Some(4.5), share));
            }
            let dlq = topic(format!("orders.{number}.dlq"));
            graph.dlqs.insert(dlq.clone());
            graph.nodes.push(dlq);
            graph.edges.push(edge(
                first + 2,
                first + 4,
                FlowKind::DeadLetters,
                Some(0.01),
                None,
            ));
            if number > 0 {
                let before = first - 4;
                graph
                    .edges
                    .push(edge(before, first, FlowKind::Causes, Some(3.0), None));
            }
        }
        graph
    }

    #[test]
    fn a_hundred_nodes_are_drawn_apart_and_each_is_a_link() {
        let graph = large();
        let svg = drawing(&graph).0;
        assert_eq!(graph.nodes.len(), 100);
        assert_eq!(svg.matches("<a class=").count(), 100);
        let corners = |attribute: &str| -> Vec<f64> {
            let boxes = svg.split("<rect ").skip(1);
            let value = |part: &str| {
                let start = part.split(&format!("{attribute}=\"")).nth(1)?;
                start.split('"').next()?.parse().ok()
            };
            boxes.filter_map(value).collect()
        };
        let boxes: Vec<(f64, f64)> = corners("x").into_iter().zip(corners("y")).collect();
        assert_eq!(boxes.len(), 100);
        for (index, (x, y)) in boxes.iter().enumerate() {
            for (other_x, other_y) in &boxes[..index] {
                let is_apart = (x - other_x).abs() >= WIDTH || (y - other_y).abs() >= HEIGHT;
                assert!(is_apart, "{x} {y} and {other_x} {other_y}");
            }
        }
    }

    #[test]
    fn names_from_brokers_are_escaped_and_cut_in_the_middle() {
        let mut graph = FlowGraph::default();
        graph
            .nodes
            .push(FlowNode::Service("<script>alert(1)</script>".to_owned()));
        let svg = drawing(&graph).0;
        assert!(!svg.contains("<script"), "{svg}");
        assert_eq!(
            shortened("a-name-that-is-longer-than-a-box")
                .chars()
                .count(),
            22
        );
        assert_eq!(shortened("short"), "short");
    }

    #[test]
    fn what_is_rare_is_told_by_the_hour() {
        assert_eq!(rate(0.01), "36/h");
        assert_eq!(rate(0.0), "0.0/s");
        assert_eq!(rate(12.34), "12.3/s");
    }
}
