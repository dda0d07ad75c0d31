//! What the management API sends. Fields are read leniently: versions differ, statistics come late, and
//! one odd field must not cost the rest.

use regex::Regex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::effective::{
    BrokerVersion, Settings, Sources, delivery_limit_from, integer, queue_type_from,
};
use super::Policies;
use crate::domain::{
    BindingDestination, BindingSample, ExchangeName, ExchangeSample, QueueCounters, QueueName,
    QueueSample, QueueType, VhostName,
};

#[derive(Debug, Deserialize)]
pub(super) struct OverviewRow {
    #[serde(rename = "rabbitmq_version")]
    pub(super) version: String,
    #[serde(default)]
    pub(super) disable_stats: Flag,
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

    /// Operator policies always count: the statistics of an idle classic queue never show one that came
    /// after its last message (seen on 3.10.8).
    pub(super) fn sources<'a>(&'a self, policies: &'a Policies) -> Sources<'a> {
        static NOTHING: std::sync::LazyLock<Settings> = std::sync::LazyLock::new(Settings::new);
        let policy = match &self.effective_policy_definition {
            Some(effective) => Some(effective),
            None => policies.policy(&self.vhost, self.policy.as_str()),
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
        let delivery_limit = (queue_type == QueueType::Quorum).then(|| {
            delivery_limit_from(&self.delivery_limit, version)
                .unwrap_or_else(|| sources.delivery_limit(version))
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
            .policy(&self.vhost, self.policy.as_str())
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

#[derive(Debug, Deserialize)]
pub(super) struct PolicyRow {
    #[serde(default)]
    vhost: String,
    name: String,
    /// `None` if only RabbitMQ's dialect of regular expressions knows it.
    #[serde(default, deserialize_with = "regex_or_nothing")]
    pattern: Option<Regex>,
    #[serde(default, rename = "apply-to")]
    apply_to: String,
    #[serde(default)]
    priority: i64,
    #[serde(default, deserialize_with = "object_or_nothing")]
    definition: Option<Settings>,
}

impl PolicyRow {
    fn may_apply_to(&self, queue: &str) -> bool {
        let matches = |pattern: &Regex| pattern.is_match(queue);
        self.pattern.as_ref().is_none_or(matches) && self.apply_to != "exchanges"
    }

    fn surely_applies_to(&self, queue: &str) -> bool {
        let matches = |pattern: &Regex| pattern.is_match(queue);
        self.pattern.as_ref().is_some_and(matches)
            && matches!(self.apply_to.as_str(), "queues" | "all")
    }
}

impl Policies {
    fn policy(&self, vhost: &str, name: Option<&str>) -> Option<&Settings> {
        let name = name?;
        self.policies
            .iter()
            .find(|policy| policy.vhost == vhost && policy.name == name)
            .and_then(|policy| policy.definition.as_ref())
    }

    /// The operator policies that may be the one in effect on the queue: of those that match it the one
    /// of the highest priority, and whichever may come before it.
    fn of_the_operator(&self, vhost: &str, queue: &str) -> impl Iterator<Item = &Settings> {
        let in_vhost = || {
            let policies = self.operator_policies.iter();
            policies.filter(move |policy| policy.vhost == vhost)
        };
        let sure = in_vhost().filter(|policy| policy.surely_applies_to(queue));
        let in_effect = sure.map(|policy| policy.priority).max();
        in_vhost()
            .filter(move |policy| policy.may_apply_to(queue))
            .filter(move |policy| in_effect.is_none_or(|priority| policy.priority >= priority))
            .filter_map(|policy| policy.definition.as_ref())
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

fn regex_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Regex>, D::Error> {
    let pattern = Value::deserialize(deserializer)?;
    Ok(pattern.as_str().and_then(|text| Regex::new(text).ok()))
}

/// Some versions write an empty object as `[]`.
fn object_or_nothing<'de, D: Deserializer<'de>>(
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
    let policies = Policies {
        policies: rows(answer),
        operator_policies: rows(answer),
    };
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
        policies.policies.len(),
        queues.len(),
        exchanges.len(),
        bindings.len(),
        rows::<NameRow>(answer).len(),
        usize::from(serde_json::from_slice::<OverviewRow>(answer).is_ok()),
    ];
    counts.iter().sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policies(operator: &Value) -> Policies {
        Policies {
            policies: vec![],
            operator_policies: serde_json::from_value(operator.clone()).unwrap(),
        }
    }

    fn row(effective: &Value) -> QueueRow {
        let row = json!({"vhost": "/", "name": "q", "effective_policy_definition": effective});
        serde_json::from_value(row).unwrap()
    }

    fn operator_policy(name: &str, pattern: &str, priority: i64, limit: u64) -> Value {
        json!({
            "vhost": "/", "name": name, "pattern": pattern, "apply-to": "queues",
            "priority": priority, "definition": {"max-length": limit}
        })
    }

    #[test]
    fn statistics_that_do_not_know_an_operator_policy_yet_do_not_hide_it() {
        let policies = policies(&json!([operator_policy("limits", "^q", 0, 50)]));
        let seen = row(&json!({"max-length": 100}));
        assert_eq!(seen.sources(&policies).max_length(), Some(50));
        let of_another_name = self::policies(&json!([operator_policy("limits", "^x", 0, 50)]));
        assert_eq!(seen.sources(&of_another_name).max_length(), Some(100));
    }

    #[test]
    fn of_several_operator_policies_the_highest_priority_counts() {
        let low = operator_policy("low", ".*", 1, 10);
        let high = operator_policy("high", "^q", 5, 70);
        let both = policies(&json!([low, high]));
        assert_eq!(row(&json!({})).sources(&both).max_length(), Some(70));
        // Perl's lookahead, which nobody here can judge: it may be the one in effect.
        let unreadable = operator_policy("unreadable", "^(?!x)q", 9, 30);
        let all = policies(&json!([low, high, unreadable]));
        assert_eq!(row(&json!({})).sources(&all).max_length(), Some(30));
    }
}
