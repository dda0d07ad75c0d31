//! What RabbitMQ answers by closing the channel, found before it is sent: a closed channel makes every
//! replay of the batch unknown for the sake of one.

use crate::domain::{AmqpValue, HeaderValue, Message};

/// Why RabbitMQ would refuse this message from that user, if so (rabbitmq4.md 5, broker-facts B.3).
pub(super) fn refusal(message: &Message, user: &str) -> Option<String> {
    let properties = message.properties.as_deref();
    let user_id = properties.and_then(|p| p.user_id.as_deref());
    if user_id.is_some_and(|id| id != user) {
        return Some(format!(
            "its user-id is not {user:?}, under whose name Redrive publishes; remove it"
        ));
    }
    let expiration = properties.and_then(|p| p.expiration.as_deref());
    if expiration.is_some_and(|text| !is_expiration(text)) {
        return Some(
            "its expiration is no whole number of milliseconds; correct or remove it".to_owned(),
        );
    }
    let reply_to = properties.and_then(|p| p.reply_to.as_deref());
    if reply_to == Some("amq.rabbitmq.reply-to") {
        return Some("its reply-to belongs to a client that has gone; remove it".to_owned());
    }
    let copies_are_broken = ["CC", "BCC"].into_iter().any(|name| {
        let value = message.header(name);
        value.is_some_and(|value| !matches!(value, HeaderValue::Amqp(AmqpValue::Array(_))))
    });
    copies_are_broken
        .then(|| "its header CC or BCC is no list of routing keys; remove it".to_owned())
}

fn is_expiration(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AmqpProperties, Header};

    #[test]
    fn what_would_close_the_channel_is_refused() {
        let check = |properties: AmqpProperties, expected: Option<&str>| {
            let message = Message {
                properties: Some(Box::new(properties)),
                ..Message::default()
            };
            let reason = refusal(&message, "redrive");
            assert_eq!(reason.is_some(), expected.is_some(), "{reason:?}");
            assert!(
                reason
                    .unwrap_or_default()
                    .contains(expected.unwrap_or_default())
            );
        };
        let some = |text: &str| Some(text.to_owned());
        check(AmqpProperties::default(), None);
        let user_id = |user_id| AmqpProperties {
            user_id,
            ..AmqpProperties::default()
        };
        check(user_id(some("redrive")), None);
        check(user_id(some("shop")), Some("user-id"));
        let expiring = |expiration| AmqpProperties {
            expiration,
            ..AmqpProperties::default()
        };
        check(expiring(some("60000")), None);
        for broken in ["abc", "-1", "1.5", "", "99999999999"] {
            check(expiring(some(broken)), Some("expiration"));
        }
        let reply_to = |reply_to| AmqpProperties {
            reply_to,
            ..AmqpProperties::default()
        };
        check(reply_to(some("replies")), None);
        check(reply_to(some("amq.rabbitmq.reply-to")), Some("reply-to"));
    }

    #[test]
    fn copies_must_be_a_list() {
        let with = |value| Message {
            headers: vec![Header::amqp("CC", value)],
            ..Message::default()
        };
        assert!(refusal(&with(AmqpValue::long_string("queue")), "u").is_some());
        assert_eq!(refusal(&with(AmqpValue::Array(vec![])), "u"), None);
    }
}
