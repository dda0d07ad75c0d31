use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AmqpValue, conventions};
use crate::domain::{ConsumerGroup, Header, Message, Offset, Partition, Timestamp, TopicName};

/// Error texts quote what an event said, so they are cut to this number of characters.
const LONGEST_MESSAGE: usize = 400;

/// Why a consumer could not handle an event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProcessingError {
    #[error(
        "payment gateway of {provider} did not answer within {} ms",
        timeout.as_millis()
    )]
    GatewayTimeout { provider: String, timeout: Duration },
    #[error("{reason}")]
    Validation { reason: String },
    #[error("the event is not JSON: {reason}")]
    Malformed { reason: String },
    #[error("event {event_id} was processed before")]
    Duplicate { event_id: Uuid },
    #[error("no exchange rate for currency {currency}")]
    UnknownCurrency { currency: String },
}

impl ProcessingError {
    pub fn validation(reason: impl Into<String>) -> Self {
        Self::Validation {
            reason: reason.into(),
        }
    }

    /// The exception class, as the consumer's language would name it.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::GatewayTimeout { .. } => "PaymentGatewayTimeoutException",
            Self::Validation { .. } => "ValidationException",
            Self::Malformed { .. } => "MalformedEventException",
            Self::Duplicate { .. } => "DuplicateEventException",
            Self::UnknownCurrency { .. } => "UnknownCurrencyException",
        }
    }

    /// Whether the same event may succeed a little later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::GatewayTimeout { .. })
    }

    /// Where it was thrown, in the form of a Java stack trace.
    pub fn stack_trace(&self) -> String {
        let (package, frames) = match self {
            Self::GatewayTimeout { .. } => (
                "com.example.payments",
                "\tat com.example.payments.GatewayClient.charge(GatewayClient.java:88)\n\
                 \tat com.example.payments.PaymentHandler.handle(PaymentHandler.java:41)",
            ),
            Self::Validation { .. } => (
                "com.example.orders",
                "\tat com.example.orders.OrderValidator.validate(OrderValidator.java:27)\n\
                 \tat com.example.orders.OrderReader.read(OrderReader.java:33)",
            ),
            Self::Malformed { .. } => (
                "com.example.orders",
                "\tat com.example.orders.OrderReader.parse(OrderReader.java:19)\n\
                 \tat com.example.orders.OrderReader.read(OrderReader.java:31)",
            ),
            Self::Duplicate { .. } => (
                "com.example.payments",
                "\tat com.example.payments.ProcessedEvents.claim(ProcessedEvents.java:52)\n\
                 \tat com.example.payments.PaymentHandler.handle(PaymentHandler.java:36)",
            ),
            Self::UnknownCurrency { .. } => (
                "com.example.analytics",
                "\tat com.example.analytics.ExchangeRates.rate(ExchangeRates.java:64)\n\
                 \tat com.example.analytics.RevenueHandler.handle(RevenueHandler.java:29)",
            ),
        };
        let (class, message) = (self.class(), self.bounded_message());
        format!("{package}.{class}: {message}\n{frames}\n")
    }

    /// The message, of bounded length.
    pub fn bounded_message(&self) -> String {
        self.to_string().chars().take(LONGEST_MESSAGE).collect()
    }
}

/// The Kafka record that failed, and who gave up on it when.
#[derive(Clone, Debug)]
pub(super) struct GivenUp<'a> {
    pub topic: &'a TopicName,
    pub partition: Partition,
    pub offset: Offset,
    pub timestamp: Option<Timestamp>,
    pub group: &'a ConsumerGroup,
    pub attempts: u32,
    pub now: Timestamp,
}

/// The dead letter of a Kafka record: key, body and headers as they were, then what went wrong and
/// where it came from.
pub(super) fn kafka_dead_letter(
    original: &Message,
    error: &ProcessingError,
    given_up: &GivenUp<'_>,
) -> Message {
    let mut headers = original.headers.clone();
    let mut add = |name, value: String| headers.push(Header::text(name, value));
    add(conventions::ERROR_CLASS, error.class().to_owned());
    add(conventions::ERROR_MESSAGE, error.bounded_message());
    add(conventions::ERROR_STACKTRACE, error.stack_trace());
    add(conventions::ORIGINAL_TOPIC, given_up.topic.to_string());
    add(
        conventions::ORIGINAL_PARTITION,
        given_up.partition.to_string(),
    );
    add(conventions::ORIGINAL_OFFSET, given_up.offset.to_string());
    if let Some(timestamp) = given_up.timestamp {
        add(
            conventions::ORIGINAL_TIMESTAMP,
            timestamp.as_millis().to_string(),
        );
    }
    add(conventions::CONSUMER_GROUP, given_up.group.to_string());
    add(conventions::FAILED_AT, given_up.now.to_rfc3339());
    add(conventions::ATTEMPTS, given_up.attempts.to_string());
    Message {
        headers,
        ..original.clone()
    }
}

/// The headers by which a RabbitMQ consumer says why it sends a message through a retry queue: a
/// rejection itself can carry no reason.
pub(super) fn amqp_error_headers(error: &ProcessingError, now: Timestamp) -> [Header; 3] {
    let text = |name, value: String| Header::amqp(name, AmqpValue::long_string(value));
    [
        text(conventions::ERROR_CLASS, error.class().to_owned()),
        text(conventions::ERROR_MESSAGE, error.bounded_message()),
        text(conventions::FAILED_AT, now.to_rfc3339()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout() -> ProcessingError {
        ProcessingError::GatewayTimeout {
            provider: "northbank".to_owned(),
            timeout: Duration::from_millis(50),
        }
    }

    #[test]
    fn a_dead_letter_keeps_the_original_and_says_what_happened() {
        let original = Message {
            key: Some("order-1".into()),
            body: Some("{}".into()),
            headers: vec![
                Header::text("eventId", "e"),
                Header::text("x-replay-id", "r"),
            ],
            properties: None,
        };
        let given_up = GivenUp {
            topic: &"orders".into(),
            partition: Partition(2),
            offset: Offset(17),
            timestamp: Some(Timestamp(5)),
            group: &"payment-consumers".into(),
            attempts: 3,
            now: Timestamp(1_000),
        };
        let letter = kafka_dead_letter(&original, &timeout(), &given_up);
        let check = |name: &str, expected: &str| {
            assert_eq!(letter.header_text(name), Some(expected), "{name}");
        };
        assert_eq!(letter.headers[..2], original.headers);
        assert_eq!((&letter.key, &letter.body), (&original.key, &original.body));
        check("x-error-class", "PaymentGatewayTimeoutException");
        check(
            "x-error-message",
            "payment gateway of northbank did not answer within 50 ms",
        );
        check("x-original-topic", "orders");
        check("x-original-partition", "2");
        check("x-original-offset", "17");
        check("x-original-timestamp", "5");
        check("x-consumer-group", "payment-consumers");
        check("x-failed-at", "1970-01-01T00:00:01.000Z");
        check("x-attempts", "3");
    }

    #[test]
    fn what_an_event_said_cannot_make_a_header_of_any_length() {
        let error = ProcessingError::validation("ü".repeat(100_000));
        assert!(error.stack_trace().chars().count() < 1_000);
    }

    #[test]
    fn only_the_gateway_recovers_by_itself() {
        assert!(timeout().is_transient());
        assert!(!ProcessingError::validation("x").is_transient());
    }
}
