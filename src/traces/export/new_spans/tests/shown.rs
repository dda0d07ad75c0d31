//! Spans as lines of text.

use super::*;

/// What a test calls a span: m, h, d and r for messages, hops, dead letters and replays, with their number.
pub(super) fn label(id: &[u8]) -> String {
    let trace = TraceId::of(ORDER).unwrap();
    let cluster = ClusterName::from("k");
    let numbered = (0..50_i64).flat_map(|number| {
        let place = EventPlace::Record(record(number));
        let replay = ReplayId(Uuid::from_u128(number.unsigned_abs().into()));
        [
            (SpanId::message(trace, &place), format!("m{number}")),
            (SpanId::hop(trace, &place), format!("h{number}")),
            (
                SpanId::dead_letter(trace, &cluster, &position(number)),
                format!("d{number}"),
            ),
            (SpanId::replay(trace, replay), format!("r{number}")),
        ]
    });
    let root = (SpanId::root(trace), "root".to_owned());
    let mut known = numbered.chain([root]);
    let found = known.find(|(known, _)| known.0 == id);
    found.map_or_else(|| "other".to_owned(), |(_, label)| label)
}

/// A line a span: what it is, its time, what it hangs below, what it points at.
pub(super) fn lines(new: &[NewSpan]) -> Vec<String> {
    let line = |new: &NewSpan| {
        let span = &new.span;
        assert_eq!(span.span_id, new.id.0);
        let millis = |nanos: u64| nanos / 1_000_000;
        let (start, end) = (
            millis(span.start_time_unix_nano),
            millis(span.end_time_unix_nano),
        );
        let below = match span.parent_span_id.as_slice() {
            [] => String::new(),
            id => format!(" < {}", label(id)),
        };
        let link = |link: &Link| format!(" -> {}", label(&link.span_id));
        let links: String = span.links.iter().map(link).collect();
        format!("{} {start}..{end}{below}{links}", label(&span.span_id))
    };
    new.iter().map(line).collect()
}
