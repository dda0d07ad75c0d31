//! What the tap saw of the order whose events the sample dead letters are.

use std::time::Duration;

use redrive::domain::{
    ApplicationSpan, EventIdentity, EventPlace, GapReason, Offset, Partition, RecordPlace,
    TapPlace, TimeBasis, Timestamp, TraceGap, TracedEvent,
};
use redrive::store::Store;
use redrive::traces::{ExportBoard, TapBoard, TapState};

/// Traces go to a backend, and those of the applications are there already.
pub(crate) const EXPORT: &str = "\
    [traces]\n\
    application_trace_url = 'https://jaeger.example/trace/{trace_id}'\n\
    [traces.export]\n\
    endpoint = 'http://collector:4317'\n";

/// It was away.
pub(crate) fn export(board: &ExportBoard) {
    let ago = |seconds| Some(Timestamp::now().minus(Duration::from_secs(seconds)));
    board.change(|status| {
        let problem = "connection error: Connection refused (os error 111)".to_owned();
        status.last_problem = ago(3_600).map(|at| (problem, at));
        status.last_success = ago(12);
        (status.sent, status.refused, status.waiting) = (48_112, 3, 27);
    });
}

const ORDER: &str = "9f0c2a41-55aa-4c1e-8f00-1234567890ab";

struct Seen {
    topic: &'static str,
    offset: i64,
    kind: &'static str,
    id: &'static str,
    cause: &'static str,
    /// Seconds before now.
    age: u64,
}

const STORY: [Seen; 6] = [
    Seen {
        topic: "orders",
        offset: 4_711,
        kind: "OrderCreated",
        id: "0197f3a2-1111-7abc-8def-000000000000",
        cause: "",
        age: 80,
    },
    Seen {
        topic: "payments",
        offset: 17,
        kind: "PaymentAuthorised",
        id: "0197f3a2-2222-7abc-8def-000000000001",
        cause: "0197f3a2-1111-7abc-8def-000000000000",
        age: 78,
    },
    Seen {
        topic: "payments",
        offset: 18,
        kind: "PaymentAuthorised",
        id: "0197f3a2-2222-7abc-8def-000000000001",
        cause: "0197f3a2-1111-7abc-8def-000000000000",
        age: 71,
    },
    Seen {
        topic: "shipping",
        offset: 3,
        kind: "ParcelSent",
        id: "0197f3a2-3333-7abc-8def-000000000002",
        cause: "0197f3a2-2222-7abc-8def-000000000001",
        age: 79,
    },
    Seen {
        topic: "mails",
        offset: 8,
        kind: "MailQueued",
        id: "0197f3a2-4444-7abc-8def-000000000003",
        cause: "0197f3a2-9999-7abc-8def-000000000009",
        age: 30,
    },
    Seen {
        topic: "mails",
        offset: 9,
        kind: "",
        id: "",
        cause: "",
        age: 20,
    },
];

pub(crate) async fn fill(store: &Store, now: Timestamp) {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let event = |seen: &Seen| TracedEvent {
        place: EventPlace::Record(RecordPlace {
            cluster: "kafka".into(),
            topic: seen.topic.into(),
            partition: Partition(1),
            offset: Offset(seen.offset),
        }),
        at: now.minus(Duration::from_secs(seen.age)),
        basis: TimeBasis::CreateTime,
        event: EventIdentity {
            event_id: given(seen.id),
            event_type: given(seen.kind),
            correlation_id: Some(ORDER.to_owned()),
            causation_id: given(seen.cause),
            aggregate_id: Some("order-1042".to_owned()),
        },
        source: Some("order-service".to_owned()),
        is_retry: false,
        replay: None,
        application: Some(ApplicationSpan {
            trace: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            span: Some("00f067aa0ba902b7".to_owned()),
        }),
    };
    let events: Vec<TracedEvent> = STORY.iter().map(event).collect();
    store.put_traced_events(&events).await.unwrap();
    store.put_trace_gap(&gap(now)).await.unwrap();
}

fn gap(now: Timestamp) -> TraceGap {
    TraceGap {
        cluster: "rabbitmq".into(),
        place: TapPlace::Vhost("/".into()),
        from: now.minus(Duration::from_mins(1)),
        to: now.minus(Duration::from_secs(45)),
        reason: GapReason::FellBehind,
    }
}

/// One tap follows exchanges, and another cannot.
pub(crate) fn follow(taps: &TapBoard) {
    let cluster = "rabbitmq".into();
    let place = TapPlace::Vhost("/".into());
    taps.set(&cluster, &place, TapState::Following);
    let followed = [("events".into(), 2), ("commands".into(), 1)];
    let left_out = [
        (
            "shards".into(),
            "its type is x-consistent-hash; only direct, topic, fanout and headers leave others what they get"
                .to_owned(),
        ),
        ("events.dlx".into(), "no queue is bound to it, DLQs aside".to_owned()),
    ];
    taps.set_exchanges(&cluster, &place, followed.into(), left_out.into());
    let failing = "the queue redrive-traces of virtual host billing is there with other settings; delete it, or \
                   name another in traces.rabbitmq_queue";
    let billing = TapPlace::Vhost("billing".into());
    taps.set(&cluster, &billing, TapState::Failing(failing.to_owned()));
}
