use proptest::prelude::*;

use super::*;
use crate::domain::{Failure, Origin};

fn failed(source: &str, class: &str, message: &str, stack_trace: &str) -> Decoded {
    let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Decoded {
        origin: Origin {
            destination: present(source),
            ..Origin::default()
        },
        failure: Failure {
            class: present(class),
            message: present(message),
            stack_trace: present(stack_trace),
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        ..Decoded::default()
    }
}

fn died(queue: &str, reason: DeathReason) -> Decoded {
    Decoded {
        reason,
        ..failed(queue, "", "", "")
    }
}

fn group(decoded: &Decoded) -> Classification {
    classify(
        System::Kafka,
        "orders.dlq",
        decoded,
        &EventIdentity::default(),
    )
}

const STACK: &str = "com.acme.PaymentFailed: x\n\tat com.acme.Payments.charge(Payments.java:48)\n";

#[test]
fn the_group_says_by_what_it_was_formed() {
    let cases = [
        (
            failed("orders", "com.acme.PaymentFailed", "order 1", STACK),
            "PaymentFailed: order {number}",
            "grouped by exception class com.acme.PaymentFailed and top application frame \
             com.acme.Payments.charge, among dead letters from orders",
        ),
        (
            failed(
                "orders",
                "com.acme.PaymentFailed",
                "order 1",
                "\tat java.util.List.get(List.java)",
            ),
            "PaymentFailed: order {number}",
            "grouped by exception class com.acme.PaymentFailed and message “order {number}”, \
             among dead letters from orders",
        ),
        (
            failed("", "GatewayTimeout", "", ""),
            "GatewayTimeout",
            "grouped by exception class GatewayTimeout, among dead letters in orders.dlq",
        ),
        (
            failed("orders", "", "order 1", STACK),
            "order {number}",
            "grouped by error message “order {number}”, among dead letters from orders",
        ),
        (
            died("orders.queue", DeathReason::Rejected),
            "rejected by the consumer of orders.queue",
            "grouped by reason rejected and queue orders.queue, since no exception is named, \
             among dead letters from orders.queue",
        ),
        (
            died("", DeathReason::Unknown),
            "cause unknown, in orders.dlq",
            "grouped by DLQ, since the headers do not tell the cause, among dead letters in orders.dlq",
        ),
    ];
    for (decoded, title, explanation) in cases {
        let found = group(&decoded);
        assert_eq!(found.title, title);
        assert_eq!(found.explanation, explanation);
    }
}

#[test]
fn the_event_type_tells_apart_what_has_no_cause() {
    let of_type = |event_type: &str| {
        let event = EventIdentity {
            event_type: Some(event_type.to_owned()),
            ..EventIdentity::default()
        };
        classify(System::Kafka, "orders.dlq", &Decoded::default(), &event)
    };
    assert_eq!(
        of_type("OrderCreated").title,
        "OrderCreated in orders.dlq, cause unknown"
    );
    assert_ne!(of_type("OrderCreated").group, of_type("OrderPaid").group);
}

#[test]
fn groups_differ_where_the_cause_does() {
    let other_frame = STACK.replace("charge", "refund");
    let different = [
        failed("orders", "A", "m", ""),
        failed("invoices", "A", "m", ""),
        failed("orders", "B", "m", ""),
        failed("orders", "A", "n", ""),
        failed("orders", "A", "", ""),
        failed("orders", "", "A", ""),
        failed("orders", "A", "m", STACK),
        failed("orders", "A", "m", &other_frame),
        died("orders", DeathReason::Rejected),
        died("orders", DeathReason::Expired),
        died("orders", DeathReason::Unknown),
    ];
    let groups: std::collections::HashSet<_> =
        different.iter().map(|one| group(one).group).collect();
    assert_eq!(groups.len(), different.len());
}

#[test]
fn line_numbers_and_messages_do_not_split_a_frame() {
    let moved = STACK.replace(":48", ":97");
    assert_eq!(
        group(&failed("orders", "A", "order 1", STACK)).group,
        group(&failed("orders", "A", "another text", &moved)).group
    );
}

#[test]
fn the_same_source_name_on_two_brokers_is_two_sources() {
    let decoded = failed("orders", "A", "m", "");
    let event = EventIdentity::default();
    let on = |system| classify(system, "orders.dlq", &decoded, &event).group;
    assert_ne!(on(System::Kafka), on(System::RabbitMq));
}

#[test]
fn a_group_found_today_is_found_tomorrow() {
    let known = group(&failed(
        "orders",
        "com.acme.PaymentFailed",
        "order 4711 of ann@acme.com",
        "",
    ));
    assert_eq!(known.group.as_str(), "v1:289ad76563e32129");
}

#[test]
fn names_are_shortened_for_the_title_alone() {
    let cases = [
        ("com.acme.A$B", "A$B"),
        ("acme::pay::Failed", "Failed"),
        ("App\\Failed", "Failed"),
        ("not a class.", "not a class."),
        ("trailing.", "trailing"),
        ("...", "..."),
    ];
    for (class, title) in cases {
        assert_eq!(group(&failed("orders", class, "", "")).title, title);
    }
    let long = group(&failed("orders", &"ü".repeat(500), "", "")).title;
    assert_eq!(long.chars().count(), LONGEST_TITLE + 1);
}

proptest! {
    #[test]
    fn any_failure_has_one_group(
        source in any::<String>(), class in any::<String>(), message in any::<String>(), stack in any::<String>()
    ) {
        let decoded = failed(&source, &class, &message, &stack);
        let found = group(&decoded);
        prop_assert_eq!(found.group.as_str().len(), "v1:".len() + 16);
        prop_assert_eq!(found, group(&decoded));
    }

    #[test]
    fn failures_that_differ_only_in_ids_are_one_group(one in any::<u128>(), other in any::<u128>(), number: u32) {
        let with = |id: u128| {
            let id = uuid::Uuid::from_u128(id);
            failed("orders", "NotFound", &format!("order {id} is unknown, attempt {number}"), "")
        };
        prop_assert_eq!(group(&with(one)).group, group(&with(other)).group);
    }
}

fn ruled(rules: &[GroupingRule], decoded: &Decoded) -> Option<Classification> {
    let position = Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: None,
        partition: crate::domain::Partition(0),
        offset: crate::domain::Offset(0),
    };
    let event = EventIdentity::default();
    by_rule(rules.iter(), (&"k".into(), &position), decoded, &event)
}

#[test]
fn the_first_rule_that_matches_groups_and_says_so() {
    let rule = |name: &str, filter: &str, title: &str, key: &str| {
        GroupingRule::new(name, filter, title, key).unwrap()
    };
    let rules = [
        rule(
            "gateway",
            "error:timeout",
            "Timeouts of {source}: {message}",
            "{source}",
        ),
        rule("all of it", "dlq:orders.*", "", ""),
    ];
    let timeout = failed("orders", "TimeoutException", "timeout after 12 ms", STACK);
    let group = ruled(&rules, &timeout).unwrap();
    assert_eq!(group.title, "Timeouts of orders: timeout after {number} ms");
    assert_eq!(
        group.explanation,
        "grouped by rule “gateway” (error contains “timeout”), with key “orders”"
    );
    assert!(group.group.as_str().starts_with("v1:"));
    let other_source = failed("payments", "TimeoutException", "timeout after 12 ms", STACK);
    assert_ne!(ruled(&rules, &other_source).unwrap().group, group.group);
    // A better filter or title keeps the group; another name makes a new one.
    let better = [rule(
        "gateway",
        "error:timeout source:*",
        "Slow gateway",
        "{source}",
    )];
    assert_eq!(ruled(&better, &timeout).unwrap().group, group.group);
    let renamed = [rule("gateways", "error:timeout", "", "{source}")];
    assert_ne!(ruled(&renamed, &timeout).unwrap().group, group.group);
    let other = failed("orders", "NullPointerException", "x", STACK);
    let all = ruled(&rules, &other).unwrap();
    assert_eq!(all.title, "all of it");
    assert_eq!(ruled(&rules[..1], &other), None);
    assert_eq!(ruled(&[], &other), None);
}
