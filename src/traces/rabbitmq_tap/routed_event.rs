//! An event from a copy of a message of RabbitMQ. Pure.

use crate::brokers::rabbitmq::amqp::fingerprint;
use crate::config::Config;
use crate::dialects::was_tried_before;
use crate::domain::conventions::REPLAY_ID;
use crate::domain::{
    ClusterName, EventPlace, HeaderValue, Message, QueueName, RoutedPlace, System, TimeBasis,
    Timestamp, TracedEvent, VhostName,
};
use crate::event_identity::event_facts;
use crate::traces::LONGEST_AHEAD;

/// What RabbitMQ's message interceptor `timestamp` writes beside the property.
const TIMESTAMP_IN_MS: &str = "timestamp_in_ms";

/// What RabbitMQ writes when it dead-letters a message.
const DEATHS: &str = "x-death";

/// What a trace keeps of a message; nothing of one without a correlation ID.
pub(super) fn traced(
    cluster: &ClusterName,
    (vhost, queue): (&VhostName, &QueueName),
    message: &Message,
    config: &Config,
    seen: Timestamp,
) -> Option<TracedEvent> {
    let facts = event_facts(message, config);
    facts.event.correlation_id.as_ref()?;
    let properties = message.properties.as_deref();
    let replay = message.header(REPLAY_ID);
    let (at, basis) = published_at(message, seen);
    Some(TracedEvent {
        place: EventPlace::Routed(RoutedPlace {
            cluster: cluster.clone(),
            vhost: vhost.clone(),
            exchange: properties
                .map(|properties| properties.exchange.as_str().into())
                .unwrap_or_default(),
            routing_key: properties
                .map(|properties| properties.routing_key.clone())
                .unwrap_or_default(),
            fingerprint: fingerprint(vhost, queue, message),
        }),
        at,
        basis,
        event: facts.event,
        source: facts.source,
        is_retry: was_tried_before(System::RabbitMq, message),
        replay: replay.and_then(|value| value.as_text()?.parse().ok()),
        application: facts.application,
    })
}

/// AMQP's timestamp has whole seconds. The message was published before it was seen, so that the time lies in that
/// second, as late as may be; the interceptor says it exactly.
fn published_at(message: &Message, seen: Timestamp) -> (Timestamp, TimeBasis) {
    // What the broker routed again keeps the time at which it was published first.
    if message.header(DEATHS).is_some() {
        return (seen, TimeBasis::Observed);
    }
    let properties = message.properties.as_deref();
    let second = properties.and_then(|properties| properties.timestamp);
    let first =
        second.and_then(|second| Some(Timestamp::from_seconds(i64::try_from(second).ok()?)));
    // Who writes milliseconds into the property comes out later.
    let Some(first) = first.filter(|first| *first <= seen.plus(LONGEST_AHEAD)) else {
        return (seen, TimeBasis::Observed);
    };
    let last = first.end_of_second();
    let exactly = match message.header(TIMESTAMP_IN_MS) {
        Some(HeaderValue::Amqp(value)) => value.as_integer().map(Timestamp),
        _ => None,
    };
    let is_of_it = |at: &Timestamp| (first..=last).contains(at);
    let at = exactly.filter(is_of_it);
    (at.unwrap_or(seen.clamp(first, last)), TimeBasis::Publisher)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AmqpProperties, AmqpValue, Header, ReplayId};

    fn message(timestamp: Option<u64>, headers: Vec<Header>) -> Message {
        Message {
            headers,
            properties: Some(Box::new(AmqpProperties {
                exchange: "events".to_owned(),
                routing_key: "order.created".to_owned(),
                correlation_id: Some("order-1".to_owned()),
                timestamp,
                ..AmqpProperties::default()
            })),
            ..Message::default()
        }
    }

    fn read(message: &Message) -> Option<TracedEvent> {
        let place = (&"/".into(), &"redrive-traces".into());
        traced(
            &"rabbitmq".into(),
            place,
            message,
            &Config::default(),
            Timestamp(5_400),
        )
    }

    #[test]
    fn the_time_lies_in_the_second_that_the_publisher_wrote() {
        let check = |timestamp, exactly: Option<i64>, expected: i64, basis| {
            let header = |millis| Header::amqp(TIMESTAMP_IN_MS, AmqpValue::I64(millis));
            let message = message(timestamp, exactly.map(header).into_iter().collect());
            let at = published_at(&message, Timestamp(5_400));
            assert_eq!(
                at,
                (Timestamp(expected), basis),
                "{timestamp:?} {exactly:?}"
            );
        };
        let (publisher, observed) = (TimeBasis::Publisher, TimeBasis::Observed);
        check(Some(5), None, 5_400, publisher);
        check(Some(3), None, 3_999, publisher);
        // The publisher's clock goes before ours.
        check(Some(7), None, 7_000, publisher);
        check(Some(0), None, 999, publisher);
        check(Some(3), Some(3_123), 3_123, publisher);
        // Not the interceptor's.
        check(Some(3), Some(9_123), 3_999, publisher);
        check(None, Some(3_123), 5_400, observed);
        check(None, None, 5_400, observed);
        // Milliseconds instead of seconds.
        check(Some(1_790_000_000_000), None, 5_400, observed);
        check(Some(u64::MAX), None, 5_400, observed);
        let retried = message(Some(3), vec![Header::amqp(DEATHS, AmqpValue::Void)]);
        assert_eq!(
            published_at(&retried, Timestamp(5_400)),
            (Timestamp(5_400), observed)
        );
    }

    #[test]
    fn a_copy_tells_where_the_original_was_published() {
        let replay = "0197f3a2-1111-7abc-8def-000000000000";
        let copy = message(None, vec![Header::text(REPLAY_ID, replay)]);
        let event = read(&copy).unwrap();
        assert_eq!(event.event.correlation_id.as_deref(), Some("order-1"));
        assert_eq!(event.place.destination(), "events:order.created");
        assert_eq!(event.replay, replay.parse::<ReplayId>().ok());
        let mut without = copy;
        without.properties = None;
        assert_eq!(read(&without), None);
    }
}
