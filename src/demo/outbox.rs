use std::convert::Infallible;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::backoff::Stopped;
use super::event::{Event, OrderData};
use super::names::ORDER_CREATED_KEY;
use super::rabbitmq_link::{RabbitMqLink, SessionEnd};
use crate::brokers::rabbitmq::amqp::AmqpChannel;
use crate::domain::ExchangeName;

/// Publishes to RabbitMQ what the order service left, in order; an event is kept until RabbitMQ
/// confirmed it.
pub(super) struct Outbox<'a> {
    pub(super) link: RabbitMqLink<'a>,
    pub(super) events: ExchangeName,
    pub(super) waiting: mpsc::Receiver<Event<OrderData>>,
    pub(super) unconfirmed: Option<Event<OrderData>>,
}

impl Outbox<'_> {
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Infallible, Stopped> {
        loop {
            let channel = self.link.connect(stop).await?;
            let Err(end) = self.publish_all(&channel, stop).await;
            self.link.end(channel, end, stop).await?;
        }
    }

    async fn publish_all(
        &mut self,
        channel: &AmqpChannel,
        stop: &CancellationToken,
    ) -> Result<Infallible, SessionEnd> {
        loop {
            if let Some(event) = &self.unconfirmed {
                let message = event.amqp_message();
                channel
                    .publish(&self.events, ORDER_CREATED_KEY, &message)
                    .await?;
            }
            self.unconfirmed = tokio::select! {
                event = self.waiting.recv() => event,
                () = stop.cancelled() => None,
            };
            // The order service went away, which it does only when all stop.
            if self.unconfirmed.is_none() {
                return Err(SessionEnd::Stopped);
            }
        }
    }
}
