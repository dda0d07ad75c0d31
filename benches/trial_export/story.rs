//! An order: created, which caused a payment and died in a consumer; a parcel and a mail, whose causes are seen late.

use anyhow::Result;
use redrive::dialects;
use redrive::domain::conventions::{
    CONSUMER_GROUP, ERROR_CLASS, ERROR_MESSAGE, ORIGINAL_OFFSET, ORIGINAL_PARTITION, ORIGINAL_TOPIC,
};
use redrive::domain::{
    ApplicationSpan, Classification, Custody, EventIdentity, EventPlace, Header, Message,
    NewDeadLetter, Offset, Partition, Position, RecordPlace, TimeBasis, Timestamp, TracedEvent,
};
use redrive::store::Store;

/// The whole.
pub(crate) const SPANS: u64 = 8;

/// What is seen at first; the first event tells of a span in a trace of the application.
pub(crate) async fn begin(store: &Store, order: &str, application: &str) -> Result<()> {
    let mut created = event(order, ("orders", 7), "created", "");
    created.application = Some(ApplicationSpan {
        trace: application.to_owned(),
        span: Some("00f067aa0ba902b7".to_owned()),
    });
    let events = [
        created,
        event(order, ("payments", 3), "paid", "created"),
        event(order, ("mails", 2), "mailed", "shipped"),
    ];
    store.put_traced_events(&events).await?;
    let letter = dead_letter(order);
    let now = Timestamp::now();
    store
        .index_kafka_batch(&"kafka".into(), &[letter], &[], &[], now)
        .await?;
    Ok(())
}

/// The cause of the mail, and that cause's.
pub(crate) async fn end(store: &Store, order: &str) -> Result<()> {
    let mut shipped = event(order, ("shipments", 5), "shipped", "paid");
    // Before the mail.
    shipped.at = Timestamp(shipped.at.0 - 60_000);
    Ok(store.put_traced_events(&[shipped]).await?)
}

fn event(order: &str, (topic, offset): (&str, i64), id: &str, cause: &str) -> TracedEvent {
    TracedEvent {
        place: EventPlace::Record(RecordPlace {
            cluster: "kafka".into(),
            topic: topic.into(),
            partition: Partition(0),
            offset: Offset(offset),
        }),
        at: Timestamp::now(),
        basis: TimeBasis::CreateTime,
        event: EventIdentity {
            event_id: Some(id.to_owned()),
            event_type: (id == "created").then(|| "OrderCreated".to_owned()),
            correlation_id: Some(order.to_owned()),
            causation_id: (!cause.is_empty()).then(|| cause.to_owned()),
            aggregate_id: None,
        },
        source: Some("shop".to_owned()),
        is_retry: false,
        replay: None,
        application: None,
    }
}

fn dead_letter(order: &str) -> NewDeadLetter {
    let message = Message {
        headers: vec![
            Header::text(ERROR_CLASS, "PaymentTimeout"),
            Header::text(ERROR_MESSAGE, "the gateway did not answer"),
            Header::text(ORIGINAL_TOPIC, "orders"),
            Header::text(ORIGINAL_PARTITION, "0"),
            Header::text(ORIGINAL_OFFSET, "7"),
            Header::text(CONSUMER_GROUP, "billing"),
        ],
        ..Message::default()
    };
    let position = Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: None,
        partition: Partition(0),
        offset: Offset(1),
    };
    NewDeadLetter {
        cluster: "kafka".into(),
        decoded: dialects::decode(&position, &message),
        position,
        message,
        body_omitted: None,
        dead_at: Timestamp::now(),
        event: EventIdentity {
            event_id: Some("created".to_owned()),
            correlation_id: Some(order.to_owned()),
            ..EventIdentity::default()
        },
        classification: Classification {
            group: "v1:trial".into(),
            title: "trial".to_owned(),
            explanation: "grouped by trial".to_owned(),
        },
        custody: Custody::Broker,
        replay_id: None,
        redelivered: false,
    }
}
