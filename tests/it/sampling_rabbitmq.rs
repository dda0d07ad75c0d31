//! Sampling of a real RabbitMQ, from the topology of the sample workload to roles, rates and series.

use std::time::Duration;

use redrive::brokers::rabbitmq::amqp::AmqpChannel;
use redrive::config::{Config, RabbitMqConfig, Secret};
use redrive::domain::{AmqpProperties, AmqpValue, Message, QueueRole, QueueStatus, Timestamp};
use redrive::sampling::{Series, SeriesKey};

use crate::sampling::Sampling;
use crate::support::eventually;
use crate::support::vhost::{Vhost, arguments};

/// `orders.queue` dead-letters to `orders.dlq`; a retry queue returns to work; the dead letters of
/// `orphan.queue` go nowhere.
async fn declare_topology(channel: &AmqpChannel) {
    let text = |text: &str| AmqpValue::long_string(text);
    for (exchange, kind) in [("events", "topic"), ("events.dlx", "direct")] {
        let declared = channel.declare_exchange(&exchange.into(), kind).await;
        declared.expect("an exchange");
    }
    let dead_letters = |exchange: &str, key: &str| {
        let exchange = ("x-dead-letter-exchange", text(exchange));
        let key = ("x-dead-letter-routing-key", text(key));
        vec![exchange, key]
    };
    let mut retry = dead_letters("events", "order.created");
    retry.push(("x-message-ttl", AmqpValue::I32(600_000)));
    let queues = [
        ("orders.queue", dead_letters("events.dlx", "orders.dead")),
        ("orders.retry.1", retry),
        ("orders.dlq", Vec::new()),
        (
            "orphan.queue",
            dead_letters("no-such-exchange", "orphan.dead"),
        ),
    ];
    for (queue, settings) in queues {
        let (queue, arguments) = (queue.into(), arguments(&settings));
        let declared = channel.declare_queue(&queue, &arguments).await;
        declared.expect("a queue");
    }
    let bindings = [
        ("orders.queue", "events", "order.created"),
        ("orders.dlq", "events.dlx", "orders.dead"),
    ];
    for (queue, exchange, key) in bindings {
        let (queue, exchange) = (queue.into(), exchange.into());
        let bound = channel.bind_queue(&queue, &exchange, key).await;
        bound.expect("a binding");
    }
}

async fn publish(channel: &AmqpChannel, messages: usize) {
    let message = Message {
        body: Some("{}".into()),
        properties: Some(Box::new(AmqpProperties::default())),
        ..Message::default()
    };
    let exchange = "events".into();
    for _ in 0..messages {
        let published = channel.publish(&exchange, "order.created", &message);
        published.await.expect("confirmed");
    }
}

/// Acknowledges, then rejects so many messages. Of a channel that is closed before the broker's next collection, what
/// it did may never be counted.
async fn consume(vhost: &Vhost, acknowledged: usize, rejected: usize) -> AmqpChannel {
    let channel = vhost.channel().await;
    let mut consumer = channel
        .consume(&"orders.queue".into(), 1)
        .await
        .expect("a consumer");
    for number in 0..acknowledged + rejected {
        let delivery = consumer
            .next(Duration::from_secs(30))
            .await
            .expect("a delivery");
        let delivery = delivery.expect("a message within half a minute");
        let settled = if number < acknowledged {
            delivery.acknowledge().await
        } else {
            delivery.reject().await
        };
        settled.expect("settled");
    }
    channel
}

fn config(rabbitmq: RabbitMqConfig) -> Config {
    Config {
        rabbitmq: vec![rabbitmq],
        ..Config::default()
    }
}

async fn eventually_queue(
    sampling: &Sampling,
    vhost: &Vhost,
    name: &str,
    what: &str,
    condition: impl Fn(&QueueStatus) -> bool,
) -> QueueStatus {
    eventually(what, async || {
        let snapshot = sampling.handle.snapshot();
        let mut queues = snapshot.queues().map(|(_cluster, queue)| queue);
        let found = queues
            .find(|queue| queue.sample.vhost == vhost.name && queue.sample.queue.as_str() == name);
        found.filter(|queue| condition(queue)).cloned()
    })
    .await
}

#[tokio::test]
async fn roles_depths_and_totals_of_a_real_topology_are_seen() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    declare_topology(&channel).await;
    let sampling = Sampling::of(config(vhost.config.clone()));
    let at_zero = |queue: &QueueStatus| queue.sample.counters.is_some();
    eventually_queue(&sampling, &vhost, "orders.queue", "it is sampled", at_zero).await;
    publish(&channel, 7).await;
    let holds = |messages: u64| move |queue: &QueueStatus| queue.sample.messages == Some(messages);
    let full = eventually_queue(&sampling, &vhost, "orders.queue", "7 wait", holds(7)).await;
    assert_eq!(full.role, QueueRole::Work);
    assert_eq!(full.dead_letters_to, ["orders.dlq".into()]);
    assert!(!full.dead_letters_unroutable);

    let consumer = consume(&vhost, 3, 2).await;
    let counted = |queue: &QueueStatus| {
        queue.sample.messages == Some(2) && queue.totals.published == 7 && queue.totals.settled >= 3
    };
    eventually_queue(
        &sampling,
        &vhost,
        "orders.queue",
        "it is worked on",
        counted,
    )
    .await;
    consumer.close().await;
    let waiting = |queue: &QueueStatus| queue.sample.ready == Some(2);
    eventually_queue(&sampling, &vhost, "orders.queue", "2 wait", waiting).await;
    let dlq = eventually_queue(&sampling, &vhost, "orders.dlq", "2 died", holds(2)).await;
    assert_eq!(dlq.role, QueueRole::Dlq);
    let any = |_: &QueueStatus| true;
    let retry = eventually_queue(&sampling, &vhost, "orders.retry.1", "it is there", any).await;
    assert_eq!(retry.role, QueueRole::Retry);
    let orphan = eventually_queue(&sampling, &vhost, "orphan.queue", "it is there", any).await;
    assert!(orphan.dead_letters_unroutable);

    let exposition = sampling.text();
    let queue = |name: &str| {
        format!(
            "cluster=\"rabbitmq\",vhost=\"{}\",queue=\"{name}\"",
            vhost.name
        )
    };
    for line in [
        format!(
            "redrive_rabbitmq_queue_ready{{{}}} 2\n",
            queue("orders.queue")
        ),
        format!(
            "redrive_rabbitmq_queue_published_total{{{}}} 7\n",
            queue("orders.queue")
        ),
        format!(
            "redrive_rabbitmq_queue_dead_letter_unroutable{{{}}} 1\n",
            queue("orphan.queue")
        ),
        format!(
            "redrive_rabbitmq_queue_info{{{},type=\"classic\",role=\"dlq\"}} 1\n",
            queue("orders.dlq")
        ),
        format!(
            "source=\"orders.queue\",consumer=\"{}/orders.queue\"}} ",
            vhost.name
        ),
    ] {
        assert!(exposition.contains(&line), "{line}");
    }
    let depth = Series::QueueDepth(vhost.name.clone(), "orders.queue".into());
    let history = sampling.handle.lately(
        &[SeriesKey::new(&vhost.config.name, depth)],
        Timestamp::now(),
    );
    assert!(
        history.points.iter().any(|point| point.value == Some(7.0)),
        "{history:?}"
    );
    sampling.end().await;
    channel.close().await;
    vhost.delete().await;
}

/// What a node that lost its statistics looks like: its counters begin anew at 0.
#[tokio::test]
async fn a_queue_that_is_made_anew_takes_no_counter_back_and_makes_none_jump() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    declare_topology(&channel).await;
    let sampling = Sampling::of(config(vhost.config.clone()));
    let queue = "orders.queue";
    let any = |queue: &QueueStatus| queue.sample.counters.is_some();
    eventually_queue(&sampling, &vhost, queue, "it is sampled", any).await;
    publish(&channel, 7).await;
    let published = |least: u64| move |queue: &QueueStatus| queue.totals.published >= least;
    eventually_queue(&sampling, &vhost, queue, "7 are counted", published(7)).await;
    vhost.delete_queue(queue).await;
    declare_topology(&channel).await;
    let mut sent = 7;
    let mut highest = 7;
    eventually("what is published now is counted", async || {
        publish(&channel, 1).await;
        sent += 1;
        let snapshot = sampling.handle.snapshot();
        let mut queues = snapshot.queues().map(|(_cluster, queue)| queue);
        let seen = queues
            .find(|seen| seen.sample.vhost == vhost.name && seen.sample.queue.as_str() == queue)?;
        let total = seen.totals.published;
        assert!(
            (highest..=sent).contains(&total),
            "{total} of {sent} after {highest}"
        );
        highest = total;
        (total > 9).then_some(())
    })
    .await;
    sampling.end().await;
    channel.close().await;
    vhost.delete().await;
}

#[tokio::test]
async fn a_management_api_that_is_not_there_is_named() {
    let mut rabbitmq = crate::support::rabbitmq();
    rabbitmq.management_url = Secret::new("http://guest:guest@127.0.0.1:1");
    let sampling = Sampling::of(config(rabbitmq));
    let mut snapshots = sampling.handle.subscribe();
    let failed = snapshots.wait_for(|snapshot| snapshot.clusters[0].health.error.is_some());
    let error = failed.await.expect("sampling runs").clusters[0]
        .health
        .error
        .clone();
    let error = error.expect("it was waited for");
    assert!(error.contains("rabbitmq.management_url"), "{error}");
    assert!(
        !error.contains("guest:guest"),
        "no password on a page: {error}"
    );
    sampling.end().await;
}
