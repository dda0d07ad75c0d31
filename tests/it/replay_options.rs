//! What the options of a job do to the message that arrives, on the real RabbitMQ.

use std::time::Duration;

use bytes::Bytes;
use redrive::config::Config;
use redrive::domain::conventions::REPLAY_PREV_DEATHS;
use redrive::domain::{
    AmqpProperties, AmqpValue, Brake, Custody, DeadLetterId, ExchangeName, Header, Message,
    NewDeadLetter, Position, QueueName, ReplayOptions, ReplayStateName, Timestamp,
};
use redrive::replay::{DestinationChoice, ReplayError, ReplayRequest};
use redrive::store::{AuditFilter, PageRequest};
use uuid::Uuid;

use crate::support::rabbitmq::{Vhost, text as argument};
use crate::support::replay_letters::{new_letter, take};
use crate::support::replays::{
    ORIGINAL, Running, alice, impatient, messages_in, new_store, request,
};

const OFF: ReplayOptions = ReplayOptions {
    keep_x_death: false,
    restore_expiration: false,
    keep_cc: false,
};

fn config(vhost: &Vhost) -> Config {
    Config {
        rabbitmq: vec![vhost.config()],
        ..impatient()
    }
}

/// `events` routes `order` to `orders`, whose dead letters go to `orders.dlq`, and `copy` to `copies`.
struct Topology {
    vhost: Vhost,
    orders: QueueName,
    copies: QueueName,
    dlq: QueueName,
}

impl Topology {
    async fn declare() -> Self {
        let names = ["orders", "copies", "orders.dlq"].map(QueueName::new);
        let [orders, copies, dlq] = names;
        let vhost = Vhost::create().await;
        let channel = vhost.channel().await;
        let (events, dlx) = ("events".into(), "dlx".into());
        channel.declare_exchange(&events, "topic").await.unwrap();
        channel.declare_exchange(&dlx, "fanout").await.unwrap();
        let to_dlx = [argument("x-dead-letter-exchange", "dlx")];
        channel.declare_queue(&orders, &to_dlx).await.unwrap();
        channel.declare_queue(&copies, &[]).await.unwrap();
        channel.declare_queue(&dlq, &[]).await.unwrap();
        channel.bind_queue(&orders, &events, "order").await.unwrap();
        channel.bind_queue(&copies, &events, "copy").await.unwrap();
        channel.bind_queue(&dlq, &dlx, "").await.unwrap();
        channel.close().await;
        Self {
            vhost,
            orders,
            copies,
            dlq,
        }
    }

    /// Published with `CC` and an expiration, rejected by a consumer, taken out of the DLQ.
    async fn dead_letter(&self) -> NewDeadLetter {
        let channel = self.vhost.channel().await;
        let keys = AmqpValue::Array(vec![AmqpValue::long_string("copy")]);
        let properties = AmqpProperties {
            expiration: Some("60000".to_owned()),
            ..AmqpProperties::default()
        };
        let message = Message {
            body: Some(Bytes::from_static(b"{}")),
            headers: vec![Header::amqp("CC", keys)],
            properties: Some(Box::new(properties)),
            ..Message::default()
        };
        let events = ExchangeName::new("events");
        let published = channel.publish(&events, "order", &message);
        published.await.unwrap();
        channel.close().await;
        assert_eq!(messages_in(&self.vhost, &self.copies).await.len(), 1);
        let dead = self.dies().await;
        let position = Position::RabbitMq {
            vhost: self.vhost.name.clone(),
            queue: self.dlq.clone(),
            fingerprint: Uuid::now_v7().to_string(),
        };
        new_letter(&self.vhost.config().name, position, dead, Custody::Store)
    }

    /// Rejects what waits in `orders` and takes it out of the DLQ.
    async fn dies(&self) -> Message {
        let channel = self.vhost.channel().await;
        let mut consumer = channel.consume(&self.orders, 1).await.unwrap();
        let delivery = consumer.next(Duration::from_secs(10)).await.unwrap();
        delivery.unwrap().reject().await.unwrap();
        channel.close().await;
        let mut dead = messages_in(&self.vhost, &self.dlq).await;
        assert_eq!(dead.len(), 1);
        dead.remove(0)
    }

    fn to_events(&self) -> DestinationChoice {
        DestinationChoice::Exchange {
            cluster: self.vhost.config().name,
            vhost: self.vhost.name.clone(),
            exchange: "events".into(),
            routing_key: "order".to_owned(),
        }
    }
}

fn with_options(
    ids: &[DeadLetterId],
    destination: DestinationChoice,
    options: ReplayOptions,
) -> ReplayRequest {
    ReplayRequest {
        destination,
        options,
        ..request(ids)
    }
}

fn deaths(message: &Message) -> Option<i64> {
    let Some(redrive::domain::HeaderValue::Amqp(value)) = message.header("x-death") else {
        return None;
    };
    value.as_array()?.first()?.field("count")?.as_integer()
}

#[tokio::test]
async fn each_option_keeps_on_the_message_what_the_default_strips() {
    let topology = Topology::declare().await;
    let vhost = &topology.vhost;
    let fixture = new_store().await;
    let running = Running::engines(config(vhost), &fixture.store);
    let arrives = async |destination: DestinationChoice, options| {
        let ids = take(&fixture.store, &[topology.dead_letter().await]).await;
        let request = with_options(&ids, destination, options);
        let started = running.handle.start(request, alice()).await.unwrap();
        let stored = fixture.store.replay_job(started.job).await.unwrap();
        assert_eq!(stored.unwrap().options, options);
        let replay = started.planned[0];
        running.reaches(replay, ReplayStateName::Sent).await;
        let copies = messages_in(vhost, &topology.copies).await.len();
        let mut messages = messages_in(vhost, &topology.orders).await;
        assert_eq!(messages.len(), 1);
        (messages.remove(0), copies)
    };
    let expiration = |message: &Message| message.properties.clone().unwrap().expiration;

    let (message, copies) = arrives(topology.to_events(), OFF).await;
    assert_eq!((deaths(&message), message.header("CC")), (None, None));
    assert_eq!((expiration(&message), copies), (None, 0));
    let copy = message.header_text(REPLAY_PREV_DEATHS).unwrap();
    let copy: serde_json::Value = serde_json::from_str(copy).unwrap();
    assert_eq!(copy["x-death"][0]["count"], 1, "{copy}");
    assert_eq!(copy["x-death"][0]["queue"], "orders", "{copy}");
    assert_eq!(copy["x-death"][0]["original-expiration"], "60000", "{copy}");
    assert_eq!(copy["x-first-death-queue"], "orders", "{copy}");

    let keep_x_death = ReplayOptions {
        keep_x_death: true,
        ..OFF
    };
    let (message, _) = arrives(ORIGINAL, keep_x_death).await;
    assert_eq!(deaths(&message), Some(1));
    assert_eq!(message.header_text("x-first-death-queue"), Some("orders"));
    assert_eq!(message.header(REPLAY_PREV_DEATHS), None);
    assert_eq!((expiration(&message), message.header("CC")), (None, None));

    let restore_expiration = ReplayOptions {
        restore_expiration: true,
        ..OFF
    };
    let (message, _) = arrives(ORIGINAL, restore_expiration).await;
    assert_eq!(expiration(&message).as_deref(), Some("60000"));
    assert_eq!((deaths(&message), message.header("CC")), (None, None));

    let keep_cc = ReplayOptions {
        keep_cc: true,
        ..OFF
    };
    let (message, copies) = arrives(topology.to_events(), keep_cc).await;
    assert!(message.header("CC").is_some());
    assert_eq!(
        (deaths(&message), expiration(&message), copies),
        (None, None, 1)
    );
    running.stop().await;
}

#[tokio::test]
async fn a_broker_up_to_3_13_counts_on_in_an_x_death_that_was_kept() {
    let topology = Topology::declare().await;
    let fixture = new_store().await;
    let running = Running::engines(config(&topology.vhost), &fixture.store);
    let reads_x_death = topology.vhost.version().await.is_surely_before(4, 0);
    let counts = [(false, 1), (true, if reads_x_death { 2 } else { 1 })];
    for (keep_x_death, expected) in counts {
        let ids = take(&fixture.store, &[topology.dead_letter().await]).await;
        let options = ReplayOptions {
            keep_x_death,
            ..OFF
        };
        let started = running
            .handle
            .start(with_options(&ids, ORIGINAL, options), alice());
        let replay = started.await.unwrap().planned[0];
        running.reaches(replay, ReplayStateName::Sent).await;
        assert_eq!(deaths(&topology.dies().await), Some(expected));
    }
    running.stop().await;
}

#[tokio::test]
async fn cc_is_refused_straight_to_a_queue_and_nothing_leaves() {
    let topology = Topology::declare().await;
    let fixture = new_store().await;
    let ids = take(&fixture.store, &[topology.dead_letter().await]).await;
    let running = Running::engines(config(&topology.vhost), &fixture.store);
    let keep_cc = ReplayOptions {
        keep_cc: true,
        ..OFF
    };
    for destination in [ORIGINAL, exchange_of(&topology, "")] {
        let request = with_options(&ids, destination, keep_cc);
        let preflight = running.handle.preflight(&request).await.unwrap();
        assert_eq!(preflight.eligible, 0);
        let refused = running.handle.start(request, alice()).await;
        let Err(ReplayError::NothingEligible { refused }) = refused else {
            panic!("{refused:?}")
        };
        assert!(refused[0].reason.contains("CC"), "{}", refused[0].reason);
    }
    assert!(
        messages_in(&topology.vhost, &topology.orders)
            .await
            .is_empty()
    );
    running.stop().await;
}

fn exchange_of(topology: &Topology, exchange: &str) -> DestinationChoice {
    DestinationChoice::Exchange {
        cluster: topology.vhost.config().name,
        vhost: topology.vhost.name.clone(),
        exchange: ExchangeName::new(exchange),
        routing_key: "orders".to_owned(),
    }
}

#[tokio::test]
async fn a_job_keeps_its_options_over_a_restart_and_the_audit_names_them() {
    let topology = Topology::declare().await;
    let fixture = new_store().await;
    let store = &fixture.store;
    let ids = take(store, &[topology.dead_letter().await]).await;
    let running = Running::engines(config(&topology.vhost), store);
    let options = ReplayOptions {
        keep_x_death: true,
        restore_expiration: true,
        ..OFF
    };
    let later = Brake {
        not_before: Some(Timestamp::now().plus(Duration::from_secs(3))),
        ..Brake::default()
    };
    let request = with_options(&ids, ORIGINAL, options);
    let started = running.handle.start_held(request, later, alice());
    let replay = started.await.unwrap().planned[0];
    running.stop().await;

    let running = Running::engines(config(&topology.vhost), store);
    running.reaches(replay, ReplayStateName::Sent).await;
    let messages = messages_in(&topology.vhost, &topology.orders).await;
    assert_eq!(deaths(&messages[0]), Some(1));
    let properties = messages[0].properties.as_ref().unwrap();
    assert_eq!(properties.expiration.as_deref(), Some("60000"));
    running.stop().await;

    let page = PageRequest::first(10);
    let audit = store.audit(&AuditFilter::default(), &page).await.unwrap();
    let created = audit.items.iter().find(|it| it.action == "replay.create");
    let told = &created.unwrap().detail["options"];
    assert_eq!(told["keep_x_death"], true, "{told}");
    assert_eq!(told["keep_cc"], false, "{told}");
}
