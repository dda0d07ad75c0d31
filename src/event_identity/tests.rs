use proptest::prelude::*;

use super::*;
use crate::domain::{AmqpProperties, AmqpValue, Header};

/// Event ID, type, correlation, causation, aggregate; `-` for none.
type Expected = [&'static str; 5];

fn check(what: &str, message: &Message, expected: Expected) {
    let found = event_identity(message);
    let shown = [
        found.event_id,
        found.event_type,
        found.correlation_id,
        found.causation_id,
        found.aggregate_id,
    ]
    .map(|value| value.unwrap_or_else(|| "-".to_owned()));
    assert_eq!(shown, expected, "{what}");
}

fn body(json: &str) -> Message {
    Message {
        body: Some(json.to_owned().into()),
        ..Message::default()
    }
}

fn headers(headers: Vec<Header>) -> Message {
    Message {
        headers,
        ..Message::default()
    }
}

#[test]
fn headers_name_the_event_in_every_usual_spelling() {
    let text = Header::text;
    check(
        "the convention",
        &headers(vec![
            text("eventId", "e"),
            text("eventType", "OrderCreated"),
            text("correlationId", "c"),
            text("causationId", "u"),
            text("aggregateId", "a"),
        ]),
        ["e", "OrderCreated", "c", "u", "a"],
    );
    check(
        "other spellings",
        &headers(vec![
            text("event_id", "e"),
            text("Event-Type", "t"),
            text("X-Correlation-ID", "c"),
            text("causation_id", "u"),
            text("AGGREGATEID", "a"),
        ]),
        ["e", "t", "c", "u", "a"],
    );
    check(
        "the exact name before another spelling, the last before the first",
        &headers(vec![
            text("eventId", "first"),
            text("eventId", "last"),
            text("event_id", "other"),
        ]),
        ["last", "-", "-", "-", "-"],
    );
    check(
        "typed values of AMQP",
        &headers(vec![
            Header::amqp("eventId", AmqpValue::I32(7)),
            Header::amqp("event_type", AmqpValue::long_string("t")),
            Header::amqp("correlationId", AmqpValue::Void),
        ]),
        ["7", "t", "-", "-", "-"],
    );
}

#[test]
fn properties_and_cloud_events_fill_what_headers_leave_open() {
    let properties = AmqpProperties {
        message_id: Some("m".into()),
        kind: Some("k".into()),
        correlation_id: Some("c".into()),
        ..AmqpProperties::default()
    };
    let mut message = Message {
        properties: Some(Box::new(properties)),
        headers: vec![Header::amqp("eventId", AmqpValue::long_string("e"))],
        body: Some("{\"correlationId\":\"body\",\"causationId\":\"u\"}".into()),
        ..Message::default()
    };
    check(
        "headers, properties, body",
        &message,
        ["e", "k", "c", "u", "-"],
    );
    message.headers.clear();
    check("properties", &message, ["m", "k", "c", "u", "-"]);
    let cloud_event = |prefix: &str| {
        let attribute = |name: &str, value: &str| Header::text(&format!("{prefix}{name}"), value);
        headers(vec![
            attribute("id", "i"),
            attribute("type", "t"),
            attribute("correlationid", "c"),
        ])
    };
    for prefix in ["ce_", "cloudEvents:", "cloudEvents_"] {
        check(prefix, &cloud_event(prefix), ["i", "t", "c", "-", "-"]);
    }
}

#[test]
fn the_body_is_asked_last() {
    let cases: [(&str, Expected); 14] = [
        (
            r#" {"eventId":"e","eventType":"t","timestamp":1,"aggregateId":"a","correlationId":"c","causationId":null,"data":{"eventId":"inner"}}"#,
            ["e", "t", "c", "-", "a"],
        ),
        (
            r#"{"event_id":7,"event_type":"t","correlation_id":-1}"#,
            ["7", "t", "-1", "-", "-"],
        ),
        (
            r#"{"id":"order","type":"premium"}"#,
            ["-", "-", "-", "-", "-"],
        ),
        (
            r#"{"id":"i","type":"t","specversion":"1.0"}"#,
            ["i", "t", "-", "-", "-"],
        ),
        (
            r#"{"eventId":"first","eventId":"last"}"#,
            ["last", "-", "-", "-", "-"],
        ),
        (r#"{"eventId":"e","items":[{"#, ["e", "-", "-", "-", "-"]),
        (r#"{"eventId":"broken off"#, ["-", "-", "-", "-", "-"]),
        (
            r#"{"eventId":{"a":[1]},"eventType":["t"],"correlationId":1.5,"causationId":true,"aggregateId":"a"}"#,
            ["-", "-", "-", "-", "a"],
        ),
        (r#"{"eventId":"\u0065\n"}"#, ["e", "-", "-", "-", "-"]),
        (r#"[{"eventId":"e"}]"#, ["-", "-", "-", "-", "-"]),
        (r#""eventId""#, ["-", "-", "-", "-", "-"]),
        ("{", ["-", "-", "-", "-", "-"]),
        ("", ["-", "-", "-", "-", "-"]),
        (
            r#"{"eventId":99999999999999999999999}"#,
            ["-", "-", "-", "-", "-"],
        ),
    ];
    for (json, expected) in cases {
        check(json, &body(json), expected);
    }
}

#[test]
fn what_unrelated_events_would_share_is_no_id() {
    for nothing in [
        "",
        "  ",
        "null",
        "undefined",
        "None",
        "00000000-0000-0000-0000-000000000000",
        "00000000000000000000000000000000",
        "a\u{0}b",
        &"x".repeat(257),
    ] {
        let message = Message {
            headers: vec![Header::text("correlationId", nothing)],
            body: Some(format!("{{\"correlationId\":{}}}", serde_json::json!(nothing)).into()),
            ..Message::default()
        };
        check(nothing, &message, ["-", "-", "-", "-", "-"]);
    }
    let message = Message {
        headers: vec![Header::text(
            "correlationId",
            "00000000-0000-0000-0000-000000000000",
        )],
        body: Some("{\"correlationId\":\"real\"}".into()),
        ..Message::default()
    };
    check(
        "the body may know better",
        &message,
        ["-", "-", "real", "-", "-"],
    );
}

#[test]
fn a_deep_or_large_body_costs_one_pass_at_most() {
    let deep = format!("{{\"eventId\":\"e\",\"x\":{}", "[".repeat(900_000));
    check("deep", &body(&deep), ["e", "-", "-", "-", "-"]);
    let deep_id = format!("{{\"eventType\":\"t\",\"eventId\":{}", "[".repeat(900_000));
    check("a deep ID", &body(&deep_id), ["-", "t", "-", "-", "-"]);
    let large = format!(
        "{{\"eventId\":\"e\",\"x\":\"{}\"}}",
        "y".repeat(body::LARGEST_BODY)
    );
    check("large", &body(&large), ["-", "-", "-", "-", "-"]);
}

proptest! {
    #[test]
    fn no_body_and_no_header_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        json in "(\\{|\\}|\\[|\\]|\"eventId\"|\"id\"|\"specversion\"|:|,|1e9|null|\"x\"| ){0,30}",
        name in "(x-|X_)?(event|correlation)[-_]?id",
    ) {
        for text in [bytes.clone(), json.into_bytes()] {
            let header = Header { name: name.clone().into(), value: HeaderValue::Bytes(bytes.clone().into()) };
            event_identity(&Message { body: Some(text.into()), headers: vec![header], ..Message::default() });
        }
    }
}

#[test]
fn who_published_it_and_in_which_span_may_stand_in_the_body() {
    let check = |message: &Message, source: Option<&str>, trace: Option<&str>| {
        let facts = event_facts(message);
        assert_eq!(facts.source.as_deref(), source);
        let found = facts.application.map(|span| span.trace);
        assert_eq!(found.as_deref(), trace);
        assert_eq!(facts.event, event_identity(message));
    };
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let context = format!("{{\"traceparent\":\"00-{trace}-00f067aa0ba902b7-01\"}}");
    for json in [
        format!("{{\"eventId\":\"e\",\"source\":\"shop\",\"traceContext\":{context}}}"),
        format!("{{\"metadata\":{{\"source\":\"shop\",\"traceContext\":{context}}}}}"),
        format!("{{\"source\":\"shop\",\"trace_context\":{context},\"eventId\":\"e\"}}"),
    ] {
        check(&body(&json), Some("shop"), Some(trace));
    }
    let nothing = "{\"metadata\":[1,{}],\"source\":{},\"traceContext\":null,\"eventId\":\"e\"}";
    check(&body(nothing), None, None);

    let mut message = body("{\"source\":\"body\"}");
    message.headers = vec![
        Header::text("source", "header"),
        Header::text("ce_source", "/shop"),
    ];
    check(&message, Some("/shop"), None);
    message.headers.pop();
    check(&message, Some("header"), None);
    message.headers.clear();
    message.properties = Some(Box::new(AmqpProperties {
        app_id: Some("app".to_owned()),
        ..AmqpProperties::default()
    }));
    check(&message, Some("app"), None);
}
