use std::time::Duration;

use super::failure::{ProcessingError, amqp_error_headers};
use crate::domain::{AmqpValue, Header, Message, Timestamp, conventions};

/// How long a message waits in `orders.retry.1`, `.2` and `.3`.
pub(super) const RETRY_DELAYS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// What a RabbitMQ consumer does with a message that failed.
#[derive(Clone, Debug, PartialEq)]
pub enum AfterFailure {
    /// Publish this to the retry queue of that number, which starts at 1, then ack.
    Retry { retry: u32, message: Message },
    /// Reject without requeueing: the dead-letter exchange takes it.
    GiveUp,
}

/// Decides by the consumer's own counter. Counting `x-death` instead would circle for ever on
/// RabbitMQ 4, which overwrites what a client publishes there.
pub fn after_failure(message: &Message, error: &ProcessingError, now: Timestamp) -> AfterFailure {
    let retries_so_far = retry_count(message);
    let retry = retries_so_far.saturating_add(1);
    if !error.is_transient() || retry as usize > RETRY_DELAYS.len() {
        return AfterFailure::GiveUp;
    }
    AfterFailure::Retry {
        retry,
        message: counted(message, retry, error, now),
    }
}

/// How often the message went through a retry queue; a counter that cannot be read counts as none.
fn retry_count(message: &Message) -> u32 {
    message
        .header(conventions::RETRY_COUNT)
        .and_then(|value| match value {
            crate::domain::HeaderValue::Amqp(value) => value.as_integer(),
            _ => None,
        })
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0)
}

/// The message for the retry queue: as it was, with the counter, the error and, since the retry queue
/// replaces it, the routing key of the first publish.
fn counted(message: &Message, retry: u32, error: &ProcessingError, now: Timestamp) -> Message {
    let mut headers = message.headers.clone();
    if message.header(conventions::ORIGINAL_ROUTING_KEY).is_none() {
        let key = message
            .properties
            .as_ref()
            .map_or("", |properties| properties.routing_key.as_str());
        let key = AmqpValue::long_string(key);
        headers.push(Header::amqp(conventions::ORIGINAL_ROUTING_KEY, key));
    }
    let count = AmqpValue::I32(i32::try_from(retry).unwrap_or(i32::MAX));
    let count = Header::amqp(conventions::RETRY_COUNT, count);
    for header in amqp_error_headers(error, now).into_iter().chain([count]) {
        headers.retain(|old| old.name != header.name);
        headers.push(header);
    }
    Message {
        headers,
        ..message.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AmqpProperties, HeaderValue};

    fn delivered(headers: Vec<Header>) -> Message {
        Message {
            body: Some("{}".into()),
            headers,
            properties: Some(Box::new(AmqpProperties {
                routing_key: "order.created".to_owned(),
                ..AmqpProperties::default()
            })),
            ..Message::default()
        }
    }

    fn timeout() -> ProcessingError {
        ProcessingError::GatewayTimeout {
            provider: "northbank".to_owned(),
            timeout: Duration::from_millis(50),
        }
    }

    #[test]
    fn a_timeout_is_retried_three_times_then_given_up() {
        let mut message = delivered(Vec::new());
        for expected in 1..=3 {
            let AfterFailure::Retry {
                retry,
                message: next,
            } = after_failure(&message, &timeout(), Timestamp(0))
            else {
                panic!("gave up before retry {expected}");
            };
            assert_eq!(retry, expected);
            assert_eq!(retry_count(&next), expected);
            message = next;
        }
        assert_eq!(
            after_failure(&message, &timeout(), Timestamp(0)),
            AfterFailure::GiveUp
        );
        assert_eq!(
            message.header_text("x-original-routing-key"),
            Some("order.created")
        );
        assert_eq!(
            message.header_text("x-error-class"),
            Some("PaymentGatewayTimeoutException")
        );
        assert_eq!(message.headers.len(), 5, "each header is there once");
    }

    #[test]
    fn what_no_retry_can_repair_is_given_up_at_once() {
        let error = ProcessingError::validation("data.customerId is required");
        assert_eq!(
            after_failure(&delivered(Vec::new()), &error, Timestamp(0)),
            AfterFailure::GiveUp
        );
    }

    #[test]
    fn the_history_of_the_broker_does_not_count() {
        let deaths = AmqpValue::Array(vec![AmqpValue::Table(vec![(
            "count".into(),
            AmqpValue::I64(9),
        )])]);
        let message = delivered(vec![Header::amqp("x-death", deaths)]);
        let decision = after_failure(&message, &timeout(), Timestamp(0));
        assert!(matches!(decision, AfterFailure::Retry { retry: 1, .. }));
    }

    #[test]
    fn a_counter_of_another_type_or_sign_is_understood_or_counts_as_none() {
        let check = |value: AmqpValue, expected: u32| {
            let message = delivered(vec![Header::amqp("x-retry-count", value)]);
            assert_eq!(retry_count(&message), expected);
        };
        check(AmqpValue::I64(2), 2);
        check(AmqpValue::U8(1), 1);
        check(AmqpValue::I32(-1), 0);
        check(AmqpValue::long_string("2"), 0);
        check(AmqpValue::I64(i64::MAX), 0);
        let message = delivered(vec![Header {
            name: "x-retry-count".into(),
            value: HeaderValue::Null,
        }]);
        assert_eq!(retry_count(&message), 0);
    }
}
