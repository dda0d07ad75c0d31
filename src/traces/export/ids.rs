//! The IDs of exported traces and spans. They follow from what is known of a thing alone, so that whatever is exported
//! again after a crash is the same span.

use std::fmt;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::{ClusterName, EventPlace, Position, ReplayId};

/// The ID of an exported trace; never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The ID of an exported span; never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SpanId(pub(super) [u8; 8]);

impl TraceId {
    /// The bytes of a UUID or of 32 hex digits; of every other text the first 16 bytes of its SHA-256, as
    /// `printf %s order-4711 | sha256sum | cut -c1-32` prints them. `None` for what names no trace: an empty
    /// text and the UUID of zeros, under which unrelated events would meet.
    pub fn of(correlation_id: &str) -> Option<Self> {
        if correlation_id.is_empty() {
            return None;
        }
        // The other forms that the parser takes, with braces or `urn:`, are texts like any other.
        let is_plain = matches!(correlation_id.len(), 32 | 36);
        match Uuid::try_parse(correlation_id) {
            Ok(uuid) if is_plain && uuid.is_nil() => None,
            Ok(uuid) if is_plain => Some(Self(*uuid.as_bytes())),
            _ => Some(Self(first_bytes(&Sha256::digest(correlation_id)))),
        }
    }

    /// The low 56 bits, which W3C Trace Context level 2 asks to be random, and by which samplers decide.
    pub(super) fn randomness(self) -> u64 {
        let low = self.0[9..].iter();
        low.fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0.iter();
        bytes.try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl SpanId {
    pub(super) fn root(trace: TraceId) -> Self {
        Self::of(trace, "root", &[])
    }

    /// The publish of an event.
    pub(super) fn message(trace: TraceId, place: &EventPlace) -> Self {
        Self::at(trace, "message", place)
    }

    /// What lies between the publish of an event and that of its cause.
    pub(super) fn hop(trace: TraceId, child: &EventPlace) -> Self {
        Self::at(trace, "hop", child)
    }

    pub(super) fn dead_letter(trace: TraceId, cluster: &ClusterName, position: &Position) -> Self {
        let cluster = cluster.as_str();
        match position {
            Position::Kafka {
                topic,
                topic_id,
                partition,
                offset,
            } => {
                let topic_id = topic_id.unwrap_or_default();
                let (partition, offset) = (partition.0.to_be_bytes(), offset.0.to_be_bytes());
                let place: [&[u8]; 6] = [
                    b"kafka",
                    cluster.as_bytes(),
                    topic.as_str().as_bytes(),
                    topic_id.as_bytes(),
                    &partition,
                    &offset,
                ];
                Self::of(trace, "dead letter", &place)
            }
            Position::RabbitMq {
                vhost,
                queue,
                fingerprint,
            } => {
                let place = [
                    "rabbitmq",
                    cluster,
                    vhost.as_str(),
                    queue.as_str(),
                    fingerprint,
                ];
                Self::of(trace, "dead letter", &place.map(str::as_bytes))
            }
        }
    }

    pub(super) fn replay(trace: TraceId, replay: ReplayId) -> Self {
        Self::of(trace, "replay", &[replay.0.as_bytes()])
    }

    fn at(trace: TraceId, role: &str, place: &EventPlace) -> Self {
        match place {
            EventPlace::Record(record) => {
                let (partition, offset) = (
                    record.partition.0.to_be_bytes(),
                    record.offset.0.to_be_bytes(),
                );
                let place: [&[u8]; 5] = [
                    b"kafka",
                    record.cluster.as_str().as_bytes(),
                    record.topic.as_str().as_bytes(),
                    &partition,
                    &offset,
                ];
                Self::of(trace, role, &place)
            }
            EventPlace::Routed(routed) => {
                let place = [
                    "rabbitmq",
                    routed.cluster.as_str(),
                    routed.vhost.as_str(),
                    routed.exchange.as_str(),
                    &routed.routing_key,
                    &routed.fingerprint,
                ];
                Self::of(trace, role, &place.map(str::as_bytes))
            }
        }
    }

    fn of(trace: TraceId, role: &str, place: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for field in [&trace.0[..], role.as_bytes()].iter().chain(place) {
            hasher.update((field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        Self(first_bytes(&hasher.finalize()))
    }
}

/// The first bytes of a digest, of which one is set.
fn first_bytes<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest[..N]);
    if bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Offset, Partition, RecordPlace, RoutedPlace};

    #[test]
    fn a_trace_id_can_be_reproduced_by_hand() {
        let check = |correlation_id: &str, expected: Option<&str>| {
            let shown = TraceId::of(correlation_id).map(|id| id.to_string());
            assert_eq!(shown.as_deref(), expected, "{correlation_id}");
        };
        let uuid = "9f0c2a4155aa4c1e8f001234567890ab";
        check("9f0c2a41-55aa-4c1e-8f00-1234567890ab", Some(uuid));
        check("9F0C2A41-55AA-4C1E-8F00-1234567890AB", Some(uuid));
        check(uuid, Some(uuid));
        check("order-4711", Some("173d0ddbff034193face7ce60d3f58b4"));
        // 36 bytes, and no UUID.
        check(
            "{9f0c2a4155aa4c1e8f001234567890ab}ab",
            Some("04a9af2a4ebd68a8bdeef661682f6173"),
        );
        check("", None);
        check("00000000-0000-0000-0000-000000000000", None);
        check(&"0".repeat(32), None);
    }

    #[test]
    fn no_id_is_all_zero() {
        assert_eq!(first_bytes::<8>(&[0; 32]), [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(first_bytes::<2>(&[7, 0, 9]), [7, 0]);
    }

    #[test]
    fn randomness_is_the_low_seven_bytes() {
        let id = TraceId::of("ffffffffffffffffff00000000000102").unwrap();
        assert_eq!(id.randomness(), 0x0102);
    }

    fn name() -> impl Strategy<Value = String> {
        "[ab/:]{0,3}"
    }

    prop_compose! {
        fn record()(cluster in name(), topic in name(), partition in 0..3_i32, offset in 0..3_i64) -> EventPlace {
            EventPlace::Record(RecordPlace {
                cluster: cluster.into(),
                topic: topic.into(),
                partition: Partition(partition),
                offset: Offset(offset),
            })
        }
    }

    prop_compose! {
        fn routed()(cluster in name(), vhost in name(), exchange in name(), routing_key in name(), fingerprint in name()) -> EventPlace {
            EventPlace::Routed(RoutedPlace {
                cluster: cluster.into(),
                vhost: vhost.into(),
                exchange: exchange.into(),
                routing_key,
                fingerprint,
            })
        }
    }

    fn place() -> impl Strategy<Value = EventPlace> {
        prop_oneof![record(), routed()]
    }

    proptest! {
        #[test]
        fn span_ids_are_distinct_for_distinct_coordinates(a in place(), b in place()) {
            let trace = TraceId::of("order-4711").unwrap();
            let ids = |place: &EventPlace| {
                [SpanId::message(trace, place), SpanId::hop(trace, place)]
            };
            prop_assert_eq!(ids(&a) == ids(&b), a == b);
            prop_assert_ne!(ids(&a)[0], ids(&b)[1]);
            let other = TraceId::of("order-4712").unwrap();
            prop_assert_ne!(SpanId::message(trace, &a), SpanId::message(other, &a));
        }
    }
}
