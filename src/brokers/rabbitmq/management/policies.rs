//! The policies of a broker, and which of them applies to a queue.

use regex::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::effective::Settings;
use super::rows::object_or_nothing;

/// Policies and operator policies. Nothing is known by default.
#[derive(Debug, Default)]
pub(in crate::brokers::rabbitmq) struct Policies {
    policies: Option<Vec<PolicyRow>>,
    operator_policies: Vec<PolicyRow>,
}

/// The ordinary policy of a queue.
#[derive(Debug, PartialEq)]
pub(super) enum Applied<'a> {
    /// This one, or none.
    Surely(Option<&'a Settings>),
    /// Two may come first, or only RabbitMQ understands a pattern.
    Unknown,
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

    /// Whether it applies to a queue of this kind; `None` if that cannot be told.
    fn applies_to(&self, queue: &str, kind: Option<&str>) -> Option<bool> {
        let kinds = match self.apply_to.as_str() {
            "queues" | "all" => return Some(self.pattern.as_ref()?.is_match(queue)),
            "exchanges" => return Some(false),
            "classic_queues" => ["classic", "rabbit_classic_queue"],
            "quorum_queues" => ["quorum", "rabbit_quorum_queue"],
            "streams" => ["stream", "rabbit_stream_queue"],
            _ => return None,
        };
        Some(kinds.contains(&kind?) && self.pattern.as_ref()?.is_match(queue))
    }
}

impl Policies {
    pub(super) fn new(policies: Vec<PolicyRow>, operator_policies: Vec<PolicyRow>) -> Self {
        Self {
            policies: Some(policies),
            operator_policies,
        }
    }

    /// Without the ordinary policies, which are then what the broker says.
    pub(super) fn of_operators_alone(self) -> Self {
        Self {
            policies: None,
            ..self
        }
    }

    pub(super) fn named(&self, vhost: &str, name: Option<&str>) -> Option<&Settings> {
        let name = name?;
        let mut policies = self.policies.iter().flatten();
        policies
            .find(|policy| policy.vhost == vhost && policy.name == name)
            .and_then(|policy| policy.definition.as_ref())
    }

    /// The policy of the highest priority that matches the queue.
    pub(super) fn applied(&self, vhost: &str, queue: &str, kind: Option<&str>) -> Applied<'_> {
        let Some(policies) = &self.policies else {
            return Applied::Unknown;
        };
        let mut first: Option<&PolicyRow> = None;
        let mut is_tied = false;
        for policy in policies.iter().filter(|policy| policy.vhost == vhost) {
            match policy.applies_to(queue, kind) {
                None => return Applied::Unknown,
                Some(false) => {}
                Some(true) => match first.map(|first| policy.priority.cmp(&first.priority)) {
                    Some(std::cmp::Ordering::Less) => {}
                    Some(std::cmp::Ordering::Equal) => is_tied = true,
                    None | Some(std::cmp::Ordering::Greater) => {
                        first = Some(policy);
                        is_tied = false;
                    }
                },
            }
        }
        if is_tied {
            return Applied::Unknown;
        }
        Applied::Surely(first.and_then(|policy| policy.definition.as_ref()))
    }

    /// The operator policies that may be the one in effect on the queue: of those that match it the one
    /// of the highest priority, and whichever may come before it.
    pub(super) fn of_the_operator(
        &self,
        vhost: &str,
        queue: &str,
    ) -> impl Iterator<Item = &Settings> {
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

fn regex_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Regex>, D::Error> {
    let pattern = Value::deserialize(deserializer)?;
    Ok(pattern.as_str().and_then(|text| Regex::new(text).ok()))
}

#[cfg(test)]
mod tests;
