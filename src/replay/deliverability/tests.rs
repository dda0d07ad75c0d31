use bytes::Bytes;

use super::*;
use crate::replay::render::sample_letters::{in_kafka, in_rabbitmq};

fn rabbitmq(headers: Vec<Header>, properties: AmqpProperties) -> Vec<Finding> {
    let original = Message {
        properties: Some(Box::default()),
        ..Message::default()
    };
    let edited = Message {
        headers,
        properties: Some(Box::new(properties)),
        ..Message::default()
    };
    deliverability(&in_rabbitmq(original), &edited, ("redrive", None))
}

fn kafka(edited: &Message) -> Vec<Finding> {
    deliverability(&in_kafka(Message::default()), edited, ("", None))
}

#[track_caller]
fn check(findings: &[Finding], severity: Severity, field: &str, reason: &str) {
    let found = findings.iter().any(|finding| {
        finding.severity == severity && finding.field == field && finding.reason.contains(reason)
    });
    assert!(found && findings.len() == 1, "{field}: {findings:?}");
}

#[test]
fn headers_that_rabbitmq_would_not_take_are_refused() {
    let none = AmqpProperties::default;
    let text = || AmqpValue::long_string("v");
    assert_eq!(rabbitmq(vec![Header::amqp("n", text())], none()), []);
    let long = "n".repeat(256);
    let table = |name: &str, value| AmqpValue::Table(vec![(name.to_owned(), value)]);
    let short = || AmqpValue::ShortString("s".to_owned());
    let cases = [
        (Header::amqp("s", short()), "header s", "short string"),
        (
            Header::amqp("s", AmqpValue::Array(vec![table("a", short())])),
            "header s",
            "short string",
        ),
        (
            Header::amqp("t", table(&long, text())),
            "header t",
            "field whose name",
        ),
        (
            Header::amqp("deep", (0..33).fold(text(), |inner, _| table("n", inner))),
            "headers",
            "more than 32 lists and tables",
        ),
        (
            Header::amqp("big", AmqpValue::long_string("x".repeat(130_000))),
            "headers",
            "AMQP allows",
        ),
    ];
    for (header, field, reason) in cases {
        check(
            &rabbitmq(vec![header], none()),
            Severity::Refused,
            field,
            reason,
        );
    }
    let named = rabbitmq(vec![Header::amqp(&long, text())], none());
    assert!(named[0].reason.contains("256 bytes"), "{named:?}");
    let binary = Header {
        name: Bytes::from_static(b"\xff"),
        value: HeaderValue::Amqp(text()),
    };
    check(
        &rabbitmq(vec![binary], none()),
        Severity::Refused,
        "header \u{fffd}",
        "not UTF-8",
    );
    let copies = rabbitmq(vec![Header::amqp("CC", text())], none());
    let refused = copies
        .iter()
        .find(|f| f.severity == Severity::Refused)
        .unwrap();
    assert!(
        refused.reason.contains("array of routing keys"),
        "{copies:?}"
    );
}

#[test]
fn properties_that_rabbitmq_would_not_take_are_refused() {
    let long = AmqpProperties {
        message_id: Some("m".repeat(256)),
        ..AmqpProperties::default()
    };
    check(
        &rabbitmq(Vec::new(), long),
        Severity::Refused,
        "property message-id",
        "256 bytes",
    );
    for broken in ["abc", "-1", "1.5", "99999999999"] {
        let properties = AmqpProperties {
            expiration: Some(broken.to_owned()),
            ..AmqpProperties::default()
        };
        let findings = rabbitmq(Vec::new(), properties);
        assert_eq!(findings[0].severity, Severity::Refused, "{broken}");
        assert!(findings[0].remedy.contains("60000"));
    }
}

#[test]
fn what_would_arrive_otherwise_is_said() {
    let some = |text: &str| Some(text.to_owned());
    let changed = |properties, field: &str, reason: &str| {
        check(
            &rabbitmq(Vec::new(), properties),
            Severity::Warning,
            field,
            reason,
        );
    };
    let default = AmqpProperties::default;
    changed(
        AmqpProperties {
            user_id: some("shop"),
            ..default()
        },
        "property user-id",
        "every name but redrive",
    );
    changed(
        AmqpProperties {
            expiration: some("60000"),
            ..default()
        },
        "property expiration",
        "could expire",
    );
    changed(
        AmqpProperties {
            reply_to: some("amq.rabbitmq.reply-to"),
            ..default()
        },
        "property reply-to",
        "direct reply",
    );
    changed(
        AmqpProperties {
            delivery_mode: Some(1),
            ..default()
        },
        "property delivery-mode",
        "persistent",
    );
    let own = AmqpProperties {
        user_id: some("redrive"),
        ..default()
    };
    assert_eq!(rabbitmq(Vec::new(), own), []);
    let header = || Header::amqp("a", AmqpValue::Void);
    check(
        &rabbitmq(vec![header(), header(), header()], default()),
        Severity::Warning,
        "header a",
        "only the last",
    );
    let ours = Message {
        headers: vec![Header::text("x-replay-id", "1")],
        ..Message::default()
    };
    check(
        &kafka(&ours),
        Severity::Warning,
        "header x-replay-id",
        "leaves it out",
    );
}

#[test]
fn what_was_so_before_the_edit_is_not_repeated() {
    let original = Message {
        headers: vec![Header::amqp("x-death", AmqpValue::Array(Vec::new()))],
        properties: Some(Box::new(AmqpProperties {
            user_id: Some("shop".to_owned()),
            delivery_mode: Some(1),
            ..AmqpProperties::default()
        })),
        ..Message::default()
    };
    let letter = in_rabbitmq(original.clone());
    assert_eq!(deliverability(&letter, &original, ("redrive", None)), []);
}

#[test]
fn kafka_takes_bytes_up_to_its_limits() {
    let typed = Message {
        headers: vec![Header::amqp("n", AmqpValue::I32(1))],
        ..Message::default()
    };
    check(&kafka(&typed), Severity::Refused, "header n", "are bytes");
    let sized = |size| Message {
        body: Some(Bytes::from(vec![0; size])),
        ..Message::default()
    };
    assert_eq!(kafka(&sized(1_000_000)), []);
    check(
        &kafka(&sized(1_100_000)),
        Severity::Warning,
        "payload",
        "1 MiB by default",
    );
    check(
        &kafka(&sized(MOST_KAFKA_BYTES)),
        Severity::Refused,
        "payload",
        "100 MiB",
    );
}

#[test]
fn the_limit_of_the_topic_itself_counts_where_it_is_known() {
    let edited = |bytes: usize| Message {
        body: Some(Bytes::from(vec![b'x'; bytes])),
        ..Message::default()
    };
    let with_limit = |bytes: usize, limit: usize| {
        let letter = in_kafka(Message::default());
        deliverability(&letter, &edited(bytes), ("", Some(limit)))
    };
    let found = with_limit(20_000, 10_000);
    check(&found, Severity::Refused, "payload", "takes 10000");
    assert_eq!(with_limit(2_000_000, 4_000_000), []);
    assert_eq!(with_limit(5_000, 10_000), []);
}
