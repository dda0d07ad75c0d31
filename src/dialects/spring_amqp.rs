//! Spring AMQP's `RepublishMessageRecoverer`, which Spring Cloud Stream's Rabbit binder uses too. It
//! names neither the class of the exception nor the queue; the class stands in the stack trace, which
//! 4.1.0 writes unless told otherwise (recorded in `tests/fixtures/dialects`).

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::spring_kafka::spring_failure;
use super::{Account, header_values as read};
use crate::domain::{DeathReason, ExchangeName, HeaderValue, Hop, Message, Origin, System};

const MESSAGE: &str = "x-exception-message";
const STACK_TRACE: &str = "x-exception-stacktrace";
const EXCHANGE: &str = "x-original-exchange";
const ROUTING_KEY: &str = "x-original-routingKey";

pub(super) const DIALECT: Dialect = Dialect {
    name: "spring-amqp",
    title: "Spring AMQP",
    system: Some(System::RabbitMq),
    sign: Sign::AnyOf(&[MESSAGE, STACK_TRACE, ROUTING_KEY]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 4] = [
    KnownHeader::error(MESSAGE, "message of the exception or of its first cause"),
    KnownHeader::error(STACK_TRACE, "stack trace of the exception"),
    KnownHeader::error(EXCHANGE, "exchange to which it was published"),
    KnownHeader::error(ROUTING_KEY, "routing key with which it was published"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let exchange = set.get(EXCHANGE).and_then(HeaderValue::as_text);
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            exchange: exchange.map(ExchangeName::from),
            routing_keys: set.read(ROUTING_KEY, read::name).into_iter().collect(),
            ..Origin::default()
        },
        failure: spring_failure(set, ["", MESSAGE, STACK_TRACE], ""),
        reason: DeathReason::Exception,
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}
