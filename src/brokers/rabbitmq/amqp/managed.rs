use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::time::Instant;

use super::connect::{ask, close, connect, refused, short};
use super::convert::message_of;
use super::count::count;
use super::error::AmqpError;
use super::observe::limit_by_size;
use crate::config::RabbitMqConfig;
use crate::domain::{Message, QueueName, QueueSample, VhostName};

const CONSUMER_TAG: &str = "redrive-intake";

/// Messages of a queue in custody that are on their way at once, unless they are large.
const PREFETCH: u16 = 400;

/// The same of a queue that does not tell how large its messages are: an empty one may get any.
const PREFETCH_OF_UNKNOWN: u16 = 50;

/// All messages of a batch together, but for its first, which may be larger.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// How many messages of a queue may be held at once, by their size on average.
pub fn custody_prefetch(queue: &QueueSample) -> u16 {
    let is_known = queue.bytes.is_some() && queue.messages.is_some_and(|messages| messages > 0);
    if is_known {
        limit_by_size(queue, PREFETCH)
    } else {
        PREFETCH_OF_UNKNOWN
    }
}

/// A message that is held and not acknowledged yet.
#[derive(Clone, Debug)]
pub struct TakenMessage {
    pub message: Message,
    /// It was delivered before, perhaps to us before a crash.
    pub redelivered: bool,
    pub delivery_tag: u64,
}

/// Empties a queue batch by batch. What was not acknowledged goes back to the queue when this is
/// dropped; after an error it has to be.
pub struct ManagedConsumer {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    /// What came while an acknowledgement was on its way; the prefetch bounds it.
    ahead: VecDeque<TakenMessage>,
    queue: QueueName,
    prefetch: u16,
    is_cancelled: bool,
}

impl ManagedConsumer {
    /// Fails with [`AmqpError::AnotherConsumer`] if the queue itself counts one: statistics are seconds old.
    pub async fn open(
        config: &RabbitMqConfig,
        vhost: &VhostName,
        queue: &QueueName,
        prefetch: u16,
    ) -> Result<Self, AmqpError> {
        let connection = connect(config, vhost, "intake").await?;
        if count(&connection, queue).await?.consumers > 0 {
            close(connection).await;
            return Err(AmqpError::AnotherConsumer);
        }
        let options = BasicConsumeOptions::default();
        Self::on(connection, queue, prefetch, options).await
    }

    /// The same on a connection that is open already.
    pub(super) async fn on(
        connection: Connection,
        queue: &QueueName,
        prefetch: u16,
        options: BasicConsumeOptions,
    ) -> Result<Self, AmqpError> {
        let channel = ask("opening a channel", connection.create_channel()).await?;
        let prefetched = channel.basic_qos(prefetch, BasicQosOptions::default());
        ask("setting the prefetch", prefetched).await?;
        let (name, tag) = (short(queue.as_str())?, short(CONSUMER_TAG)?);
        let consumer = channel.basic_consume(name, tag, options, FieldTable::default());
        let consumer = ask(format!("consuming from {queue}"), consumer).await?;
        Ok(Self {
            connection,
            channel,
            consumer,
            ahead: VecDeque::new(),
            queue: queue.clone(),
            prefetch,
            is_cancelled: false,
        })
    }

    /// Asks for no more messages. What has arrived is still there for [`Self::next_batch`].
    pub async fn cancel(&mut self) -> Result<(), AmqpError> {
        self.is_cancelled = true;
        let options = BasicCancelOptions::default();
        let cancelled = self.channel.basic_cancel(short(CONSUMER_TAG)?, options);
        ask("ending the custody", cancelled).await
    }

    /// Waits up to `max_wait` for a message, then takes what is there, up to `max_messages` and to
    /// [`BATCH_BYTES`].
    pub async fn next_batch(
        &mut self,
        max_messages: usize,
        max_wait: Duration,
    ) -> Result<Vec<TakenMessage>, AmqpError> {
        if self.ahead.is_empty() {
            let deadline = Instant::now() + max_wait;
            let Ok(first) = tokio::time::timeout_at(deadline, self.consumer.next()).await else {
                return Ok(Vec::new());
            };
            self.keep(first)?;
        }
        if self.ahead.len() < max_messages {
            self.read_ahead()?;
        }
        let ready = fitting(&self.ahead, max_messages);
        Ok(self.ahead.drain(..ready).collect())
    }

    /// Whether something is held that did not fit into the last batch.
    pub fn has_more_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Takes what has arrived already, and notices that the lease is lost.
    fn read_ahead(&mut self) -> Result<(), AmqpError> {
        while let Some(next) = self.consumer.next().now_or_never() {
            if !self.keep(next)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether there may be more. Where nobody asked for it, the end of the stream means that the broker
    /// took the messages back (rabbitmq4.md 8).
    fn keep(
        &mut self,
        next: Option<lapin::Result<lapin::message::Delivery>>,
    ) -> Result<bool, AmqpError> {
        let Some(delivery) = next else {
            let cancelled = || AmqpError::ConsumerCancelled {
                queue: self.queue.to_string(),
            };
            return self.is_cancelled.then_some(false).ok_or_else(cancelled);
        };
        let delivery = delivery.map_err(refused(format!("reading from {}", self.queue)))?;
        self.ahead.push_back(TakenMessage {
            message: message_of(&delivery),
            redelivered: delivery.redelivered,
            delivery_tag: delivery.delivery_tag,
        });
        Ok(true)
    }

    /// Acknowledges everything up to this tag and waits until the broker has seen it. Only for what is
    /// on disk. Fails if the broker took the messages back in the meantime: acknowledging after that
    /// hides them from everybody for another time-out (rabbitmq4.md 3).
    pub async fn acknowledge_through(&mut self, delivery_tag: u64) -> Result<(), AmqpError> {
        self.read_ahead()?;
        let options = BasicAckOptions { multiple: true };
        let acknowledged = self.channel.basic_ack(delivery_tag, options);
        ask("an acknowledgement", acknowledged).await?;
        // An acknowledgement has no answer; the answer to a method after it proves that it arrived.
        let barrier = self
            .channel
            .basic_qos(self.prefetch, BasicQosOptions::default());
        ask("the barrier after an acknowledgement", barrier).await
    }

    /// Whether the queue has nothing more and no other consumer, whose messages could still come back.
    pub async fn is_alone_at_the_end(&self) -> Result<bool, AmqpError> {
        let counted = count(&self.connection, &self.queue).await?;
        Ok(self.ahead.is_empty() && counted.ready == 0 && counted.consumers == 1)
    }

    /// Messages that wait in the queue; what is held does not count.
    pub async fn ready(&self) -> Result<u64, AmqpError> {
        Ok(count(&self.connection, &self.queue).await?.ready.into())
    }

    /// Whether somebody else consumes from the queue too.
    pub async fn has_company(&self) -> Result<bool, AmqpError> {
        Ok(count(&self.connection, &self.queue).await?.consumers > 1)
    }

    /// Gives back what was not acknowledged and ends the connection.
    pub async fn close(self) {
        close(self.connection).await;
    }
}

/// How many of the messages make a batch: at least the first.
fn fitting(ahead: &VecDeque<TakenMessage>, max_messages: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = |taken: &&TakenMessage| {
        bytes = bytes.saturating_add(taken.message.size());
        bytes <= BATCH_BYTES
    };
    let count = ahead.iter().take(max_messages).take_while(fits).count();
    count.max(1).min(ahead.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(sizes: &[usize]) -> VecDeque<TakenMessage> {
        let taken = |(size, tag): (&usize, u64)| TakenMessage {
            message: Message {
                body: Some(vec![0; *size].into()),
                ..Message::default()
            },
            redelivered: false,
            delivery_tag: tag,
        };
        sizes.iter().zip(1..).map(taken).collect()
    }

    #[test]
    fn a_batch_ends_before_its_bytes_or_its_messages_are_too_many() {
        let check = |sizes: &[usize], expected| {
            assert_eq!(fitting(&ahead(sizes), 3), expected, "{sizes:?}");
        };
        check(&[], 0);
        check(&[1, 1], 2);
        check(&[1, 1, 1, 1], 3);
        check(&[BATCH_BYTES - 1, 1, 1], 2);
        check(&[BATCH_BYTES, 1], 1);
        check(&[BATCH_BYTES + 1, 1], 1);
    }

    #[test]
    fn so_many_messages_are_held_as_fit_and_few_where_nothing_is_known_of_them() {
        let check = |messages, bytes, expected| {
            let sample = QueueSample {
                messages,
                bytes,
                ..QueueSample::classic("/".into(), "q.dlq".into())
            };
            assert_eq!(
                custody_prefetch(&sample),
                expected,
                "{messages:?} {bytes:?}"
            );
        };
        let mebibyte = 1024 * 1024;
        check(Some(1_000), Some(1_000), PREFETCH);
        check(Some(10), Some(10 * mebibyte), 64);
        check(Some(2), Some(200 * mebibyte), 1);
        check(Some(0), Some(0), PREFETCH_OF_UNKNOWN);
        check(None, None, PREFETCH_OF_UNKNOWN);
        check(Some(5), None, PREFETCH_OF_UNKNOWN);
    }
}
