use super::Names;
use super::names::{ORDER_CREATED_KEY, ORDERS_DEAD_KEY, SHIP_ORDER_KEY};
use super::retry::RETRY_DELAYS;
use crate::brokers::rabbitmq::amqp::{AmqpChannel, AmqpError};
use crate::domain::{AmqpValue, QueueName};

/// Declares exchanges, queues and bindings; what is there already stays as it is.
///
/// Nothing but `orders.queue` may be bound to `order.created`: the retry queues dead-letter back to
/// `events`, so every other queue with that key would get a copy of each retry.
pub(super) async fn declare(channel: &AmqpChannel, names: &Names) -> Result<(), AmqpError> {
    declare_exchanges(channel, names).await?;
    declare_orders(channel, names).await?;
    let (shipping, email) = (names.shipping_queue(), names.email_queue());
    channel.declare_queue(&shipping, &[]).await?;
    channel
        .bind_queue(&shipping, &names.commands(), SHIP_ORDER_KEY)
        .await?;
    channel.declare_queue(&email, &[]).await?;
    channel.bind_queue(&email, &names.notifications(), "").await
}

async fn declare_exchanges(channel: &AmqpChannel, names: &Names) -> Result<(), AmqpError> {
    let exchanges = [
        (names.events(), "topic"),
        (names.commands(), "direct"),
        (names.notifications(), "fanout"),
        (names.dead_letter_exchange(), "direct"),
    ];
    for (exchange, kind) in exchanges {
        channel.declare_exchange(&exchange, kind).await?;
    }
    Ok(())
}

async fn declare_orders(channel: &AmqpChannel, names: &Names) -> Result<(), AmqpError> {
    let (orders, dead_orders) = (names.orders_queue(), names.dead_orders_queue());
    let dead_letter_exchange = names.dead_letter_exchange();
    channel.declare_queue(&dead_orders, &[]).await?;
    channel
        .bind_queue(&dead_orders, &dead_letter_exchange, ORDERS_DEAD_KEY)
        .await?;
    let to_dead_orders = dead_lettering_to(dead_letter_exchange.as_str(), ORDERS_DEAD_KEY);
    channel.declare_queue(&orders, &to_dead_orders).await?;
    channel
        .bind_queue(&orders, &names.events(), ORDER_CREATED_KEY)
        .await?;
    for (queue, arguments) in retry_queues(names) {
        channel.declare_queue(&queue, &arguments).await?;
    }
    Ok(())
}

fn retry_queues(names: &Names) -> impl Iterator<Item = (QueueName, Vec<(String, AmqpValue)>)> {
    (1..).zip(RETRY_DELAYS).map(|(retry, delay)| {
        let mut arguments = dead_lettering_to(names.events().as_str(), ORDER_CREATED_KEY);
        let milliseconds = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        arguments.push(("x-message-ttl".to_owned(), AmqpValue::I64(milliseconds)));
        (names.retry_queue(retry), arguments)
    })
}

fn dead_lettering_to(exchange: &str, routing_key: &str) -> Vec<(String, AmqpValue)> {
    let argument = |name: &str, value| (name.to_owned(), AmqpValue::long_string(value));
    vec![
        argument("x-dead-letter-exchange", exchange),
        argument("x-dead-letter-routing-key", routing_key),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retry_queues_wait_one_two_and_four_seconds_and_lead_back() {
        let found: Vec<_> = retry_queues(&Names::default()).collect();
        let check = |index: usize, name: &str, ttl: i64| {
            let (queue, arguments) = &found[index];
            assert_eq!(queue.as_str(), name);
            assert!(arguments.contains(&("x-message-ttl".to_owned(), AmqpValue::I64(ttl))));
            let back = AmqpValue::long_string("events");
            assert!(arguments.contains(&("x-dead-letter-exchange".to_owned(), back)));
        };
        assert_eq!(found.len(), 3);
        check(0, "orders.retry.1", 1000);
        check(1, "orders.retry.2", 2000);
        check(2, "orders.retry.3", 4000);
    }
}
