//! Counters that consumers of RabbitMQ keep in a header while a message goes round their retry queues:
//! `x-retry-count` of the usual guides, of golevelup's nestjs module and of the sample workload,
//! `retry-count` of Spring AMQP. They tell of no death by themselves.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::{Account, header_values as read};
use crate::domain::conventions::{ORIGINAL_ROUTING_KEY, RETRY_COUNT};
use crate::domain::{AttemptsKind, Message};

const SPRING_RETRY_COUNT: &str = "retry-count";

pub(super) const DIALECT: Dialect = Dialect {
    name: "retry-counter",
    title: "Retry counter",
    system: None,
    sign: Sign::AnyOf(&[RETRY_COUNT, SPRING_RETRY_COUNT, ORIGINAL_ROUTING_KEY]),
    headers: &[
        KnownHeader::retry_counter(
            RETRY_COUNT,
            "how often the consumer sent it through its retry queues",
        ),
        KnownHeader::retry_counter(
            SPRING_RETRY_COUNT,
            "how often Spring AMQP's listener retried it",
        ),
        KnownHeader::kept(
            ORIGINAL_ROUTING_KEY,
            "routing key of the first publish, which the retry queues replace",
        ),
    ],
    decode,
};

fn decode(_: &str, message: &Message) -> Option<Account> {
    let retries = [RETRY_COUNT, SPRING_RETRY_COUNT].iter().find_map(|name| {
        message
            .header(name)
            .and_then(read::decimal)
            .and_then(read::count)
    });
    let routing_key = message.header(ORIGINAL_ROUTING_KEY).and_then(read::name);
    if retries.is_none() && routing_key.is_none() {
        return None;
    }
    let mut account = Account::default();
    account.decoded.attempts = retries.map(|count| (count, AttemptsKind::Retries));
    account.decoded.origin.routing_keys.extend(routing_key);
    Some(account)
}
