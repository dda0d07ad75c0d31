//! What is wrong with queues of a real RabbitMQ, from the broker to pages, API and metrics.

use std::time::Duration;

use redrive::brokers::rabbitmq::amqp::AmqpChannel;
use redrive::config::{Config, HumanDuration};
use redrive::domain::AmqpValue;
use redrive::metrics::Format;
use serde_json::Value;
use tokio::sync::watch;

use crate::support::dashboard::Dashboard;
use crate::support::eventually;
use crate::support::rabbitmq::{fill, text};
use crate::support::replays::new_store;
use crate::support::vhost::Vhost;
use crate::support::visitor::{api, get};

/// A virtual host and a dashboard that samples its broker every second.
struct Watched {
    vhost: Vhost,
    channel: AmqpChannel,
    dashboard: Dashboard,
}

impl Watched {
    async fn start() -> Self {
        let vhost = Vhost::create().await;
        let mut config = Config {
            rabbitmq: vec![vhost.config.clone()],
            ..Config::default()
        };
        config.sampling.interval = HumanDuration::from_secs(1);
        Self {
            channel: vhost.channel().await,
            dashboard: Dashboard::live(config, new_store().await).await,
            vhost,
        }
    }

    async fn declare(&self, queue: &str, arguments: &[(String, AmqpValue)]) {
        let declared = self.channel.declare_queue(&queue.into(), arguments).await;
        declared.expect("a queue");
    }

    async fn page(&self, queue: &str) -> String {
        let path = format!("/queues/rabbitmq/{}/{queue}", self.vhost.name);
        get(&self.dashboard, &path).await.2
    }

    async fn api(&self, queue: &str) -> Option<Value> {
        let answer = api(&self.dashboard, "/queues?limit=1000").await;
        let mut items = answer["items"].as_array()?.iter();
        let vhost = self.vhost.name.as_str();
        let found = items.find(|item| item["vhost"] == vhost && item["queue"] == queue);
        found.cloned()
    }

    /// Whether the gauge of this name is exposed for a queue; it can only be 1.
    fn exposes(&self, metric: &str, queue: &str) -> bool {
        let metrics = self.dashboard.state.metrics.render(Format::Text);
        let vhost = &self.vhost.name;
        let series =
            format!("{metric}{{cluster=\"rabbitmq\",vhost=\"{vhost}\",queue=\"{queue}\"}} 1\n");
        String::from_utf8_lossy(&metrics).contains(&series)
    }

    async fn end(self) {
        drop(self.dashboard);
        self.channel.close().await;
        self.vhost.delete().await;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Consumer {
    Rejects,
    Acknowledges,
    Leaves,
}

/// Consumes until it is told to leave.
async fn consume(channel: AmqpChannel, queue: &'static str, mode: watch::Receiver<Consumer>) {
    let mut consumer = channel.consume(&queue.into(), 1).await.expect("a consumer");
    while *mode.borrow() != Consumer::Leaves {
        let next = consumer.next(Duration::from_millis(200)).await;
        let Some(delivery) = next.expect("a channel") else {
            continue;
        };
        let mode = *mode.borrow();
        let settled = match mode {
            Consumer::Rejects => delivery.reject().await,
            Consumer::Acknowledges | Consumer::Leaves => delivery.acknowledge().await,
        };
        settled.expect("settled");
    }
    channel.close().await;
}

const CIRCLING: &str = "redrive_rabbitmq_queue_circling";

#[tokio::test]
async fn messages_that_only_go_round_are_shown_until_one_is_acknowledged() {
    let watched = Watched::start().await;
    let dying_to = |queue: &str| {
        vec![
            text("x-dead-letter-exchange", ""),
            text("x-dead-letter-routing-key", queue),
        ]
    };
    let mut waiting = dying_to("payments.queue");
    waiting.push(("x-message-ttl".to_owned(), AmqpValue::I32(300)));
    watched.declare("payments.retry", &waiting).await;
    for queue in ["payments.queue", "refunds.queue"] {
        watched.declare(queue, &dying_to("payments.retry")).await;
    }
    fill(&watched.channel, &"payments.queue".into(), "m", 3).await;
    let (mode, asked) = watch::channel(Consumer::Rejects);
    let channel = watched.vhost.channel().await;
    let consuming = tokio::spawn(consume(channel, "payments.queue", asked));
    let circling = eventually("the queue circles", async || {
        let queue = watched.api("payments.queue").await?;
        (!queue["circling"].is_null()).then(|| queue["circling"].clone())
    })
    .await;
    assert_eq!(
        circling["through"],
        serde_json::json!(["payments.retry"]),
        "{circling}"
    );
    assert!(circling["delivered"].as_u64() >= Some(3), "{circling}");
    let sentence = "payments.queue circles: its consumers reject what they get, and it comes back by \
                    payments.retry → payments.queue.";
    for page in [
        watched.page("payments.queue").await,
        get(&watched.dashboard, "/queues").await.2,
    ] {
        assert!(page.contains(sentence), "{page}");
        assert!(page.contains("<span class=\"status critical\">circling</span>"));
    }
    assert!(watched.exposes(CIRCLING, "payments.queue"));
    for other in ["payments.retry", "refunds.queue"] {
        assert!(!watched.exposes(CIRCLING, other), "{other}");
    }

    mode.send_replace(Consumer::Acknowledges);
    eventually("the first acknowledgement ends it", async || {
        let queue = watched.api("payments.queue").await?;
        let is_over = queue["circling"].is_null() && !watched.exposes(CIRCLING, "payments.queue");
        is_over.then_some(())
    })
    .await;
    assert!(!watched.page("payments.queue").await.contains("circles"));
    mode.send_replace(Consumer::Leaves);
    consuming.await.expect("no panic");
    watched.end().await;
}

const UNROUTABLE: &str = "redrive_rabbitmq_queue_dead_letter_unroutable";

#[tokio::test]
async fn a_dead_letter_key_that_matches_no_binding_is_named_until_one_is_there() {
    let watched = Watched::start().await;
    let (dlx, dlq) = ("orders.dlx".into(), "orders.dlq".into());
    let declared = watched.channel.declare_exchange(&dlx, "direct").await;
    declared.expect("an exchange");
    watched.declare("orders.dlq", &[]).await;
    let bind = async |key: &str| {
        let bound = watched.channel.bind_queue(&dlq, &dlx, key).await;
        bound.expect("a binding");
    };
    bind("orders.dead").await;
    let dying_to = |exchange: &str| {
        [
            text("x-dead-letter-exchange", exchange),
            text("x-dead-letter-routing-key", "dead.letter"),
        ]
    };
    watched
        .declare("orders.queue", &dying_to("orders.dlx"))
        .await;
    watched
        .declare("orphan.queue", &dying_to("no-such-exchange"))
        .await;
    // Queues and bindings are listed one after the other: for a moment one may be known without the other.
    let unbound = "no binding of the dead-letter exchange orders.dlx matches the key dead.letter; it has \
                   orders.dead → orders.dlq.";
    let missing = "the dead-letter exchange no-such-exchange does not exist";
    for (queue, sentence) in [("orders.queue", unbound), ("orphan.queue", missing)] {
        eventually(sentence, async || {
            watched.page(queue).await.contains(sentence).then_some(())
        })
        .await;
        assert!(watched.exposes(UNROUTABLE, queue), "{queue}");
    }
    assert!(!watched.exposes(UNROUTABLE, "orders.dlq"));

    bind("dead.letter").await;
    eventually("its dead letters arrive again", async || {
        let queue = watched.api("orders.queue").await?;
        let is_over = queue["dead_letters_unroutable"] == false
            && !watched.exposes(UNROUTABLE, "orders.queue");
        is_over.then_some(queue)
    })
    .await;
    assert!(!watched.page("orders.queue").await.contains("vanish"));
    assert!(watched.exposes(UNROUTABLE, "orphan.queue"));
    watched.end().await;
}
