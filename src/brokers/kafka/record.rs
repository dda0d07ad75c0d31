use bytes::BytesMut;
use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;

use super::headers;
use crate::domain::{Message, Offset, Partition, Timestamp, TopicName};

/// A consumed record with everything kept exactly.
#[derive(Clone, Debug)]
pub struct KafkaRecord {
    pub topic: TopicName,
    pub partition: Partition,
    pub offset: Offset,
    /// Create time or log append time, as the topic is configured.
    pub timestamp: Option<Timestamp>,
    /// The broker gave it that time.
    pub has_append_time: bool,
    pub message: Message,
}

impl KafkaRecord {
    /// Copies a record; `previous` came before it, most often from the same topic. The parts of its message
    /// share one allocation, which lasts as long as any of them.
    pub(super) fn copied(record: &BorrowedMessage<'_>, previous: Option<&Self>) -> Self {
        let topic = record.topic();
        let same = previous.filter(|previous| previous.topic.as_str() == topic);
        let headers = headers::Headers::of(record);
        let (key, body) = (record.key(), record.payload());
        let outside = key.map_or(0, <[u8]>::len) + body.map_or(0, <[u8]>::len);
        let mut bytes = BytesMut::with_capacity(outside + headers.bytes());
        let mut part = |part: &[u8]| {
            bytes.extend_from_slice(part);
            bytes.split().freeze()
        };
        Self {
            topic: same.map_or_else(|| topic.into(), |same| same.topic.clone()),
            partition: Partition(record.partition()),
            offset: Offset(record.offset()),
            timestamp: record.timestamp().to_millis().map(Timestamp),
            has_append_time: matches!(record.timestamp(), rdkafka::Timestamp::LogAppendTime(_)),
            message: Message {
                key: key.map(&mut part),
                body: body.map(&mut part),
                headers: headers.copied(&mut part),
                properties: None,
            },
        }
    }
}
