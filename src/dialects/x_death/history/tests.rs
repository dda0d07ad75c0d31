use super::*;
use crate::dialects::{decode, headers_stripped_on_replay};
use crate::domain::conventions::REPLAY_PREV_DEATHS;
use crate::domain::{Decoded, Header, Position, System};

fn death(queue: &str, count: i64, more: &[(&str, &str)]) -> AmqpValue {
    let mut fields = vec![
        ("count".to_owned(), AmqpValue::I64(count)),
        ("reason".to_owned(), AmqpValue::long_string("rejected")),
        ("queue".to_owned(), AmqpValue::long_string(queue)),
        ("time".to_owned(), AmqpValue::Timestamp(1_764_560_000)),
    ];
    let more = more.iter();
    fields.extend(more.map(|(name, value)| ((*name).to_owned(), AmqpValue::long_string(*value))));
    AmqpValue::Table(fields)
}

fn message(deaths: Vec<AmqpValue>) -> Message {
    let headers = vec![
        Header::amqp("eventId", AmqpValue::long_string("e")),
        Header::amqp(NAME, AmqpValue::Array(deaths)),
        Header::amqp("x-first-death-queue", AmqpValue::long_string("orders")),
    ];
    Message {
        headers,
        ..Message::default()
    }
}

#[test]
fn the_copy_says_what_the_headers_said() {
    let copy = previous_deaths(&message(vec![death("orders", 2, &[])])).unwrap();
    let expected = serde_json::json!({
        "x-death": [{"count": 2, "reason": "rejected", "queue": "orders", "time": 1_764_560_000}],
        "x-first-death-queue": "orders",
    });
    assert_eq!(serde_json::from_str::<Value>(&copy).unwrap(), expected);
    assert!(!copy.contains(": "), "not compact: {copy}");
    assert_eq!(previous_deaths(&Message::default()), None);
}

#[test]
fn a_copy_is_bounded_and_counts_what_it_leaves_out() {
    let check = |deaths: Vec<AmqpValue>, expected: Option<u64>| {
        let all = deaths.len() as u64;
        let copy = previous_deaths(&message(deaths));
        let kept = copy.map(|copy| {
            assert!(copy.len() <= LONGEST_COPY, "{} bytes", copy.len());
            let copy: Value = serde_json::from_str(&copy).unwrap();
            let kept = copy["x-death"].as_array().unwrap().len() as u64;
            assert_eq!(kept + copy["omitted"].as_u64().unwrap_or(0), all);
            assert_eq!(copy["x-death"][0]["count"], 0, "the latest is kept");
            kept
        });
        assert_eq!(kept, expected);
    };
    let deaths = |number: i64| (0..number).map(|n| death("orders", n, &[])).collect();
    check(deaths(20), Some(20));
    check(deaths(100), Some(50));
    check(deaths(10_000), Some(32));
    // JSON takes six bytes for one of these.
    check(vec![death(&"\u{1}".repeat(600), 0, &[])], Some(1));
    check(vec![death(&"\u{1}".repeat(700), 0, &[])], None);
}

#[test]
fn values_of_every_type_are_copied() {
    let table = |value| AmqpValue::Table(vec![("v".to_owned(), value)]);
    for (value, expected) in [
        (AmqpValue::Boolean(true), "true"),
        (AmqpValue::U8(7), "7"),
        (AmqpValue::F64(f64::NAN.to_bits()), "\"NaN\""),
        (AmqpValue::Void, "null"),
        (AmqpValue::LongString(vec![0xff].into()), "\"\u{fffd}\""),
        (AmqpValue::ByteArray(vec![b'a'].into()), "\"a\""),
        (AmqpValue::Array(vec![AmqpValue::I8(-1)]), "[-1]"),
    ] {
        let copy = previous_deaths(&message(vec![table(value)])).unwrap();
        assert!(copy.contains(&format!("[{{\"v\":{expected}}}]")), "{copy}");
    }
}

#[test]
fn an_earlier_copy_is_stripped_and_is_no_account_of_a_death() {
    let copy = previous_deaths(&message(vec![death("orders", 1, &[])])).unwrap();
    let message = Message {
        headers: vec![Header::amqp(
            REPLAY_PREV_DEATHS,
            AmqpValue::long_string(copy.clone()),
        )],
        ..Message::default()
    };
    let position = Position::RabbitMq {
        vhost: "/".into(),
        queue: "orders.dlq".into(),
        fingerprint: String::new(),
    };
    assert_eq!(decode(&position, &message), Decoded::default());
    assert_eq!(
        headers_stripped_on_replay(System::RabbitMq, &message).len(),
        1
    );
    assert_eq!(previous_deaths(&message), None);
}

#[test]
fn only_what_the_queue_of_origin_took_off_is_the_original_expiration() {
    let with = |queue, text| death(queue, 1, &[("original-expiration", text)]);
    let check = |deaths: Vec<AmqpValue>, expected: Option<&str>| {
        assert_eq!(original_expiration(&message(deaths), "orders"), expected);
    };
    check(
        vec![with("retry", "5000"), with("orders", "60000")],
        Some("60000"),
    );
    check(vec![with("retry", "5000"), death("orders", 1, &[])], None);
    check(vec![with("orders", "")], None);
    check(vec![with("orders", "+5")], None);
    check(vec![with("orders", "1e3")], None);
    check(vec![with("orders", "4294967296")], None);
    check(Vec::new(), None);
}
