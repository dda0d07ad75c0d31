//! Brighter (.NET) on Kafka. It names a reason and no exception.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, DeathReason, Failure, Hop, Message, Origin};

const TOPIC: &str = "OriginalTopic";
const REASON: &str = "RejectionReason";
const MESSAGE: &str = "RejectionMessage";
const TIMESTAMP: &str = "RejectionTimestamp";
const HANDLED: &str = "HandledCount";

pub(super) const DIALECT: Dialect = Dialect {
    name: "brighter",
    title: "Brighter",
    system: None,
    sign: Sign::AllOf(&[TOPIC, REASON]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 6] = [
    KnownHeader::error(TOPIC, "topic from which it was read"),
    KnownHeader::error("OriginalType", "type that the message had"),
    KnownHeader::error(REASON, "why it was rejected"),
    KnownHeader::error(MESSAGE, "what the handler said"),
    KnownHeader::error(TIMESTAMP, "when it was rejected"),
    KnownHeader::retry_counter(HANDLED, "how often it was handled"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let failed_at = set.read(TIMESTAMP, read::rfc3339);
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(TOPIC, read::name),
            ..Origin::default()
        },
        failure: Failure {
            message: set.read(MESSAGE, read::message),
            ..Failure::default()
        },
        reason: DeathReason::Rejected,
        raw_reason: set.read(REASON, read::words),
        attempts: set
            .read(HANDLED, read::decimal)
            .and_then(read::count)
            .map(|count| (count, AttemptsKind::Deliveries)),
        first_failed_at: failed_at,
        last_failed_at: failed_at,
    };
    Account::of_hops(vec![hop], found.rank)
}
