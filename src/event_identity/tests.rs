use proptest::prelude::*;

use super::*;
use crate::domain::{AmqpProperties, AmqpValue, Header};

/// Event ID, type, correlation, causation, aggregate; `-` for none.
type Expected = [&'static str; 5];

fn check(what: &str, message: &Message, expected: Expected) {
    check_by(&Config::default(), what, message, expected);
}

fn check_by(config: &Config, what: &str, message: &Message, expected: Expected) {
    let found = event_identity(message, config);
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
            let message = Message { body: Some(text.into()), headers: vec![header], ..Message::default() };
            for names in ["", "event_id = ['x.eventId', 'id', 'event-id']"] {
                event_facts(&message, &named(names));
            }
        }
    }
}

#[test]
fn who_published_it_and_in_which_span_may_stand_in_the_body() {
    let check = |message: &Message, source: Option<&str>, trace: Option<&str>| {
        let facts = event_facts(message, &Config::default());
        assert_eq!(facts.source.as_deref(), source);
        let found = facts.application.map(|span| span.trace);
        assert_eq!(found.as_deref(), trace);
        assert_eq!(facts.event, event_identity(message, &Config::default()));
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

fn named(names: &str) -> Config {
    Config::parse(&format!("[event_names]\n{names}"), []).unwrap()
}

#[test]
fn configured_names_come_before_the_usual_ones() {
    let config = named(
        "correlation_id = ['X-Order-Ref', 'meta.order_ref']\n\
         aggregate_id = ['order.id', 'orderId']\n\
         event_type = ['kind']",
    );
    let check = |what: &str, message: &Message, expected| {
        check_by(&config, what, message, expected);
    };
    let mut message = body(
        r#"{"orderId":7,"order":{"id":8,"lines":[{"id":9}]},"meta":{"order_ref":"r","x":{"order_ref":"no"}},
            "correlationId":"usual","eventId":"e"}"#,
    );
    check("paths", &message, ["e", "-", "r", "-", "8"]);
    message.headers = vec![
        Header::text("order_ref", "h"),
        Header::text("correlationId", "usual"),
        Header::text("kind", "OrderPlaced"),
        Header::text("eventType", "usual"),
    ];
    check("headers", &message, ["e", "OrderPlaced", "h", "-", "8"]);
    let flat = body(r#"{"meta.order_ref":"r","orderId":"o","order":null,"kind":{"id":1}}"#);
    check("a name with a dot", &flat, ["-", "-", "r", "-", "o"]);
    let broken = body(r#"{"order":{"id":8},"meta":{"order_ref":"#);
    check("broken off", &broken, ["-", "-", "-", "-", "8"]);
    let nothing = body(r#"{"meta":{"order_ref":""},"correlationId":"usual","":{"":1}}"#);
    check("no ID", &nothing, ["-", "-", "usual", "-", "-"]);
    let twice = body(r#"{"orderId":1,"order":{"id":2},"orderId":3}"#);
    check(
        "the first name of the list",
        &twice,
        ["-", "-", "-", "-", "2"],
    );
    check("no object", &body("[{\"orderId\":1}]"), ["-"; 5]);
}

#[test]
fn source_and_span_may_have_names_of_their_own() {
    let config = named("source = ['meta.service']\ntraceparent = ['otel']");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut message = body(r#"{"meta":{"service":"shop"},"source":"usual"}"#);
    message.headers = vec![
        Header::text("otel", format!("00-{trace}-00f067aa0ba902b7-01")),
        Header::text(
            "traceparent",
            "00-11111111111111111111111111111111-00f067aa0ba902b7-01",
        ),
    ];
    let facts = event_facts(&message, &config);
    assert_eq!(facts.source.as_deref(), Some("shop"));
    assert_eq!(facts.application.unwrap().trace, trace);
    message.headers[0] = Header::text("otel", "unreadable");
    let usual = event_facts(&message, &config).application.unwrap();
    assert_eq!(usual.trace, "1".repeat(32));
}

#[test]
fn what_is_masked_is_no_id() {
    let text = "[masking]\npayload = ['meta.ref']\n[event_names]\ncorrelation_id = ['meta.ref']";
    let config = Config::parse(text, []).unwrap();
    let message = body(r#"{"meta":{"ref":"secret"},"eventId":"e"}"#);
    check_by(&config, "masked", &message, ["e", "-", "-", "-", "-"]);
}

#[test]
fn an_event_without_correlation_may_join_the_trace_of_the_application() {
    let joins = Config::parse("[traces]\njoin_application_traces = true", []).unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let context = Header::text("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let mut message = headers(vec![context]);
    check("not by itself", &message, ["-"; 5]);
    check_by(&joins, "joined", &message, ["-", "-", trace, "-", "-"]);
    message.headers.push(Header::text("correlationId", "c"));
    check_by(&joins, "its own", &message, ["-", "-", "c", "-", "-"]);
    check_by(&joins, "neither", &body("{}"), ["-"; 5]);
}
