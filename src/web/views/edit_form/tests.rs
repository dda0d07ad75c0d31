use super::*;

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

/// What a browser sends for a form: line breaks become `\r\n`.
fn through_a_browser(form: &EditForm) -> EditForm {
    let mut pairs = vec![
        ("builds_on".to_owned(), form.builds_on.to_string()),
        ("body_form".to_owned(), form.body_form.as_str().to_owned()),
        ("body".to_owned(), form.body.replace('\n', "\r\n")),
        ("headers".to_owned(), form.headers.len().to_string()),
    ];
    for (index, field) in form.headers.iter().enumerate() {
        let mut push = |part: &str, value: &str| {
            pairs.push((format!("h{index}-{part}"), value.replace('\n', "\r\n")));
        };
        push("name", &field.name);
        push("kind", &field.kind);
        push("value", &field.value);
        push(
            "from",
            &field.from.map(|from| from.to_string()).unwrap_or_default(),
        );
        push("remove", if field.removed { "1" } else { "" });
    }
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(pairs);
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
        unchanged(&Message {
            body: Some(Bytes::copy_from_slice(body)),
            ..awkward()
        });
    }
    unchanged(&Message {
        body: None,
        ..awkward()
    });
    let amqp = [
        AmqpValue::I8(-1),
        AmqpValue::Boolean(true),
        AmqpValue::ShortString("s".to_owned()),
        AmqpValue::F64(f64::NAN.to_bits()),
        AmqpValue::Table(vec![("n".to_owned(), AmqpValue::Void)]),
        AmqpValue::Timestamp(7),
    ];
    let headers = amqp.map(|value| Header::amqp("h", value)).to_vec();
    unchanged(&Message {
        headers,
        properties: Some(Box::default()),
        ..awkward()
    });
}

#[test]
fn an_edit_changes_what_it_says_and_nothing_else() {
    let base = awkward();
    let mut form = EditForm::of(&base, RevisionNumber(0));
    form.body = r#"{"b":2}"#.to_owned();
    form.headers[0].value = "9".to_owned();
    form.headers[1].removed = true;
    form.headers.push(HeaderField {
        name: "new".to_owned(),
        kind: "text".to_owned(),
        value: "x".to_owned(),
        from: None,
        removed: false,
        type_name: "",
    });
    let edited = through_a_browser(&form).message(&base).unwrap();
    assert_eq!(edited.body.as_deref(), Some(&br#"{"b":2}"#[..]));
    assert_eq!(edited.headers[0], Header::text("a", "9"));
    assert_eq!(edited.headers[1..5], base.headers[2..6]);
    assert_eq!(edited.headers[5], Header::text("new", "x"));
    assert_eq!(edited.key, base.key);
}

#[test]
fn an_edited_integer_keeps_its_width_while_it_fits() {
    let like = HeaderValue::Amqp(AmqpValue::I8(1));
    assert_eq!(integer_like(5, Some(&like)), AmqpValue::I8(5));
    assert_eq!(integer_like(500, Some(&like)), AmqpValue::I64(500));
}

#[test]
fn mistakes_name_the_header() {
    let base = Message {
        properties: Some(Box::default()),
        ..Message::default()
    };
    let mut form = EditForm::of(&base, RevisionNumber(0));
    form.headers.push(HeaderField {
        name: "count".to_owned(),
        kind: "integer".to_owned(),
        value: "three".to_owned(),
        from: None,
        removed: false,
        type_name: "",
    });
    let error = form.message(&base).unwrap_err();
    assert!(
        error.contains("count") && error.contains("three"),
        "{error}"
    );
}
