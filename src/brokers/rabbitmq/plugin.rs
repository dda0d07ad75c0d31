//! The prometheus plugin: depths of ten thousand queues in a tenth of a second, and why messages died.
//!
//! The text format is read line by line; a line that is none of ours or makes no sense is passed over,
//! because the plugin's families differ between versions.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::future::try_join;

use super::http::{HttpApi, Request, shortened};
use super::{PROMETHEUS_KEY, RabbitMqError};
use crate::config::Secret;
use crate::domain::{DeadLetteredCounter, QueueKey, QueueName, VhostName};

const MAX_DETAILED_BYTES: usize = 64 * 1024 * 1024;
const MAX_AGGREGATED_BYTES: usize = 8 * 1024 * 1024;

/// No label of ours has more; a line may be as long as the answer.
const MAX_LABELS: usize = 16;

/// What the plugin knows about one queue. It only knows the queues that are led by its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueCounts {
    pub(super) messages: Option<u64>,
    pub(super) ready: Option<u64>,
    pub(super) unacked: Option<u64>,
    pub(super) consumers: Option<u64>,
}

/// What the plugin of one node says.
#[derive(Debug)]
pub(super) struct PluginPages {
    /// As the node with these queues calls itself.
    pub(super) node: Option<String>,
    pub(super) counts: HashMap<QueueKey, QueueCounts>,
    /// The same node, but behind a load balancer.
    pub(super) counting_node: Option<String>,
    pub(super) dead_lettered: Vec<DeadLetteredCounter>,
}

pub(super) struct PrometheusPlugin {
    http: HttpApi,
}

impl PrometheusPlugin {
    pub(super) fn new(url: &Secret, timeout: Duration) -> Result<Self, RabbitMqError> {
        let http = HttpApi::new("prometheus plugin", PROMETHEUS_KEY, url, timeout)?;
        Ok(Self { http })
    }

    /// What it is called in messages.
    pub(super) fn address(&self) -> &str {
        self.http.address()
    }

    /// Asks for both pages at once.
    pub(super) async fn pages(&self) -> Result<PluginPages, RabbitMqError> {
        let detailed = self.text(Request {
            name: "metrics/detailed",
            segments: &["metrics", "detailed"],
            query: Some("family=queue_coarse_metrics&family=queue_consumer_count"),
            limit: MAX_DETAILED_BYTES,
        });
        let aggregated = self.text(Request {
            name: "metrics",
            segments: &["metrics"],
            query: None,
            limit: MAX_AGGREGATED_BYTES,
        });
        let (detailed, aggregated) = try_join(detailed, aggregated).await?;
        Ok(PluginPages {
            node: read_node(&detailed),
            counting_node: read_node(&aggregated),
            counts: read_queue_counts(&detailed),
            dead_lettered: read_dead_lettered(&aggregated),
        })
    }

    pub(super) fn take_requests(&self) -> BTreeMap<&'static str, u64> {
        self.http.take_requests()
    }

    async fn text(&self, request: Request<'_>) -> Result<String, RabbitMqError> {
        let name = request.name;
        let Some(body) = self.http.get(request).await? else {
            let reason = "there is no such page; the plugin of RabbitMQ 3.10 or later is needed";
            return Err(self.http.nonsense(name, reason));
        };
        let text = String::from_utf8_lossy(&body).into_owned();
        if !text.contains("rabbitmq_") {
            return Err(self.http.nonsense(name, "no metric of RabbitMQ is in it"));
        }
        Ok(text)
    }
}

/// Reads a text as either page of the plugin; how many rows that gives. Fuzz targets come in here.
pub fn read_as_metrics(text: &str) -> usize {
    let node = usize::from(read_node(text).is_some());
    node + read_queue_counts(text).len() + read_dead_lettered(text).len()
}

fn read_node(text: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(MetricLine::parse);
    let identity = lines.find(|line| line.name == "rabbitmq_identity_info")?;
    identity.label("rabbitmq_node").map(|node| shortened(&node))
}

fn read_queue_counts(text: &str) -> HashMap<QueueKey, QueueCounts> {
    let mut queues: HashMap<QueueKey, QueueCounts> = HashMap::new();
    for line in text.lines().filter_map(MetricLine::parse) {
        let Some(family) = line.name.strip_prefix("rabbitmq_detailed_queue_") else {
            continue;
        };
        let set: fn(&mut QueueCounts, u64) = match family {
            "messages" => |counts, value| counts.messages = Some(value),
            "messages_ready" => |counts, value| counts.ready = Some(value),
            "messages_unacked" => |counts, value| counts.unacked = Some(value),
            "consumers" => |counts, value| counts.consumers = Some(value),
            _ => continue,
        };
        if let (Some(vhost), Some(queue)) = (line.label("vhost"), line.label("queue")) {
            let key = (VhostName::new(vhost), QueueName::new(queue));
            set(queues.entry(key).or_default(), line.value);
        }
    }
    queues
}

fn read_dead_lettered(text: &str) -> Vec<DeadLetteredCounter> {
    let series = |line: MetricLine<'_>| {
        let reason = line
            .name
            .strip_prefix("rabbitmq_global_messages_dead_lettered_")?
            .strip_suffix("_total")?;
        // What at-least-once dead-lettering confirmed has been counted under its reason already.
        if reason == "confirmed" {
            return None;
        }
        Some(DeadLetteredCounter {
            queue_type: line.label("queue_type")?,
            strategy: line.label("dead_letter_strategy")?,
            reason: reason.to_owned(),
            count: line.value,
        })
    };
    text.lines()
        .filter_map(MetricLine::parse)
        .filter_map(series)
        .collect()
}

/// `name{label="value",…} number`.
struct MetricLine<'a> {
    name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    value: u64,
}

impl<'a> MetricLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (name, rest) = line.split_once('{')?;
        let (labels, rest) = labels(rest)?;
        let value = whole_number(rest.split_whitespace().next()?)?;
        Some(Self {
            name,
            labels,
            value,
        })
    }

    fn label(&self, name: &str) -> Option<String> {
        let (_, value) = self.labels.iter().find(|(label, _)| *label == name)?;
        Some(unescaped(value))
    }
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Vec<(&str, &str)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        if labels.len() == MAX_LABELS {
            return None;
        }
        let (name, value_and_rest) = rest.split_once("=\"")?;
        let end = end_of_quoted(value_and_rest)?;
        labels.push((name, &value_and_rest[..end]));
        rest = &value_and_rest[end + 1..];
    }
}

/// Where the closing quote stands.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text
}

/// Counts may be printed as `13.0` or `1.0e3`.
fn whole_number(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "negative and infinite numbers are refused before, and the cast saturates"
    )]
    let whole = number as u64;
    (number.is_finite() && number >= 0.0).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(vhost: &str, queue: &str) -> QueueKey {
        (VhostName::new(vhost), QueueName::new(queue))
    }

    #[test]
    fn counts_are_read_per_queue() {
        let text = r#"# TYPE rabbitmq_detailed_queue_messages gauge
rabbitmq_detailed_queue_messages{vhost="/",queue="orders"} 3
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="orders"} 2.0
rabbitmq_detailed_queue_messages_unacked{vhost="/",queue="orders"} 1
rabbitmq_detailed_queue_consumers{vhost="/",queue="orders"} 1
rabbitmq_detailed_queue_messages{queue="a\"b\\c}\n",vhost="v,{}=1"} 7
rabbitmq_detailed_queue_process_reductions_total{vhost="/",queue="orders"} 9
"#;
        let counts = read_queue_counts(text);
        let orders = QueueCounts {
            messages: Some(3),
            ready: Some(2),
            unacked: Some(1),
            consumers: Some(1),
        };
        assert_eq!(counts.get(&key("/", "orders")), Some(&orders));
        let odd = counts.get(&key("v,{}=1", "a\"b\\c}\n")).unwrap();
        assert_eq!(odd.messages, Some(7));
        assert_eq!(counts.len(), 2);
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let many_labels = "a=\"b\",".repeat(100_000);
        let check = |line: &str| {
            assert!(read_queue_counts(line).is_empty(), "{line:.80}");
        };
        check("rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"orders\"} NaN");
        check("rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"orders\"} -1");
        check("rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"orders\"} +Inf");
        check("rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"orders\"}");
        check("rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"orders");
        check("rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"orders\\\"} 1");
        check("rabbitmq_detailed_queue_messages{vhost=\"/\"} 1");
        check("rabbitmq_detailed_queue_messages{");
        check(&format!(
            "rabbitmq_detailed_queue_messages{{{many_labels}}} 1"
        ));
        check("}{}{\"\"\\");
    }

    #[test]
    fn a_page_names_its_node() {
        let text = r#"# TYPE rabbitmq_identity_info untyped
rabbitmq_detailed_queue_messages{vhost="/",queue="orders"} 3
rabbitmq_identity_info{rabbitmq_node="rabbit@a",rabbitmq_cluster="shop",rabbitmq_cluster_permanent_id="x"} 1
"#;
        assert_eq!(read_node(text).as_deref(), Some("rabbit@a"));
        assert_eq!(read_node("rabbitmq_identity_info{} 1"), None);
        assert_eq!(read_node(""), None);
    }

    #[test]
    fn the_reasons_of_dead_letters_come_from_the_names() {
        let text = r#"
rabbitmq_global_messages_dead_lettered_rejected_total{queue_type="rabbit_classic_queue",dead_letter_strategy="at_most_once"} 5
rabbitmq_global_messages_dead_lettered_confirmed_total{queue_type="rabbit_quorum_queue",dead_letter_strategy="at_least_once"} 4
rabbitmq_global_messages_received_total{protocol="amqp091"} 9
"#;
        let counters = read_dead_lettered(text);
        assert_eq!(counters.len(), 1);
        assert_eq!(counters[0].reason, "rejected");
        assert_eq!(counters[0].strategy, "at_most_once");
        assert_eq!(counters[0].count, 5);
    }
}
