//! What the management API sends. Fields are read leniently: versions differ, statistics come late, and
//! one odd field must not cost the rest.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::effective::{
    BrokerVersion, Settings, Sources, delivery_limit_from, integer, queue_type_from,
};
use super::super::http::shortened;
use super::policies::{Applied, Policies, PolicyRow};
use super::tap_routing::read_as_tap_lists;
use crate::domain::{
    BindingDestination, BindingSample, ExchangeName, ExchangeSample, QueueCounters, QueueName,
    QueueSample, QueueType, VhostName,
};

/// RabbitMQ knows five; plugins may bring others.
const MAX_TAGS: usize = 20;

#[derive(Debug, Deserialize)]
pub(super) struct OverviewRow {
    #[serde(rename = "rabbitmq_version")]
    pub(super) version: String,
    #[serde(default)]
    pub(super) disable_stats: Flag,
    /// Only for a user with the tag `monitoring`.
    #[serde(default)]
    listeners: Value,
}

impl OverviewRow {
    /// The nodes that listen to clients. Of one that was stopped in good order the listener for other nodes stays
    /// in the list for as long as it is away (seen on 3.10.8).
    pub(super) fn nodes(&self) -> BTreeSet<String> {
        let listeners = self.listeners.as_array().into_iter().flatten();
        let is_for_clients = |listener: &&Value| {
            let protocol = listener.get("protocol").and_then(Value::as_str);
            protocol != Some("clustering")
        };
        let nodes = listeners
            .filter(is_for_clients)
            .filter_map(|listener| listener.get("node")?.as_str());
        nodes.map(shortened).collect()
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct NodeRow {
    name: String,
    #[serde(default)]
    running: Value,
}

impl NodeRow {
    /// The name of a member of the cluster of which the broker says that it does not run.
    pub(super) fn into_stopped(self) -> Option<String> {
        (self.running == Value::Bool(false)).then(|| shortened(&self.name))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct WhoamiRow {
    name: String,
    #[serde(default)]
    tags: Value,
}

impl WhoamiRow {
    /// A list, or in one text before 3.9.
    pub(super) fn into_user(self) -> (String, Vec<String>) {
        let tags: Vec<&str> = match &self.tags {
            Value::Array(tags) => tags.iter().filter_map(Value::as_str).collect(),
            Value::String(tags) => tags.split(',').map(str::trim).collect(),
            _ => Vec::new(),
        };
        let tags = tags.into_iter().filter(|tag| !tag.is_empty());
        let tags = tags.take(MAX_TAGS).map(shortened).collect();
        (shortened(&self.name), tags)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct NameRow {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct QueueRow {
    #[serde(default)]
    vhost: String,
    name: String,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    durable: Flag,
    #[serde(default)]
    exclusive: Flag,
    #[serde(default)]
    auto_delete: Flag,
    #[serde(default, deserialize_with = "object_or_nothing")]
    arguments: Option<Settings>,
    #[serde(default)]
    policy: Value,
    #[serde(default, deserialize_with = "object_or_nothing")]
    effective_policy_definition: Option<Settings>,
    #[serde(default)]
    delivery_limit: Value,
    #[serde(default)]
    messages: Value,
    #[serde(default)]
    messages_ready: Value,
    #[serde(default)]
    messages_unacknowledged: Value,
    #[serde(default)]
    message_bytes: Value,
    #[serde(default)]
    consumers: Value,
    #[serde(default)]
    message_stats: Value,
}

impl QueueRow {
    pub(super) fn key(&self) -> (String, String) {
        (self.vhost.clone(), self.name.clone())
    }

    pub(super) fn is_named(&self, queue: &QueueName) -> bool {
        self.name == queue.as_str()
    }

    pub(super) fn names_its_policies(&self) -> bool {
        self.effective_policy_definition.is_some()
    }

    /// Without statistics only the answer without statistics names the policy.
    pub(super) fn take_policy_of(&mut self, identity: Option<Self>) {
        if let Some(identity) = identity {
            self.policy = identity.policy;
        }
    }

    /// A policy that surely applies comes before what the statistics name: those of an idle classic queue never
    /// show one that came after its last message (seen on 3.10.8), and others show it seconds later (4.3.6).
    /// Operator policies always count, for the same reason.
    pub(super) fn sources<'a>(&'a self, policies: &'a Policies) -> Sources<'a> {
        static NOTHING: std::sync::LazyLock<Settings> = std::sync::LazyLock::new(Settings::new);
        let policy = match policies.applied(&self.vhost, &self.name, self.kind.as_str()) {
            Applied::Surely(policy) => policy,
            Applied::Unknown => self
                .effective_policy_definition
                .as_ref()
                .or_else(|| policies.named(&self.vhost, self.policy.as_str())),
        };
        let operator_policies = policies.of_the_operator(&self.vhost, &self.name);
        Sources {
            arguments: self.arguments.as_ref().unwrap_or(&NOTHING),
            policies: policy.into_iter().chain(operator_policies).collect(),
        }
    }

    pub(super) fn into_sample(self, policies: &Policies, version: &BrokerVersion) -> QueueSample {
        let sources = self.sources(policies);
        let kind = self.kind.as_str().or_else(|| sources.queue_type());
        let queue_type = kind.map_or(QueueType::Classic, queue_type_from);
        // The broker's own word is as late as its statistics: the lower of two limits counts.
        let delivery_limit = (queue_type == QueueType::Quorum).then(|| {
            let set = sources.delivery_limit(version);
            delivery_limit_from(&self.delivery_limit, version).map_or(set, |named| named.min(set))
        });
        let sample = QueueSample {
            vhost: VhostName::default(),
            queue: QueueName::default(),
            queue_type,
            durable: self.durable.is_true(),
            exclusive: self.exclusive.is_true(),
            auto_delete: self.auto_delete.is_true(),
            dead_letter: sources.dead_letter(),
            message_ttl: sources.message_ttl(),
            expires: sources.expires(),
            max_length: sources.max_length(),
            max_length_bytes: sources.max_length_bytes(),
            overflow: sources.overflow(),
            single_active_consumer: sources.single_active_consumer(),
            delivery_limit,
            messages: count(&self.messages),
            ready: count(&self.messages_ready),
            unacked: count(&self.messages_unacknowledged),
            bytes: count(&self.message_bytes),
            consumers: count(&self.consumers),
            counters: self.counters(),
        };
        QueueSample {
            vhost: VhostName::new(self.vhost),
            queue: QueueName::new(self.name),
            ..sample
        }
    }

    /// A queue that has statistics and never saw a message has no `message_stats`.
    fn counters(&self) -> Option<QueueCounters> {
        let stats = &self.message_stats;
        let total = |name: &str| stats.get(name).and_then(count).unwrap_or(0);
        (stats.is_object() || count(&self.messages).is_some()).then(|| QueueCounters {
            published: total("publish"),
            settled: total("ack")
                .saturating_add(total("deliver_no_ack"))
                .saturating_add(total("get_no_ack")),
            redelivered: total("redeliver"),
            delivered: total("deliver_get"),
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ExchangeRow {
    #[serde(default)]
    vhost: String,
    name: String,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default, deserialize_with = "object_or_nothing")]
    arguments: Option<Settings>,
    #[serde(default)]
    policy: Value,
}

impl ExchangeRow {
    pub(super) fn into_sample(self, policies: &Policies) -> ExchangeSample {
        let arguments = self.arguments.unwrap_or_default();
        let by_policy = policies
            .named(&self.vhost, self.policy.as_str())
            .and_then(|definition| definition.get("alternate-exchange"));
        let alternate = arguments
            .get("alternate-exchange")
            .or(by_policy)
            .and_then(Value::as_str);
        ExchangeSample {
            alternate_exchange: alternate.map(ExchangeName::from),
            kind: self.kind.as_str().unwrap_or_default().to_owned(),
            vhost: VhostName::new(self.vhost),
            exchange: ExchangeName::new(self.name),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct BindingRow {
    #[serde(default)]
    vhost: String,
    #[serde(default)]
    source: String,
    destination: String,
    destination_type: String,
    #[serde(default)]
    routing_key: String,
    #[serde(default, deserialize_with = "object_or_nothing")]
    arguments: Option<Settings>,
}

impl BindingRow {
    pub(super) fn into_sample(self) -> BindingSample {
        BindingSample {
            vhost: VhostName::new(self.vhost),
            exchange: ExchangeName::new(self.source),
            destination: if self.destination_type == "exchange" {
                BindingDestination::Exchange(ExchangeName::new(self.destination))
            } else {
                BindingDestination::Queue(QueueName::new(self.destination))
            },
            routing_key: self.routing_key,
            has_arguments: self
                .arguments
                .is_some_and(|arguments| !arguments.is_empty()),
        }
    }
}

/// A boolean that may be null or missing.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Flag(Value);

impl Flag {
    pub(super) fn is_true(&self) -> bool {
        self.0 == Value::Bool(true)
    }
}

fn count(value: &Value) -> Option<u64> {
    integer(value).and_then(|number| u64::try_from(number).ok())
}

/// Some versions write an empty object as `[]`.
pub(super) fn object_or_nothing<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Settings>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Object(settings) => Some(settings),
        Value::Array(empty) if empty.is_empty() => Some(Settings::new()),
        _ => None,
    })
}

/// Reads an answer as each list of the management API, with the policies that it may be itself; how many
/// rows that gives. Fuzz targets come in here.
pub fn read_as_every_list(answer: &[u8]) -> usize {
    fn rows<T: DeserializeOwned>(answer: &[u8]) -> Vec<T> {
        serde_json::from_slice(answer).unwrap_or_default()
    }
    let policies = Policies::new(rows(answer), rows(answer));
    let version = BrokerVersion::new("4.1.0");
    let queues = rows::<QueueRow>(answer).into_iter();
    let queues: Vec<_> = queues
        .map(|row| row.into_sample(&policies, &version))
        .collect();
    let exchanges = rows::<ExchangeRow>(answer).into_iter();
    let exchanges: Vec<_> = exchanges.map(|row| row.into_sample(&policies)).collect();
    let bindings = rows::<BindingRow>(answer).into_iter();
    let bindings: Vec<_> = bindings.map(BindingRow::into_sample).collect();
    let counts = [
        rows::<PolicyRow>(answer).len(),
        queues.len(),
        exchanges.len(),
        bindings.len(),
        rows::<NameRow>(answer).len(),
        rows::<NodeRow>(answer)
            .into_iter()
            .filter_map(NodeRow::into_stopped)
            .count(),
        serde_json::from_slice::<OverviewRow>(answer).map_or(0, |row| 1 + row.nodes().len()),
        serde_json::from_slice::<WhoamiRow>(answer).map_or(0, |row| 1 + row.into_user().1.len()),
        read_as_tap_lists(answer),
    ];
    counts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tags_of_a_user_are_a_list_or_one_text() {
        let check = |tags: &str, expected: &[&str]| {
            let row = format!(r#"{{"name": "redrive", "tags": {tags}}}"#);
            let row: WhoamiRow = serde_json::from_str(&row).unwrap();
            let (user, tags) = row.into_user();
            assert_eq!(user, "redrive");
            assert_eq!(tags, expected);
        };
        check(
            r#"["policymaker", "monitoring"]"#,
            &["policymaker", "monitoring"],
        );
        check(
            r#""policymaker, monitoring""#,
            &["policymaker", "monitoring"],
        );
        check("[]", &[]);
        check("\"\"", &[]);
        check("{}", &[]);
    }

    #[test]
    fn a_user_as_long_as_the_answer_is_cut() {
        let row = serde_json::json!({"name": "x\u{1b}".repeat(9_000), "tags": vec!["tag"; 9_000]});
        let row: WhoamiRow = serde_json::from_value(row).unwrap();
        let (user, tags) = row.into_user();
        assert!(
            user.len() <= 300 && user.chars().all(|c| c == 'x'),
            "{user}"
        );
        assert_eq!(tags.len(), MAX_TAGS);
    }

    #[test]
    fn a_node_runs_if_it_listens_to_clients() {
        let check = |listeners: &str, expected: &[&str]| {
            let row = format!(r#"{{"rabbitmq_version": "4.0.5"{listeners}}}"#);
            let row: OverviewRow = serde_json::from_str(&row).unwrap();
            let nodes = row.nodes();
            let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
            assert_eq!(nodes, expected);
        };
        check(
            r#", "listeners": [{"node": "b"}, {"node": "a", "port": 1}, {"node": "b"}, {}, 7]"#,
            &["a", "b"],
        );
        check(
            r#", "listeners": [{"node": "a", "protocol": "clustering"}, {"node": "a", "protocol": "amqp"},
                {"node": "b", "protocol": "clustering"}, {"node": "c", "protocol": 7}]"#,
            &["a", "c"],
        );
        check(r#", "listeners": {}"#, &[]);
        check("", &[]);
    }
}
