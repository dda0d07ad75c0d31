//! What is really set on a queue: its arguments merged with the policy and the operator policy.
//!
//! RabbitMQ names the merged policies itself (`effective_policy_definition`), but before 4.3 only once
//! it has statistics of the queue, and in those of an idle classic queue a later operator policy never
//! appears. So the policy is known by name until then, and the operator policy that matches the queue is
//! always counted; where that may be one of several all count, because one limit too many only makes
//! Redrive more careful.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::{DeadLetterTarget, DeliveryLimit, ExchangeName, QueueType};

/// A policy's definition or a queue's arguments.
pub(super) type Settings = Map<String, Value>;

/// RabbitMQ's default delivery limit of quorum queues since 4.0.
const DELIVERY_LIMIT_SINCE_4: u64 = 20;

/// The arguments of a queue and the policies that apply to it.
pub(super) struct Sources<'a> {
    pub(super) arguments: &'a Settings,
    pub(super) policies: Vec<&'a Settings>,
}

impl Sources<'_> {
    /// Settings where the argument counts alone if it is there.
    fn argument_first(&self, name: &str) -> Option<&Value> {
        self.arguments
            .get(&format!("x-{name}"))
            .or_else(|| self.policies.iter().find_map(|policy| policy.get(name)))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.argument_first(name)?.as_str().map(str::to_owned)
    }

    /// All values of a numeric setting; RabbitMQ takes the least.
    fn numbers(&self, name: &str) -> Vec<i64> {
        let argument = self.arguments.get(&format!("x-{name}"));
        let policies = self.policies.iter().filter_map(|policy| policy.get(name));
        argument
            .into_iter()
            .chain(policies)
            .filter_map(integer)
            .collect()
    }

    fn least(&self, name: &str) -> Option<u64> {
        self.numbers(name)
            .into_iter()
            .filter_map(|number| u64::try_from(number).ok())
            .min()
    }

    pub(super) fn dead_letter(&self) -> Option<DeadLetterTarget> {
        Some(DeadLetterTarget {
            exchange: ExchangeName::new(self.text("dead-letter-exchange")?),
            routing_key: self.text("dead-letter-routing-key"),
        })
    }

    pub(super) fn message_ttl(&self) -> Option<Duration> {
        self.least("message-ttl").map(Duration::from_millis)
    }

    pub(super) fn expires(&self) -> Option<Duration> {
        self.least("expires").map(Duration::from_millis)
    }

    pub(super) fn max_length(&self) -> Option<u64> {
        self.least("max-length")
    }

    pub(super) fn max_length_bytes(&self) -> Option<u64> {
        self.least("max-length-bytes")
    }

    pub(super) fn overflow(&self) -> Option<String> {
        let limited = self.max_length().is_some() || self.max_length_bytes().is_some();
        limited.then(|| {
            self.text("overflow")
                .unwrap_or_else(|| "drop-head".to_owned())
        })
    }

    pub(super) fn single_active_consumer(&self) -> bool {
        self.arguments.get("x-single-active-consumer") == Some(&Value::Bool(true))
    }

    pub(super) fn delayed_retry(&self) -> Option<String> {
        self.text("delayed-retry-type")
    }

    pub(super) fn queue_type(&self) -> Option<&str> {
        self.arguments.get("x-queue-type")?.as_str()
    }

    /// The limit of a quorum queue, where the broker does not name it itself. Since 4.0 a negative number
    /// lifts it; before, it is a limit that every message exceeds when it is given back for the first
    /// time (seen on 3.10.8).
    pub(super) fn delivery_limit(&self, version: &BrokerVersion) -> DeliveryLimit {
        let given = self.numbers("delivery-limit");
        let is_before_4 = version.is_surely_before(4, 0);
        match given.iter().min() {
            None if is_before_4 => DeliveryLimit::Unlimited,
            None => DeliveryLimit::Limited(DELIVERY_LIMIT_SINCE_4),
            Some(least) if is_before_4 && *least < 0 => DeliveryLimit::Limited(0),
            Some(_) => self
                .least("delivery-limit")
                .map_or(DeliveryLimit::Unlimited, DeliveryLimit::Limited),
        }
    }
}

/// JSON knows one kind of number; some versions print `13.0`.
pub(super) fn integer(value: &Value) -> Option<i64> {
    let rounded = |number: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the cast saturates, and such a number is far beyond any limit"
        )]
        let integer = number as i64;
        integer
    };
    value
        .as_i64()
        .or_else(|| value.as_f64().filter(|n| n.is_finite()).map(rounded))
}

/// What the management API calls a delivery limit: a number or `unlimited`. Before 4.0 its word is not
/// taken for it.
pub(super) fn delivery_limit_from(value: &Value, version: &BrokerVersion) -> Option<DeliveryLimit> {
    if version.is_surely_before(4, 0) {
        return None;
    }
    if value.as_str() == Some("unlimited") {
        return Some(DeliveryLimit::Unlimited);
    }
    integer(value).map(|number| {
        u64::try_from(number).map_or(DeliveryLimit::Unlimited, DeliveryLimit::Limited)
    })
}

pub(super) fn queue_type_from(name: &str) -> QueueType {
    match name {
        "classic" | "rabbit_classic_queue" => QueueType::Classic,
        "quorum" | "rabbit_quorum_queue" => QueueType::Quorum,
        "stream" | "rabbit_stream_queue" => QueueType::Stream,
        _ => QueueType::Other,
    }
}

/// A broker's version as it names it. The newest rules are the strictest, so one that cannot be read
/// counts as the newest wherever it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerVersion(String);

impl BrokerVersion {
    pub fn new(version: impl Into<String>) -> Self {
        Self(version.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the version can be read and is older: the careful reading, because what only older
    /// brokers permit must not be taken from one that is not understood.
    pub fn is_surely_before(&self, major: u32, minor: u32) -> bool {
        self.parts().is_some_and(|parts| parts < (major, minor))
    }

    fn parts(&self) -> Option<(u32, u32)> {
        let mut parts = self.0.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &Value) -> Settings {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn the_least_limit_wins_and_the_argument_names_the_exchange() {
        let arguments = settings(&serde_json::json!({
            "x-dead-letter-exchange": "mine", "x-message-ttl": 5000, "x-max-length": 10
        }));
        let policy = settings(&serde_json::json!({
            "dead-letter-exchange": "theirs", "dead-letter-routing-key": "dead",
            "message-ttl": 1000.0, "max-length": 20, "overflow": "reject-publish"
        }));
        let sources = Sources {
            arguments: &arguments,
            policies: vec![&policy],
        };
        let target = sources.dead_letter().unwrap();
        assert_eq!(target.exchange.as_str(), "mine");
        assert_eq!(target.routing_key.as_deref(), Some("dead"));
        assert_eq!(sources.message_ttl(), Some(Duration::from_secs(1)));
        assert_eq!(sources.max_length(), Some(10));
        assert_eq!(sources.overflow().as_deref(), Some("reject-publish"));
    }

    #[test]
    fn a_quorum_queues_limit_is_the_least_of_those_given() {
        let check = |argument: Option<i64>, policy: Option<i64>, version: &str, expected| {
            let arguments = argument.map(|n| settings(&serde_json::json!({"x-delivery-limit": n})));
            let policy = policy.map(|n| settings(&serde_json::json!({"delivery-limit": n})));
            let sources = Sources {
                arguments: &arguments.unwrap_or_default(),
                policies: policy.iter().collect(),
            };
            let limit = sources.delivery_limit(&BrokerVersion::new(version));
            assert_eq!(limit, expected, "{argument:?} {policy:?} {version}");
        };
        check(None, None, "3.10.8", DeliveryLimit::Unlimited);
        check(None, None, "4.0.5", DeliveryLimit::Limited(20));
        check(None, None, "unreadable", DeliveryLimit::Limited(20));
        check(Some(-1), None, "4.0.5", DeliveryLimit::Unlimited);
        check(Some(-1), Some(4), "4.0.5", DeliveryLimit::Limited(4));
        check(Some(7), Some(5), "3.10.8", DeliveryLimit::Limited(5));
        check(Some(-1), None, "3.10.8", DeliveryLimit::Limited(0));
        check(Some(-1), Some(5), "3.13.7", DeliveryLimit::Limited(0));
    }

    #[test]
    fn a_limit_by_bytes_drops_the_head_too() {
        let arguments = settings(&serde_json::json!({"x-max-length-bytes": 10}));
        let sources = Sources {
            arguments: &arguments,
            policies: vec![],
        };
        assert_eq!(sources.overflow().as_deref(), Some("drop-head"));
    }

    #[test]
    fn versions_are_compared_by_number_and_an_unreadable_one_is_new() {
        assert!(BrokerVersion::new("3.9.1").is_surely_before(3, 10));
        assert!(!BrokerVersion::new("3.10.8").is_surely_before(3, 9));
        assert!(BrokerVersion::new("3.10.8").is_surely_before(4, 0));
        assert!(!BrokerVersion::new("4.3.6").is_surely_before(4, 3));
        for unreadable in ["", "unreadable", "4", "next.0"] {
            assert!(
                !BrokerVersion::new(unreadable).is_surely_before(4, 0),
                "{unreadable}"
            );
        }
    }
}
