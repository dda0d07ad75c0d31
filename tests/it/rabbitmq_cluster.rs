//! A real cluster of two RabbitMQ nodes: each leads some of the queues, and nodes come and go.

mod custody;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use redrive::brokers::rabbitmq::RabbitMqSampler;
use redrive::brokers::rabbitmq::amqp::AmqpChannel;
use redrive::config::{Config, QueueConfig, QueueCustody, RabbitMqConfig, Secret};
use redrive::dead_letters::IntakeState;
use redrive::domain::{
    AmqpProperties, AmqpValue, Message, QueueName, QueuePlace, QueueRole, QueueStatus, Snapshot,
};
use tempfile::TempDir;
use tokio::sync::RwLock;
use url::Url;

use crate::intake::{Redrive, config};
use crate::support::eventually;
use crate::support::rabbitmq::{REQUEST_TIMEOUT, Vhost, body, default_exchange, number, text};
use crate::support::rabbitmq_cluster::Node;

/// Who reads it shares the cluster with other tests; who writes has it alone, and may stop nodes.
static NODES: RwLock<()> = RwLock::const_new(());

/// What a sample says that has the numbers of every queue from the plugins of both nodes.
const BOTH_PLUGINS: &str = "prometheus plugins of 2 nodes";

/// Each queue and how many messages it gets.
const MESSAGES: [(&str, usize); 3] = [("on-first", 3), ("on-second", 5), ("on-both", 7)];

/// Queues that keep one message and discard the others.
const SHORT: [&str; 2] = ["short-on-first", "short-on-second"];

/// A DLQ that the second node leads.
const DLQ: &str = "dlq-on-second";

/// All of these.
const QUEUES: usize = 6;

/// A queue that comes while the second node does not run.
const LATE: &str = "late-on-first";

/// Queues that are led by the node through which they were declared; `on-both` is a quorum queue of the
/// second node with a copy on the first.
struct Queues {
    vhost: Vhost,
    first: AmqpChannel,
    second: AmqpChannel,
}

impl Queues {
    async fn declare() -> Self {
        let vhost = Vhost::on(Node::First.config()).await;
        let first = channel(&vhost, Node::First).await;
        let second = channel(&vhost, Node::Second).await;
        declare(&first, "on-first", &[]).await;
        declare(&second, "on-second", &[]).await;
        declare(&second, "on-both", &[text("x-queue-type", "quorum")]).await;
        declare(&second, DLQ, &[]).await;
        for (channel, queue) in [&first, &second].into_iter().zip(SHORT) {
            declare(channel, queue, &[number("x-max-length", 1)]).await;
        }
        Self {
            vhost,
            first,
            second,
        }
    }

    async fn fill(&self) {
        for (queue, messages) in MESSAGES {
            let channel = match queue {
                "on-first" => &self.first,
                _ => &self.second,
            };
            publish(channel, queue, messages).await;
        }
        publish(&self.first, SHORT[0], 3).await;
        publish(&self.second, SHORT[1], 5).await;
    }

    fn all_in(&self, snapshot: &Snapshot) -> Vec<QueueStatus> {
        let queues = snapshot.queues().map(|(_cluster, queue)| queue);
        let here = queues.filter(|queue| queue.sample.vhost == self.vhost.name);
        here.cloned().collect()
    }

    fn one_in(&self, snapshot: &Snapshot, name: &str) -> QueueStatus {
        let mut queues = self.all_in(snapshot).into_iter();
        let found = queues.find(|queue| queue.sample.queue.as_str() == name);
        found.unwrap_or_else(|| panic!("{name} has vanished"))
    }

    /// Whether every queue has its number, by the plugins of both nodes.
    fn are_complete_in(&self, snapshot: &Snapshot) -> bool {
        let is_full = |(name, messages): &(&str, usize)| {
            self.one_in(snapshot, name).sample.messages == Some(*messages as u64)
        };
        MESSAGES.iter().all(is_full)
            && counts_from(snapshot) == BOTH_PLUGINS
            && problems(snapshot).is_empty()
    }

    /// The DLQ is managed, and `on-second` may be looked at.
    fn config(&self) -> Config {
        let queues = [
            (DLQ, QueueCustody::Managed),
            ("on-second", QueueCustody::Observe),
        ];
        let rabbitmq = RabbitMqConfig {
            queues: queues
                .map(|(queue, custody)| in_custody(&self.vhost, queue, custody))
                .to_vec(),
            ..self.vhost.config()
        };
        Config {
            rabbitmq: vec![rabbitmq],
            ..config()
        }
    }
}

fn in_custody(vhost: &Vhost, queue: &str, custody: QueueCustody) -> QueueConfig {
    QueueConfig {
        vhost: vhost.name.clone(),
        name: queue.into(),
        role: Some(QueueRole::Dlq),
        custody: Some(custody),
        observe_every: None,
    }
}

async fn channel(vhost: &Vhost, node: Node) -> AmqpChannel {
    let config = vhost.config_of(node.config());
    AmqpChannel::open(&config, "test").await.unwrap()
}

async fn declare(channel: &AmqpChannel, queue: &str, arguments: &[(String, AmqpValue)]) {
    let declared = channel.declare_queue(&queue.into(), arguments).await;
    declared.unwrap();
}

/// Messages that outlive a node, each with an identity of its own.
async fn publish(channel: &AmqpChannel, queue: &str, count: usize) {
    let message = |number: usize| Message {
        properties: Some(Box::new(AmqpProperties {
            delivery_mode: Some(2),
            message_id: Some(number.to_string()),
            ..AmqpProperties::default()
        })),
        ..body(&format!("m{number}"))
    };
    let messages: Vec<Message> = (0..count).map(message).collect();
    let exchange = default_exchange();
    let published = messages
        .iter()
        .map(|message| channel.publish(&exchange, queue, message));
    for confirmed in join_all(published).await {
        confirmed.unwrap();
    }
}

#[tokio::test]
async fn a_node_whose_plugin_is_not_configured_is_named() {
    let _calm = NODES.read().await;
    for (asked, other) in [(Node::First, Node::Second), (Node::Second, Node::First)] {
        let config = RabbitMqConfig {
            prometheus_url: vec![asked.prometheus_url()],
            ..Node::First.config()
        };
        let sample = RabbitMqSampler::new(&config, REQUEST_TIMEOUT)
            .sample()
            .await;
        let problems = sample.unwrap().problems;
        let told = "no prometheus plugin told of the running node";
        let expected = format!("{told} {}:", other.name());
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&expected), "{problems:?}");
    }
}

/// What both nodes discarded since Redrive started, because a queue was full.
fn discarded(snapshot: &Snapshot) -> u64 {
    let counters = snapshot.clusters[0]
        .rabbitmq()
        .unwrap()
        .dead_lettered
        .iter();
    counters
        .filter(|counter| counter.reason == "maxlen" && counter.strategy == "disabled")
        .map(|counter| counter.count)
        .sum()
}

fn problems(snapshot: &Snapshot) -> &[String] {
    &snapshot.clusters[0].health.problems
}

fn counts_from(snapshot: &Snapshot) -> &str {
    let mut facts = snapshot.clusters[0].health.facts.iter();
    let found = facts.find_map(|(name, value)| (name == "counts from").then_some(value));
    found.map_or("", String::as_str)
}

fn address(url: &Secret) -> String {
    let url = Url::parse(url.expose()).unwrap();
    format!("{}:{}", url.host().unwrap(), url.port().unwrap())
}

async fn snapshot_once(
    redrive: &Redrive,
    what: &str,
    mut condition: impl FnMut(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    eventually(what, async || {
        let snapshot = redrive.sampling.snapshot();
        condition(&snapshot).then_some(snapshot)
    })
    .await
}

/// The state of the only intake.
fn intake(redrive: &Redrive) -> IntakeState {
    let mut statuses = redrive.board.statuses();
    assert_eq!(statuses.len(), 1);
    statuses.remove(0).state
}

/// Fills the queues and waits until all is counted that happened on either node.
async fn fill_and_count(queues: &Queues, redrive: &Redrive) {
    snapshot_once(redrive, "the queues are counted at zero", |snapshot| {
        let all = queues.all_in(snapshot);
        all.len() == QUEUES && all.iter().all(|queue| queue.sample.counters.is_some())
    })
    .await;
    queues.fill().await;
    let mut moving = BTreeSet::new();
    snapshot_once(redrive, "all is counted", |snapshot| {
        for (name, _) in MESSAGES {
            let rate = queues.one_in(snapshot, name).rates.publish;
            moving.extend(rate.is_some_and(|rate| rate > 0.0).then_some(name));
        }
        let is_counted = |(name, messages): (&str, usize)| {
            queues.one_in(snapshot, name).totals.published == messages as u64
        };
        moving.len() == MESSAGES.len()
            && MESSAGES.into_iter().all(is_counted)
            && discarded(snapshot) == 6
            && queues.are_complete_in(snapshot)
    })
    .await;
}

/// A number may be missing; it is never another one, and no queue goes.
fn look(queues: &Queues, snapshot: &Snapshot) {
    let count = queues.all_in(snapshot).len();
    assert!(count >= QUEUES, "{count}: {:?}", problems(snapshot));
    for (name, messages) in MESSAGES {
        let sample = queues.one_in(snapshot, name).sample;
        let is_true = |count: u64| count == messages as u64;
        let counts = [sample.messages, sample.ready];
        assert!(
            counts.iter().all(|count| count.is_none_or(is_true)),
            "{sample:?}"
        );
    }
    let first = queues.one_in(snapshot, "on-first").sample;
    assert_eq!(first.messages, Some(3), "{:?}", problems(snapshot));
}

/// What is said while the second node does not run.
async fn without_the_second_node(queues: &Queues, redrive: &Redrive) {
    let second = Node::Second.config();
    let plugin = format!(
        "prometheus plugin at {} cannot be reached",
        address(&Node::Second.prometheus_url())
    );
    declare(&queues.first, LATE, &[]).await;
    publish(&queues.first, LATE, 1).await;
    let stopped = format!("not running: {};", Node::Second.name());
    let snapshot = snapshot_once(redrive, "it and its plugin are missed", |snapshot| {
        let all = queues.all_in(snapshot);
        let is_late = |queue: &&QueueStatus| queue.sample.queue.as_str() == LATE;
        let late = all.iter().find(is_late);
        let told = problems(snapshot);
        late.is_some_and(|queue| queue.sample.messages == Some(1))
            && told.len() == 2
            && told[0].starts_with(&plugin)
            && told[1].starts_with(&stopped)
    })
    .await;
    for name in ["on-second", "on-both"] {
        let sample = queues.one_in(&snapshot, name).sample;
        let counts = (
            sample.messages,
            sample.ready,
            sample.unacked,
            sample.consumers,
        );
        assert_eq!(counts, (None, None, None, None), "{name}");
    }
    let unknown = "prometheus plugin; queues without numbers: 4";
    assert_eq!(counts_from(&snapshot), unknown);
    let exposition = redrive.exposition();
    let is_exposed = |name: &str| {
        let depths = exposition.lines();
        let mut depths = depths.filter(|line| line.starts_with("redrive_rabbitmq_queue_messages{"));
        depths.any(|line| line.contains(&format!("queue=\"{name}\"")))
    };
    assert!(is_exposed("on-first") && !is_exposed("on-second"));

    eventually("it is said why the DLQ is not read", async || {
        let told = "the node that leads it does not run";
        matches!(intake(redrive), IntakeState::Failing(why) if why.contains(told)).then_some(())
    })
    .await;
    let (cluster, queue) = (&second.name, QueueName::new("on-second"));
    let place = QueuePlace {
        cluster: cluster.clone(),
        ..queues.vhost.place(&queue)
    };
    let refusal = redrive.observer.refusal(&place).unwrap();
    assert!(
        refusal.contains("does not say who consumes it"),
        "{refusal}"
    );

    let without_plugins = RabbitMqConfig {
        prometheus_url: Vec::new(),
        ..Node::First.config()
    };
    let mut sampler = RabbitMqSampler::new(&without_plugins, REQUEST_TIMEOUT);
    let told = sampler.sample().await.unwrap().problems;
    assert!(told.len() == 1 && told[0].starts_with(&stopped), "{told:?}");

    let sample = RabbitMqSampler::new(&second, REQUEST_TIMEOUT)
        .sample()
        .await;
    let error = sample.unwrap_err().to_string();
    let management = format!("management API at {}", address(&second.management_url));
    assert!(
        error.contains(&management) && error.contains("rabbitmq.management_url"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_stopped_node_leads_is_unknown_until_it_is_back() {
    let _alone = NODES.write().await;
    let queues = Queues::declare().await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(queues.config(), &folder).await;
    fill_and_count(&queues, &redrive).await;
    publish(&queues.second, DLQ, 2).await;
    redrive.await_dead_letters(2).await;

    let mut snapshots = redrive.sampling.subscribe();
    let watch = async {
        loop {
            look(&queues, &snapshots.borrow_and_update().clone());
            snapshots.changed().await.unwrap();
        }
    };
    let restart = async {
        Node::Second.control("stop").await;
        without_the_second_node(&queues, &redrive).await;
        Node::Second.control("start").await;
        snapshot_once(&redrive, "the numbers are whole again", |snapshot| {
            queues.are_complete_in(snapshot)
        })
        .await;
    };
    tokio::select! { () = watch => {}, () = restart => {} }
    publish(&channel(&queues.vhost, Node::Second).await, DLQ, 1).await;
    redrive.await_dead_letters(3).await;
    redrive.stop().await;
}
