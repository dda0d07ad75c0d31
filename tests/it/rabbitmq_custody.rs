//! Looking at queues and taking their messages, on a real RabbitMQ: nothing is lost, nothing moves.

use redrive::brokers::rabbitmq::amqp::{AmqpError, ManagedConsumer, ObserveError};
use redrive::domain::{AmqpProperties, AmqpValue, Header, Message, QueueName};

use crate::support::eventually;
use crate::support::rabbitmq::{
    REQUEST_TIMEOUT, Seen, Vhost, bodies, consume_alone, default_exchange, fill, look_at, number,
    text,
};

/// A queue that Redrive may judge: the broker has statistics of it.
async fn queue_with(
    vhost: &Vhost,
    arguments: &[(String, AmqpValue)],
    messages: usize,
) -> QueueName {
    let queue = QueueName::new("orders.dlq");
    let channel = vhost.channel().await;
    channel.declare_queue(&queue, arguments).await.unwrap();
    fill(&channel, &queue, "m", messages).await;
    channel.close().await;
    let expected = Some(messages as u64);
    vhost
        .queue_once(&queue, |sample| {
            sample.messages == expected && sample.consumers == Some(0)
        })
        .await;
    queue
}

async fn look(vhost: &Vhost, queue: &QueueName, limit: u16) -> Result<Seen, ObserveError> {
    look_at(&vhost.config(), &vhost.place(queue), limit).await
}

/// Looks until the statistics no longer show the consumer of the look before.
async fn look_again(vhost: &Vhost, queue: &QueueName, limit: u16) -> Seen {
    eventually(
        "the last look has left the statistics",
        async || match look(vhost, queue, limit).await {
            Ok(window) => Some(window),
            Err(ObserveError::Refused { reason, .. }) if reason.contains("consumer") => None,
            Err(error) => panic!("{error}"),
        },
    )
    .await
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number}")).collect()
}

/// Everything that lies in the queue, in order; takes it out.
pub(crate) async fn drain(vhost: &Vhost, queue: &QueueName, count: usize) -> Vec<(String, bool)> {
    let mut consumer = consume_alone(vhost, queue, 100).await;
    let mut taken = Vec::new();
    while taken.len() < count {
        let batch = consumer.next_batch(100, REQUEST_TIMEOUT).await.unwrap();
        assert!(
            !batch.is_empty(),
            "only {} of {count} messages came",
            taken.len()
        );
        let last = batch.last().unwrap().delivery_tag;
        for one in &batch {
            taken.push((bodies([&one.message]).remove(0), one.redelivered));
        }
        consumer.acknowledge_through(last).await.unwrap();
    }
    consumer.close().await;
    taken
}

#[tokio::test]
async fn looking_at_a_classic_queue_three_times_changes_nothing() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 12).await;
    for _ in 0..3 {
        let window = look_again(&vhost, &queue, 5).await;
        assert_eq!(bodies(&window.messages), numbered(5));
        assert_eq!((window.ready_before, window.ready_after), (12, 12));
    }
    let drained = drain(&vhost, &queue, 12).await;
    let order: Vec<String> = drained.iter().map(|(body, _)| body.clone()).collect();
    assert_eq!(order, numbered(12));
}

#[tokio::test]
async fn a_window_ends_where_the_queue_does() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 3).await;
    let window = look(&vhost, &queue, 200).await.unwrap();
    assert_eq!(bodies(&window.messages), numbered(3));
    assert_eq!(window.ready_after, 3);
}

/// A quorum queue has no delivery limit by itself before 4.0, and has to be told since.
pub(crate) async fn unlimited_quorum(vhost: &Vhost) -> Vec<(String, AmqpValue)> {
    let mut arguments = vec![text("x-queue-type", "quorum")];
    if !vhost.version().await.is_surely_before(4, 0) {
        arguments.push(number("x-delivery-limit", -1));
    }
    arguments
}

#[tokio::test]
async fn looking_at_an_unlimited_quorum_queue_keeps_its_order() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &unlimited_quorum(&vhost).await, 8).await;
    for _ in 0..3 {
        let window = look_again(&vhost, &queue, 4).await;
        assert_eq!(bodies(&window.messages), numbered(4));
        assert_eq!(window.ready_after, 8);
    }
    let drained = drain(&vhost, &queue, 8).await;
    let order: Vec<String> = drained.iter().map(|(body, _)| body.clone()).collect();
    assert_eq!(order, numbered(8));
}

#[tokio::test]
async fn a_quorum_queue_without_a_word_about_its_limit_is_judged_by_the_version() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[text("x-queue-type", "quorum")], 2).await;
    let looked = look(&vhost, &queue, 5).await;
    if vhost.version().await.is_surely_before(4, 0) {
        assert_eq!(bodies(&looked.unwrap().messages), numbered(2));
    } else {
        let refusal = looked.unwrap_err().to_string();
        let reason = if vhost.version().await.is_surely_before(4, 3) {
            "1 of the 20 times"
        } else {
            "delivery limit of 20"
        };
        assert!(refusal.contains(reason), "{refusal}");
        assert!(refusal.contains("set_policy"), "{refusal}");
    }
    let drained = drain(&vhost, &queue, 2).await;
    assert_eq!(drained.len(), 2);
}

#[tokio::test]
async fn a_policy_of_this_moment_forbids_a_look_before_statistics_know_of_it() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &unlimited_quorum(&vhost).await, 1).await;
    assert!(look(&vhost, &queue, 5).await.is_ok());
    let limit = serde_json::json!({"delivery-limit": 4});
    vhost.policy("dlq$", &limit).await;
    let error = look(&vhost, &queue, 5).await.unwrap_err().to_string();
    assert!(error.contains("delivery limit of 4"), "{error}");
}

#[tokio::test]
async fn an_operator_policy_counts_where_its_pattern_matches() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 1).await;
    let limits = |pattern: &str| {
        serde_json::json!({
            "pattern": pattern, "definition": {"message-ttl": 60_000}, "apply-to": "queues"
        })
    };
    let policy = ["operator-policies", vhost.name.as_str(), "limits"];
    vhost.put(&policy, &limits("^another$")).await;
    assert!(look(&vhost, &queue, 5).await.is_ok());
    vhost.put(&policy, &limits("^orders")).await;
    let error = look(&vhost, &queue, 5).await.unwrap_err().to_string();
    assert!(error.contains("message TTL"), "{error}");
}

#[tokio::test]
async fn a_queue_that_a_look_could_harm_is_refused_with_the_reason() {
    let check = async |arguments: Vec<(String, AmqpValue)>, expected: &str| {
        let vhost = Vhost::create().await;
        let queue = queue_with(&vhost, &arguments, 1).await;
        let error = look(&vhost, &queue, 5).await.unwrap_err();
        assert!(matches!(error, ObserveError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    let quorum = text("x-queue-type", "quorum");
    tokio::join!(
        check(vec![number("x-message-ttl", 60_000)], "message TTL"),
        check(vec![number("x-max-length", 10)], "drop-head"),
        check(vec![number("x-max-length-bytes", 10_000)], "drop-head"),
        check(
            vec![quorum, number("x-delivery-limit", 4)],
            "delivery limit of 4"
        ),
        check(
            vec![(
                "x-single-active-consumer".to_owned(),
                AmqpValue::Boolean(true)
            )],
            "single active"
        ),
    );
}

#[tokio::test]
async fn a_policy_of_this_moment_is_obeyed() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 1).await;
    let definition = serde_json::json!({"message-ttl": 60_000});
    vhost.policy("dlq$", &definition).await;
    vhost
        .queue_once(&queue, |sample| sample.message_ttl.is_some())
        .await;
    let error = look(&vhost, &queue, 5).await.unwrap_err();
    assert!(error.to_string().contains("message TTL"), "{error}");
}

#[tokio::test]
async fn a_queue_with_another_consumer_is_refused_before_statistics_know_of_it() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 1).await;
    let channel = vhost.channel().await;
    let consumer = channel.consume(&queue, 1).await.unwrap();
    let error = look(&vhost, &queue, 5).await.unwrap_err();
    assert!(error.to_string().contains("consumer"), "{error}");
    drop(consumer);
}

#[tokio::test]
async fn a_queue_that_is_gone_is_said_to_be() {
    let vhost = Vhost::create().await;
    let error = look(&vhost, &QueueName::new("absent"), 5)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[tokio::test]
async fn what_was_acknowledged_is_gone_and_what_was_not_comes_back() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 7).await;
    let mut consumer = consume_alone(&vhost, &queue, 10).await;
    let mut taken = Vec::new();
    while taken.len() < 7 {
        taken.extend(consumer.next_batch(3, REQUEST_TIMEOUT).await.unwrap());
    }
    assert_eq!(bodies(taken.iter().map(|one| &one.message)), numbered(7));
    assert!(taken.iter().all(|one| !one.redelivered));
    consumer
        .acknowledge_through(taken[3].delivery_tag)
        .await
        .unwrap();
    drop(consumer);
    let back = drain(&vhost, &queue, 3).await;
    let expected: Vec<(String, bool)> = (4..7).map(|n| (format!("m{n}"), true)).collect();
    assert_eq!(back, expected);
}

#[tokio::test]
async fn a_queue_with_a_consumer_that_no_statistics_know_yet_is_not_consumed() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 3).await;
    let theirs = vhost.channel().await;
    let mut consumer = theirs.consume(&queue, 1).await.unwrap();
    let opened = ManagedConsumer::open(&vhost.config(), &vhost.name, &queue, 10).await;
    assert!(matches!(opened, Err(AmqpError::AnotherConsumer)));
    for expected in numbered(3) {
        let delivery = consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
        assert_eq!(bodies([&delivery.message]), [expected]);
        delivery.acknowledge().await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_is_as_large_as_asked_and_may_be_empty() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 5).await;
    let mut consumer = consume_alone(&vhost, &queue, 10).await;
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 5 {
        sizes.push(consumer.next_batch(2, REQUEST_TIMEOUT).await.unwrap().len());
    }
    assert!(sizes.iter().all(|size| (1..=2).contains(size)), "{sizes:?}");
    let soon = std::time::Duration::from_millis(50);
    assert!(consumer.next_batch(2, soon).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cut_connection_is_an_error_and_redelivers() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 4).await;
    let mut consumer = consume_alone(&vhost, &queue, 10).await;
    let mut taken = Vec::new();
    while taken.len() < 4 {
        taken.extend(consumer.next_batch(10, REQUEST_TIMEOUT).await.unwrap());
    }
    vhost.cut_connections().await;
    let error = eventually("the consumer notices", async || {
        consumer.next_batch(10, REQUEST_TIMEOUT).await.err()
    })
    .await;
    assert!(!error.to_string().is_empty());
    let late = consumer.acknowledge_through(taken[3].delivery_tag).await;
    assert!(
        late.is_err(),
        "an acknowledgement after the cut must not seem to succeed"
    );
    let back = drain(&vhost, &queue, 4).await;
    assert!(back.iter().all(|(_, redelivered)| *redelivered), "{back:?}");
}

#[tokio::test]
async fn a_deleted_queue_ends_the_lease() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 1).await;
    let mut consumer = consume_alone(&vhost, &queue, 10).await;
    let taken = consumer.next_batch(10, REQUEST_TIMEOUT).await.unwrap();
    assert_eq!(taken.len(), 1);
    vhost.delete_queue(&queue).await;
    let error = consumer.next_batch(10, REQUEST_TIMEOUT).await.unwrap_err();
    assert!(
        matches!(error, AmqpError::ConsumerCancelled { .. }),
        "{error}"
    );
}

fn every_type() -> Vec<(&'static str, AmqpValue)> {
    let scalars = vec![
        (
            "array",
            AmqpValue::Array(vec![AmqpValue::I32(1), AmqpValue::long_string("two")]),
        ),
        ("boolean", AmqpValue::Boolean(true)),
        ("byte-array", AmqpValue::ByteArray(vec![0, 255].into())),
        (
            "decimal",
            AmqpValue::Decimal {
                scale: 2,
                value: 314,
            },
        ),
        ("f32", AmqpValue::F32(1.5_f32.to_bits())),
        ("f64", AmqpValue::F64((-0.0_f64).to_bits())),
        ("i16", AmqpValue::I16(-300)),
        ("i32", AmqpValue::I32(i32::MIN)),
        ("i64", AmqpValue::I64(i64::MIN)),
        ("i8", AmqpValue::I8(-1)),
        (
            "long-string",
            AmqpValue::LongString(b"\xff\x00 not UTF-8".to_vec().into()),
        ),
        ("timestamp", AmqpValue::Timestamp(1_795_484_400)),
        ("u16", AmqpValue::U16(40_000)),
        ("u32", AmqpValue::U32(u32::MAX)),
        ("u8", AmqpValue::U8(200)),
        ("void", AmqpValue::Void),
    ];
    let nested = scalars
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    let table = AmqpValue::Table(nested.collect());
    let mut all = scalars;
    all.push(("table", table));
    all.push(("ä", AmqpValue::long_string("")));
    all.sort_by_key(|(name, _)| *name);
    all
}

#[tokio::test]
async fn headers_of_every_type_and_all_properties_survive_the_broker() {
    let vhost = Vhost::create().await;
    let queue = queue_with(&vhost, &[], 0).await;
    let some = |text: &str| Some(text.to_owned());
    let sent = Message {
        key: None,
        body: Some(vec![0, 159, 146, 150].into()),
        headers: every_type()
            .into_iter()
            .map(|(name, value)| Header::amqp(name, value))
            .collect(),
        properties: Some(Box::new(AmqpProperties {
            exchange: String::new(),
            routing_key: queue.to_string(),
            content_type: some("application/json"),
            content_encoding: some("gzip"),
            delivery_mode: Some(2),
            priority: Some(3),
            correlation_id: some("c"),
            reply_to: some("r"),
            expiration: some("60000"),
            message_id: some("m"),
            timestamp: Some(1_795_484_400),
            kind: some("OrderCreated"),
            user_id: None,
            app_id: some("shop"),
            cluster_id: some("x"),
        })),
    };
    let channel = vhost.channel().await;
    channel
        .publish(&default_exchange(), queue.as_str(), &sent)
        .await
        .unwrap();
    let mut consumer = channel.consume(&queue, 1).await.unwrap();
    let received = consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
    assert_eq!(received.message, sent);
    received.acknowledge().await.unwrap();
}
