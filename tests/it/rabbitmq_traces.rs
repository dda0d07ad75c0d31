//! The tap of RabbitMQ: events are seen, and nothing that the broker does with them changes.

use std::time::Duration;

use redrive::brokers::rabbitmq::amqp::{
    AmqpChannel, OutgoingMessage, PublishOutcome, ReplayPublisher,
};
use redrive::config::{Config, RabbitMqConfig, Secret};
use redrive::domain::conventions::{CORRELATION_ID, EVENT_TYPE, REPLAY_ID};
use redrive::domain::{
    AmqpValue, BindingDestination, EventPlace, Header, Message, QueueSample, ReplayId, TapPlace,
    TimeBasis, Timestamp, TraceGap, TracedEvent,
};
use redrive::traces::{TapState, TapStatus};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::intake::{Redrive, config};
use crate::support::rabbitmq::{Vhost, text};
use crate::support::{eventually, unique};

const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// The tap's queue holds few, so that a test fills it.
const LENGTH: usize = 20;

/// A virtual host with the topic exchange `events` and the queue `work`, bound by `order.*`.
struct Site {
    vhost: Vhost,
    channel: AmqpChannel,
    publisher: ReplayPublisher,
    folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let vhost = Vhost::create().await;
        let config = vhost.config();
        let publisher = ReplayPublisher::open(&config, &vhost.name, CONFIRM_TIMEOUT);
        let site = Self {
            publisher: publisher.await.unwrap(),
            channel: vhost.channel().await,
            vhost,
            folder: TempDir::new().unwrap(),
        };
        site.exchange("events", "topic").await;
        site.queue("work").await;
        site.bind("work", "events", "order.*").await;
        site
    }

    async fn exchange(&self, name: &str, kind: &str) {
        let name = name.into();
        self.channel.declare_exchange(&name, kind).await.unwrap();
    }

    async fn queue(&self, name: &str) {
        let name = name.into();
        self.channel.declare_queue(&name, &[]).await.unwrap();
    }

    async fn bind(&self, queue: &str, exchange: &str, key: &str) {
        let (queue, exchange) = (queue.into(), exchange.into());
        let bound = self.channel.bind_queue(&queue, &exchange, key);
        bound.await.unwrap();
    }

    fn config(&self) -> Config {
        let mut config = Config {
            rabbitmq: vec![self.vhost.config()],
            ..config()
        };
        config.traces.rabbitmq_exchanges = vec!["*".to_owned()];
        config.traces.rabbitmq_queue_max_length = LENGTH as u64;
        config
    }

    async fn start(&self) -> Redrive {
        Redrive::start(self.config(), &self.folder).await
    }

    async fn send(&self, exchange: &str, key: &str, message: &Message) {
        let exchange = exchange.into();
        let sent = self.channel.publish(&exchange, key, message);
        sent.await.unwrap();
    }

    /// Publishes with `mandatory`.
    async fn offer(&self, exchange: &str, key: &str) -> PublishOutcome {
        let replay = ReplayId(Uuid::now_v7());
        let mut message = event(&unique("offer"), "Offer");
        let header = Header::text(REPLAY_ID, replay.to_string());
        message.headers.push(header);
        let outgoing = OutgoingMessage {
            replay,
            exchange: exchange.into(),
            routing_key: key.to_owned(),
            message,
        };
        let outcomes = self.publisher.publish_batch(&[outgoing]).await;
        outcomes.into_iter().next().unwrap()
    }

    async fn is_returned(&self, exchange: &str, key: &str) -> bool {
        match self.offer(exchange, key).await {
            PublishOutcome::Refused { .. } => true,
            PublishOutcome::Confirmed => false,
            other => panic!("{other:?}"),
        }
    }

    /// Keys of the tap's bindings to an exchange.
    async fn copies(&self, exchange: &str) -> Vec<String> {
        let management = self.vhost.management();
        let exchange = exchange.into();
        let bindings = management.bindings_from(&self.vhost.name, &exchange);
        let own = BindingDestination::Queue("redrive-traces".into());
        let bindings = bindings.await.unwrap().into_iter();
        let keys = bindings.filter(|binding| binding.destination == own);
        keys.map(|binding| binding.routing_key).collect()
    }

    async fn eventually_copied(&self, exchange: &str, keys: &[&str]) {
        eventually("the tap has these bindings", async || {
            let mut copies = self.copies(exchange).await;
            copies.sort();
            (copies == keys).then_some(())
        })
        .await;
    }

    async fn await_ready(&self, queue: &str, count: u64) {
        let has_as_many = |queue: &QueueSample| queue.ready == Some(count);
        self.vhost.queue_once(&queue.into(), has_as_many).await;
    }
}

fn event(order: &str, kind: &str) -> Message {
    Message {
        headers: vec![
            Header::text(CORRELATION_ID, order),
            Header::text(EVENT_TYPE, kind),
        ],
        ..Message::default()
    }
}

async fn events_of(redrive: &Redrive, order: &str) -> Vec<TracedEvent> {
    redrive
        .store
        .trace_parts(order, 1_000)
        .await
        .unwrap()
        .events
}

async fn eventually_seen(redrive: &Redrive, order: &str, count: usize) -> Vec<TracedEvent> {
    eventually("the tap has seen the events", async || {
        let events = events_of(redrive, order).await;
        (events.len() >= count).then_some(events)
    })
    .await
}

async fn gaps(redrive: &Redrive) -> Vec<TraceGap> {
    let whole = (Timestamp(0), Timestamp(i64::MAX));
    redrive.store.trace_gaps(whole, 10).await.unwrap()
}

async fn eventually_noted(redrive: &Redrive, is_it: impl Fn(&TapStatus) -> bool) -> TapStatus {
    eventually("the tap says so", async || {
        redrive.taps.statuses().into_iter().find(&is_it)
    })
    .await
}

fn failure(status: &TapStatus) -> Option<&str> {
    match &status.state {
        TapState::Failing(reason) => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn an_event_is_seen_with_its_place_and_the_queue_gets_it_as_before() {
    let site = Site::new().await;
    let redrive = site.start().await;
    site.eventually_copied("events", &["order.*"]).await;
    let order = unique("order");
    site.send("events", "order.created", &event(&order, "OrderCreated"))
        .await;
    let seen = eventually_seen(&redrive, &order, 1).await;
    let EventPlace::Routed(place) = &seen[0].place else {
        panic!("{seen:?}");
    };
    assert_eq!(seen[0].event.event_type.as_deref(), Some("OrderCreated"));
    assert_eq!(seen[0].basis, TimeBasis::Observed);
    assert_eq!(place.vhost, site.vhost.name);
    assert_eq!(
        (place.exchange.as_str(), place.routing_key.as_str()),
        ("events", "order.created")
    );
    let mut work = site.channel.consume(&"work".into(), 10).await.unwrap();
    let delivery = work.next(Duration::from_secs(5)).await.unwrap().unwrap();
    assert_eq!(delivery.message.headers.len(), 2);
    delivery.acknowledge().await.unwrap();
    redrive.stop().await;
}

#[tokio::test]
async fn the_tap_makes_nothing_routable() {
    let site = Site::new().await;
    let vhost = site.vhost.name.as_str();
    let alternate = json!({"type": "direct", "durable": true,
        "arguments": {"alternate-exchange": "unrouted"}});
    site.vhost
        .put(&["exchanges", vhost, "orders"], &alternate)
        .await;
    site.exchange("unrouted", "fanout").await;
    site.queue("unrouted").await;
    site.queue("ship").await;
    site.bind("unrouted", "unrouted", "").await;
    site.bind("ship", "orders", "ship").await;
    let redrive = site.start().await;
    site.eventually_copied("events", &["order.*"]).await;
    site.eventually_copied("orders", &["ship"]).await;

    assert!(site.is_returned("events", "nobody.bound").await);
    assert!(!site.is_returned("events", "order.created").await);
    site.send("orders", "nobody", &event("x", "Unrouted")).await;
    site.await_ready("unrouted", 1).await;

    // The queue goes, the copy goes, and what nobody takes is returned again.
    site.vhost.delete_queue(&"work".into()).await;
    site.eventually_copied("events", &[]).await;
    assert!(site.is_returned("events", "order.created").await);
    redrive.stop().await;
}

#[tokio::test]
async fn a_copy_has_the_arguments_of_its_models_and_goes_with_the_last() {
    let site = Site::new().await;
    site.exchange("by-header", "headers").await;
    site.queue("audit").await;
    // The management API does not tell that one number has 32 bits and the other 64, nor what has no value.
    let cases = [(AmqpValue::I32(5), "a"), (AmqpValue::I64(5), "b")];
    for (level, header) in &cases {
        let arguments = [
            text("x-match", "all"),
            ("level".to_owned(), level.clone()),
            ((*header).to_owned(), AmqpValue::Void),
        ];
        for queue in ["work", "audit"] {
            let (queue, exchange) = (queue.into(), "by-header".into());
            let binding = ("", &arguments[..]);
            let bound = site.channel.bind_queue_with(&queue, &exchange, binding);
            bound.await.unwrap();
        }
    }
    let redrive = site.start().await;
    let is_followed = |status: &TapStatus| status.followed.get(&"by-header".into()) == Some(&2);
    let status = eventually_noted(&redrive, is_followed).await;
    assert!(status.left_out.is_empty(), "{:?}", status.left_out);
    site.eventually_copied("by-header", &["", ""]).await;
    for (level, header) in cases {
        let order = unique("order");
        let mut message = event(&order, "ByHeader");
        message.headers.extend([
            Header::amqp("level", level),
            Header::text(header, "present"),
        ]);
        eventually("the copy is made as its model", async || {
            site.send("by-header", "", &message).await;
            (!events_of(&redrive, &order).await.is_empty()).then_some(())
        })
        .await;
    }
    assert!(site.is_returned("by-header", "").await);

    site.vhost.delete_queue(&"audit".into()).await;
    // Something new shows that the bindings were compared since.
    site.queue("late").await;
    site.bind("late", "events", "late").await;
    site.eventually_copied("events", &["late", "order.*"]).await;
    assert_eq!(site.copies("by-header").await, ["", ""]);
    site.vhost.delete_queue(&"work".into()).await;
    site.eventually_copied("by-header", &[]).await;
    redrive.stop().await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_named() {
    let site = Site::new().await;
    let vhost = site.vhost.name.as_str();
    let short_lived = json!({"type": "topic", "durable": true, "auto_delete": true});
    site.vhost
        .put(&["exchanges", vhost, "short-lived"], &short_lived)
        .await;
    site.bind("work", "short-lived", "a").await;
    let redrive = site.start().await;
    site.eventually_copied("events", &["order.*"]).await;
    let status = eventually_noted(&redrive, |status| !status.followed.is_empty()).await;
    let followed: Vec<_> = status.followed.iter().collect();
    assert_eq!(followed, [(&"events".into(), &1)]);
    assert_eq!(status.left_out.len(), 1, "{:?}", status.left_out);
    let reason = &status.left_out[&"short-lived".into()];
    assert!(reason.contains("deleted with its last binding"), "{reason}");
    assert_eq!(site.copies("short-lived").await.len(), 0);
    redrive.stop().await;
}

#[tokio::test]
async fn what_a_full_queue_drops_lands_in_no_dlq_and_the_gap_is_told() {
    let site = Site::new().await;
    site.exchange("dlx", "fanout").await;
    site.queue("dead").await;
    site.bind("dead", "dlx", "").await;
    // A policy for every queue, as it should not be: it would dead-letter copies, and nack publishers.
    let policy = json!({"dead-letter-exchange": "dlx", "overflow": "reject-publish"});
    site.vhost.policy(".*", &policy).await;
    let redrive = site.start().await;
    site.eventually_copied("events", &["order.*"]).await;
    let order = unique("order");
    site.send("events", "order.created", &event(&order, "Before"))
        .await;
    eventually_seen(&redrive, &order, 1).await;
    assert_eq!(gaps(&redrive).await, []);
    let stopped = Timestamp::now();
    redrive.stop().await;

    let more = 3 * LENGTH;
    for number in 0..more {
        let message = event(&order, &format!("Event{number}"));
        site.send("events", "order.created", &message).await;
    }
    let filled = Timestamp::now();
    let redrive = site.start().await;
    let seen = eventually_seen(&redrive, &order, 1 + LENGTH).await;
    let kinds: Vec<_> = seen
        .iter()
        .flat_map(|event| &event.event.event_type)
        .collect();
    assert_eq!(kinds.len(), 1 + LENGTH, "the newest are kept");
    assert!(kinds.contains(&&format!("Event{}", more - 1)));
    let gap = eventually("the gap has an end", async || {
        let gaps = gaps(&redrive).await;
        gaps.into_iter().find(|gap| gap.to >= filled)
    })
    .await;
    assert_eq!(gap.place, TapPlace::Vhost(site.vhost.name.clone()));
    assert!(gap.from <= stopped && gap.from > stopped.minus(Duration::from_mins(1)));
    let trace = redrive::traces::load(&redrive.store, &order).await.unwrap();
    assert_eq!(trace.gaps.len(), 1);
    // It goes on as if nothing had been.
    site.send("events", "order.created", &event(&order, "After"))
        .await;
    eventually_seen(&redrive, &order, 2 + LENGTH).await;
    redrive.stop().await;
    // What the policy sends to a queue is there at once.
    let mut dead = site.channel.consume(&"dead".into(), 1).await.unwrap();
    let died = dead.next(Duration::from_secs(1)).await.unwrap();
    assert!(died.is_none(), "a copy died into the DLQ");
    site.await_ready("work", more as u64 + 2).await;
}

#[tokio::test]
async fn a_restart_stores_nothing_twice_and_removes_copies_without_a_model() {
    let site = Site::new().await;
    let order = unique("order");
    let message = event(&order, "OrderCreated");
    let redrive = site.start().await;
    site.eventually_copied("events", &["order.*"]).await;
    site.send("events", "order.created", &message).await;
    eventually_seen(&redrive, &order, 1).await;
    redrive.stop().await;

    // As after a crash between the store and the acknowledgement: it comes again with the flag.
    site.send("events", "order.created", &message).await;
    let again = site.vhost.channel().await;
    let mut consumer = again.consume(&"redrive-traces".into(), 10).await.unwrap();
    let delivery = consumer.next(Duration::from_secs(5)).await.unwrap();
    assert!(!delivery.unwrap().redelivered);
    again.close().await;
    // Another one that was never delivered is new, however equal it is.
    site.send("events", "order.created", &message).await;
    site.send("events", "order.created", &event(&order, "Last"))
        .await;
    site.vhost.delete_queue(&"work".into()).await;
    site.queue("other").await;
    site.bind("other", "events", "other").await;
    assert_eq!(site.copies("events").await, ["order.*"]);

    let redrive = site.start().await;
    site.eventually_copied("events", &["other"]).await;
    let seen = eventually("the last one is seen", async || {
        let events = events_of(&redrive, &order).await;
        let is_last = |event: &TracedEvent| event.event.event_type.as_deref() == Some("Last");
        events.iter().any(is_last).then_some(events)
    })
    .await;
    assert_eq!(seen.len(), 3, "{seen:?}");
    redrive.stop().await;
}

#[tokio::test]
async fn the_tap_s_own_queue_is_no_news() {
    let site = Site::new().await;
    site.exchange("dlx", "topic").await;
    site.queue("dead").await;
    site.bind("dead", "dlx", "#").await;
    let (source, dead) = ("source".into(), [text("x-dead-letter-exchange", "dlx")]);
    site.channel.declare_queue(&source, &dead).await.unwrap();
    let redrive = site.start().await;
    site.eventually_copied("events", &["order.*"]).await;
    site.queue("after").await;
    let names = eventually("a sample after the bindings", async || {
        let snapshot = redrive.sampling.snapshot();
        let queues = snapshot.queues();
        let of_vhost = queues.filter(|(_, queue)| queue.sample.vhost == site.vhost.name);
        let names: Vec<_> = of_vhost
            .map(|(_, queue)| queue.sample.queue.to_string())
            .collect();
        names.contains(&"after".to_owned()).then_some(names)
    })
    .await;
    assert_eq!(names.len(), 4, "{names:?}");
    let exposition = redrive.exposition();
    let of_vhost = |line: &&str| line.contains(site.vhost.name.as_str());
    let lines: Vec<_> = exposition.lines().filter(of_vhost).collect();
    let names_it = |line: &&str| line.contains("redrive-traces");
    assert!(!lines.is_empty() && !lines.iter().any(names_it));
    // Dead letters come into traces by themselves, so that the binding of the DLQ is no model.
    assert!(site.copies("dlx").await.is_empty());
    redrive.stop().await;
}

#[tokio::test]
async fn a_queue_with_other_settings_is_named_with_the_remedy() {
    let site = Site::new().await;
    site.queue("redrive-traces").await;
    let redrive = site.start().await;
    let status = eventually_noted(&redrive, |status| failure(status).is_some()).await;
    let reason = failure(&status).unwrap();
    assert!(reason.contains("delete it, or name another"), "{reason}");
    site.vhost.delete_queue(&"redrive-traces".into()).await;
    site.eventually_copied("events", &["order.*"]).await;

    // A second Redrive with the same queue.
    let folder = TempDir::new().unwrap();
    let second = Redrive::start(site.config(), &folder).await;
    let status = eventually_noted(&second, |status| failure(status).is_some()).await;
    let reason = failure(&status).unwrap();
    assert!(reason.contains("somebody else consumes"), "{reason}");
    second.stop().await;
    redrive.stop().await;
}

#[tokio::test]
async fn what_the_user_may_not_do_is_named() {
    let site = Site::new().await;
    let name = unique("user");
    let vhost = site.vhost.name.as_str();
    let body = json!({"password": "geheim", "tags": "management"});
    site.vhost.put(&["users", &name], &body).await;
    let permit = async |configure: &str, read: &str| {
        let permissions = json!({"configure": configure, "write": ".*", "read": read});
        site.vhost
            .put(&["permissions", vhost, &name], &permissions)
            .await;
    };
    permit("^$", ".*").await;
    let mut amqp = url::Url::parse(site.vhost.config().amqp_url.expose()).unwrap();
    amqp.set_username(&name).unwrap();
    amqp.set_password(Some("geheim")).unwrap();
    let mut config = site.config();
    config.rabbitmq = vec![RabbitMqConfig {
        amqp_url: Secret::new(amqp),
        ..site.vhost.config()
    }];
    let redrive = Redrive::start(config, &site.folder).await;
    let status = eventually_noted(&redrive, |status| failure(status).is_some()).await;
    let reason = failure(&status).unwrap();
    assert!(
        reason.contains("configure, write and read on the queue"),
        "{reason}"
    );
    assert!(reason.contains("redrive-traces"), "{reason}");

    permit(".*", "^redrive-traces$").await;
    let is_refused = |status: &TapStatus| {
        let reason = status.left_out.get(&"events".into());
        reason.is_some_and(|reason| reason.contains("needs read on the exchange"))
    };
    eventually_noted(&redrive, is_refused).await;
    site.vhost.delete_user(&name).await;
    redrive.stop().await;
}

#[tokio::test]
async fn a_cluster_that_may_only_be_read_is_not_tapped() {
    let site = Site::new().await;
    let mut config = site.config();
    config.rabbitmq[0].read_only = true;
    let redrive = Redrive::start(config, &site.folder).await;
    let is_refused = |status: &TapStatus| matches!(&status.state, TapState::Refused(reason) if reason.contains("read_only"));
    eventually_noted(&redrive, is_refused).await;
    assert_eq!(site.copies("events").await.len(), 0);
    redrive.stop().await;
}
