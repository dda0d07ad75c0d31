use proptest::prelude::*;

use super::sample_letters::{in_kafka, in_rabbitmq};
use super::*;
use crate::domain::{
    AmqpProperties, DeadLetterId, ReplayId, ReplayJobId, ReplayState, RevisionNumber, Timestamp,
};
use uuid::Uuid;

fn replay(destination: Destination) -> Replay {
    Replay {
        id: ReplayId(Uuid::from_u128(1)),
        number: crate::domain::ReplayNumber(1),
        job: ReplayJobId(Uuid::from_u128(2)),
        dead_letter: DeadLetterId(1),
        revision: RevisionNumber(0),
        destination,
        attempt: 3,
        state: ReplayState::Planned,
        updated_at: Timestamp(0),
    }
}

fn to_kafka() -> Replay {
    replay(Destination::Kafka {
        cluster: "c".into(),
        topic: "orders".into(),
        partition: None,
    })
}

fn to_rabbitmq() -> Replay {
    replay(Destination::queue("c".into(), "/".into(), &"orders".into()))
}

fn rendered(letter: &DeadLetter, replay: &Replay) -> Message {
    render_letter(letter, None, replay, (ReplayOptions::default(), "redrive")).unwrap()
}

#[test]
fn the_headers_of_an_earlier_replay_are_replaced() {
    let headers = vec![
        Header::text(REPLAY_ID, "an earlier one"),
        Header::text("kept", "1"),
        Header::text(REPLAY_ATTEMPT, "2"),
        Header::text(REPLAY_EDITED, "true"),
    ];
    let letter = in_kafka(Message {
        headers,
        ..Message::default()
    });
    let message = rendered(&letter, &to_kafka());
    let names: Vec<String> = message.headers.iter().map(Header::name_lossy).collect();
    let expected = [
        "kept",
        REPLAY_ID,
        REPLAY_JOB_ID,
        REPLAY_ATTEMPT,
        REPLAY_SOURCE,
    ];
    assert_eq!(names, expected);
    assert_eq!(message.header_text(REPLAY_ATTEMPT), Some("3"));
    assert_eq!(
        message.header_text(REPLAY_SOURCE),
        Some("kafka:c/orders.dlq/0@9")
    );
}

#[test]
fn an_edit_keeps_what_its_editor_wrote_and_names_what_it_replaced() {
    let letter = in_kafka(Message {
        body: Some(Bytes::from_static(b"abc")),
        headers: vec![Header::text("removed by the editor", "1")],
        ..Message::default()
    });
    let edited = Message {
        key: Some(Bytes::from_static(b"new key")),
        body: None,
        headers: vec![Header::text("added by the editor", "2")],
        properties: None,
    };
    let message = render_letter(
        &letter,
        Some(&edited),
        &to_kafka(),
        (ReplayOptions::default(), ""),
    )
    .unwrap();
    assert_eq!((&message.key, &message.body), (&edited.key, &None));
    assert_eq!(message.headers[0], edited.headers[0]);
    assert_eq!(message.header_text(REPLAY_EDITED), Some("true"));
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(message.header_text(REPLAY_ORIGINAL_SHA256), Some(digest));
}

#[test]
fn our_headers_are_strings_on_rabbitmq_and_nothing_can_be_refused_for_its_properties() {
    let properties = AmqpProperties {
        user_id: Some("another".to_owned()),
        expiration: Some("abc".to_owned()),
        delivery_mode: Some(1),
        message_id: Some("m".to_owned()),
        ..AmqpProperties::default()
    };
    let letter = in_rabbitmq(Message {
        headers: vec![Header::amqp("n", AmqpValue::I32(1))],
        properties: Some(Box::new(properties)),
        ..Message::default()
    });
    let message = rendered(&letter, &to_rabbitmq());
    for header in &message.headers[1..] {
        let is_string = matches!(header.value, HeaderValue::Amqp(AmqpValue::LongString(_)));
        assert!(is_string, "{header:?}");
    }
    let properties = message.properties.unwrap();
    assert_eq!((properties.user_id, properties.expiration), (None, None));
    assert_eq!(properties.delivery_mode, Some(2));
    assert_eq!(properties.message_id.as_deref(), Some("m"));
    assert_eq!(
        message.headers[4].value.as_text(),
        Some("amqp:/".to_owned() + "/orders.dlq#0123456789abcdef").as_deref()
    );
}

#[test]
fn headers_that_do_not_fit_a_frame_are_refused_before_they_cost_the_connection() {
    let with = |size: usize| {
        in_rabbitmq(Message {
            headers: vec![Header::amqp(
                "big",
                AmqpValue::long_string("x".repeat(size)),
            )],
            ..Message::default()
        })
    };
    let refused = render_letter(
        &with(140_000),
        None,
        &to_rabbitmq(),
        (ReplayOptions::default(), "redrive"),
    );
    assert!(matches!(refused, Err(RenderError::HeadersTooLarge { size }) if size > 140_000));
    assert!(
        render_letter(
            &with(120_000),
            None,
            &to_rabbitmq(),
            (ReplayOptions::default(), "redrive")
        )
        .is_ok()
    );
    let on_kafka = in_kafka(Message {
        headers: vec![Header::text("big", "x".repeat(140_000))],
        ..Message::default()
    });
    assert!(render_letter(&on_kafka, None, &to_kafka(), (ReplayOptions::default(), "")).is_ok());
}

fn x_death(queue: &str, expiration: &str) -> Header {
    let fields = [
        ("queue", queue),
        ("reason", "rejected"),
        ("original-expiration", expiration),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), AmqpValue::long_string(value)));
    let death = AmqpValue::Table(fields.into());
    Header::amqp("x-death", AmqpValue::Array(vec![death]))
}

#[test]
fn the_stripped_history_goes_along_as_a_copy_where_it_fits() {
    let with = |size: usize| {
        in_rabbitmq(Message {
            headers: vec![
                x_death("orders", "60000"),
                Header::amqp("big", AmqpValue::long_string("x".repeat(size))),
            ],
            ..Message::default()
        })
    };
    let message = rendered(&with(1), &to_rabbitmq());
    assert_eq!(message.header("x-death"), None);
    let copy = message.header_text(REPLAY_PREV_DEATHS).unwrap();
    let expected =
        r#"{"x-death":[{"queue":"orders","reason":"rejected","original-expiration":"60000"}]}"#;
    assert_eq!(copy, expected);
    let large = rendered(&with(126_600), &to_rabbitmq());
    assert_eq!(large.header(REPLAY_PREV_DEATHS), None);

    let again = in_rabbitmq(Message {
        headers: message.headers,
        ..Message::default()
    });
    let again = rendered(&again, &to_rabbitmq());
    assert_eq!(
        again.header(REPLAY_PREV_DEATHS),
        None,
        "there is no new history"
    );
}

fn with_options(letter: &DeadLetter, exchange: &str, options: ReplayOptions) -> Message {
    let destination = Destination::RabbitMq {
        cluster: "c".into(),
        vhost: "/".into(),
        exchange: exchange.into(),
        routing_key: "orders".to_owned(),
    };
    render_letter(letter, None, &replay(destination), (options, "redrive")).unwrap()
}

#[test]
fn each_option_keeps_one_thing_and_nothing_else() {
    let keys = AmqpValue::Array(vec![AmqpValue::long_string("copies")]);
    let letter = in_rabbitmq(Message {
        headers: vec![
            x_death("orders", "60000"),
            Header::amqp("x-last-death-queue", AmqpValue::long_string("orders")),
            Header::amqp("CC", keys.clone()),
            Header::amqp("BCC", keys),
            Header::amqp("x-delivery-count", AmqpValue::I64(3)),
        ],
        properties: Some(Box::default()),
        ..Message::default()
    });
    let off = ReplayOptions::default();
    let carried = |exchange, options| {
        let message = with_options(&letter, exchange, options);
        let names = [
            "x-death",
            "x-last-death-queue",
            "CC",
            "BCC",
            "x-delivery-count",
        ];
        let is_there = |name: &&str| message.header(name).is_some();
        let mut kept: Vec<&str> = names.into_iter().filter(is_there).collect();
        kept.extend(message.header(REPLAY_PREV_DEATHS).map(|_| "copy"));
        let expiration = message.properties.unwrap().expiration;
        kept.extend(expiration.map(|text| if text == "60000" { "expiration" } else { "?" }));
        kept
    };
    assert_eq!(carried("events", off), ["copy"]);
    let keep_x_death = ReplayOptions {
        keep_x_death: true,
        ..off
    };
    assert_eq!(carried("", keep_x_death), ["x-death", "x-last-death-queue"]);
    let restore_expiration = ReplayOptions {
        restore_expiration: true,
        ..off
    };
    assert_eq!(carried("", restore_expiration), ["copy", "expiration"]);
    let keep_cc = ReplayOptions {
        keep_cc: true,
        ..off
    };
    assert_eq!(carried("events", keep_cc), ["CC", "copy"]);
    assert_eq!(carried("", keep_cc), ["copy"]);
}

#[test]
fn an_option_never_sends_what_closes_the_channel() {
    let letter = in_rabbitmq(Message {
        headers: vec![
            x_death("orders", "soon"),
            Header::amqp("CC", AmqpValue::long_string("copies")),
        ],
        properties: Some(Box::default()),
        ..Message::default()
    });
    let all = ReplayOptions {
        keep_x_death: true,
        restore_expiration: true,
        keep_cc: true,
    };
    let message = with_options(&letter, "events", all);
    assert_eq!(message.header("CC"), None);
    assert_eq!(message.properties.unwrap().expiration, None);
}

proptest! {
    /// Whatever a stranger wrote: key, body and foreign headers survive byte for byte, in order.
    #[test]
    fn what_is_not_ours_survives(
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)),
        headers in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..8), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..8))),
            0..8,
        ),
    ) {
        let headers: Vec<Header> = headers
            .into_iter()
            .map(|(name, value)| Header {
                name: [b"_".as_slice(), &name].concat().into(),
                value: value.map_or(HeaderValue::Null, |value| HeaderValue::Bytes(value.into())),
            })
            .collect();
        let original = Message {
            key: key.map(Bytes::from),
            body: body.map(Bytes::from),
            headers,
            properties: None,
        };
        let message = rendered(&in_kafka(original.clone()), &to_kafka());
        prop_assert_eq!(&message.key, &original.key);
        prop_assert_eq!(&message.body, &original.body);
        prop_assert_eq!(&message.headers[..original.headers.len()], &original.headers[..]);
    }
}
