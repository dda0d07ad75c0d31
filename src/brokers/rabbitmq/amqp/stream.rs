use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Connection, Consumer};
use tokio::time::Instant;

use super::connect::{ask, close, connect, refused, short};
use super::convert::message_of;
use super::error::AmqpError;
use crate::config::RabbitMqConfig;
use crate::domain::{AmqpValue, HeaderValue, Message, QueueName, VhostName};

/// A stream may pause within its messages for a second or two (rabbitmq4.md 3): this is no end yet.
const IDLE: Duration = Duration::from_secs(4);

/// A read is not longer, whatever comes; the page waits for it.
const LONGEST: Duration = Duration::from_secs(20);

/// Without a prefetch a stream closes the channel; this many are on their way at most.
const PREFETCH: u16 = 100;

/// All bodies of a read together; the next read goes on after them.
const MOST_BYTES: usize = 64 * 1024 * 1024;

const OFFSET_HEADER: &str = "x-stream-offset";

/// A message of a stream.
#[derive(Clone, Debug)]
pub struct StreamMessage {
    pub offset: u64,
    pub message: Message,
}

/// Where a read of a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStart {
    /// With the oldest message that is still there.
    First,
    /// With the block of messages that was written last.
    LastBlock,
    /// With this offset, or the first one after it that is still there.
    Offset(u64),
}

/// Reads up to `limit` messages of a stream. Nothing in a stream changes by that, and other consumers
/// notice nothing. A stream takes no `basic.get` and no consumer without acknowledgements: both end the
/// connection.
pub async fn read_stream(
    config: &RabbitMqConfig,
    (vhost, queue): (&VhostName, &QueueName),
    start: StreamStart,
    limit: u16,
) -> Result<Vec<StreamMessage>, AmqpError> {
    let connection = connect(config, vhost, "stream").await?;
    let read = read(&connection, queue, start, limit).await;
    close(connection).await;
    read
}

async fn read(
    connection: &Connection,
    queue: &QueueName,
    start: StreamStart,
    limit: u16,
) -> Result<Vec<StreamMessage>, AmqpError> {
    let channel = ask("opening a channel", connection.create_channel()).await?;
    let options = BasicQosOptions::default();
    ask("setting the prefetch", channel.basic_qos(PREFETCH, options)).await?;
    let mut arguments = FieldTable::default();
    arguments.insert(short(OFFSET_HEADER)?, start.argument());
    let (name, tag) = (short(queue.as_str())?, short("redrive-stream")?);
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(name, tag, options, arguments);
    let consumer = ask(format!("reading stream {queue}"), consumer).await?;
    collect(consumer, queue, start, limit).await
}

async fn collect(
    mut consumer: Consumer,
    queue: &QueueName,
    start: StreamStart,
    limit: u16,
) -> Result<Vec<StreamMessage>, AmqpError> {
    let mut messages: Vec<StreamMessage> = Vec::new();
    let mut bytes = 0;
    let end = Instant::now() + LONGEST;
    while messages.len() < usize::from(limit) && bytes < MOST_BYTES {
        let wait = end.min(Instant::now() + IDLE);
        let Ok(next) = tokio::time::timeout_at(wait, consumer.next()).await else {
            break;
        };
        let cancelled = || AmqpError::ConsumerCancelled {
            queue: queue.to_string(),
        };
        let delivery = next.ok_or_else(cancelled)?;
        let delivery = delivery.map_err(refused(format!("reading stream {queue}")))?;
        let message = message_of(&delivery);
        // In a stream this removes nothing; it only asks for another message.
        let acknowledged = delivery.acker.ack(BasicAckOptions::default());
        ask("an acknowledgement", acknowledged).await?;
        if let Some(offset) = offset_of(&message).filter(|offset| start.includes(*offset)) {
            bytes += message.size();
            messages.push(StreamMessage { offset, message });
        }
    }
    Ok(messages)
}

fn offset_of(message: &Message) -> Option<u64> {
    match message.header(OFFSET_HEADER)? {
        HeaderValue::Amqp(value @ AmqpValue::I64(_)) => u64::try_from(value.as_integer()?).ok(),
        _ => None,
    }
}

impl StreamStart {
    fn argument(self) -> AMQPValue {
        match self {
            Self::First => AMQPValue::LongString(LongString::from("first")),
            Self::LastBlock => AMQPValue::LongString(LongString::from("last")),
            Self::Offset(offset) => {
                AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX))
            }
        }
    }

    /// The block in which an offset lies may begin before it.
    const fn includes(self, offset: u64) -> bool {
        match self {
            Self::First | Self::LastBlock => true,
            Self::Offset(first) => offset >= first,
        }
    }
}
