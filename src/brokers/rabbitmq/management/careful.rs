//! Two readings of one queue: statistics come late, and what is known without them is incomplete.

use crate::domain::{DeliveryLimit, QueueSample};

/// The first reading with its counts, and of each setting whichever reading makes the queue more delicate.
pub(super) fn most_careful(counted: QueueSample, other: &QueueSample) -> QueueSample {
    let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
    let drops_head = |sample: &QueueSample| sample.overflow.as_deref() == Some("drop-head");
    let overflow = if drops_head(other) {
        other.overflow.clone()
    } else {
        counted.overflow.or_else(|| other.overflow.clone())
    };
    let limit = |limit: Option<DeliveryLimit>| match limit {
        Some(DeliveryLimit::Limited(limit)) => Some(limit),
        Some(DeliveryLimit::Unlimited) | None => None,
    };
    let limited = least(limit(counted.delivery_limit), limit(other.delivery_limit));
    QueueSample {
        message_ttl: counted
            .message_ttl
            .into_iter()
            .chain(other.message_ttl)
            .min(),
        max_length: least(counted.max_length, other.max_length),
        max_length_bytes: least(counted.max_length_bytes, other.max_length_bytes),
        overflow,
        delivery_limit: limited
            .map(DeliveryLimit::Limited)
            .or(counted.delivery_limit)
            .or(other.delivery_limit),
        ..counted
    }
}
