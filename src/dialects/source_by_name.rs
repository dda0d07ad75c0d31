//! Where a dead letter may have come from by the name of its DLQ, for messages whose headers do not
//! tell. A guess, and shown as one.

use crate::domain::System;

/// How frameworks and people derive the name of a DLQ, in lower case.
const SUFFIXES: [&str; 10] = [
    "-dlt",
    ".dlt",
    "-dlq",
    ".dlq",
    "_dlq",
    ".xq",
    "-dead-letter",
    ".dead-letter",
    "_dead_letter",
    ".deadletter",
];
/// RabbitMQ only: `MassTransit` and Sneakers. An application may well have a topic of errors.
const SUFFIXES_OF_QUEUES: [&str; 3] = ["_error", "_skipped", "-error"];
const PREFIXES: [&str; 3] = ["dlq.", "dlq-", "dlq_"];

/// The topic or queue by whose name the DLQ seems to be called.
pub fn source_by_name(system: System, dlq: &str) -> Option<&str> {
    let of_queues: &[&str] = match system {
        System::Kafka => &[],
        System::RabbitMq => &SUFFIXES_OF_QUEUES,
    };
    let suffixes = SUFFIXES.iter().chain(of_queues);
    let before = |suffix: &&str| {
        let (start, end) = dlq.split_at_checked(dlq.len().checked_sub(suffix.len())?)?;
        end.eq_ignore_ascii_case(suffix).then_some(start)
    };
    let after = |prefix: &&str| {
        let (start, end) = dlq.split_at_checked(prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then_some(end)
    };
    let mut suffixes = suffixes;
    let source = suffixes
        .find_map(before)
        .or_else(|| PREFIXES.iter().find_map(after))
        .or_else(|| of_spring_cloud_stream(dlq))?;
    (!source.is_empty()).then_some(source)
}

/// `error.<destination>.<group>`, unless a dot within either makes it ambiguous.
fn of_spring_cloud_stream(dlq: &str) -> Option<&str> {
    let (destination, group) = dlq.strip_prefix("error.")?.split_once('.')?;
    (!group.contains('.')).then_some(destination)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_names_of_dlqs_lead_to_their_source() {
        let check = |dlq, on_kafka, on_rabbitmq| {
            assert_eq!(source_by_name(System::Kafka, dlq), on_kafka, "{dlq}");
            assert_eq!(source_by_name(System::RabbitMq, dlq), on_rabbitmq, "{dlq}");
        };
        let both = |dlq, source| check(dlq, Some(source), Some(source));
        both("orders-dlt", "orders");
        both("orders.DLT", "orders");
        both("shop.orders.dlq", "shop.orders");
        both("orders_DLQ", "orders");
        both("default.XQ", "default");
        both("dlq.orders", "orders");
        both("dlq-orders", "orders");
        both("error.orders.payments", "orders");
        check("orders_error", None, Some("orders"));
        check("orders-error", None, Some("orders"));
        check("error.shop.orders.payments", None, None);
        check("error", None, None);
        check(".dlq", None, None);
        check("dlq", None, None);
        check("ü", None, None);
        check("orders", None, None);
    }
}
