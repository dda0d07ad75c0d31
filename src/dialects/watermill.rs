//! Watermill's poison middleware, on Kafka and RabbitMQ alike. Its consumers on RabbitMQ fail on a
//! header that is not a string, and take the last of several `_watermill_message_uuid` as the ID.

use super::dialect::{Dialect, KnownHeader, OnReplay, Sign};
use super::header_sets::replaced_set;
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, DeathReason, Failure, Hop, Message, Origin};

const REASON: &str = "reason_poisoned";
const TOPIC: &str = "topic_poisoned";
const HANDLER: &str = "handler_poisoned";
const SUBSCRIBER: &str = "subscriber_poisoned";
const RETRIES: &str = "_watermill_requeuer_retries";
const MESSAGE_ID: &str = "_watermill_message_uuid";

pub(super) const DIALECT: Dialect = Dialect {
    name: "watermill",
    title: "Watermill",
    system: None,
    sign: Sign::AnyOf(&[REASON, TOPIC, RETRIES, MESSAGE_ID]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 6] = [
    KnownHeader::error(REASON, "error of the handler"),
    KnownHeader::error(TOPIC, "topic from which it was read"),
    KnownHeader::error(HANDLER, "handler that failed"),
    KnownHeader::error(
        SUBSCRIBER,
        "Go type of the subscriber, which names no consumer group",
    ),
    KnownHeader::retry_counter(RETRIES, "how often the requeuer sent it again"),
    KnownHeader {
        name: MESSAGE_ID,
        meaning: "Watermill's ID of the message",
        on_replay: OnReplay::KeepLast("a message has one ID, and the last counts"),
        number: None,
    },
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let retries = set.read(RETRIES, read::decimal).and_then(read::count);
    if !set.has_any_of(&[REASON, TOPIC]) {
        return retries.map(Account::of_retries);
    }
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(TOPIC, read::name),
            endpoint: set.read(HANDLER, read::name),
            ..Origin::default()
        },
        failure: Failure {
            message: set.read(REASON, read::message),
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        attempts: retries.map(|count| (count, AttemptsKind::Retries)),
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}
