use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicQosOptions};
use lapin::{Channel, Connection};

use super::connect::{ask, close, connect};
use super::custody_rules::GiveBack;
use super::error::AmqpError;
use super::fingerprint::fingerprint;
use super::managed::TakenMessage;
use super::observe::{HeldWindow, ObserveError, hold_window, may_be_held};
use crate::config::RabbitMqConfig;
use crate::domain::{QueueName, VhostName};

/// One message of an observed queue, held with all that lies before it until it is acknowledged. When
/// this is dropped, all go back to their places.
pub struct HeldMessage {
    connection: Connection,
    channel: Channel,
    give_back: GiveBack,
    pub taken: TakenMessage,
}

/// Reads from the head of a queue up to the first message with that fingerprint, after asking the broker
/// whether that is harmless. `None` if it is not among the first `limit`; everything went back then.
pub async fn hold_message(
    config: &RabbitMqConfig,
    request_timeout: Duration,
    (vhost, queue): (&VhostName, &QueueName),
    limit: u16,
    wanted: &str,
) -> Result<Option<HeldMessage>, ObserveError> {
    let place = (vhost, queue);
    let (give_back, limit) = may_be_held(config, request_timeout, place, limit).await?;
    let connection = connect(config, vhost, "take").await?;
    let is_wanted = |one: &TakenMessage| fingerprint(vhost, queue, &one.message) == wanted;
    let held = hold_window(&connection, queue, limit, &is_wanted).await?;
    let HeldWindow {
        channel, messages, ..
    } = held;
    let failure = match messages.map(|mut all| all.pop().filter(is_wanted)) {
        Ok(Some(taken)) => {
            return Ok(Some(HeldMessage {
                connection,
                channel,
                give_back,
                taken,
            }));
        }
        Ok(None) => None,
        Err(error) => Some(error),
    };
    let returned = give_back.all(&channel).await;
    close(connection).await;
    returned?;
    failure.map_or(Ok(None), |error| Err(error.into()))
}

impl HeldMessage {
    /// Acknowledges this message alone, which must be on disk, and gives the others back. When this
    /// returns, the broker has seen the acknowledgement.
    pub async fn acknowledge(self) -> Result<(), AmqpError> {
        let acknowledged = self.acknowledge_and_return().await;
        // Whatever failed before, closing gives back what is still held.
        close(self.connection).await;
        acknowledged
    }

    async fn acknowledge_and_return(&self) -> Result<(), AmqpError> {
        let options = BasicAckOptions { multiple: false };
        let acknowledged = self.channel.basic_ack(self.taken.delivery_tag, options);
        ask("an acknowledgement", acknowledged).await?;
        // An acknowledgement has no answer; the answer to a method after it proves that it arrived.
        let barrier = self.channel.basic_qos(1, BasicQosOptions::default());
        ask("the barrier after an acknowledgement", barrier).await?;
        self.give_back.all(&self.channel).await
    }

    /// Gives all of them back.
    pub async fn give_back(self) -> Result<(), AmqpError> {
        let returned = self.give_back.all(&self.channel).await;
        close(self.connection).await;
        returned
    }
}
