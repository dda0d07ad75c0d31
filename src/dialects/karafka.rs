//! Karafka Pro's enhanced DLQ, with the names of its three generations. It tells where the record was
//! and not why it failed; the DLQ of the open-source edition writes no headers at all.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, ConsumerGroup, DeathReason, Hop, Message, Origin, System};

const TITLE: &str = "Karafka Pro";

pub(super) const DIALECT: Dialect = Dialect {
    name: "karafka",
    title: TITLE,
    system: Some(System::Kafka),
    sign: Sign::AllOf(&["source_topic", "source_partition", "source_offset"]),
    headers: &[
        KnownHeader::error("source_topic", "topic from which it was read"),
        KnownHeader::error("source_partition", "partition of that topic"),
        KnownHeader::error("source_offset", "offset in that partition"),
        KnownHeader::error("source_consumer_group", "consumer group that gave up"),
        KnownHeader::error("source_attempts", "how often it was tried"),
        KnownHeader::error("source_trace_id", "Karafka's name for the failure"),
    ],
    decode: |_, message| {
        decode(
            &DIALECT,
            [
                "source_topic",
                "source_partition",
                "source_offset",
                "source_consumer_group",
                "source_attempts",
            ],
            message,
        )
    },
};

pub(super) const BEFORE_2_5: Dialect = Dialect {
    name: "karafka-2",
    title: TITLE,
    system: Some(System::Kafka),
    sign: Sign::AllOf(&["original_topic", "original_partition", "original_offset"]),
    headers: &[
        KnownHeader::error("original_topic", "topic from which it was read"),
        KnownHeader::error("original_partition", "partition of that topic"),
        KnownHeader::error("original_offset", "offset in that partition"),
        KnownHeader::error("original_consumer_group", "consumer group that gave up"),
        KnownHeader::error("original_attempts", "how often it was tried"),
        KnownHeader::error("original_key", "key of the original record"),
    ],
    decode: |_, message| {
        decode(
            &BEFORE_2_5,
            [
                "original_topic",
                "original_partition",
                "original_offset",
                "original_consumer_group",
                "original_attempts",
            ],
            message,
        )
    },
};

pub(super) const WITH_DASHES: Dialect = Dialect {
    name: "karafka-1",
    title: TITLE,
    system: Some(System::Kafka),
    sign: Sign::AllOf(&["original-topic", "original-partition", "original-offset"]),
    headers: &[
        KnownHeader::error("original-topic", "topic from which it was read"),
        KnownHeader::error("original-partition", "partition of that topic"),
        KnownHeader::error("original-offset", "offset in that partition"),
        KnownHeader::error("original-consumer-group", "consumer group that gave up"),
        KnownHeader::error("original-attempts", "how often it was tried"),
        KnownHeader::error("original-key", "key of the original record"),
    ],
    decode: |_, message| {
        decode(
            &WITH_DASHES,
            [
                "original-topic",
                "original-partition",
                "original-offset",
                "original-consumer-group",
                "original-attempts",
            ],
            message,
        )
    },
};

fn decode(
    dialect: &Dialect,
    [topic, partition, offset, group, attempts]: [&str; 5],
    message: &Message,
) -> Option<Account> {
    let found = replaced_set(message, dialect.headers);
    let set = found.sets.first()?;
    let integer = |name| set.read(name, read::decimal);
    let hop = Hop {
        dialect: dialect.name.to_owned(),
        origin: Origin {
            destination: set.read(topic, read::name),
            partition: integer(partition).and_then(read::partition),
            offset: integer(offset).and_then(read::offset),
            consumer: set.read(group, read::name).map(ConsumerGroup::from),
            ..Origin::default()
        },
        reason: DeathReason::Exception,
        attempts: integer(attempts)
            .and_then(read::count)
            .map(|count| (count, AttemptsKind::Deliveries)),
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}
