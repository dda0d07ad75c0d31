//! Streams among the DLQs: read on from where the last read ended. A stream keeps its messages, so nothing
//! is held and nothing given back, and other readers do not matter.

use super::intake_metrics;
use super::observe::{LookError, LookResult, Observer};
use crate::brokers::rabbitmq::amqp::{StreamMessage, StreamStart, read_stream};
use crate::config::RabbitMqConfig;
use crate::domain::{
    Custody, NewDeadLetter, QueueName, QueuePlace, QueueStatus, QueueType, System, Timestamp,
    VhostName,
};

impl Observer {
    /// Whether the last sample knows the queue as a stream.
    pub fn is_stream(&self, place: &QueuePlace) -> bool {
        let snapshot = self.context.snapshots.borrow().clone();
        let detail = snapshot
            .cluster(&place.cluster)
            .and_then(|cluster| cluster.rabbitmq());
        let is_it = |status: &&QueueStatus| {
            status.sample.vhost == place.vhost && status.sample.queue == place.queue
        };
        detail
            .and_then(|detail| detail.queues.iter().find(is_it))
            .is_some_and(|status| status.sample.queue_type == QueueType::Stream)
    }

    /// Indexes the next messages of a stream.
    pub(super) async fn read_on(
        &self,
        config: &RabbitMqConfig,
        queue_place: &QueuePlace,
    ) -> Result<LookResult, LookError> {
        let store = &self.context.store;
        let place = (&queue_place.vhost, &queue_place.queue);
        let cursor = store.stream_cursor(&config.name, place).await?;
        let messages = self.next_messages(config, place, cursor).await?;
        let Some(last) = messages.last().map(|one| one.offset) else {
            return Ok(LookResult {
                seen: 0,
                new: 0,
                kept: 0,
                ready: None,
            });
        };
        let now = Timestamp::now();
        let letter =
            |one: StreamMessage| self.letter(queue_place, one.message, Custody::Stream, now);
        let letters: Vec<NewDeadLetter> = messages.into_iter().map(letter).collect();
        let indexed = store
            .index_stream(&config.name, place, &letters, last + 1, now)
            .await?;
        intake_metrics::count(&self.context.metrics, &letters, &indexed);
        let dlq = (place.0.as_str(), place.1.as_str());
        self.context
            .backlog_read(&config.name, System::RabbitMq, dlq)
            .await?;
        Ok(LookResult {
            seen: letters.len(),
            new: indexed.len(),
            kept: 0,
            ready: None,
        })
    }

    /// What comes after the cursor. If nothing does, and the stream ends before the cursor, it was deleted
    /// and declared anew: then it is read from its beginning.
    async fn next_messages(
        &self,
        config: &RabbitMqConfig,
        place: (&VhostName, &QueueName),
        cursor: Option<u64>,
    ) -> Result<Vec<StreamMessage>, LookError> {
        let limit = self.context.config.dead_letters.observe_window;
        let Some(cursor) = cursor else {
            return Ok(read_stream(config, place, StreamStart::First, limit).await?);
        };
        let next = read_stream(config, place, StreamStart::Offset(cursor), limit).await?;
        if !next.is_empty() {
            return Ok(next);
        }
        let end = read_stream(config, place, StreamStart::LastBlock, u16::MAX).await?;
        match end.last() {
            Some(last) if last.offset + 1 < cursor => {
                tracing::warn!(cluster = %config.name, vhost = %place.0, queue = %place.1,
                    "the stream ends before what was read of it: it was declared anew, and is read from \
                    its beginning");
                Ok(read_stream(config, place, StreamStart::First, limit).await?)
            }
            _ => Ok(next),
        }
    }
}
