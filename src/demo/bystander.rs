use std::convert::Infallible;

use tokio_util::sync::CancellationToken;

use super::backoff::Stopped;
use super::rabbitmq_link::{RabbitMqLink, SessionEnd, next_delivery};
use crate::brokers::rabbitmq::amqp::AmqpChannel;
use crate::domain::QueueName;

const PREFETCH: u16 = 20;

/// A service of which only matters that it reads its queue: shipping, and the sender of e-mails.
pub(super) struct Bystander<'a> {
    pub(super) link: RabbitMqLink<'a>,
    pub(super) queue: QueueName,
}

impl Bystander<'_> {
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Infallible, Stopped> {
        loop {
            let channel = self.link.connect(stop).await?;
            let Err(end) = self.acknowledge_all(&channel, stop).await;
            self.link.end(channel, end, stop).await?;
        }
    }

    async fn acknowledge_all(
        &self,
        channel: &AmqpChannel,
        stop: &CancellationToken,
    ) -> Result<Infallible, SessionEnd> {
        let mut consumer = channel.consume(&self.queue, PREFETCH).await?;
        loop {
            let delivery = next_delivery(&mut consumer, stop).await?;
            delivery.acknowledge().await?;
        }
    }
}
