use bytes::Bytes;
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

impl From<&BorrowedMessage<'_>> for KafkaRecord {
    fn from(record: &BorrowedMessage<'_>) -> Self {
        Self {
            topic: record.topic().into(),
            partition: Partition(record.partition()),
            offset: Offset(record.offset()),
            timestamp: record.timestamp().to_millis().map(Timestamp),
            has_append_time: matches!(record.timestamp(), rdkafka::Timestamp::LogAppendTime(_)),
            message: Message {
                key: record.key().map(Bytes::copy_from_slice),
                body: record.payload().map(Bytes::copy_from_slice),
                headers: headers::read(record),
                properties: None,
            },
        }
    }
}
