use bytes::Bytes;

use crate::domain::*;
use crate::store::search_index::{INDEXED_WITH_THE_ROWS, document};
use crate::store::{PageRequest, Store};

const NOW: Timestamp = Timestamp(1_000_000);

fn letter(offset: i64, message: Message) -> NewDeadLetter {
    NewDeadLetter {
        cluster: "c".into(),
        position: Position::Kafka {
            topic: "orders.dlq".into(),
            topic_id: None,
            partition: Partition(0),
            offset: Offset(offset),
        },
        message,
        body_omitted: None,
        dead_at: NOW,
        decoded: Decoded::default(),
        event: EventIdentity::default(),
        classification: Classification {
            group: "v1:group".to_owned().into(),
            title: "title".to_owned(),
            explanation: "grouped by test".to_owned(),
        },
        custody: Custody::Broker,
        replay_id: None,
        redelivered: false,
    }
}

fn with_body(body: &'static str, header: (&str, &str)) -> Message {
    Message {
        body: Some(Bytes::from_static(body.as_bytes())),
        headers: vec![Header::text(header.0, header.1)],
        ..Message::default()
    }
}

/// An envelope of the tests: another message is in every body that says so.
fn opened(message: &Message) -> Option<Message> {
    let is_envelope = message.body.as_deref() == Some(b"envelope");
    is_envelope.then(|| with_body(r#"{"customerId":42}"#, ("tenant", "acme")))
}

async fn store_all(store: &Store, letters: &[NewDeadLetter]) {
    let cluster = "c".into();
    let stored = store.index_kafka_batch(&cluster, letters, &[], &[], NOW);
    stored.await.unwrap();
}

async fn found(store: &Store, text: &str) -> Vec<i64> {
    let filter = Filter::parse(text).unwrap();
    let request = PageRequest::first(200);
    let page = store.dead_letters(&filter, NOW, &request);
    let items = page.await.unwrap().items;
    items.iter().map(|letter| letter.id.0).rev().collect()
}

#[tokio::test]
async fn what_is_inside_an_envelope_is_found_however_it_came_in() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    let store = Store::open(&url).await.unwrap().unwrapping(opened);
    let envelope = |offset| letter(offset, with_body("envelope", ("around", "it")));
    store_all(&store, &[envelope(0)]).await;
    let many = 1..=i64::try_from(INDEXED_WITH_THE_ROWS).unwrap() + 1;
    let many: Vec<_> = many.map(envelope).collect();
    store_all(&store, &many).await;
    let plain = letter(500, with_body(r#"{"customerId":43}"#, ("tenant", "other")));
    store_all(&store, &[plain]).await;
    store.catch_up_search_index().await.unwrap();

    let all: Vec<i64> = (1..=102).collect();
    for text in [
        "payload.customerId:42",
        "header.tenant:acme",
        "header.around:it",
        "customerid -43",
    ] {
        assert_eq!(found(&store, text).await, all, "{text}");
    }
    assert_eq!(found(&store, "envelope").await, [0_i64; 0]);
    let stored = store.search_documents(DeadLetterId(0), 1).await.unwrap();
    let expected = document(&envelope(0), opened);
    assert_eq!(stored, [(DeadLetterId(1), expected)]);
}

#[tokio::test]
async fn headers_of_every_amqp_type_are_found_by_their_text() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    let store = Store::open(&url).await.unwrap();
    let nested = AmqpValue::Array(vec![
        AmqpValue::Table(vec![
            ("queue".to_owned(), AmqpValue::long_string("orders")),
            ("count".to_owned(), AmqpValue::I64(3)),
        ]),
        AmqpValue::Boolean(false),
    ]);
    let price = AmqpValue::Decimal {
        scale: 2,
        value: 995,
    };
    let message = Message {
        headers: vec![
            Header::amqp("retryable", AmqpValue::Boolean(true)),
            Header::amqp("ratio", AmqpValue::F64(0.25_f64.to_bits())),
            Header::amqp("part", AmqpValue::F32(1.5_f32.to_bits())),
            Header::amqp("price", price),
            Header::amqp("at", AmqpValue::Timestamp(1_700_000_000)),
            Header::amqp("tries", nested),
            Header::amqp("nothing", AmqpValue::Void),
        ],
        ..Message::default()
    };
    store_all(&store, &[letter(0, message)]).await;
    for text in [
        "header.retryable:true",
        "header.ratio:0.25",
        "header.part:1.5",
        "header.price:995e-2",
        "header.at:2023-11-14*",
        "header.tries:orders",
        "header.tries:3",
        "header.tries:false",
    ] {
        assert_eq!(found(&store, text).await, [1], "{text}");
        let negated = format!("-{text}");
        assert_eq!(found(&store, &negated).await, [0_i64; 0], "{negated}");
    }
    assert_eq!(found(&store, "header.nothing:void").await, [0_i64; 0]);
}
