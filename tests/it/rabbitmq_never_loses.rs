//! The promise "looking never loses", on every kind of queue that this RabbitMQ knows: each message of a DLQ
//! is in the end in its queue as it was, or in the store, whatever Redrive was told to do with the queue and
//! however it or its connections ended. What would harm a kind is refused with the reason.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use redrive::brokers::rabbitmq::amqp::{
    AmqpChannel, ObserveError, QueueConsumer, StreamStart, read_stream,
};
use redrive::config::{Config, QueueConfig, QueueCustody, RabbitMqConfig};
use redrive::dead_letters::IntakeState;
use redrive::domain::{
    AmqpProperties, AmqpValue, Header, Message, Position, QueueName, QueueRole, QueueSample,
};
use serde_json::json;
use tempfile::TempDir;

use crate::intake::{Redrive, config};
use crate::rabbitmq_managed::write_config;
use crate::support::crashes::{Kill, Kills, run_and_kill};
use crate::support::eventually;
use crate::support::line::Line;
use crate::support::queue_kinds::{Kind, Life, MESSAGES, ONWARD, kinds};
use crate::support::rabbitmq::{
    REQUEST_TIMEOUT, TEST_CONNECTION, Vhost, body, default_exchange, look_at,
};

/// A window that ends in the middle of each queue.
const WINDOW: u16 = 5;

/// Less than a test waits for anything, so that a failure tells what intake says.
const PATIENCE: Duration = Duration::from_secs(55);

/// One queue of each kind, full of known messages.
struct Queues {
    vhost: Vhost,
    kinds: Vec<Kind>,
    /// What the application consumes itself, by queue.
    consumers: BTreeMap<QueueName, QueueConsumer>,
    /// The connection to which the exclusive queues belong.
    owner: lapin::Connection,
    channel: AmqpChannel,
}

/// Some of them alike, with and without an identity.
fn messages(kind: &Kind) -> Vec<Message> {
    let message = |number: usize| {
        let (text, id) = match number {
            3..=5 => ("alike".to_owned(), None),
            6 | 7 => ("twin".to_owned(), Some("twin".to_owned())),
            _ => (format!("m{number}"), Some(format!("id-{number}"))),
        };
        let priority = u8::try_from(number % 3).unwrap();
        Message {
            headers: vec![Header::amqp("x-shop", AmqpValue::long_string("north"))],
            properties: Some(Box::new(AmqpProperties {
                exchange: String::new(),
                routing_key: kind.queue.to_string(),
                content_type: Some("text/plain".to_owned()),
                delivery_mode: Some(2),
                message_id: id,
                priority: kind.has_priorities.then_some(priority),
                ..AmqpProperties::default()
            })),
            ..body(&text)
        }
    };
    (0..MESSAGES).map(message).collect()
}

/// The same in the order in which the queue gives them.
fn in_order(kind: &Kind) -> Vec<Message> {
    let mut messages = messages(kind);
    let priority = |message: &Message| message.properties.as_ref().and_then(|p| p.priority);
    messages.sort_by_key(|message| std::cmp::Reverse(priority(message)));
    messages
}

/// Without what the broker counts.
fn as_published(mut message: Message) -> Message {
    let counted = ["x-delivery-count", "x-acquired-count", "x-stream-offset"];
    let is_counted = |header: &Header| counted.iter().any(|name| header.name == name.as_bytes());
    message.headers.retain(|header| !is_counted(header));
    message
}

impl Queues {
    async fn fill() -> Self {
        let vhost = Vhost::create().await;
        let properties = lapin::ConnectionProperties::default();
        let properties = properties.with_connection_name(TEST_CONNECTION.into());
        let address = vhost.config().amqp_url.expose().to_owned();
        let owner = lapin::Connection::connect(&address, properties)
            .await
            .unwrap();
        let mut queues = Self {
            kinds: kinds(&vhost.version().await),
            channel: vhost.channel().await,
            consumers: BTreeMap::new(),
            vhost,
            owner,
        };
        queues
            .channel
            .declare_queue(&ONWARD.into(), &[])
            .await
            .unwrap();
        for kind in &queues.kinds {
            queues.declare(kind).await;
            if kind.has_consumer {
                let consumer = queues.channel.consume(&kind.queue, 100).await.unwrap();
                queues.consumers.insert(kind.queue.clone(), consumer);
            }
            for message in messages(kind) {
                queues.publish(&kind.queue, &message).await;
            }
        }
        queues
    }

    async fn declare(&self, kind: &Kind) {
        match kind.life {
            Life::Lasting => {
                let declared = self.channel.declare_queue(&kind.queue, &kind.arguments);
                declared.await.unwrap();
            }
            Life::AutoDelete => {
                let settings = json!({"durable": true, "auto_delete": true});
                let place = ["queues", self.vhost.name.as_str(), kind.queue.as_str()];
                self.vhost.put(&place, &settings).await;
            }
            Life::Exclusive => {
                let options = QueueDeclareOptions {
                    exclusive: true,
                    ..QueueDeclareOptions::default()
                };
                let channel = self.owner.create_channel().await.unwrap();
                let name = kind.queue.as_str().into();
                let declared = channel.queue_declare(name, options, FieldTable::default());
                declared.await.unwrap();
            }
        }
    }

    async fn publish(&self, queue: &QueueName, message: &Message) {
        let exchange = default_exchange();
        let published = self.channel.publish(&exchange, queue.as_str(), message);
        published.await.unwrap();
    }

    fn config(&self, custody: QueueCustody) -> Config {
        let queue = |kind: &Kind| QueueConfig {
            vhost: self.vhost.name.clone(),
            name: kind.queue.clone(),
            role: Some(QueueRole::Dlq),
            custody: Some(custody),
            observe_every: None,
        };
        let mut config = config();
        config.dead_letters.observe_window = WINDOW;
        config.rabbitmq = vec![RabbitMqConfig {
            queues: self.kinds.iter().map(queue).collect(),
            ..self.vhost.config()
        }];
        config
    }

    /// Every message of these queues lies in its queue as it was published, and none went onward.
    async fn are_as_before(&mut self, is_meant: impl Fn(&Kind) -> bool) {
        let last = body("last");
        for kind in self.kinds.iter().filter(|kind| is_meant(kind)) {
            let found = if kind.is_stream() {
                self.in_stream(&kind.queue).await
            } else if kind.life == Life::Exclusive {
                // Only its own connection may read it.
                assert_eq!(self.ready(&kind.queue).await as usize, MESSAGES);
                continue;
            } else {
                let mut consumer = match self.consumers.remove(&kind.queue) {
                    Some(consumer) => consumer,
                    None => self.channel.consume(&kind.queue, 100).await.unwrap(),
                };
                let mut found = Vec::new();
                for _ in 0..MESSAGES {
                    let delivery = consumer.next(REQUEST_TIMEOUT).await.unwrap();
                    let queue = &kind.queue;
                    let delivery =
                        delivery.unwrap_or_else(|| panic!("{queue} has lost all after {found:?}"));
                    let is_first = !(kind.has_consumer && delivery.redelivered);
                    assert!(is_first, "{queue}: its consumer got what others had");
                    found.push(as_published(delivery.message));
                }
                // What is held does not count for the limit of a queue: there is room for one more.
                self.publish(&kind.queue, &last).await;
                let after = consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
                assert_eq!(after.message.body, last.body, "{} has more", kind.queue);
                found
            };
            assert_eq!(found, in_order(kind), "{}", kind.queue);
        }
        let onward = QueueName::new(ONWARD);
        self.publish(&onward, &last).await;
        let mut consumer = self.channel.consume(&onward, 1).await.unwrap();
        let first = consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
        assert_eq!(first.message.body, last.body, "a message went onward");
    }

    async fn in_stream(&self, queue: &QueueName) -> Vec<Message> {
        let (config, place) = (self.vhost.config(), (&self.vhost.name, queue));
        let read = read_stream(&config, place, StreamStart::First, 100).await;
        let messages = read.unwrap().into_iter();
        messages.map(|one| as_published(one.message)).collect()
    }

    /// Messages that nobody holds. The owner of the exclusive queue may ask all of them.
    async fn ready(&self, queue: &QueueName) -> u32 {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let channel = self.owner.create_channel().await.unwrap();
        let name = queue.as_str().into();
        let counted = channel.queue_declare(name, options, FieldTable::default());
        let ready = counted.await.unwrap().message_count();
        channel.close(200, "done".into()).await.unwrap();
        ready
    }
}

/// Looks as the button of its page does, until the statistics let it say what it thinks of this kind.
async fn look(redrive: &Redrive, vhost: &Vhost, kind: &Kind) {
    let queue = &kind.queue;
    eventually(&format!("a verdict about {queue}"), async || {
        let looked = redrive.observer.look(&vhost.place(queue), None).await;
        match (looked, kind.observed) {
            (Ok(look), Ok(())) => {
                // A stream is read on, the others are looked at from their head again.
                let seen = if kind.is_stream() {
                    look.seen <= 5
                } else {
                    look.seen == 5
                };
                assert!(seen, "{queue}: {look:?}");
                Some(())
            }
            (Ok(_), Err(expected)) => panic!("{queue} was looked at in spite of its {expected}"),
            (Err(error), Err(expected)) => error.to_string().contains(expected).then_some(()),
            (Err(_), Ok(())) => None,
        }
    })
    .await;
}

#[tokio::test]
async fn looking_loses_nothing_in_any_kind_of_queue() {
    let mut queues = Queues::fill().await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(queues.config(QueueCustody::Observe), &folder).await;
    for _ in 0..3 {
        join_all(
            queues
                .kinds
                .iter()
                .map(|kind| look(&redrive, &queues.vhost, kind)),
        )
        .await;
    }
    redrive.stop().await;
    look_and_be_cut(&queues).await;
    queues.are_as_before(|_| true).await;
}

/// Looks that are cut while they hold all messages and wait for more.
async fn look_and_be_cut(queues: &Queues) {
    let may_be = |kind: &&Kind| kind.observed.is_ok() && !kind.is_stream();
    for kind in queues.kinds.iter().filter(may_be) {
        let is_idle = |sample: &QueueSample| sample.consumers == Some(0);
        queues.vhost.queue_once(&kind.queue, is_idle).await;
        let line = Line::to(queues.vhost.config()).await;
        let (config, queue) = (line.config.clone(), &kind.queue);
        let look = async { look_at(&config, &queues.vhost.place(queue), 200).await };
        let cut = async {
            let what = format!("all of {queue} is held");
            eventually(&what, async || {
                (queues.ready(queue).await == 0).then_some(())
            })
            .await;
            line.cut();
        };
        let (looked, ()) = tokio::join!(look, cut);
        assert!(
            matches!(looked, Err(ObserveError::Amqp(_))),
            "{queue}: {looked:?}"
        );
    }
}

#[tokio::test]
async fn custody_loses_nothing_in_any_kind_of_queue_however_it_ends() {
    let mut queues = Queues::fill().await;
    let folder = TempDir::new().unwrap();
    let names: Vec<QueueName> = queues.kinds.iter().map(|kind| kind.queue.clone()).collect();
    write_config(&queues.vhost, folder.path(), &names);
    for point in ["delivered", "delivered:4", "stored:2", "acknowledged:2"] {
        let kill = Kill::At(format!("custody.{point}"));
        run_and_kill(folder.path(), &kill, &Kills::default()).await;
    }
    let redrive = Redrive::start(queues.config(QueueCustody::Managed), &folder).await;
    let managed: Vec<&Kind> = queues.kinds.iter().filter(|k| k.managed.is_ok()).collect();
    for kind in &managed {
        await_stored(&redrive, kind, &messages(kind)).await;
    }
    // What comes while connections are cut is taken by the next ones.
    for late in ["late0", "late1"] {
        for kind in &managed {
            queues.publish(&kind.queue, &body(late)).await;
        }
        queues.vhost.cut_connections().await;
    }
    for kind in &managed {
        await_stored(&redrive, kind, &late(kind)).await;
    }
    for kind in queues.kinds.iter().filter(|kind| kind.managed.is_err()) {
        await_refusal(&redrive, kind).await;
    }
    redrive.stop().await;
    queues.are_as_before(|kind| kind.managed.is_err()).await;
}

fn late(kind: &Kind) -> Vec<Message> {
    let properties = AmqpProperties {
        routing_key: kind.queue.to_string(),
        ..AmqpProperties::default()
    };
    let message = |text| Message {
        properties: Some(Box::new(properties.clone())),
        ..body(text)
    };
    ["late0", "late1"].map(message).into()
}

async fn await_refusal(redrive: &Redrive, kind: &Kind) {
    let expected = kind.managed.unwrap_err();
    let source = format!("queue {} in ", kind.queue);
    let what = format!("{} is refused: {expected}", kind.queue);
    eventually(&what, async || {
        let statuses = redrive.board.statuses();
        let mut of_queue = statuses.iter().filter(|s| s.source.starts_with(&source));
        let refused = |state: &IntakeState| {
            matches!(state, IntakeState::Refused(reason) if reason.contains(expected))
        };
        of_queue.any(|status| refused(&status.state)).then_some(())
    })
    .await;
}

/// Of equal messages with one ID, the second may be taken for the first if that was acknowledged alone and its
/// reader died then: nothing tells them apart.
fn times_at_least(published: &[Message], message: &Message) -> usize {
    let properties = message.properties.as_ref();
    if properties.is_some_and(|properties| properties.message_id.is_some()) {
        return 1;
    }
    published.iter().filter(|one| *one == message).count()
}

/// Waits until each of these messages is in the store as often as it was published, and none more often
/// without being marked as a possible duplicate.
async fn await_stored(redrive: &Redrive, kind: &Kind, published: &[Message]) {
    let queue = &kind.queue;
    let said = Mutex::new(String::new());
    let what = format!("all of {queue} is in the store");
    let whole = eventually(&what, async || {
        let rows = stored(redrive, queue).await;
        let times = |of: &Message| times_at_least(published, of);
        let found = |of: &Message| rows.iter().filter(|(one, _)| one == of).count();
        let is_whole = published.iter().all(|one| found(one) >= times(one));
        *said.lock().unwrap() = format!("{} stored; {:?}", rows.len(), redrive.board.statuses());
        is_whole.then_some(rows)
    });
    let whole = tokio::time::timeout(PATIENCE, whole).await;
    let rows = whole.unwrap_or_else(|_| panic!("{queue}: {}", said.lock().unwrap()));
    for message in published {
        let times = published.iter().filter(|one| *one == message).count();
        let unmarked = rows
            .iter()
            .filter(|(one, is_marked)| one == message && !is_marked);
        assert!(
            unmarked.count() <= times,
            "{queue} has {message:?} too often"
        );
    }
}

/// What came from a queue, and whether it is marked as a possible duplicate.
async fn stored(redrive: &Redrive, queue: &QueueName) -> Vec<(Message, bool)> {
    let mut stored = Vec::new();
    for row in redrive.dead_letters().await {
        let is_it = |position: &Position| match position {
            Position::RabbitMq { queue: found, .. } => found == queue,
            Position::Kafka { .. } => false,
        };
        if is_it(&row.position) {
            let message = redrive.store.dead_letter(row.id).await.unwrap().message;
            stored.push((as_published(message), row.possible_duplicate_of.is_some()));
        }
    }
    stored
}
