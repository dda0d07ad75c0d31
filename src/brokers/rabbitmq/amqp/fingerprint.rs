use crate::domain::{AmqpProperties, Message, QueueName, VhostName, digest_of_fields};

/// Headers that a redelivery changes.
/// How often a message came back to its quorum queue.
pub(super) const DELIVERY_COUNT: &str = "x-delivery-count";

const CHANGED_BY_DELIVERY: [&str; 3] = [DELIVERY_COUNT, "x-acquired-count", "x-stream-offset"];

/// SHA-256 in hex over everything about a message that a redelivery does not change (broker-facts
/// C.4). RabbitMQ has no message identity of its own; two equal messages have equal fingerprints.
pub fn fingerprint(vhost: &VhostName, queue: &QueueName, message: &Message) -> String {
    let default = AmqpProperties::default();
    let properties = message.properties.as_deref().unwrap_or(&default);
    let properties = serde_json::to_vec(properties).unwrap_or_default();
    let kept = message.headers.iter().filter(|header| {
        !CHANGED_BY_DELIVERY
            .iter()
            .any(|changed| header.name == changed.as_bytes())
    });
    let headers: Vec<_> = kept.collect();
    let headers = serde_json::to_vec(&headers).unwrap_or_default();
    let body = message.body.as_deref().unwrap_or_default();
    digest_of_fields([
        vhost.as_str().as_bytes(),
        queue.as_str().as_bytes(),
        properties.as_slice(),
        headers.as_slice(),
        body,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AmqpValue, Header};

    fn of(headers: Vec<Header>, body: &'static str) -> String {
        let message = Message {
            headers,
            body: Some(body.into()),
            ..Message::default()
        };
        fingerprint(&"/".into(), &"q".into(), &message)
    }

    #[test]
    fn a_redelivery_keeps_the_fingerprint_and_a_change_does_not() {
        let counted = |count| Header::amqp("x-delivery-count", AmqpValue::I64(count));
        assert_eq!(of(vec![counted(1)], "a"), of(vec![counted(2)], "a"));
        assert_eq!(of(vec![counted(1)], "a"), of(vec![], "a"));
        assert_ne!(of(vec![], "a"), of(vec![], "b"));
        assert_ne!(
            of(vec![Header::text("h", "1")], "a"),
            of(vec![Header::text("h", "2")], "a")
        );
    }
}
