//! Rebus (.NET), whose endpoints share one `error` queue. The error is one text.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::{Account, header_values as read, stack_trace};
use crate::domain::{AttemptsKind, DeathReason, Failure, Hop, Message, Origin};

const QUEUE: &str = "rbs2-source-queue";
const DETAILS: &str = "rbs2-error-details";
const DELIVERIES: &str = "rbs2-delivery-count";

pub(super) const DIALECT: Dialect = Dialect {
    name: "rebus",
    title: "Rebus",
    system: None,
    sign: Sign::AnyOf(&[QUEUE, DETAILS, DELIVERIES]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 5] = [
    KnownHeader::error(QUEUE, "queue from which it was read"),
    KnownHeader::error(DETAILS, "the exceptions, with their stack traces"),
    KnownHeader::retry_counter(DELIVERIES, "how often it was delivered"),
    KnownHeader::kept("rbs2-msg-id", "Rebus' ID of the message"),
    KnownHeader::kept("rbs2-msg-type", "type of the message"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let deliveries = set.read(DELIVERIES, read::decimal).and_then(read::count);
    if !set.has_any_of(&[QUEUE, DETAILS]) {
        return None;
    }
    let details = set.read(DETAILS, read::stack_trace);
    let first = details.as_deref().and_then(stack_trace::first_exception);
    let (class, said) = first.map_or((None, None), |one| (Some(one.class), one.message));
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(QUEUE, read::name),
            ..Origin::default()
        },
        failure: Failure {
            class,
            message: said
                .or_else(|| Some(details.as_deref()?.lines().next()?.to_owned()))
                .map(|text| read::cut_message(&text)),
            stack_trace: details,
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        attempts: deliveries.map(|count| (count, AttemptsKind::Deliveries)),
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}
