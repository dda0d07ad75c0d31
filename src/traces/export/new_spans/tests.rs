use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use uuid::Uuid;

use super::*;
use crate::domain::{
    ApplicationSpan, ClusterName, DeadLetterId, DeadLetterStatus, DeathReason, Destination,
    EventIdentity, EventPlace, Offset, Partition, Position, RecordPlace, ReplayId, ReplayJobId,
    RevisionNumber, RoutedPlace, TimeBasis, TracedEvent, TracedLetter, TracedReplay,
};
use crate::traces::export::sample::is_remarkable;
use crate::traces::stitch;

mod arrival;
mod shown;

use shown::{label, lines};

const ORDER: &str = "order-4711";

fn story(from: i64) -> Story<'static> {
    Story {
        trace_id: TraceId::of(ORDER).unwrap(),
        correlation_id: ORDER,
        own_service: "redrive",
        joins: false,
        exportable: Timestamp(from)..=Timestamp(1_000),
    }
}

fn record(offset: i64) -> RecordPlace {
    RecordPlace {
        cluster: "k".into(),
        topic: "orders".into(),
        partition: Partition(3),
        offset: Offset(offset),
    }
}

/// An event at an offset, at a time.
fn event(offset: i64, at: i64, id: &str, cause: &str) -> TracedEvent {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    TracedEvent {
        place: EventPlace::Record(record(offset)),
        at: Timestamp(at),
        basis: TimeBasis::CreateTime,
        event: EventIdentity {
            event_id: given(id),
            event_type: Some("OrderCreated".to_owned()),
            correlation_id: Some(ORDER.to_owned()),
            causation_id: given(cause),
            aggregate_id: None,
        },
        source: Some("shop".to_owned()),
        is_retry: false,
        replay: None,
        application: None,
    }
}

fn position(offset: i64) -> Position {
    Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: None,
        partition: Partition(0),
        offset: Offset(offset),
    }
}

fn letter(number: i64, at: i64, original: i64) -> TracedLetter {
    TracedLetter {
        id: DeadLetterId(number),
        cluster: "k".into(),
        position: position(number),
        at: Timestamp(at),
        event: EventIdentity::default(),
        status: DeadLetterStatus::Open,
        reason: DeathReason::Unknown,
        failure_class: Some("Timeout".to_owned()),
        failure_message: Some("after 5 s".to_owned()),
        consumer: Some("billing".to_owned()),
        consumed_from: Some("orders".to_owned()),
        original: Some(record(original)),
        died_from: None,
        edits: vec![],
    }
}

fn replay(number: u128, of: i64, at: Option<i64>, state: ReplayStateName) -> TracedReplay {
    TracedReplay {
        id: ReplayId(Uuid::from_u128(number)),
        job: ReplayJobId(Uuid::from_u128(77)),
        letter: DeadLetterId(of),
        revision: RevisionNumber(1),
        at: at.map(Timestamp),
        state,
        destination: Destination::Kafka {
            cluster: "k".into(),
            topic: "orders".into(),
            partition: None,
        },
        attempt: 2,
        landed: Some(record(40)),
    }
}

fn exported(new: &[NewSpan]) -> HashSet<SpanId> {
    new.iter().map(|new| new.id).collect()
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    match attribute.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

fn told(events: Vec<TracedEvent>, letters: Vec<TracedLetter>, replays: Vec<TracedReplay>) -> Trace {
    stitch(events, letters, replays, &BTreeSet::new())
}

#[test]
fn a_hop_lies_where_a_child_was_seen_and_a_leaf_has_none() {
    let trace = told(
        vec![
            event(1, 10, "a", ""),
            event(2, 30, "b", "a"),
            event(3, 40, "c", "b"),
        ],
        vec![],
        vec![],
    );
    let new = new_spans(&trace, &story(0), &HashSet::new());
    let expected = [
        "m1 10..10 < root",
        "h2 10..30 < m1",
        "m2 30..30 < h2",
        "h3 30..40 < m2",
        "m3 40..40 < h3",
        "root 10..40",
    ];
    assert_eq!(lines(&new), expected);
    let kinds: Vec<i32> = new.iter().map(|new| new.span.kind).collect();
    let kind = |kind: SpanKind| i32::from(kind);
    assert_eq!(kinds[0], kind(SpanKind::Producer));
    assert_eq!(kinds[1], kind(SpanKind::Consumer));
    assert_eq!(kinds[5], kind(SpanKind::Internal));
    let names: Vec<&str> = new.iter().map(|new| new.span.name.as_str()).collect();
    assert_eq!(names[..2], ["send orders", "process orders"]);
    assert_eq!(names[5], "OrderCreated");
    assert_eq!(
        text(&new[1].span.attributes, "redrive.basis"),
        "publish_to_publish"
    );
}

#[test]
fn an_event_before_its_cause_has_no_hop() {
    let trace = told(
        vec![event(1, 10, "a", ""), event(2, 8, "b", "a")],
        vec![],
        vec![],
    );
    let new = new_spans(&trace, &story(0), &HashSet::new());
    let expected = ["m1 10..10 < root", "m2 8..8 < m1", "root 8..10"];
    assert_eq!(lines(&new), expected);
    assert_eq!(new_spans(&trace, &story(0), &exported(&new)), []);
}

#[test]
fn an_event_that_was_not_seen_has_no_span() {
    let trace = told(vec![event(2, 30, "b", "a")], vec![], vec![]);
    let new = new_spans(&trace, &story(0), &HashSet::new());
    assert_eq!(lines(&new), ["m2 30..30 < root", "root 30..30"]);
}

#[test]
fn a_parent_that_arrives_after_the_export_points_at_its_child() {
    let child = || event(2, 30, "b", "a");
    let before = new_spans(
        &told(vec![child()], vec![], vec![]),
        &story(0),
        &HashSet::new(),
    );
    let check = |parent: TracedEvent, expected: &[&str]| {
        let trace = told(vec![child(), parent], vec![], vec![]);
        let late = new_spans(&trace, &story(0), &exported(&before));
        assert_eq!(lines(&late), expected);
    };
    // The hop can, if there is one.
    check(
        event(1, 10, "a", ""),
        &["m1 10..10 < root", "h2 10..30 < m1 -> m2"],
    );
    check(event(1, 40, "a", ""), &["m1 40..40 < root -> m2"]);
}

#[test]
fn an_original_that_arrives_after_its_dead_letter_points_at_it() {
    let before = told(vec![], vec![letter(1, 20, 1)], vec![]);
    let before = new_spans(&before, &story(0), &HashSet::new());
    assert_eq!(lines(&before), ["d1 20..20 < root", "root 20..20"]);
    let late = told(vec![event(1, 10, "a", "")], vec![letter(1, 20, 1)], vec![]);
    let late = new_spans(&late, &story(0), &exported(&before));
    assert_eq!(lines(&late), ["m1 10..10 < root -> d1"]);
}

#[test]
fn so_many_late_children_are_pointed_at_and_no_more() {
    let children = || (0..130).map(|number| event(100 + number, 30, &format!("c{number}"), "a"));
    let before = told(children().collect(), vec![], vec![]);
    let before = new_spans(&before, &story(0), &HashSet::new());
    let late = told(
        children().chain([event(1, 40, "a", "")]).collect(),
        vec![],
        vec![],
    );
    let late = new_spans(&late, &story(0), &exported(&before));
    let span = &late[0].span;
    assert_eq!(
        (late.len(), span.links.len(), span.dropped_links_count),
        (1, 128, 2)
    );
}

#[test]
fn a_death_and_its_replays_are_told() {
    let copy = TracedEvent {
        replay: Some(ReplayId(Uuid::from_u128(1))),
        ..event(40, 61, "a", "")
    };
    let again = TracedLetter {
        died_from: Some(ReplayId(Uuid::from_u128(1))),
        ..letter(2, 70, 1)
    };
    let trace = told(
        vec![event(1, 10, "a", ""), copy],
        vec![letter(1, 20, 1), again],
        vec![
            replay(1, 1, Some(60), ReplayStateName::DiedAgain),
            replay(2, 2, Some(80), ReplayStateName::Failed),
            replay(3, 2, None, ReplayStateName::Planned),
            replay(4, 2, Some(90), ReplayStateName::Unknown),
        ],
    );
    let new = new_spans(&trace, &story(0), &HashSet::new());
    let expected = [
        "m1 10..10 < root",
        "d1 20..20 < m1",
        "r1 60..60 < d1",
        "m40 61..61 < r1",
        "d2 70..70 < m40",
        "r2 80..80 < d2",
        // A replay of which nothing is known yet ends nothing.
        "root 10..80",
    ];
    assert_eq!(lines(&new), expected);
    let services: Vec<&str> = new.iter().map(|new| new.service.as_str()).collect();
    assert_eq!(
        services,
        [
            "shop", "billing", "redrive", "redrive", "billing", "redrive", "redrive"
        ]
    );
    let died = &new[1].span;
    let status = died.status.as_ref().unwrap();
    assert_eq!(
        (status.code, status.message.as_str()),
        (2, "Timeout: after 5 s")
    );
    assert_eq!(text(&died.attributes, "error.type"), "Timeout");
    assert_eq!(
        text(&died.attributes, "messaging.consumer.group.name"),
        "billing"
    );
    assert_eq!(
        text(&died.attributes, "messaging.destination.partition.id"),
        "3"
    );
    assert_eq!(died.name, "process orders");
    assert_eq!(died.events[0].name, "exception");
    assert_eq!(
        text(&died.events[0].attributes, "exception.type"),
        "Timeout"
    );
    assert_eq!(
        text(&died.events[0].attributes, "exception.message"),
        "after 5 s"
    );
    let failed = new[5].span.status.as_ref();
    assert_eq!(failed.map(|status| status.code), Some(2));
    assert!(new[2].span.status.is_none());
}

#[test]
fn a_death_without_an_exception_has_its_reason() {
    let expired = TracedLetter {
        reason: DeathReason::Expired,
        failure_class: None,
        failure_message: None,
        consumer: None,
        ..letter(1, 20, 1)
    };
    let trace = told(vec![], vec![expired], vec![]);
    let new = new_spans(&trace, &story(0), &HashSet::new());
    let died = &new[0];
    assert_eq!(died.service, "k");
    assert_eq!(text(&died.span.attributes, "error.type"), "expired");
    assert!(died.span.events.is_empty());
}

#[test]
fn a_trace_of_the_application_is_a_link() {
    let mut event = event(1, 10, "a", "");
    event.application = Some(ApplicationSpan {
        trace: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        span: Some("00f067aa0ba902b7".to_owned()),
    });
    let trace = told(vec![event.clone()], vec![], vec![]);
    let new = new_spans(&trace, &story(0), &HashSet::new());
    let link = &new[0].span.links[0];
    assert_eq!(link.trace_id[..2], [0x4b, 0xf9]);
    assert_eq!(link.span_id, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert_eq!(text(&link.attributes, "redrive.link"), "application");
    event.application.as_mut().unwrap().span = None;
    let trace = told(vec![event], vec![], vec![]);
    let new = new_spans(&trace, &story(0), &HashSet::new());
    assert!(new[0].span.links.is_empty());
}

#[test]
fn a_message_of_rabbitmq_is_named_as_the_conventions_say() {
    let check = |exchange: &str, routing_key: &str, expected: &str| {
        let mut event = event(1, 10, "a", "");
        event.source = None;
        event.place = EventPlace::Routed(RoutedPlace {
            cluster: "r".into(),
            vhost: "/".into(),
            exchange: exchange.into(),
            routing_key: routing_key.to_owned(),
            fingerprint: "f".to_owned(),
        });
        // Equal messages are one span.
        let trace = told(vec![event.clone(), event], vec![], vec![]);
        let new = new_spans(&trace, &story(0), &HashSet::new());
        let (sent, count) = (&new[0], new.len());
        assert_eq!((sent.service.as_str(), count), ("r", 2));
        assert_eq!(
            text(&sent.span.attributes, "messaging.destination.name"),
            expected
        );
        assert_eq!(sent.span.name, format!("send {expected}"));
    };
    check("orders", "created", "orders:created");
    check("orders", "", "orders");
    check("", "queue", "queue");
    check("", "", "amq.default");
}

#[test]
fn what_is_older_than_the_memory_of_exported_spans_is_not_sent_and_still_stands_above() {
    let trace = told(
        vec![
            event(1, 10, "a", ""),
            event(2, 30, "b", "a"),
            event(3, 2_000, "c", ""),
        ],
        vec![],
        vec![],
    );
    let new = new_spans(&trace, &story(20), &HashSet::new());
    assert_eq!(lines(&new), ["h2 10..30 < m1", "m2 30..30 < h2"]);
}

#[test]
fn what_failed_and_what_took_long_is_kept() {
    let slow = Duration::from_millis(30);
    let check = |trace: &Trace, expected| assert_eq!(is_remarkable(trace, slow), expected);
    let events = |last| vec![event(1, 10, "a", ""), event(2, last, "b", "")];
    check(&told(events(39), vec![], vec![]), false);
    check(&told(events(40), vec![], vec![]), true);
    check(&told(events(39), vec![letter(1, 12, 1)], vec![]), true);
}

/// An event that a span of the application published.
fn with_context(event: TracedEvent, trace: char, span: char) -> TracedEvent {
    let digits = |digit: char, count| std::iter::repeat_n(digit, count).collect();
    TracedEvent {
        application: Some(ApplicationSpan {
            trace: digits(trace, 32),
            span: Some(digits(span, 16)),
        }),
        ..event
    }
}

/// As [`lines`], with the first byte of each trace in front; spans of the application have no label.
fn lines_of_traces(new: &[NewSpan]) -> Vec<String> {
    let traces = new
        .iter()
        .map(|new| format!("{:02x}", new.span.trace_id[0]));
    traces
        .zip(lines(new))
        .map(|(trace, line)| format!("{trace} {line}"))
        .collect()
}

#[test]
fn what_carries_a_context_joins_the_trace_of_the_application_with_all_below_it() {
    let joining = Story {
        joins: true,
        ..story(0)
    };
    let copy = TracedEvent {
        replay: Some(ReplayId(Uuid::from_u128(1))),
        ..with_context(event(40, 70, "b", "a"), 'a', '2')
    };
    let trace = told(
        vec![
            with_context(event(1, 10, "a", ""), 'a', '1'),
            with_context(event(2, 30, "b", "a"), 'b', '2'),
            event(3, 40, "c", "b"),
            copy,
        ],
        vec![letter(5, 50, 2)],
        vec![replay(1, 5, Some(60), ReplayStateName::Sent)],
    );
    let new = new_spans(&trace, &joining, &HashSet::new());
    let expected = [
        "aa m1 10..10 < other",
        "aa h2 10..30 < m1",
        "bb m2 30..30 < other -> h2",
        "bb h3 30..40 < m2",
        "bb m3 40..40 < h3",
        "bb d5 50..50 < m2",
        "bb r1 60..60 < d5",
        // It carries the context of the original.
        "bb m40 70..70 < r1 -> other",
    ];
    assert_eq!(lines_of_traces(&new), expected);
    assert_eq!(new[0].span.parent_span_id, [0x11; 8]);
    assert_eq!(new[2].span.links.len(), 1, "only the cause");
    assert_eq!(new[2].span.links[0].trace_id, [0xaa; 16]);
    assert!(new.iter().all(|new| !new.has_root));
    assert_eq!(new_spans(&trace, &joining, &exported(&new)), []);

    let mut events = vec![with_context(event(1, 10, "a", ""), 'a', '1')];
    events.push(event(2, 20, "x", ""));
    let new = new_spans(&told(events, vec![], vec![]), &joining, &HashSet::new());
    let expected = [
        "aa m1 10..10 < other",
        "17 m2 20..20 < root",
        "17 root 10..20",
    ];
    assert_eq!(lines_of_traces(&new), expected);
    assert!(new.iter().all(|new| new.has_root));
}

#[test]
fn a_cause_that_arrives_late_points_into_the_trace_that_its_effect_joined() {
    let joining = Story {
        joins: true,
        ..story(0)
    };
    let child = || with_context(event(2, 30, "b", "a"), 'b', '2');
    let trace = told(vec![child()], vec![], vec![]);
    let before = new_spans(&trace, &joining, &HashSet::new());
    assert_eq!(lines_of_traces(&before), ["bb m2 30..30 < other"]);
    let trace = told(vec![child(), event(1, 10, "a", "")], vec![], vec![]);
    let late = new_spans(&trace, &joining, &exported(&before));
    let expected = [
        "17 m1 10..10 < root",
        "17 h2 10..30 < m1 -> m2",
        "17 root 10..30",
    ];
    assert_eq!(lines_of_traces(&late), expected);
    assert_eq!(late[1].span.links[0].trace_id, [0xbb; 16]);
}
