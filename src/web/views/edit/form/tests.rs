use super::*;
use crate::domain::{AmqpProperties, AmqpValue, HeaderValue};
use crate::web::views::edit::bytes_field::HEX_BYTES;

fn awkward() -> Message {
    Message {
        key: Some(Bytes::new()),
        body: Some(Bytes::from_static(br#"{"b":1.10,"a":[1]}"#)),
        headers: vec![
            Header::text("a", "1"),
            Header::text("a", "2"),
            Header {
                name: Bytes::from_static(b"\xff"),
                value: HeaderValue::Null,
            },
            Header {
                name: Bytes::from_static(b"e"),
                value: HeaderValue::Bytes(Bytes::new()),
            },
            Header {
                name: Bytes::from_static(b"n"),
                value: HeaderValue::Null,
            },
            Header::text("crlf", "a\r\nb"),
        ],
        properties: None,
    }
}

fn amqp(headers: Vec<Header>) -> Message {
    Message {
        key: None,
        headers,
        properties: Some(Box::new(AmqpProperties {
            message_id: Some(String::new()),
            priority: Some(3),
            ..AmqpProperties::default()
        })),
        ..awkward()
    }
}

fn new_row(name: &str, kind: &str, value: &str) -> HeaderField {
    HeaderField {
        name: name.to_owned(),
        kind: kind.to_owned(),
        value: value.to_owned(),
        from: None,
        removed: false,
    }
}

/// What a browser sends for a form: line breaks become `\r\n`.
fn through_a_browser(form: &EditForm) -> EditForm {
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in form.fields() {
        encoded.append_pair(&name, &value.replace('\n', "\r\n"));
    }
    EditForm::sent(&Parameters::parse(encoded.finish().as_bytes()))
}

fn unchanged(message: &Message) {
    let form = EditForm::of(message, RevisionNumber(0));
    assert_eq!(through_a_browser(&form).message(message).unwrap(), *message);
}

#[test]
fn what_is_not_touched_comes_back_byte_for_byte() {
    unchanged(&awkward());
    for body in [
        &b"\xfe\xff"[..],
        b"a\r\nb",
        b"a\r\nb\nc",
        b"a\rb",
        b"\x00",
        b"",
        b"{\n}",
        b"\n",
    ] {
        let bytes = Some(Bytes::copy_from_slice(body));
        unchanged(&Message {
            key: bytes.clone(),
            body: bytes,
            ..awkward()
        });
    }
    unchanged(&Message {
        key: None,
        body: None,
        ..awkward()
    });
    let values = [
        AmqpValue::I8(-1),
        AmqpValue::Boolean(true),
        AmqpValue::ShortString("s".to_owned()),
        AmqpValue::F64(f64::NAN.to_bits() | 1),
        AmqpValue::Table(vec![("n".to_owned(), AmqpValue::Void)]),
        AmqpValue::Timestamp(7),
        AmqpValue::long_string("a\r\nb"),
    ];
    unchanged(&amqp(values.map(|value| Header::amqp("h", value)).to_vec()));
    unchanged(&amqp(vec![Header::amqp("a\nb", AmqpValue::Void)]));
}

#[test]
fn a_large_binary_comes_back_byte_for_byte() {
    let body: Vec<u8> = (0..=255).cycle().take(HEX_BYTES + 1).collect();
    for size in [HEX_BYTES, HEX_BYTES + 1] {
        unchanged(&Message {
            body: Some(Bytes::copy_from_slice(&body[..size])),
            ..awkward()
        });
    }
}

#[test]
fn an_edit_changes_what_it_says_and_nothing_else() {
    let base = awkward();
    let mut form = EditForm::of(&base, RevisionNumber(0));
    form.body.text = r#"{"b":2}"#.to_owned();
    form.headers[0].value = "9".to_owned();
    form.headers[1].removed = true;
    form.headers.push(new_row("new", "text", "x"));
    form.headers.push(new_row("bin", "hex", "00ff"));
    form.headers.push(new_row("", "text", ""));
    let edited = through_a_browser(&form).message(&base).unwrap();
    assert_eq!(edited.body.as_deref(), Some(&br#"{"b":2}"#[..]));
    assert_eq!(edited.headers[0], Header::text("a", "9"));
    assert_eq!(edited.headers[1..5], base.headers[2..6]);
    assert_eq!(edited.headers[5], Header::text("new", "x"));
    assert_eq!(edited.headers[6].value.as_bytes(), Some(&b"\x00\xff"[..]));
    assert_eq!(edited.headers.len(), 7);
    assert_eq!(edited.key, base.key);
}

#[test]
fn a_key_is_edited_and_nulled() {
    let base = awkward();
    let mut form = EditForm::of(&base, RevisionNumber(0));
    form.key = Some(BytesField {
        form: BytesForm::Text,
        text: "cust-17".to_owned(),
    });
    let edited = through_a_browser(&form).message(&base).unwrap();
    assert_eq!(edited.key.as_deref(), Some(&b"cust-17"[..]));
    if let Some(key) = &mut form.key {
        key.form = BytesForm::Null;
    }
    assert_eq!(through_a_browser(&form).message(&base).unwrap().key, None);
}

#[test]
fn a_byte_of_a_binary_body_is_edited_as_hex() {
    let base = Message {
        body: Some(Bytes::from_static(b"\x00\x01\x02")),
        ..awkward()
    };
    let mut form = EditForm::of(&base, RevisionNumber(0));
    assert_eq!(form.body.form, BytesForm::Hex);
    form.body.text = form.body.text.replace("01", "ff");
    let edited = through_a_browser(&form).message(&base).unwrap();
    assert_eq!(edited.body.as_deref(), Some(&b"\x00\xff\x02"[..]));
    form.body.text = "0".to_owned();
    let error = form.message(&base).unwrap_err();
    assert!(error.contains("the payload: line 1"), "{error}");
}

#[test]
fn the_same_bytes_are_written_in_another_form() {
    let mut field = BytesField::of(Some(b"hi"));
    field.rewrite(BytesForm::Hex, "payload").unwrap();
    assert_eq!(field.bytes().unwrap().as_deref(), Some(&b"hi"[..]));
    field.rewrite(BytesForm::Base64, "payload").unwrap();
    assert_eq!(field.text, "aGk=");
    field.rewrite(BytesForm::Text, "payload").unwrap();
    assert_eq!(field.text, "hi");
    let mut binary = BytesField::of(Some(b"\xff"));
    let error = binary.rewrite(BytesForm::Text, "payload").unwrap_err();
    assert!(error.contains("edit it as hex"), "{error}");
}

#[test]
fn amqp_types_and_properties_are_chosen() {
    let base = amqp(vec![Header::amqp("count", AmqpValue::I8(1))]);
    let mut form = EditForm::of(&base, RevisionNumber(0));
    form.headers[0].value = "5".to_owned();
    form.headers.push(new_row("when", "timestamp", "60"));
    form.properties[3] = Some("9".to_owned());
    let edited = through_a_browser(&form).message(&base).unwrap();
    assert_eq!(edited.headers[0].value, HeaderValue::Amqp(AmqpValue::I8(5)));
    let when = HeaderValue::Amqp(AmqpValue::Timestamp(60));
    assert_eq!(edited.headers[1].value, when);
    let properties = edited.properties.unwrap();
    assert_eq!(properties.priority, Some(9));
    assert_eq!(properties.message_id.as_deref(), Some(""));
}

#[test]
fn what_a_replay_leaves_out_is_locked() {
    let mut base = awkward();
    base.headers.push(Header::text("x-replay-id", "earlier"));
    let opened = opened_headers(&base);
    assert!(matches!(opened[6].lock, Some(Lock::LeftOut(_))));
    assert_eq!(opened[2].lock, Some(Lock::Unwritable));
    let mut form = EditForm::of(&base, RevisionNumber(0));
    form.headers[6].value = "mine".to_owned();
    form.headers[2].removed = true;
    let edited = form.message(&base).unwrap();
    assert_eq!(edited.header_text("x-replay-id"), Some("earlier"));
    assert_eq!(edited.headers.len(), base.headers.len() - 1);
}

#[test]
fn mistakes_name_the_header() {
    let check = |base: &Message, row: HeaderField, expected: &[&str]| {
        let mut form = EditForm::of(base, RevisionNumber(0));
        form.headers.push(row);
        let error = form.message(base).unwrap_err();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    };
    let rabbitmq = amqp(Vec::new());
    check(
        &rabbitmq,
        new_row("count", "int32", "three"),
        &["count", "three"],
    );
    check(
        &rabbitmq,
        new_row("count", "short string", "x"),
        &["count", "there is no type"],
    );
    check(
        &awkward(),
        new_row("count", "int32", "3"),
        &["count", "there is no type"],
    );
    check(&awkward(), new_row("", "text", "x"), &["\"x\" has no name"]);
}
