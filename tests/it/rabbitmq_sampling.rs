//! What the sampler sees of a real RabbitMQ.

use std::collections::HashMap;
use std::time::Duration;

use redrive::brokers::rabbitmq::amqp::{AmqpChannel, QueueConsumer};
use redrive::brokers::rabbitmq::{RabbitMqError, RabbitMqSampler};
use redrive::config::{RabbitMqConfig, Secret};
use redrive::domain::{
    DeliveryLimit, ExchangeName, MoreQueues, QueueName, QueueRole, QueueSample, QueueType,
    RabbitMqSample, TopologyOverrides, classify_queues,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::rabbitmq::{REQUEST_TIMEOUT, Vhost, fill, number, text};
use crate::support::{eventually, rabbitmq};

pub(crate) fn of(vhost: &Vhost, sample: &RabbitMqSample) -> HashMap<String, QueueSample> {
    let queues = sample
        .queues
        .iter()
        .filter(|queue| queue.vhost == vhost.name);
    queues
        .map(|queue| (queue.queue.to_string(), queue.clone()))
        .collect()
}

/// Samples until `condition` holds for the queues of the virtual host.
pub(crate) async fn sample_once(
    vhost: &Vhost,
    config: &RabbitMqConfig,
    condition: impl Fn(&HashMap<String, QueueSample>) -> bool,
) -> RabbitMqSample {
    let mut sampler = RabbitMqSampler::new(config, REQUEST_TIMEOUT);
    eventually("a sample with the expected numbers", async || {
        let sample = sampler.sample().await.ok()?;
        condition(&of(vhost, &sample)).then_some(sample)
    })
    .await
}

pub(crate) async fn declare(channel: &AmqpChannel, queue: &str) -> QueueName {
    let queue = QueueName::new(queue);
    channel.declare_queue(&queue, &[]).await.unwrap();
    queue
}

/// Publishes 5, takes 2, acknowledges 1 of them.
async fn five_published_two_taken_one_settled(
    vhost: &Vhost,
    queue: &str,
) -> (AmqpChannel, QueueConsumer) {
    let channel = vhost.channel().await;
    let queue = declare(&channel, queue).await;
    fill(&channel, &queue, "m", 5).await;
    let mut consumer = channel.consume(&queue, 2).await.unwrap();
    let first = consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
    consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
    // With room for two, the third follows the acknowledgement: 2 held, 2 ready.
    first.acknowledge().await.unwrap();
    consumer.next(REQUEST_TIMEOUT).await.unwrap().unwrap();
    (channel, consumer)
}

fn is_settled(queue: &QueueSample) -> bool {
    let counts = (queue.messages, queue.ready, queue.unacked);
    let totals = queue
        .counters
        .map(|c| (c.published, c.settled, c.redelivered));
    counts == (Some(4), Some(2), Some(2)) && totals == Some((5, 1, 0))
}

/// The start of an answer that never ends.
static BRACKETS: [u8; 65536] = [b'['; 65536];

#[tokio::test]
async fn the_numbers_are_those_of_what_was_published() {
    let vhost = Vhost::create().await;
    let _consuming = five_published_two_taken_one_settled(&vhost, "orders").await;
    let settled = |queues: &HashMap<String, QueueSample>| is_settled(&queues["orders"]);
    let sample = sample_once(&vhost, &rabbitmq(), settled).await;
    assert!(
        sample.counts_from.starts_with("prometheus plugin"),
        "{}",
        sample.counts_from
    );
    let queue = &of(&vhost, &sample)["orders"];
    assert_eq!(
        (queue.queue_type, queue.durable),
        (QueueType::Classic, true)
    );
    assert_eq!(queue.consumers, Some(1));
    assert_eq!(sample.version.split('.').count(), 3, "{}", sample.version);
    assert!(!sample.dead_lettered.is_empty());
    let asked: u64 = sample
        .cost
        .requests_by_api
        .iter()
        .map(|(_, count)| count)
        .sum();
    assert_eq!(sample.cost.requests, asked);
    assert!((3..=12).contains(&asked), "{:?}", sample.cost);
}

#[tokio::test]
async fn without_the_plugin_the_management_api_counts() {
    let vhost = Vhost::create().await;
    let _consuming = five_published_two_taken_one_settled(&vhost, "orders").await;
    let config = RabbitMqConfig {
        prometheus_url: Vec::new(),
        ..rabbitmq()
    };
    let settled = |queues: &HashMap<String, QueueSample>| {
        is_settled(&queues["orders"]) && queues["orders"].consumers == Some(1)
    };
    let sample = sample_once(&vhost, &config, settled).await;
    assert_eq!(sample.counts_from, "management API");
    assert_eq!(of(&vhost, &sample)["orders"].bytes, Some(8));
}

#[tokio::test]
async fn a_plugin_that_does_not_answer_costs_only_its_own_numbers() {
    let vhost = Vhost::create().await;
    declare(&vhost.channel().await, "orders").await;
    let config = RabbitMqConfig {
        prometheus_url: vec![Secret::new("http://127.0.0.1:9")],
        ..rabbitmq()
    };
    let sample = sample_once(&vhost, &config, |queues| queues.contains_key("orders")).await;
    assert_eq!(sample.counts_from, "management API");
    let problem = sample
        .problems
        .iter()
        .find(|p| p.contains("prometheus plugin at 127.0.0.1:9"));
    assert!(
        problem.unwrap().contains("rabbitmq.prometheus_url"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn settings_of_policies_and_operator_policies_are_the_queues_own() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let quorum = QueueName::new("q.quorum");
    let arguments = [
        text("x-queue-type", "quorum"),
        number("x-delivery-limit", 7),
    ];
    channel.declare_queue(&quorum, &arguments).await.unwrap();
    declare(&channel, "q.classic").await;
    declare(&channel, "dead").await;
    // Statistics of a queue that was idle since may never name what comes now.
    let are_known = |queues: &HashMap<String, QueueSample>| {
        queues.values().all(|queue| queue.counters.is_some())
    };
    sample_once(&vhost, &rabbitmq(), are_known).await;
    let policy = json!({
        "dead-letter-exchange": "", "dead-letter-routing-key": "dead", "max-length": 100
    });
    vhost.policy("^q", &policy).await;
    let limits = json!({"max-length": 50, "delivery-limit": 5});
    let body = json!({"pattern": "^q", "definition": limits, "apply-to": "queues"});
    vhost
        .put(&["operator-policies", vhost.name.as_str(), "limits"], &body)
        .await;
    let applied = |queues: &HashMap<String, QueueSample>| {
        ["q.classic", "q.quorum"]
            .iter()
            .all(|q| queues[*q].max_length == Some(50))
    };
    let sample = sample_once(&vhost, &rabbitmq(), applied).await;
    let queues = of(&vhost, &sample);
    for queue in ["q.classic", "q.quorum"] {
        let target = queues[queue].dead_letter.as_ref().unwrap();
        assert_eq!(target.routing_key.as_deref(), Some("dead"), "{queue}");
        assert_eq!(
            queues[queue].overflow.as_deref(),
            Some("drop-head"),
            "{queue}"
        );
    }
    assert_eq!(
        queues["q.quorum"].delivery_limit,
        Some(DeliveryLimit::Limited(5))
    );
    assert_eq!(queues["q.classic"].delivery_limit, None);
    let topology = topology_of(&vhost, &sample);
    assert_eq!(
        topology["q.classic"],
        (QueueRole::Work, vec!["dead".to_owned()], false)
    );
    assert_eq!(topology["dead"].0, QueueRole::Dlq);
}

#[tokio::test]
async fn a_queue_of_this_moment_already_has_its_policy() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    vhost
        .policy(
            "^q",
            &json!({"dead-letter-exchange": "dlx", "message-ttl": 60_000}),
        )
        .await;
    // Statistics, and with them the broker's own merge, come seconds later on 3.10.
    let queue = declare(&channel, "q").await;
    let mut sampler = RabbitMqSampler::new(&rabbitmq(), REQUEST_TIMEOUT);
    let sample = sampler.sample().await.unwrap();
    let target = of(&vhost, &sample)["q"].dead_letter.clone();
    assert_eq!(target.unwrap().exchange, ExchangeName::new("dlx"));
    let details = vhost
        .management()
        .queue(&vhost.name, &queue)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(details.sample.message_ttl, Some(Duration::from_mins(1)));
}

fn topology_of(
    vhost: &Vhost,
    sample: &RabbitMqSample,
) -> HashMap<String, (QueueRole, Vec<String>, bool)> {
    let all = classify_queues(
        &sample.queues,
        &sample.exchanges,
        &sample.bindings,
        &TopologyOverrides::default(),
    );
    let here = all
        .into_iter()
        .filter(|topology| topology.vhost == vhost.name);
    here.map(|topology| {
        let targets = topology
            .dead_letters_to
            .iter()
            .map(ToString::to_string)
            .collect();
        (
            topology.queue.to_string(),
            (topology.role, targets, topology.unroutable),
        )
    })
    .collect()
}

/// The sample workload's topology (issue: `orders.queue` must never be read).
async fn declare_sample_topology(channel: &AmqpChannel) {
    let (events, dlx) = (ExchangeName::new("events"), ExchangeName::new("events.dlx"));
    channel.declare_exchange(&events, "topic").await.unwrap();
    channel.declare_exchange(&dlx, "direct").await.unwrap();
    let orders = QueueName::new("orders.queue");
    let dying = [
        text("x-dead-letter-exchange", "events.dlx"),
        text("x-dead-letter-routing-key", "orders.dead"),
    ];
    channel.declare_queue(&orders, &dying).await.unwrap();
    channel
        .bind_queue(&orders, &events, "order.*")
        .await
        .unwrap();
    for (name, ttl) in [
        ("orders.retry.1", 1000),
        ("orders.retry.2", 2000),
        ("orders.retry.3", 4000),
    ] {
        let returning = [
            number("x-message-ttl", ttl),
            text("x-dead-letter-exchange", "events"),
            text("x-dead-letter-routing-key", "order.created"),
        ];
        channel
            .declare_queue(&QueueName::new(name), &returning)
            .await
            .unwrap();
    }
    let dlq = declare(channel, "orders.dlq").await;
    channel.bind_queue(&dlq, &dlx, "orders.dead").await.unwrap();
    let lost = [text("x-dead-letter-exchange", "nowhere")];
    channel
        .declare_queue(&QueueName::new("lost"), &lost)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_sample_topology_of_a_real_broker_keeps_the_applications_queue_out() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    declare_sample_topology(&channel).await;
    let counted = |queues: &HashMap<String, QueueSample>| {
        queues.len() == 6 && queues.values().all(|queue| queue.consumers == Some(0))
    };
    let sample = sample_once(&vhost, &rabbitmq(), counted).await;
    let topology = topology_of(&vhost, &sample);
    let work = vec!["orders.queue".to_owned()];
    let dead = vec!["orders.dlq".to_owned()];
    assert_eq!(topology["orders.queue"], (QueueRole::Work, dead, false));
    for retry in ["orders.retry.1", "orders.retry.2", "orders.retry.3"] {
        assert_eq!(
            topology[retry],
            (QueueRole::Retry, work.clone(), false),
            "{retry}"
        );
    }
    assert_eq!(topology["orders.dlq"], (QueueRole::Dlq, vec![], false));
    assert_eq!(topology["lost"], (QueueRole::Work, vec![], true));
}

#[tokio::test]
async fn the_preflight_says_which_queues_a_replay_would_reach() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    declare_sample_topology(&channel).await;
    let management = vhost.management();
    let reach = async |exchange: &str, key: &str| {
        let exchange = ExchangeName::new(exchange);
        management
            .reachable(&vhost.name, &exchange, key)
            .await
            .unwrap()
    };
    let orders = vec![QueueName::new("orders.queue")];
    let expected = Some((orders, MoreQueues::None));
    assert_eq!(reach("events", "order.created").await, expected);
    assert_eq!(reach("", "orders.queue").await, expected);
    assert_eq!(
        reach("events", "payment").await,
        Some((vec![], MoreQueues::None))
    );
    assert_eq!(reach("absent", "order.created").await, None);
    let default = ExchangeName::default();
    assert!(
        management
            .exchange(&vhost.name, &default)
            .await
            .unwrap()
            .is_some()
    );
    let absent = QueueName::new("absent");
    assert!(
        management
            .queue(&vhost.name, &absent)
            .await
            .unwrap()
            .is_none()
    );
    let from_events = management
        .bindings_from(&vhost.name, &"events".into())
        .await
        .unwrap();
    assert_eq!(from_events[0].routing_key, "order.*");
    assert!(management.vhosts().await.unwrap().contains(&vhost.name));
}

/// The error of a sample from a management API that is not as it should be.
pub(crate) async fn failure(management_url: &str, timeout: Duration) -> RabbitMqError {
    let config = RabbitMqConfig {
        management_url: Secret::new(management_url),
        ..rabbitmq()
    };
    RabbitMqSampler::new(&config, timeout)
        .sample()
        .await
        .unwrap_err()
}

/// A server that answers everything with the same bytes, again and again if `endless`.
async fn server(answer: &'static [u8], endless: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
                while !endless.is_empty() && stream.write_all(endless).await.is_ok() {}
                std::future::pending::<()>().await;
            });
        }
    });
    format!("http://user:geheim@{address}")
}

#[tokio::test]
async fn a_broker_that_is_down_slow_or_no_broker_is_an_error_that_helps() {
    let short = Duration::from_secs(1);
    let check = |error: &RabbitMqError, expected: &[&str]| {
        let text = error.to_string();
        for part in expected {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        assert!(!text.contains("geheim"), "{text}");
    };
    let error = failure("http://user:geheim@127.0.0.1:9", short).await;
    check(
        &error,
        &[
            "management API at 127.0.0.1:9",
            "refused",
            "rabbitmq.management_url",
        ],
    );

    let silent = server(b"", b"").await;
    check(
        &failure(&silent, short).await,
        &["did not answer within 1s", "request_timeout"],
    );

    let nonsense = server(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>", b"").await;
    check(
        &failure(&nonsense, short).await,
        &["nonsense", "leads to RabbitMQ"],
    );

    let endless = server(
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        &BRACKETS,
    );
    check(
        &failure(&endless.await, Duration::from_secs(20)).await,
        &["more than 1048576 bytes"],
    );

    let elsewhere =
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
    check(
        &failure(&server(elsewhere, b"").await, short).await,
        &["HTTP status 302"],
    );
}
