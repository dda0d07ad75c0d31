use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use super::connect::{ask, short};
use super::error::AmqpError;
use crate::domain::QueueName;

pub(super) struct QueueCount {
    pub(super) ready: u32,
    pub(super) consumers: u32,
}

/// What the queue itself counts at this moment, on a channel that may close.
pub(super) async fn count(
    connection: &Connection,
    queue: &QueueName,
) -> Result<QueueCount, AmqpError> {
    let channel = ask("opening a channel", connection.create_channel()).await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let name = short(queue.as_str())?;
    let declared = channel.queue_declare(name, options, FieldTable::default());
    let counted = ask(format!("counting {queue}"), declared).await?;
    ask("closing the channel", channel.close(200, "done".into())).await?;
    Ok(QueueCount {
        ready: counted.message_count(),
        consumers: counted.consumer_count(),
    })
}
