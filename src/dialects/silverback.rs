//! Silverback (.NET): its move policy on Kafka. The reason is `<exception> in <assembly>`.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, ConsumerGroup, DeathReason, Failure, Hop, Message, Origin};

const TOPIC: &str = "x-source-topic";
const PARTITION: &str = "x-source-partition";
const OFFSET: &str = "x-source-offset";
const TIMESTAMP: &str = "x-source-timestamp";
const GROUP: &str = "x-source-consumer-group-id";
const ATTEMPTS: &str = "x-failed-attempts";
const REASON: &str = "x-failure-reason";

pub(super) const DIALECT: Dialect = Dialect {
    name: "silverback",
    title: "Silverback",
    system: None,
    sign: Sign::AllOf(&[TOPIC, REASON]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 7] = [
    KnownHeader::error(TOPIC, "topic from which it was read"),
    KnownHeader::error(PARTITION, "partition of that topic"),
    KnownHeader::error(OFFSET, "offset in that partition"),
    KnownHeader::error(TIMESTAMP, "time of the original record"),
    KnownHeader::error(GROUP, "consumer group that gave up"),
    KnownHeader::retry_counter(ATTEMPTS, "how often it failed"),
    KnownHeader::error(REASON, "exception and where it was thrown"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let integer = |name| set.read(name, read::decimal);
    let reason = set.read(REASON, read::words);
    let class = reason
        .as_deref()
        .map(|text| text.split(" in ").next().unwrap_or(text).to_owned());
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(TOPIC, read::name),
            partition: integer(PARTITION).and_then(read::partition),
            offset: integer(OFFSET).and_then(read::offset),
            timestamp: set.read(TIMESTAMP, read::rfc3339),
            consumer: set.read(GROUP, read::name).map(ConsumerGroup::from),
            ..Origin::default()
        },
        failure: Failure {
            class,
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        raw_reason: reason,
        attempts: integer(ATTEMPTS)
            .and_then(read::count)
            .map(|count| (count, AttemptsKind::Deliveries)),
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}
