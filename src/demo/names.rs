use crate::domain::{ConsumerGroup, ExchangeName, QueueName, TopicName};

/// The routing key of a new order on the exchange [`Names::events`].
pub(super) const ORDER_CREATED_KEY: &str = "order.created";
/// The routing key under which `orders.queue` dead-letters.
pub(super) const ORDERS_DEAD_KEY: &str = "orders.dead";
/// The routing key of the command to ship an order on the exchange [`Names::commands`].
pub(super) const SHIP_ORDER_KEY: &str = "ship-order";

/// How the workload calls its topics, groups, exchanges and queues. All carry one prefix, so that
/// tests share brokers; the demo's prefix is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    pub fn with_prefix(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    fn name<N: From<String>>(&self, name: &str) -> N {
        N::from(format!("{}{name}", self.prefix))
    }

    pub fn orders_topic(&self) -> TopicName {
        self.name("orders")
    }

    pub fn payments_topic(&self) -> TopicName {
        self.name("payments")
    }

    /// Where consumers of a topic put what they cannot handle.
    pub fn dead_letter_topic(topic: &TopicName) -> TopicName {
        TopicName::new(format!("{topic}.dlq"))
    }

    pub fn payment_consumers(&self) -> ConsumerGroup {
        self.name("payment-consumers")
    }

    pub fn analytics_consumers(&self) -> ConsumerGroup {
        self.name("analytics-consumers")
    }

    /// Topic exchange: what happened.
    pub fn events(&self) -> ExchangeName {
        self.name("events")
    }

    /// Direct exchange: what one service shall do.
    pub fn commands(&self) -> ExchangeName {
        self.name("commands")
    }

    /// Fanout exchange: what everybody may want to know.
    pub fn notifications(&self) -> ExchangeName {
        self.name("notifications")
    }

    /// Direct exchange that takes what `orders.queue` rejects.
    pub fn dead_letter_exchange(&self) -> ExchangeName {
        self.name("events.dlx")
    }

    pub fn orders_queue(&self) -> QueueName {
        self.name("orders.queue")
    }

    pub fn dead_orders_queue(&self) -> QueueName {
        self.name("orders.dlq")
    }

    /// The queue in which a message waits before retry number `retry`, which starts at 1.
    pub fn retry_queue(&self, retry: u32) -> QueueName {
        self.name(&format!("orders.retry.{retry}"))
    }

    pub fn shipping_queue(&self) -> QueueName {
        self.name("shipping.queue")
    }

    pub fn email_queue(&self) -> QueueName {
        self.name("email.queue")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_on_every_kind_of_name() {
        let names = Names::with_prefix("t1.");
        assert_eq!(names.orders_topic().as_str(), "t1.orders");
        assert_eq!(
            Names::dead_letter_topic(&names.payments_topic()).as_str(),
            "t1.payments.dlq"
        );
        assert_eq!(names.retry_queue(2).as_str(), "t1.orders.retry.2");
        assert_eq!(Names::default().events().as_str(), "events");
    }
}
