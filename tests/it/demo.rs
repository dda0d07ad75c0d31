//! The sample workload on real brokers: what fails arrives in the DLQs as the conventions say, what is
//! repaired succeeds, and a broker that goes away is found again.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use redrive::brokers::kafka::{AssignedPartition, DlqConsumer, KafkaRecord, ReplayProducer};
use redrive::brokers::rabbitmq::amqp::QueueConsumer;
use redrive::demo::{Event, OrderData};
use redrive::domain::{AmqpValue, Header, HeaderValue, Message, Offset, Partition, TopicName};
use serde_json::Value;

use crate::support::demo::Workload;
use crate::support::{eventually, kafka};

const A_MOMENT: Duration = Duration::from_millis(200);

/// Reads topics from their beginning and keeps what it read.
struct Reader {
    consumer: DlqConsumer,
    records: Vec<KafkaRecord>,
}

impl Reader {
    fn of(topics: &[(TopicName, i32)]) -> Self {
        let all = topics
            .iter()
            .flat_map(|(topic, partitions)| (0..*partitions).map(move |p| (topic, p)));
        let partitions: Vec<_> = all
            .map(|(topic, partition)| AssignedPartition {
                topic: topic.clone(),
                partition: Partition(partition),
                offset: Offset(0),
            })
            .collect();
        let consumer = DlqConsumer::new(&kafka()).unwrap();
        consumer.assign(&partitions).unwrap();
        Self {
            consumer,
            records: Vec::new(),
        }
    }

    async fn read_until<T>(&mut self, what: &str, find: impl Fn(&[KafkaRecord]) -> Option<T>) -> T {
        eventually(what, async || {
            // A partition that is not there yet is an error until the workload has created it.
            if let Ok(batch) = self.consumer.next_batch(100, A_MOMENT).await {
                self.records.extend(batch);
            }
            find(&self.records)
        })
        .await
    }

    async fn first(&mut self, what: &str, wanted: impl Fn(&KafkaRecord) -> bool) -> KafkaRecord {
        self.read_until(what, |records| {
            records.iter().find(|record| wanted(record)).cloned()
        })
        .await
    }
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    message.header_text(name).unwrap_or_default()
}

fn class(record: &KafkaRecord) -> &str {
    header(&record.message, "x-error-class")
}

/// What a replay sends: the event as it was, with the ID of the replay and without the error.
fn replay_of(letter: &Message, replay_id: &str) -> Message {
    let mut headers = letter.headers.clone();
    headers.retain(|header| !header.name.starts_with(b"x-"));
    headers.push(Header::text("x-replay-id", replay_id));
    Message {
        headers,
        ..letter.clone()
    }
}

async fn send(workload: &Workload, message: &Message) {
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(10)).unwrap();
    let topic = workload.names.orders_topic();
    producer.send(&topic, Partition(0), message).await.unwrap();
}

#[tokio::test]
async fn each_kind_of_failure_arrives_in_its_kafka_dlq_with_what_a_person_needs() {
    let workload = Workload::failing().await;
    let names = workload.names.clone();
    let mut reader = Reader::of(&[workload.orders_dlq(), workload.payments_dlq()]);
    let letters = reader
        .read_until("dead letters of every class", |records| {
            let by_class: HashMap<String, KafkaRecord> = records
                .iter()
                .map(|record| (class(record).to_owned(), record.clone()))
                .collect();
            (by_class.len() == 5).then_some(by_class)
        })
        .await;
    let check = |class: &str, topic: TopicName, group: &str, message: &str| {
        let letter = &letters[class];
        let text = |name| header(&letter.message, name);
        assert_eq!(letter.topic.as_str(), format!("{topic}.dlq"), "{class}");
        assert_eq!(text("x-original-topic"), topic.as_str(), "{class}");
        let partition = letter.partition.to_string();
        assert_eq!(text("x-original-partition"), partition, "{class}");
        assert_eq!(text("x-consumer-group"), group, "{class}");
        assert!(text("x-error-message").contains(message), "{class}");
        assert!(text("x-error-stacktrace").contains(class), "{class}");
        assert_eq!(text("eventId").len(), 36, "{class}");
        assert_eq!(text("correlationId").len(), 36, "{class}");
    };
    let (payments, analytics) = (names.payment_consumers(), names.analytics_consumers());
    let of_orders = |class, message| check(class, names.orders_topic(), payments.as_str(), message);
    of_orders("PaymentGatewayTimeoutException", "did not answer within");
    of_orders("ValidationException", "data.customerId is required");
    of_orders("MalformedEventException", "not JSON");
    of_orders("DuplicateEventException", "was processed before");
    let of_payments = |class, message| {
        check(class, names.payments_topic(), analytics.as_str(), message);
    };
    of_payments("UnknownCurrencyException", "XTS");
    workload.stop().await;
}

async fn next(consumer: &mut QueueConsumer, wanted: impl Fn(&Message) -> bool) -> Message {
    eventually("such a dead letter in orders.dlq", async || {
        let delivery = consumer.next(A_MOMENT).await.unwrap()?;
        let message = delivery.message.clone();
        delivery.acknowledge().await.unwrap();
        wanted(&message).then_some(message)
    })
    .await
}

/// The reasons in `x-death` by queue.
fn deaths(message: &Message) -> BTreeSet<(String, String)> {
    let Some(HeaderValue::Amqp(AmqpValue::Array(deaths))) = message.header("x-death") else {
        panic!("no x-death in {:?}", message.headers);
    };
    let text = |death: &AmqpValue, field| {
        let value = death.field(field).and_then(AmqpValue::as_text);
        value.unwrap_or_default().to_owned()
    };
    let pair = |death| (text(death, "queue"), text(death, "reason"));
    deaths.iter().map(pair).collect()
}

fn pairs<const N: usize>(expected: [(&str, &str); N]) -> BTreeSet<(String, String)> {
    let pair = |(queue, reason): (&str, &str)| (queue.to_owned(), reason.to_owned());
    expected.map(pair).into()
}

#[tokio::test]
async fn on_rabbitmq_a_timeout_dies_after_three_retries_and_a_missing_field_at_once() {
    let workload = Workload::failing().await;
    let names = &workload.names;
    workload.queue_is_there(&names.dead_orders_queue()).await;
    let channel = workload.vhost.channel().await;
    let queue = names.dead_orders_queue();
    let mut consumer = channel.consume(&queue, 10).await.unwrap();
    let at_once = next(&mut consumer, |message| {
        message.header("x-retry-count").is_none()
    })
    .await;
    let orders = names.orders_queue();
    assert_eq!(deaths(&at_once), pairs([(orders.as_str(), "rejected")]));
    let body: Value = serde_json::from_slice(at_once.body.as_deref().unwrap()).unwrap();
    assert_eq!(body["data"].get("customerId"), None);

    let retried = next(&mut consumer, |message| {
        message.header("x-retry-count").is_some()
    })
    .await;
    assert_eq!(
        retried.header("x-retry-count"),
        Some(&HeaderValue::Amqp(AmqpValue::I32(3)))
    );
    assert_eq!(header(&retried, "x-original-routing-key"), "order.created");
    assert_eq!(
        header(&retried, "x-error-class"),
        "PaymentGatewayTimeoutException"
    );
    let expected = pairs([
        (names.retry_queue(1).as_str(), "expired"),
        (names.retry_queue(2).as_str(), "expired"),
        (names.retry_queue(3).as_str(), "expired"),
        (orders.as_str(), "rejected"),
    ]);
    assert_eq!(deaths(&retried), expected);

    the_same_transaction_is_on_kafka(&workload, &retried).await;
    workload.stop().await;
}

async fn the_same_transaction_is_on_kafka(workload: &Workload, on_rabbitmq: &Message) {
    let correlation = header(on_rabbitmq, "correlationId").to_owned();
    let cause = header(on_rabbitmq, "causationId").to_owned();
    let mut reader = Reader::of(&[workload.orders_dlq()]);
    let on_kafka = reader
        .first("the same transaction on Kafka", |record| {
            header(&record.message, "correlationId") == correlation
        })
        .await;
    assert_eq!(header(&on_kafka.message, "eventId"), cause);
}

#[tokio::test]
async fn a_replay_dies_again_until_its_cause_is_repaired() {
    let workload = Workload::failing().await;
    let mut dead = Reader::of(&[workload.orders_dlq()]);
    let mut payments = Reader::of(&[workload.payments()]);
    let letter = dead
        .first("a timeout", |record| {
            class(record) == "PaymentGatewayTimeoutException"
        })
        .await;
    send(&workload, &replay_of(&letter.message, "too early")).await;
    let again = dead
        .first("the early replay in the DLQ", |record| {
            header(&record.message, "x-replay-id") == "too early"
        })
        .await;
    assert_eq!(class(&again), "PaymentGatewayTimeoutException");
    assert_eq!(again.message.body, letter.message.body);

    workload.repair_gateway();
    send(&workload, &replay_of(&letter.message, "in time")).await;
    let event_id = header(&letter.message, "eventId").to_owned();
    payments
        .first("the payment of the replayed order", |record| {
            header(&record.message, "causationId") == event_id
        })
        .await;
    send(&workload, &replay_of(&letter.message, "once too often")).await;
    let duplicate = dead
        .first("the third replay in the DLQ", |record| {
            header(&record.message, "x-replay-id") == "once too often"
        })
        .await;
    assert_eq!(class(&duplicate), "DuplicateEventException");
    workload.stop().await;
}

#[tokio::test]
async fn an_order_without_customer_is_paid_for_once_it_was_edited_in() {
    let workload = Workload::failing().await;
    let mut dead = Reader::of(&[workload.orders_dlq()]);
    let mut payments = Reader::of(&[workload.payments()]);
    let letter = dead
        .first("a missing field", |record| {
            class(record) == "ValidationException"
        })
        .await;
    send(&workload, &replay_of(&letter.message, "unedited")).await;
    let again = dead
        .first("the unedited replay in the DLQ", |record| {
            header(&record.message, "x-replay-id") == "unedited"
        })
        .await;
    assert_eq!(class(&again), "ValidationException");

    let body = letter.message.body.as_deref().unwrap();
    let mut event: Event<OrderData> = serde_json::from_slice(body).unwrap();
    event.data.customer_id = Some("customer-edited-in".to_owned());
    let edited = Message {
        body: Some(event.body()),
        ..replay_of(&letter.message, "edited")
    };
    send(&workload, &edited).await;
    let event_id = event.event_id.to_string();
    let payment = payments
        .first("the payment of the edited order", |record| {
            header(&record.message, "causationId") == event_id
        })
        .await;
    let payment: Value = serde_json::from_slice(payment.message.body.as_deref().unwrap()).unwrap();
    assert_eq!(payment["data"]["customerId"], "customer-edited-in");
    workload.stop().await;
}

#[tokio::test]
async fn connections_that_break_are_replaced_and_a_second_start_finds_everything_there() {
    // More than can have come before the statistics, which are seconds old, were read.
    const MANY: u64 = 100;
    let mut workload = Workload::failing().await;
    let queue = workload.names.dead_orders_queue();
    workload.dead_letters_more_than(&queue, 0).await;
    workload.vhost.cut_connections().await;
    let before = workload.dead_letters(&queue).await;
    workload.dead_letters_more_than(&queue, before + MANY).await;
    workload.restart().await;
    let before = workload.dead_letters(&queue).await;
    workload.dead_letters_more_than(&queue, before + MANY).await;
    workload.stop().await;
}
