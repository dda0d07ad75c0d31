use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use super::ids::{SpanId, TraceId};
use super::new_spans::NewSpan;
use super::request::request;
use crate::domain::Timestamp;
use crate::store::ExportedSpan;

/// Spans of one request, of about half a kilobyte each: backends take 4 MiB.
pub(super) const SPANS_AT_ONCE: usize = 500;

/// A request, kept as it is until it has an answer: a backend that took it without our knowing gets the same spans
/// once more.
pub(super) struct Batch {
    pub(super) request: ExportTraceServiceRequest,
    /// The backend took it or never will.
    pub(super) is_answered: bool,
    /// Each once, with whether it has a root.
    traces: Vec<(TraceId, bool)>,
    /// With the times of their ends.
    spans: Vec<(TraceId, SpanId, Timestamp)>,
}

impl Batch {
    pub(super) fn of(spans: Vec<(TraceId, NewSpan)>) -> Self {
        let mut traces: Vec<(TraceId, bool)> = spans
            .iter()
            .map(|(trace, new)| (*trace, new.has_root))
            .collect();
        traces.dedup();
        let span = |(trace, new): &(TraceId, NewSpan)| (*trace, new.id, new.ended_at());
        Self {
            is_answered: false,
            traces,
            spans: spans.iter().map(span).collect(),
            request: request(spans.into_iter().map(|(_, new)| new)),
        }
    }

    pub(super) fn spans(&self) -> u64 {
        self.spans.len() as u64
    }

    pub(super) fn traces(&self) -> usize {
        self.traces.len()
    }

    /// What is remembered of it: its spans at least as long as their steps are exported, and the roots of its traces
    /// from now on, because a root is older than what is new below it.
    pub(super) fn marks(&self, now: Timestamp) -> Vec<ExportedSpan> {
        let span = |(trace, span, at): &(TraceId, SpanId, Timestamp)| ExportedSpan {
            trace: trace.0,
            span: span.0,
            at: now.max(*at),
        };
        let rooted = self.traces.iter().filter(|(_, has_root)| *has_root);
        let roots = rooted.map(|(trace, _)| ExportedSpan {
            trace: trace.0,
            span: SpanId::root(*trace).0,
            at: now,
        });
        self.spans.iter().map(span).chain(roots).collect()
    }
}
