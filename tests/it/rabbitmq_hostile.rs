//! Messages that are made to harm their reader, published by a client that writes its own bytes.

use redrive::domain::{AmqpValue, HeaderValue, Message, QueueName};

use crate::support::rabbitmq::{REQUEST_TIMEOUT, Vhost, bodies, consume_alone, fill, look_at};
use crate::support::raw_amqp::{RawClient, long, short};

/// A header `x` of so many arrays or tables in each other.
fn nested(kind: u8, levels: usize) -> Vec<u8> {
    let value = (0..levels).fold(b"V".to_vec(), |inner, _| {
        let name = if kind == b'F' { vec![0] } else { vec![] };
        [&[kind], long(&[name, inner].concat()).as_slice()].concat()
    });
    [short(b"x"), value].concat()
}

fn depth(value: &AmqpValue) -> usize {
    match value {
        AmqpValue::Array(values) => 1 + values.first().map_or(0, depth),
        AmqpValue::Table(fields) => 1 + fields.first().map_or(0, |(_, inner)| depth(inner)),
        _ => 0,
    }
}

fn header(message: &Message) -> &AmqpValue {
    match &message.headers[0].value {
        HeaderValue::Amqp(value) => value,
        other => panic!("{other:?}"),
    }
}

/// As many levels of arrays and of tables as fit a frame. Since 4.0 RabbitMQ writes the headers anew at
/// each delivery in a time that grows with the square of their depth (4.3.6: seconds of its processor
/// for one such message, longer than a client waits for an answer), so there are fewer.
async fn levels(vhost: &Vhost) -> [usize; 2] {
    if vhost.version().await.is_surely_before(4, 0) {
        [20_000, 14_000]
    } else {
        [4_000, 2_800]
    }
}

async fn queue_of_hostile_messages(vhost: &Vhost) -> QueueName {
    let queue = QueueName::new("hostile");
    let channel = vhost.channel().await;
    channel.declare_queue(&queue, &[]).await.unwrap();
    let mut client = RawClient::open(&vhost.name).await;
    let [arrays, tables] = levels(vhost).await;
    client
        .publish(&queue, &nested(b'A', arrays), b"deep array")
        .await;
    client
        .publish(&queue, &nested(b'F', tables), b"deep table")
        .await;
    let no_utf8 = [short(b"n\xff\xfe"), b"V".to_vec()].concat();
    client.publish(&queue, &no_utf8, b"no UTF-8").await;
    fill(&channel, &queue, "harmless", 1).await;
    queue
}

const EXPECTED: [&str; 4] = ["deep array", "deep table", "no UTF-8", "harmless0"];

#[tokio::test]
async fn headers_made_to_exhaust_the_stack_are_taken_like_any_other() {
    let vhost = Vhost::create().await;
    let queue = queue_of_hostile_messages(&vhost).await;
    let mut consumer = consume_alone(&vhost, &queue, 10).await;
    let mut taken = Vec::new();
    while taken.len() < 4 {
        taken.extend(consumer.next_batch(10, REQUEST_TIMEOUT).await.unwrap());
    }
    let messages: Vec<&Message> = taken.iter().map(|one| &one.message).collect();
    assert_eq!(bodies(messages.iter().copied()), EXPECTED);
    for (message, levels) in messages[..2].iter().zip(levels(&vhost).await) {
        let deepest = depth(header(message));
        assert!((20..64).contains(&deepest), "{deepest}");
        // Nothing of it is gone: what is below lies there as bytes.
        assert!(
            message.headers_size() > 4 * levels,
            "{}",
            message.headers_size()
        );
    }
    assert_eq!(messages[2].headers[0].name_lossy(), "n??");
    let stored = serde_json::to_string(messages[1]).unwrap();
    assert_eq!(
        &serde_json::from_str::<Message>(&stored).unwrap(),
        messages[1]
    );
}

#[tokio::test]
async fn a_look_at_them_changes_nothing_in_the_queue() {
    let vhost = Vhost::create().await;
    let queue = queue_of_hostile_messages(&vhost).await;
    vhost
        .queue_once(&queue, |sample| {
            sample.messages == Some(4) && sample.consumers == Some(0)
        })
        .await;
    let window = look_at(&vhost.config(), &vhost.place(&queue), 10)
        .await
        .unwrap();
    assert_eq!(bodies(&window.messages), EXPECTED);
    assert_eq!((window.ready_before, window.ready_after), (4, 4));
}
