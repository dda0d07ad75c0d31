use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Names;
use super::backoff::{Backoff, Stopped};
use super::topology;
use crate::brokers::rabbitmq::amqp::AmqpDelivery;
use crate::brokers::rabbitmq::amqp::{AmqpChannel, AmqpError, QueueConsumer};
use crate::config::RabbitMqConfig;
use crate::error_chain;

/// A connection that lasted so long was fine: its loss is a new failure.
const LASTING: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(5);

/// Why a connection is not used any longer.
#[derive(Debug)]
pub(super) enum SessionEnd {
    Stopped,
    Lost(AmqpError),
}

impl From<AmqpError> for SessionEnd {
    fn from(error: AmqpError) -> Self {
        Self::Lost(error)
    }
}

/// How one service is connected to RabbitMQ, over as many connections in turn as it takes.
pub(super) struct RabbitMqLink<'a> {
    config: &'a RabbitMqConfig,
    names: &'a Names,
    purpose: &'static str,
    backoff: Backoff,
    connected_at: Option<Instant>,
}

impl<'a> RabbitMqLink<'a> {
    /// `purpose` names the connections in RabbitMQ's own pages.
    pub(super) fn new(config: &'a RabbitMqConfig, names: &'a Names, purpose: &'static str) -> Self {
        Self {
            config,
            names,
            purpose,
            backoff: Backoff::new(),
            connected_at: None,
        }
    }

    /// A new connection with everything declared, however long RabbitMQ is away.
    pub(super) async fn connect(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<AmqpChannel, Stopped> {
        loop {
            let connected = tokio::select! {
                connected = self.connect_once() => connected,
                () = stop.cancelled() => return Err(Stopped),
            };
            match connected {
                Ok(channel) => {
                    self.connected_at = Some(Instant::now());
                    return Ok(channel);
                }
                Err(error) => self.wait_after(&error, stop).await?,
            }
        }
    }

    async fn connect_once(&self) -> Result<AmqpChannel, AmqpError> {
        let channel = AmqpChannel::open(self.config, self.purpose).await?;
        topology::declare(&channel, self.names).await?;
        Ok(channel)
    }

    /// Waits before the next connection, or says that there shall be none.
    pub(super) async fn end(
        &mut self,
        channel: AmqpChannel,
        end: SessionEnd,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let SessionEnd::Lost(error) = end else {
            channel.close().await;
            return Err(Stopped);
        };
        if self.connected_at.is_some_and(|at| at.elapsed() > LASTING) {
            self.backoff = Backoff::new();
        }
        self.wait_after(&error, stop).await
    }

    async fn wait_after(
        &mut self,
        error: &AmqpError,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        tracing::warn!(
            service = self.purpose,
            error = error_chain(error),
            "no connection to RabbitMQ; trying again"
        );
        self.backoff.wait(stop).await
    }
}

/// The next delivery, however long none comes.
pub(super) async fn next_delivery(
    consumer: &mut QueueConsumer,
    stop: &CancellationToken,
) -> Result<AmqpDelivery, SessionEnd> {
    loop {
        let delivery = tokio::select! {
            delivery = consumer.next(WAIT) => delivery?,
            () = stop.cancelled() => return Err(SessionEnd::Stopped),
        };
        if let Some(delivery) = delivery {
            return Ok(delivery);
        }
    }
}
