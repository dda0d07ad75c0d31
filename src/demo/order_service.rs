use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::backoff::Stopped;
use super::event::{Event, OrderData};
use super::generator::OrderGenerator;
use super::kafka_link::{Publisher, Topic};
use crate::domain::Timestamp;

/// Publishes orders to Kafka, and what follows from them to the outbox for RabbitMQ.
pub(super) struct OrderService<'a> {
    pub(super) generator: OrderGenerator,
    pub(super) time_between_orders: Duration,
    pub(super) publisher: &'a Publisher,
    pub(super) orders: &'a Topic,
    /// Bounded: while RabbitMQ is away for very long no more orders are taken, and none is lost.
    pub(super) outbox: mpsc::Sender<Event<OrderData>>,
}

impl OrderService<'_> {
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Infallible, Stopped> {
        let mut ticks = tokio::time::interval(self.time_between_orders);
        // After an outage orders come at their usual rate, not all at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return Err(Stopped),
            }
            self.take_order(stop).await?;
        }
    }

    async fn take_order(&mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        let order = self.generator.next(Timestamp::now());
        for message in order.kafka_messages() {
            self.publisher.publish(self.orders, &message, stop).await?;
        }
        let follow_up = self.generator.follow_up(&order.event);
        tokio::select! {
            sent = self.outbox.send(follow_up) => sent.map_err(|_| Stopped),
            () = stop.cancelled() => Err(Stopped),
        }
    }
}
