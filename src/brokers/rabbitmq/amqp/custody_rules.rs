//! Which queues may be looked at or taken over, and how messages are given back: broker-facts C.3 and
//! rabbitmq4.md 1 and 3. Pure.

use crate::brokers::rabbitmq::BrokerVersion;
use crate::domain::{DeliveryLimit, LookCost, QueueSample, QueueType};

/// How a window of messages returns to its queue at its old place and uncounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveBack {
    /// Cancel, then `basic.nack` of everything: classic queues, and quorum queues since 4.3.
    Nack,
    /// Cancel, then close the channel: quorum queues before 4.3, which append what is nacked to their
    /// tail when they have no delivery limit.
    Close,
}

/// How a queue may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookRule {
    pub give_back: GiveBack,
    /// What has to be accepted first.
    pub cost: Option<LookCost>,
}

impl LookRule {
    const fn free(give_back: GiveBack) -> Self {
        Self {
            give_back,
            cost: None,
        }
    }
}

/// Whether a queue may be looked at without harm, or at which cost; the error says why not and what would help.
pub fn observe_rule(queue: &QueueSample, version: &BrokerVersion) -> Result<LookRule, String> {
    let Some(consumers) = queue.consumers else {
        return Err(
            "RabbitMQ does not say who consumes it: a new queue has statistics within seconds, one \
             whose node does not run when that is back"
                .to_owned(),
        );
    };
    if consumers > 0 {
        return Err(
            "another consumer reads this queue; it would get its messages late and out of order (for some \
             seconds after a look it is Redrive's own)"
                .to_owned(),
        );
    }
    if let Some(reason) = consumer_refusal(queue) {
        return Err(reason.to_owned());
    }
    if queue.single_active_consumer {
        return Err(
            "the queue has a single active consumer, which a look would displace".to_owned(),
        );
    }
    if queue.message_ttl.is_some() {
        return Err(
            "the queue has a message TTL: a message that expires while it is held is lost \
                    the moment it is given back"
                .to_owned(),
        );
    }
    let limited = queue.max_length.is_some() || queue.max_length_bytes.is_some();
    let rejects = queue
        .overflow
        .as_deref()
        .is_some_and(|kind| kind.starts_with("reject-publish"));
    if limited && !rejects {
        return Err(
            "the queue has a length limit with overflow drop-head: what is given back may be \
                    dropped; set overflow to reject-publish"
                .to_owned(),
        );
    }
    match queue.queue_type {
        QueueType::Classic => Ok(LookRule::free(GiveBack::Nack)),
        QueueType::Quorum => quorum_rule(queue, version),
        QueueType::Stream => Err("a stream is read by offset".to_owned()),
        QueueType::Other => Err("this type of queue is not known".to_owned()),
    }
}

/// Why a queue must have no consumer of ours, whatever that does with the messages, if so.
fn consumer_refusal(queue: &QueueSample) -> Option<&'static str> {
    if queue.exclusive {
        return Some("the queue is exclusive to its own connection");
    }
    queue.auto_delete.then_some(
        "the queue is auto-delete: it is deleted with all its messages when its last consumer \
         leaves, and that would be Redrive",
    )
}

fn quorum_rule(queue: &QueueSample, version: &BrokerVersion) -> Result<LookRule, String> {
    let counts_its_own = version.is_surely_before(4, 3);
    let give_back = if counts_its_own {
        GiveBack::Close
    } else {
        GiveBack::Nack
    };
    if is_unlimited(queue, version) {
        return Ok(LookRule::free(give_back));
    }
    let cost = LookCost {
        limit: limit_of(queue),
    };
    // Since 4.3 a message may arrive beyond the limit, and no count is told before it is held.
    if counts_its_own && !cost.wears_out(0) {
        return Ok(LookRule {
            give_back,
            cost: Some(cost),
        });
    }
    Err(limit_refusal(queue, version))
}

fn is_unlimited(queue: &QueueSample, version: &BrokerVersion) -> bool {
    match queue.delivery_limit {
        Some(DeliveryLimit::Unlimited) => true,
        Some(DeliveryLimit::Limited(_)) => false,
        // Without a word about it there is no limit before 4.0 and one of 20 since.
        None => version.is_surely_before(4, 0),
    }
}

/// The limit of a queue that has one.
const fn limit_of(queue: &QueueSample) -> u64 {
    match queue.delivery_limit {
        Some(DeliveryLimit::Limited(limit)) => limit,
        Some(DeliveryLimit::Unlimited) | None => 20,
    }
}

/// Why a queue with a delivery limit is not touched, and how to lift the limit.
fn limit_refusal(queue: &QueueSample, version: &BrokerVersion) -> String {
    let limit = limit_of(queue);
    let danger = if version.is_surely_before(4, 3) {
        "and whatever comes back to it counts as delivered, after a look as after a crash of who \
         manages it: after enough of them its messages are destroyed"
    } else {
        "and its messages arrive with the deliveries of the queue in which they died counted: giving \
         them back once can destroy them"
    };
    let remedy = lifting_remedy(queue, version);
    format!("the quorum queue has a delivery limit of {limit}, {danger}; {remedy}")
}

/// Why a queue is not looked at before somebody has accepted the cost.
pub(super) fn cost_refusal(cost: LookCost, queue: &QueueSample, version: &BrokerVersion) -> String {
    let remedy = lifting_remedy(queue, version);
    let limit = cost.limit;
    format!(
        "a look costs each message 1 of the {limit} times that RabbitMQ lets it come back to this quorum queue \
         before it destroys it; accept that on the page (accept_cost=true in the API), or {remedy}"
    )
}

fn lifting_remedy(queue: &QueueSample, version: &BrokerVersion) -> String {
    // Before 4.0 a policy cannot say that there is no limit.
    let remedy = if version.is_surely_before(4, 0) {
        "take delivery-limit out of the policy that it has".to_owned()
    } else {
        let command = lifting_command(queue);
        format!("lift the limit with {command}, or by the same key in the policy that it has")
    };
    format!("{remedy} (a limit that the queue was declared with stays)")
}

/// The command that lifts the limit of this queue alone, as a shell takes it.
fn lifting_command(queue: &QueueSample) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let name = queue.queue.as_str();
    format!(
        "rabbitmqctl set_policy -p {} {} {} '{{\"delivery-limit\": -1}}' --apply-to queues",
        quoted(queue.vhost.as_str()),
        quoted(&format!("redrive-{name}")),
        quoted(&format!("^{}$", regex::escape(name))),
    )
}

/// Two consumers would share the messages of a queue. RabbitMQ counts a consumer whose connection broke until it
/// notices, and in a quorum queue without a quorum until that is back.
pub const ANOTHER_CONSUMER: &str = "another consumer reads this queue; stop it, or end Redrive's custody of the \
     queue (where a connection of Redrive just broke, it is Redrive's own, until RabbitMQ gives it up)";

/// Why a queue must not be taken into custody, if so. `own_consumers` are ours.
pub fn managed_refusal(
    queue: &QueueSample,
    version: &BrokerVersion,
    own_consumers: u64,
) -> Option<String> {
    if queue
        .consumers
        .is_some_and(|consumers| consumers > own_consumers)
    {
        return Some(ANOTHER_CONSUMER.to_owned());
    }
    settings_refusal(queue, version)
}

/// Why the settings of a queue forbid that it is in custody, if so, whoever consumes from it.
pub fn settings_refusal(queue: &QueueSample, version: &BrokerVersion) -> Option<String> {
    if matches!(queue.queue_type, QueueType::Stream | QueueType::Other) {
        return Some("only classic and quorum queues can be managed".to_owned());
    }
    if let Some(reason) = consumer_refusal(queue) {
        return Some(reason.to_owned());
    }
    let is_limited = queue.queue_type == QueueType::Quorum && !is_unlimited(queue, version);
    is_limited.then(|| limit_refusal(queue, version))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queue(queue_type: QueueType) -> QueueSample {
        QueueSample {
            queue_type,
            messages: Some(1),
            ready: Some(1),
            unacked: Some(0),
            consumers: Some(0),
            ..QueueSample::classic("/".into(), "q.dlq".into())
        }
    }

    fn version(text: &str) -> BrokerVersion {
        BrokerVersion::new(text)
    }

    fn check(queue: &QueueSample, text: &str, expected: Result<GiveBack, &str>) {
        match (observe_rule(queue, &version(text)), expected) {
            (Ok(rule), Ok(expected)) => assert_eq!(rule, LookRule::free(expected), "{text}"),
            (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{reason}"),
            (result, expected) => panic!("{text}: {result:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_classic_queue_is_given_back_by_nack() {
        for version in ["3.10.8", "4.0.5", "4.3.6"] {
            check(&queue(QueueType::Classic), version, Ok(GiveBack::Nack));
        }
    }

    #[test]
    fn a_quorum_queue_depends_on_its_limit_and_the_version() {
        let with = |limit| QueueSample {
            delivery_limit: limit,
            ..queue(QueueType::Quorum)
        };
        check(&with(None), "3.10.8", Ok(GiveBack::Close));
        check(
            &with(Some(DeliveryLimit::Limited(4))),
            "3.10.8",
            Err("limit of 4"),
        );
        check(
            &with(Some(DeliveryLimit::Unlimited)),
            "4.0.5",
            Ok(GiveBack::Close),
        );
        check(
            &with(Some(DeliveryLimit::Limited(20))),
            "4.3.6",
            Err(r"set_policy -p '/' 'redrive-q.dlq' '^q\.dlq$' '{"),
        );
        check(
            &with(Some(DeliveryLimit::Unlimited)),
            "4.3.6",
            Ok(GiveBack::Nack),
        );
        check(
            &with(Some(DeliveryLimit::Unlimited)),
            "unreadable",
            Ok(GiveBack::Nack),
        );
    }

    #[test]
    fn a_look_that_counts_costs_a_delivery_where_some_are_left() {
        let check = |limit, text, expected: Option<u64>| {
            let queue = QueueSample {
                delivery_limit: limit,
                ..queue(QueueType::Quorum)
            };
            let rule = observe_rule(&queue, &version(text));
            let costly = expected.map(|limit| LookRule {
                give_back: GiveBack::Close,
                cost: Some(LookCost { limit }),
            });
            assert_eq!(rule.ok(), costly, "{limit:?} {text}");
        };
        check(Some(DeliveryLimit::Limited(5)), "3.10.8", Some(5));
        check(Some(DeliveryLimit::Limited(4)), "3.10.8", None);
        check(None, "4.0.5", Some(20));
        check(Some(DeliveryLimit::Limited(20)), "4.3.6", None);
        check(Some(DeliveryLimit::Limited(20)), "unreadable", None);
    }

    #[test]
    fn what_a_look_could_harm_is_refused() {
        let classic = || queue(QueueType::Classic);
        let ttl = Some(Duration::from_secs(1));
        check(
            &QueueSample {
                message_ttl: ttl,
                ..classic()
            },
            "3.10.8",
            Err("TTL"),
        );
        check(
            &QueueSample {
                max_length: Some(5),
                ..classic()
            },
            "3.10.8",
            Err("drop-head"),
        );
        let reject = Some("reject-publish".to_owned());
        let rejecting = QueueSample {
            max_length: Some(5),
            overflow: reject,
            ..classic()
        };
        check(&rejecting, "3.10.8", Ok(GiveBack::Nack));
        let single = QueueSample {
            single_active_consumer: true,
            ..classic()
        };
        check(&single, "3.10.8", Err("single active consumer"));
        check(
            &QueueSample {
                consumers: Some(1),
                ..classic()
            },
            "3.10.8",
            Err("another consumer"),
        );
        check(
            &QueueSample {
                consumers: None,
                ..classic()
            },
            "3.10.8",
            Err("does not say who consumes it"),
        );
        check(&queue(QueueType::Stream), "3.10.8", Err("by offset"));
    }

    #[test]
    fn a_queue_that_goes_with_its_last_consumer_gets_none() {
        let exclusive = QueueSample {
            exclusive: true,
            ..queue(QueueType::Classic)
        };
        let auto_delete = QueueSample {
            auto_delete: true,
            ..queue(QueueType::Classic)
        };
        for (queue, expected) in [(exclusive, "exclusive"), (auto_delete, "auto-delete")] {
            check(&queue, "3.10.8", Err(expected));
            let refusal = managed_refusal(&queue, &version("3.10.8"), 0);
            assert!(refusal.is_some_and(|reason| reason.contains(expected)));
        }
    }

    #[test]
    fn custody_is_refused_where_a_crash_could_destroy_messages() {
        let quorum = queue(QueueType::Quorum);
        assert_eq!(managed_refusal(&quorum, &version("3.10.8"), 0), None);
        assert!(managed_refusal(&quorum, &version("4.3.6"), 0).is_some());
        assert!(managed_refusal(&quorum, &version("4.0.5"), 0).is_some());
        let limited = QueueSample {
            delivery_limit: Some(DeliveryLimit::Limited(5)),
            ..quorum.clone()
        };
        let refusal = managed_refusal(&limited, &version("3.10.8"), 0).unwrap();
        assert!(refusal.contains("limit of 5"), "{refusal}");
        assert!(!refusal.contains("set_policy"), "{refusal}");
        let lifted = QueueSample {
            delivery_limit: Some(DeliveryLimit::Unlimited),
            ..quorum.clone()
        };
        assert_eq!(managed_refusal(&lifted, &version("4.3.6"), 0), None);
        let read = QueueSample {
            consumers: Some(1),
            ..queue(QueueType::Classic)
        };
        assert!(managed_refusal(&read, &version("3.10.8"), 0).is_some());
        assert_eq!(managed_refusal(&read, &version("3.10.8"), 1), None);
    }
}
