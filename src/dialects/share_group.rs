//! Share groups of Kafka 4.4 and later (KIP-1191).
//!
//! The broker copies neither headers nor, by default, key and value: the record then only points to the
//! original.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::{Account, header_values as read};
use crate::domain::{
    AttemptsKind, ConsumerGroup, DeathReason, Hop, Message, Offset, Origin, Partition, System,
    TopicName,
};

const TOPIC: &str = "__dlq.errors.topic";
const PARTITION: &str = "__dlq.errors.partition";
const OFFSET: &str = "__dlq.errors.offset";
const GROUP: &str = "__dlq.errors.group";
const DELIVERIES: &str = "__dlq.errors.delivery.count";
const MESSAGE: &str = "__dlq.errors.message";

pub(super) const DIALECT: Dialect = Dialect {
    name: "share-group",
    title: "Kafka share group",
    system: Some(System::Kafka),
    sign: Sign::AnyOf(&["__dlq.errors.*"]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 7] = [
    KnownHeader::error(TOPIC, "topic in which the original lies"),
    KnownHeader::error(PARTITION, "partition of that topic"),
    KnownHeader::error(OFFSET, "offset in that partition"),
    KnownHeader::error(GROUP, "share group that gave up"),
    KnownHeader::error(DELIVERIES, "how often it was delivered"),
    KnownHeader::error(MESSAGE, "why the broker dead-lettered it"),
    KnownHeader::error("__dlq.errors.*", "written by the broker for a share group"),
];

/// Where the original of a record lies that is nothing but a pointer. Kafka's own topics are left alone:
/// anybody who may write to the DLQ could name them.
pub fn pointed_to(message: &Message) -> Option<(TopicName, Partition, Offset)> {
    if message.key.is_some() || message.body.is_some() {
        return None;
    }
    let integer = |name| message.header(name).and_then(read::decimal);
    let topic = message.header(TOPIC).and_then(read::name)?;
    let partition = integer(PARTITION).and_then(read::partition)?;
    let offset = integer(OFFSET).and_then(read::offset)?;
    (!topic.starts_with("__")).then(|| (TopicName::from(topic.as_str()), partition, offset))
}

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let integer = |name| set.read(name, read::decimal);
    let raw_reason = set.read(MESSAGE, read::words);
    let says = |word| {
        raw_reason
            .as_deref()
            .is_some_and(|text| text.contains(word))
    };
    let reason = if says("delivery count") {
        DeathReason::DeliveryLimit
    } else if says("rejected") {
        DeathReason::Rejected
    } else {
        DeathReason::Unknown
    };
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(TOPIC, read::name),
            partition: integer(PARTITION).and_then(read::partition),
            offset: integer(OFFSET).and_then(read::offset),
            consumer: set.read(GROUP, read::name).map(ConsumerGroup::from),
            ..Origin::default()
        },
        reason,
        raw_reason,
        attempts: integer(DELIVERIES)
            .and_then(read::count)
            .map(|count| (count, AttemptsKind::Deliveries)),
        ..Hop::default()
    };
    let points = hop.origin.destination.is_some() && hop.origin.offset.is_some();
    let mut account = Account::of_hops(vec![hop], found.rank)?;
    account.decoded.payload_absent = points && message.key.is_none() && message.body.is_none();
    Some(account)
}
