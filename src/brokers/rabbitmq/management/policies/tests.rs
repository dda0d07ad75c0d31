use serde_json::{Value, json};

use super::super::rows::QueueRow;
use super::*;
use crate::brokers::rabbitmq::effective::BrokerVersion;
use crate::domain::DeliveryLimit;

fn policies(ordinary: &Value, operator: &Value) -> Policies {
    let rows = |rows: &Value| serde_json::from_value(rows.clone()).unwrap();
    Policies::new(rows(ordinary), rows(operator))
}

fn row(effective: &Value) -> QueueRow {
    let row = json!({"vhost": "/", "name": "q", "effective_policy_definition": effective});
    serde_json::from_value(row).unwrap()
}

fn policy(name: &str, pattern: &str, priority: i64, limit: u64) -> Value {
    json!({
        "vhost": "/", "name": name, "pattern": pattern, "apply-to": "queues",
        "priority": priority, "definition": {"max-length": limit}
    })
}

#[test]
fn statistics_that_do_not_know_a_policy_yet_do_not_hide_it() {
    let none = json!([]);
    let check = |ordinary: &Value, operator: &Value, expected: Option<u64>| {
        let policies = policies(ordinary, operator);
        let seen = row(&json!({"max-length": 100}));
        assert_eq!(seen.sources(&policies).max_length(), expected);
    };
    check(&json!([policy("limits", "^q", 0, 50)]), &none, Some(50));
    // A policy that is gone, and statistics that still name it.
    check(&none, &none, None);
    check(&json!([policy("limits", "^x", 0, 50)]), &none, None);
    check(&none, &json!([policy("limits", "^q", 0, 50)]), Some(50));
    check(&none, &json!([policy("limits", "^x", 0, 50)]), None);
}

#[test]
fn where_it_is_not_sure_which_policy_applies_the_broker_is_asked() {
    let check = |ordinary: &Value| {
        let policies = policies(ordinary, &json!([]));
        let seen = row(&json!({"max-length": 100}));
        assert_eq!(seen.sources(&policies).max_length(), Some(100));
    };
    check(&json!([policy("a", "^q", 1, 10), policy("b", "q$", 1, 20)]));
    // Perl's lookahead, which nobody here can judge.
    check(&json!([policy("a", "^(?!x)q", 1, 10)]));
    let of_a_later_kind = json!({
        "vhost": "/", "name": "a", "pattern": ".*", "apply-to": "jms_queues", "definition": {}
    });
    check(&json!([of_a_later_kind]));
    let unknown = row(&json!({"max-length": 100}));
    let nothing_known = Policies::default();
    assert_eq!(unknown.sources(&nothing_known).max_length(), Some(100));
}

#[test]
fn a_policy_for_one_kind_of_queue_applies_to_no_other() {
    let of_quorum = json!([{
        "vhost": "/", "name": "a", "pattern": "^q", "apply-to": "quorum_queues",
        "definition": {"max-length": 10}
    }]);
    let policies = policies(&of_quorum, &json!([]));
    let check = |kind: Option<&str>, applies: Option<bool>| {
        let expected = match applies {
            None => Applied::Unknown,
            Some(false) => Applied::Surely(None),
            Some(true) => Applied::Surely(policies.named("/", Some("a"))),
        };
        assert_eq!(policies.applied("/", "q", kind), expected, "{kind:?}");
    };
    check(Some("quorum"), Some(true));
    check(Some("rabbit_quorum_queue"), Some(true));
    check(Some("classic"), Some(false));
    check(None, None);
}

#[test]
fn of_several_policies_the_highest_priority_counts() {
    let low = policy("low", ".*", 1, 10);
    let high = policy("high", "^q", 5, 70);
    let check = |ordinary: &Value, operator: &Value, expected: u64| {
        let policies = policies(ordinary, operator);
        let row = row(&json!({}));
        assert_eq!(row.sources(&policies).max_length(), Some(expected));
    };
    check(&json!([high, low]), &json!([]), 70);
    check(&json!([low, high]), &json!([]), 70);
    check(&json!([]), &json!([low, high]), 70);
    // It may be the one in effect.
    let unreadable = policy("unreadable", "^(?!x)q", 9, 30);
    check(&json!([]), &json!([low, high, unreadable]), 30);
}

#[test]
fn a_delivery_limit_that_statistics_do_not_know_yet_counts() {
    let operator = json!([{
        "vhost": "/", "name": "limits", "pattern": "^q", "apply-to": "queues",
        "definition": {"delivery-limit": 5}
    }]);
    let policies = policies(&json!([]), &operator);
    let check = |named: Value, expected: DeliveryLimit| {
        let row = json!({"vhost": "/", "name": "q", "type": "quorum", "delivery_limit": named});
        let row: QueueRow = serde_json::from_value(row).unwrap();
        let sample = row.into_sample(&policies, &BrokerVersion::new("4.3.6"));
        assert_eq!(sample.delivery_limit, Some(expected));
    };
    check(json!(7), DeliveryLimit::Limited(5));
    check(json!("unlimited"), DeliveryLimit::Limited(5));
    check(json!(3), DeliveryLimit::Limited(3));
}
