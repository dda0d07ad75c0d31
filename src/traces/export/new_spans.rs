//! Which spans of a trace are new.
//!
//! A span that was exported is never sent again, not even changed: one backend would keep both, another whichever it
//! likes. So what is learnt later about how things hang together becomes a span of its own, or a link: a parent that
//! arrives after its child points at the child, because the child cannot point at it any more.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::describe::{self, Described};
use super::ids::{SpanId, TraceId};
use crate::domain::{ReplayStateName, Timestamp, TracedEvent};
use crate::traces::{Cause, Node, Step, Trace};

/// Of a parent that arrives after more children, further ones are only counted.
const MOST_LINKS: usize = 128;

/// What all spans of a trace have in common.
#[derive(Clone, Debug)]
pub(super) struct Story<'a> {
    pub(super) trace_id: TraceId,
    pub(super) correlation_id: &'a str,
    /// The service of what Redrive itself did.
    pub(super) own_service: &'a str,
    /// Whether an event that tells of the application's span is exported into the application's trace.
    pub(super) joins: bool,
    /// Steps of other times are not exported. It begins where the memory of exported spans ends.
    pub(super) exportable: RangeInclusive<Timestamp>,
}

impl Story<'_> {
    /// The application's span below which an event is exported. What a replay sent carries the context of the
    /// original.
    pub(super) fn joined(&self, event: &TracedEvent) -> Option<(TraceId, SpanId)> {
        if !self.joins || event.replay.is_some() {
            return None;
        }
        describe::application_span(event)
    }
}

/// A span that was not exported yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NewSpan {
    pub(super) id: SpanId,
    /// Whether the trace has a root now. It has none where all was exported into traces of the application.
    pub(super) has_root: bool,
    pub(super) service: String,
    pub(super) span: Span,
}

impl NewSpan {
    pub(super) fn ended_at(&self) -> Timestamp {
        let millis = self.span.end_time_unix_nano / 1_000_000;
        Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

/// The spans of a trace without those that were exported.
pub(super) fn new_spans(
    trace: &Trace,
    story: &Story<'_>,
    exported: &HashSet<SpanId>,
) -> Vec<NewSpan> {
    let mut building = Building {
        trace,
        story,
        exported,
        ids: trace.nodes.iter().map(|node| id(story, node)).collect(),
        joined: joined(trace, story),
        taken: exported.clone(),
        written: vec![None; trace.nodes.len()],
        new: Vec::new(),
    };
    for index in 0..trace.nodes.len() {
        building.visit(index);
    }
    let has_root = building.needs_root();
    if has_root {
        building.add_root();
    }
    let mut new = building.new;
    for new in &mut new {
        new.has_root = has_root;
    }
    new
}

/// For each node the trace of the application that it is exported into, if there is one: its own, or that of what it
/// hangs below.
fn joined(trace: &Trace, story: &Story<'_>) -> Vec<Option<TraceId>> {
    let parent = |index: &usize| trace.nodes[*index].parent;
    let own = |index: usize| match &trace.nodes[index].step {
        Step::Event(event) => story.joined(event).map(|(trace, _)| trace),
        _ => None,
    };
    let joined = |index| std::iter::successors(Some(index), parent).find_map(own);
    if !story.joins {
        return vec![None; trace.nodes.len()];
    }
    (0..trace.nodes.len()).map(joined).collect()
}

/// The span of a step; `None` for what nobody saw, or what has not happened.
fn id(story: &Story<'_>, node: &Node) -> Option<SpanId> {
    let trace = story.trace_id;
    match &node.step {
        Step::Event(event) => Some(SpanId::message(trace, &event.place)),
        Step::Letter(letter) => Some(SpanId::dead_letter(
            trace,
            &letter.cluster,
            &letter.position,
        )),
        Step::Replay(replay) => {
            let is_over = matches!(
                replay.state,
                ReplayStateName::Sent
                    | ReplayStateName::Passed
                    | ReplayStateName::Consumed
                    | ReplayStateName::DiedAgain
                    | ReplayStateName::NotSeenAgain
                    | ReplayStateName::Failed
            );
            (is_over && replay.at.is_some()).then(|| SpanId::replay(trace, replay.id))
        }
        // An edit is of nothing that a broker saw.
        Step::Edit(_) | Step::Missing(_) => None,
    }
}

/// Where a step hangs.
struct Edge {
    /// The node of the span above; `None`: the root.
    above: Option<usize>,
    /// The span between the two.
    hop: Option<SpanId>,
}

struct Building<'a> {
    trace: &'a Trace,
    story: &'a Story<'a>,
    exported: &'a HashSet<SpanId>,
    /// By node.
    ids: Vec<Option<SpanId>>,
    /// By node.
    joined: Vec<Option<TraceId>>,
    /// Exported or written. Equal messages of RabbitMQ are one span.
    taken: HashSet<SpanId>,
    /// The new span of each node.
    written: Vec<Option<usize>>,
    new: Vec<NewSpan>,
}

impl Building<'_> {
    fn visit(&mut self, index: usize) {
        let Some(id) = self.ids[index].filter(|_| self.is_exportable(index)) else {
            return;
        };
        let edge = self.edge(index);
        if self.exported.contains(&id) {
            self.come_late(index, id, &edge);
        } else if self.taken.insert(id) {
            if let Some(hop) = edge.hop {
                self.add_hop(hop, index);
            }
            let above = edge.above.and_then(|above| self.ids[above]);
            let cause = edge.hop.or(above);
            let (parent, link) = match self.joined_span(index) {
                Some(span) => (span, cause.zip(edge.above)),
                None => (
                    cause.unwrap_or_else(|| SpanId::root(self.story.trace_id)),
                    None,
                ),
            };
            let link = link.map(|(cause, above)| describe::cause_link(self.home(above), cause));
            if let Some(mut described) = self.describe(index) {
                described.span.links.extend(link);
                self.written[index] = Some(self.new.len());
                self.push((self.home(index), id), Some(parent), described);
            }
        }
    }

    /// The span of the application that published the event of a node, if it is exported below that.
    fn joined_span(&self, index: usize) -> Option<SpanId> {
        match &self.trace.nodes[index].step {
            Step::Event(event) => self.story.joined(event).map(|(_, span)| span),
            _ => None,
        }
    }

    /// The trace that the span of a node is exported into.
    fn home(&self, index: usize) -> TraceId {
        self.joined[index].unwrap_or(self.story.trace_id)
    }

    fn is_exportable(&self, index: usize) -> bool {
        let at = self.trace.nodes[index].step.at();
        at.is_some_and(|at| self.story.exportable.contains(&at))
    }

    fn edge(&self, index: usize) -> Edge {
        let node = &self.trace.nodes[index];
        let parent = |index: &usize| self.trace.nodes[*index].parent;
        let mut above = std::iter::successors(node.parent, parent);
        let is_exact = match (node.cause, node.parent, &node.step) {
            (Cause::CausationId, Some(parent), Step::Event(_)) => {
                matches!(self.trace.nodes[parent].step, Step::Event(_))
            }
            _ => false,
        };
        let after = node.after_ms.filter(|_| is_exact);
        let hop = match &node.step {
            Step::Event(event) if after.is_some_and(|after| after >= 0) => {
                Some(SpanId::hop(self.story.trace_id, &event.place))
            }
            _ => None,
        };
        Edge {
            above: above.find(|above| self.ids[*above].is_some()),
            hop,
        }
    }

    /// What is above a span that was exported without it.
    fn come_late(&mut self, index: usize, id: SpanId, edge: &Edge) {
        let link = describe::late_link(self.home(index), id);
        let above = edge.above.and_then(|above| self.written[above]);
        let pointing = match (edge.hop, above) {
            (Some(hop), _) => self.add_hop(hop, index),
            (None, above) => above,
        };
        let Some(span) = pointing.map(|at| &mut self.new[at].span) else {
            return;
        };
        if span.links.len() < MOST_LINKS {
            span.links.push(link);
        } else {
            span.dropped_links_count += 1;
        }
    }

    /// The place of the hop that leads to a node, if it is new.
    fn add_hop(&mut self, id: SpanId, index: usize) -> Option<usize> {
        let node = &self.trace.nodes[index];
        let parent = node.parent?;
        let steps = (&self.trace.nodes[parent].step, &node.step);
        let (Step::Event(above), Step::Event(below)) = steps else {
            return None;
        };
        if !self.taken.insert(id) {
            return None;
        }
        let described = describe::hop(self.story, above, below);
        self.push((self.home(parent), id), self.ids[parent], described);
        Some(self.new.len() - 1)
    }

    fn describe(&self, index: usize) -> Option<Described> {
        let node = &self.trace.nodes[index];
        match &node.step {
            Step::Event(event) => Some(describe::message(self.story, node, event)),
            Step::Letter(letter) => Some(describe::dead_letter(self.story, node, letter)),
            Step::Replay(replay) => Some(describe::replay(self.story, node, replay, replay.at?)),
            Step::Edit(_) | Step::Missing(_) => None,
        }
    }

    fn push(
        &mut self,
        (trace, id): (TraceId, SpanId),
        parent: Option<SpanId>,
        described: Described,
    ) {
        let Described { service, span } = described;
        self.new.push(NewSpan {
            id,
            has_root: false,
            service,
            span: Span {
                trace_id: trace.0.to_vec(),
                span_id: id.0.to_vec(),
                parent_span_id: parent.map_or_else(Vec::new, |parent| parent.0.to_vec()),
                ..span
            },
        });
    }

    /// Whether something is not exported into a trace of the application.
    fn needs_root(&self) -> bool {
        let mut joined = self.ids.iter().zip(&self.joined);
        joined.any(|(id, joined)| id.is_some() && joined.is_none())
    }

    /// With the first spans. Where some steps are older than the memory of exported spans, it may have been sent
    /// with them.
    fn add_root(&mut self) {
        let id = SpanId::root(self.story.trace_id);
        let times = || {
            let seen = self.trace.nodes.iter().zip(&self.ids);
            let seen = seen.filter(|(_, id)| id.is_some());
            seen.filter_map(|(node, _)| node.step.at())
        };
        let exportable = &self.story.exportable;
        let is_old = times().any(|at| at < *exportable.start());
        if self.new.is_empty() || is_old || self.exported.contains(&id) {
            return;
        }
        let within = || times().filter(|at| exportable.contains(at));
        let Some(ends) = within().min().zip(within().max()) else {
            return;
        };
        let described = describe::root(self.story, self.trace, ends);
        self.push((self.story.trace_id, id), None, described);
    }
}

#[cfg(test)]
mod tests;
