//! Several nodes of a RabbitMQ cluster, each with its own prometheus plugin. One is real; what a second one would
//! say is made of the pages of the real one.

use axum::Router;
use axum::routing::get;
use redrive::config::{RabbitMqConfig, Secret};
use redrive::domain::RabbitMqSample;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::rabbitmq_sampling::{declare, of, sample_once};
use crate::support::rabbitmq::{Vhost, fill};
use crate::support::{rabbitmq, required};

/// The two pages that Redrive asks for.
#[derive(Clone)]
struct Pages {
    detailed: String,
    aggregated: String,
}

impl Pages {
    async fn of_the_real_node() -> Self {
        let url = required("REDRIVE_TEST_RABBITMQ_PROMETHEUS_URL");
        let text = async |path: &str| {
            let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
            answer.text().await.unwrap()
        };
        let families = "family=queue_coarse_metrics&family=queue_consumer_count";
        Self {
            detailed: text(&format!("/metrics/detailed?{families}")).await,
            aggregated: text("/metrics").await,
        }
    }

    fn node(&self) -> String {
        let (_, rest) = self.detailed.split_once("rabbitmq_node=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    fn of_node(&self, node: &str) -> Self {
        let renamed = |text: &str| text.replace(&self.node(), node);
        Self {
            detailed: renamed(&self.detailed),
            aggregated: renamed(&self.aggregated),
        }
    }

    /// Leaves out the series of the queues for which `keeps` is false.
    fn with_queues(&self, keeps: impl Fn(&str) -> bool) -> Self {
        let is_kept = |line: &&str| !line.contains("queue=\"") || keeps(line);
        let lines: Vec<&str> = self.detailed.lines().filter(is_kept).collect();
        Self {
            detailed: format!("{}\n", lines.join("\n")),
            aggregated: self.aggregated.clone(),
        }
    }

    /// Adds so many messages that the broker does not have, by which the page is known.
    fn with_messages(mut self, vhost: &Vhost, queue: &str, messages: u64) -> Self {
        let (name, vhost) = ("rabbitmq_detailed_queue_messages", vhost.name.as_str());
        let series = format!("{name}{{vhost=\"{vhost}\",queue=\"{queue}\"}} {messages}");
        self.detailed = [self.detailed, series, "\n".to_owned()].concat();
        self
    }

    async fn serve(self) -> (Secret, JoinHandle<()>) {
        let Self {
            detailed,
            aggregated,
        } = self;
        let app = Router::new()
            .route("/metrics/detailed", get(async || detailed))
            .route("/metrics", get(async || aggregated));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (Secret::new(url), serving)
    }
}

fn config(urls: &[&Secret]) -> RabbitMqConfig {
    RabbitMqConfig {
        prometheus_url: urls.iter().map(|url| (*url).clone()).collect(),
        ..rabbitmq()
    }
}

fn problem<'a>(sample: &'a RabbitMqSample, part: &str) -> Option<&'a String> {
    sample
        .problems
        .iter()
        .find(|problem| problem.contains(part))
}

/// 3 messages in `orders`, 2 in `refunds`, and the broker's own statistics of both.
async fn two_queues() -> Vhost {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    for (queue, messages) in [("orders", 3), ("refunds", 2)] {
        let queue = declare(&channel, queue).await;
        fill(&channel, &queue, "m", messages).await;
        let filled = Some(messages as u64);
        vhost
            .queue_once(&queue, |sample| sample.messages == filled)
            .await;
    }
    vhost
}

async fn messages_once(
    vhost: &Vhost,
    config: &RabbitMqConfig,
    orders: u64,
    refunds: u64,
) -> RabbitMqSample {
    sample_once(vhost, config, |queues| {
        queues["orders"].messages == Some(orders) && queues["refunds"].messages == Some(refunds)
    })
    .await
}

#[tokio::test]
async fn a_plugin_that_is_down_is_named_and_the_others_go_on() {
    let vhost = two_queues().await;
    let config = RabbitMqConfig {
        prometheus_url: [
            rabbitmq().prometheus_url,
            vec![Secret::new("http://127.0.0.1:9")],
        ]
        .concat(),
        ..rabbitmq()
    };
    let sample = messages_once(&vhost, &config, 3, 2).await;
    let told = problem(&sample, "prometheus plugin at 127.0.0.1:9").unwrap();
    assert!(told.contains("rabbitmq.prometheus_url"), "{told}");
    assert_eq!(
        problem(&sample, "running node"),
        None,
        "{:?}",
        sample.problems
    );
    assert!(sample.counts_from.starts_with("prometheus plugin"));
    assert_eq!(sample.dead_lettered.len(), 1);
}

#[tokio::test]
async fn every_queue_has_the_numbers_of_the_node_that_leads_it() {
    let vhost = two_queues().await;
    let real = Pages::of_the_real_node().await;
    let is_of = |line: &str, queue: &str| {
        line.contains(vhost.name.as_str()) && line.contains(&format!("queue=\"{queue}\""))
    };
    let first = real.with_queues(|line| !is_of(line, "refunds"));
    let second = real.of_node("rabbit@second").with_queues(|_| false);
    let second = second.with_messages(&vhost, "refunds", 17);
    let (first_url, _serving) = first.clone().serve().await;
    let (second_url, serving) = second.clone().serve().await;
    let both = config(&[&first_url, &second_url]);
    let sample = messages_once(&vhost, &both, 3, 17).await;
    assert!(
        sample
            .counts_from
            .starts_with("prometheus plugins of 2 nodes"),
        "{}",
        sample.counts_from
    );
    let nodes: Vec<&String> = sample.dead_lettered.keys().collect();
    assert_eq!(nodes, ["rabbit@second", &real.node()]);
    let counters: Vec<usize> = sample.dead_lettered.values().map(Vec::len).collect();
    assert!(
        counters[0] > 0 && counters[0] == counters[1],
        "{counters:?}"
    );

    // Whom two claim is counted by neither; who leads it now, the management API knows.
    let (claiming, _serving) = second.with_messages(&vhost, "orders", 99).serve().await;
    messages_once(&vhost, &config(&[&first_url, &claiming]), 3, 17).await;

    serving.abort();
    let sample = messages_once(&vhost, &both, 3, 2).await;
    let address = second_url.expose().trim_start_matches("http://");
    assert!(problem(&sample, address).is_some(), "{:?}", sample.problems);
    assert_eq!(of(&vhost, &sample)["refunds"].ready, Some(2));
}

#[tokio::test]
async fn a_running_node_without_a_plugin_is_named() {
    let vhost = two_queues().await;
    let real = Pages::of_the_real_node().await;
    let elsewhere = real.of_node("rabbit@second").with_queues(|_| false);
    let (url, _serving) = elsewhere.serve().await;
    let sample = messages_once(&vhost, &config(&[&url]), 3, 2).await;
    let told = problem(&sample, "running node").unwrap();
    assert!(told.contains(&real.node()), "{told}");
    assert!(!told.contains("rabbit@second"), "{told}");

    let (again, _serving) = real.serve().await;
    let real_url = rabbitmq().prometheus_url.remove(0);
    let sample = messages_once(&vhost, &config(&[&real_url, &again]), 3, 2).await;
    assert!(problem(&sample, "another URL leads already").is_some());
    assert_eq!(sample.dead_lettered.len(), 1);
}
