//! Dapr's `deadLetterTopic` on Kafka: the component writes the metadata of the record that it read as
//! headers. Nothing tells the error. On RabbitMQ, Dapr leaves the broker's own history.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::{Account, header_values as read};
use crate::domain::{DeathReason, Hop, Message, Origin, System};

pub(super) const DIALECT: Dialect = Dialect {
    name: "dapr",
    title: "Dapr",
    system: Some(System::Kafka),
    sign: Sign::AllOf(&["__topic", "__partition", "__offset"]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 5] = [
    KnownHeader::error("__topic", "topic from which Dapr read it"),
    KnownHeader::error("__partition", "partition of that topic"),
    KnownHeader::error("__offset", "offset in that partition"),
    KnownHeader::error("__timestamp", "time of that record, in milliseconds"),
    KnownHeader::error("__key", "key of that record"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let integer = |name| set.read(name, read::decimal);
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read("__topic", read::name),
            partition: integer("__partition").and_then(read::partition),
            offset: integer("__offset").and_then(read::offset),
            timestamp: integer("__timestamp").and_then(read::milliseconds),
            ..Origin::default()
        },
        reason: DeathReason::Exception,
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}
