//! Publishing replays to a real RabbitMQ: each message is told exactly what became of it.

use std::time::Duration;

use redrive::brokers::rabbitmq::amqp::{OutgoingMessage, PublishOutcome, ReplayPublisher};
use redrive::domain::conventions::REPLAY_ID;
use redrive::domain::{
    AmqpProperties, AmqpValue, ExchangeName, Header, Message, QueueName, ReplayId,
};
use uuid::Uuid;

use crate::support::eventually;
use crate::support::rabbitmq::{REQUEST_TIMEOUT, Vhost, default_exchange, number, text};

const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn outgoing(exchange: &ExchangeName, routing_key: &str) -> OutgoingMessage {
    let replay = ReplayId(Uuid::now_v7());
    OutgoingMessage {
        replay,
        exchange: exchange.clone(),
        routing_key: routing_key.to_owned(),
        message: Message {
            body: Some("{}".into()),
            headers: vec![Header::text(REPLAY_ID, replay.to_string())],
            ..Message::default()
        },
    }
}

async fn publisher(vhost: &Vhost) -> ReplayPublisher {
    ReplayPublisher::open(&vhost.config(), &vhost.name, CONFIRM_TIMEOUT)
        .await
        .unwrap()
}

async fn declare(vhost: &Vhost, queue: &str) -> QueueName {
    let queue = QueueName::new(queue);
    let channel = vhost.channel().await;
    channel.declare_queue(&queue, &[]).await.unwrap();
    queue
}

#[track_caller]
pub(crate) fn is_refused(outcome: &PublishOutcome, expected: &str) {
    let PublishOutcome::Refused { reason } = outcome else {
        panic!("{outcome:?} instead of a refusal");
    };
    assert!(reason.contains(expected), "{reason}");
}

#[tokio::test]
async fn every_return_is_attributed_to_its_own_message() {
    let vhost = Vhost::create().await;
    declare(&vhost, "orders").await;
    let publisher = publisher(&vhost).await;
    for round in 0..20 {
        let keys = ["orders", "absent"].into_iter().cycle();
        let batch: Vec<_> = keys
            .take(200)
            .map(|key| outgoing(&default_exchange(), key))
            .collect();
        let outcomes = publisher.publish_batch(&batch).await;
        for (sent, outcome) in batch.iter().zip(&outcomes) {
            match sent.routing_key.as_str() {
                "orders" => assert_eq!(*outcome, PublishOutcome::Confirmed, "round {round}"),
                _ => is_refused(outcome, "no queue is bound for the routing key absent"),
            }
        }
    }
    let orders = QueueName::new("orders");
    let sample = vhost
        .queue_once(&orders, |sample| sample.messages == Some(2000))
        .await;
    assert_eq!(sample.ready, Some(2000));
}

#[tokio::test]
async fn replays_arrive_in_order_and_on_disk() {
    let vhost = Vhost::create().await;
    let orders = declare(&vhost, "orders").await;
    let batch: Vec<_> = (0..300)
        .map(|_| outgoing(&default_exchange(), "orders"))
        .collect();
    let outcomes = publisher(&vhost).await.publish_batch(&batch).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| *outcome == PublishOutcome::Confirmed)
    );
    let channel = vhost.channel().await;
    let mut consumer = channel.consume(&orders, 300).await.unwrap();
    for sent in &batch {
        let received = consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
        let id = received.message.header_text(REPLAY_ID).map(str::to_owned);
        assert_eq!(id, Some(sent.replay.to_string()));
        assert_eq!(received.message.properties.unwrap().delivery_mode, Some(2));
    }
}

#[tokio::test]
async fn a_full_queue_that_rejects_refuses() {
    let vhost = Vhost::create().await;
    let full = QueueName::new("full");
    let arguments = [
        number("x-max-length", 1),
        text("x-overflow", "reject-publish"),
    ];
    vhost
        .channel()
        .await
        .declare_queue(&full, &arguments)
        .await
        .unwrap();
    let publisher = publisher(&vhost).await;
    let batch: Vec<_> = (0..3)
        .map(|_| outgoing(&default_exchange(), "full"))
        .collect();
    let outcomes = publisher.publish_batch(&batch).await;
    assert_eq!(outcomes[0], PublishOutcome::Confirmed);
    is_refused(&outcomes[1], "the queue refused it");
    is_refused(&outcomes[2], "the queue refused it");
}

#[tokio::test]
async fn a_nack_of_an_exchange_does_not_say_that_no_queue_has_it() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let (full, copies) = (QueueName::new("full"), QueueName::new("copies"));
    let limits = [
        number("x-max-length", 1),
        text("x-overflow", "reject-publish"),
    ];
    channel.declare_queue(&full, &limits).await.unwrap();
    channel.declare_queue(&copies, &[]).await.unwrap();
    let fanout = ExchangeName::new("amq.fanout");
    for queue in [&full, &copies] {
        channel.bind_queue(queue, &fanout, "").await.unwrap();
    }
    let publisher = publisher(&vhost).await;
    let batch: Vec<_> = (0..2).map(|_| outgoing(&fanout, "")).collect();
    let outcomes = publisher.publish_batch(&batch).await;
    assert_eq!(outcomes[0], PublishOutcome::Confirmed);
    let PublishOutcome::Unknown { reason } = &outcomes[1] else {
        panic!("{outcomes:?}");
    };
    assert!(reason.contains("another one may have it"), "{reason}");
    let in_copies = vhost.queue_once(&copies, |sample| sample.messages == Some(2));
    in_copies.await;
}

#[tokio::test]
async fn a_missing_exchange_refuses_its_messages_and_no_others() {
    let vhost = Vhost::create().await;
    declare(&vhost, "orders").await;
    let publisher = publisher(&vhost).await;
    let batch = [
        outgoing(&default_exchange(), "orders"),
        outgoing(&ExchangeName::new("nowhere"), "orders"),
        outgoing(&default_exchange(), "orders"),
    ];
    let outcomes = publisher.publish_batch(&batch).await;
    assert_eq!(outcomes[0], PublishOutcome::Confirmed);
    is_refused(&outcomes[1], "nowhere");
    assert_eq!(outcomes[2], PublishOutcome::Confirmed);
    let again = publisher.publish_batch(&batch[..1]).await;
    assert_eq!(again, [PublishOutcome::Confirmed]);
}

#[tokio::test]
async fn what_would_close_the_channel_spoils_only_itself() {
    let vhost = Vhost::create().await;
    declare(&vhost, "orders").await;
    let mut batch = vec![outgoing(&default_exchange(), "orders"); 6];
    let properties = |change: fn(&mut AmqpProperties)| {
        let mut properties = AmqpProperties::default();
        change(&mut properties);
        Some(Box::new(properties))
    };
    batch[1].message.properties = properties(|p| p.user_id = Some("shop".to_owned()));
    batch[2].message.properties = properties(|p| p.expiration = Some("soon".to_owned()));
    batch[3].message.properties = properties(|p| p.message_id = Some("x".repeat(256)));
    batch[4].message.headers.push(Header::text("CC", "other"));
    let outcomes = publisher(&vhost).await.publish_batch(&batch).await;
    assert_eq!(outcomes[0], PublishOutcome::Confirmed);
    is_refused(&outcomes[1], "user-id");
    is_refused(&outcomes[2], "expiration");
    is_refused(&outcomes[3], "255 bytes");
    is_refused(&outcomes[4], "CC");
    assert_eq!(outcomes[5], PublishOutcome::Confirmed);
}

/// What `replay::deliverability` calls fit arrives as it was written, and what it calls refused really
/// ends a channel.
#[tokio::test]
async fn the_editors_types_arrive_and_what_it_refuses_the_broker_refuses() {
    let vhost = Vhost::create().await;
    let orders = declare(&vhost, "orders").await;
    let offered = [
        AmqpValue::Boolean(true),
        AmqpValue::I8(-1),
        AmqpValue::U8(200),
        AmqpValue::I16(-300),
        AmqpValue::U16(40_000),
        AmqpValue::I32(-70_000),
        AmqpValue::U32(3_000_000_000),
        AmqpValue::I64(i64::MIN),
        AmqpValue::F32(1.5_f32.to_bits()),
        AmqpValue::F64(1.1_f64.to_bits()),
        AmqpValue::Decimal {
            scale: 2,
            value: 314,
        },
        AmqpValue::LongString("\u{fffd}".into()),
        AmqpValue::Timestamp(60),
        AmqpValue::ByteArray(vec![0xff].into()),
        AmqpValue::Void,
        AmqpValue::Array(vec![AmqpValue::I32(1)]),
        AmqpValue::Table(vec![("n".to_owned(), AmqpValue::Void)]),
    ];
    let headers: Vec<_> = (10..)
        .zip(offered)
        .map(|(number, value)| Header::amqp(&format!("h{number}"), value))
        .collect();
    let message = Message {
        headers: headers.clone(),
        ..Message::default()
    };
    let channel = vhost.channel().await;
    let exchange = default_exchange();
    channel
        .publish(&exchange, "orders", &message)
        .await
        .unwrap();
    let mut consumer = channel.consume(&orders, 1).await.unwrap();
    let received = consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
    assert_eq!(received.message.headers, headers);

    let header = |name: &str, value| Message {
        headers: vec![Header::amqp(name, value)],
        ..Message::default()
    };
    let properties = |change: fn(&mut AmqpProperties)| {
        let mut properties = AmqpProperties::default();
        change(&mut properties);
        Message {
            properties: Some(Box::new(properties)),
            ..Message::default()
        }
    };
    let refused = [
        header("s", AmqpValue::ShortString("s".to_owned())),
        header("CC", AmqpValue::long_string("other")),
        header("BCC", AmqpValue::I32(1)),
        properties(|p| p.expiration = Some("abc".to_owned())),
        properties(|p| p.expiration = Some("-1".to_owned())),
        properties(|p| p.user_id = Some("shop".to_owned())),
        properties(|p| p.reply_to = Some("amq.rabbitmq.reply-to".to_owned())),
    ];
    for message in refused {
        let published = vhost
            .channel()
            .await
            .publish(&exchange, "orders", &message)
            .await;
        assert!(published.is_err(), "{message:?}");
    }
}

#[tokio::test]
async fn a_message_larger_than_the_broker_takes_is_never_called_confirmed() {
    let vhost = Vhost::create().await;
    declare(&vhost, "orders").await;
    let mut large = outgoing(&default_exchange(), "orders");
    large
        .message
        .headers
        .push(Header::text("large", "x".repeat(130_000)));
    let outcomes = publisher(&vhost).await.publish_batch(&[large]).await;
    is_refused(&outcomes[0], "headers are larger");
}

#[tokio::test]
async fn after_a_cut_connection_nothing_is_called_confirmed_and_nothing_more_is_sent() {
    let vhost = Vhost::create().await;
    let orders = declare(&vhost, "orders").await;
    let publisher = publisher(&vhost).await;
    vhost.cut_connections().await;
    eventually("the publisher notices", async || {
        let outcomes = publisher
            .publish_batch(&[outgoing(&default_exchange(), "orders")])
            .await;
        match &outcomes[0] {
            PublishOutcome::Confirmed => panic!("confirmed over a cut connection"),
            PublishOutcome::Refused { reason } => panic!("refused: {reason}"),
            PublishOutcome::Unknown { .. } => None,
            PublishOutcome::NotSent => Some(()),
        }
    })
    .await;
    let sample = vhost
        .queue_once(&orders, |sample| sample.messages.is_some())
        .await;
    assert_eq!(sample.messages, Some(0));
}

#[tokio::test]
async fn a_batch_that_was_abandoned_midway_ends_its_publisher() {
    let vhost = Vhost::create().await;
    declare(&vhost, "orders").await;
    let publisher = publisher(&vhost).await;
    let batch: Vec<_> = (0..200)
        .map(|_| outgoing(&default_exchange(), "orders"))
        .collect();
    let abandoned = tokio::time::timeout(Duration::ZERO, publisher.publish_batch(&batch)).await;
    assert!(abandoned.is_err());
    let outcomes = publisher.publish_batch(&batch[..1]).await;
    assert_eq!(outcomes[0], PublishOutcome::NotSent);
}
