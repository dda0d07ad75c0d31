use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::error::KafkaError as KafkaClientError;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
    ThreadedProducer,
};
use rdkafka::types::RDKafkaErrorCode;
use thiserror::Error;
use tokio::sync::oneshot;

use super::client_context::Context;
use super::{KafkaError, client_config, headers};
use crate::config::KafkaConfig;
use crate::domain::{Landing, Message, Offset, Partition, TopicName};

/// Why a record was not confirmed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// The broker or the client refused it: it is surely not in the log, and would be refused again.
    #[error("not sent: {reason}")]
    NotPersisted { reason: String },
    /// The client has no room for it now: it never left.
    #[error("not sent yet: {reason}")]
    NotTaken { reason: String },
    /// It may be in the log; only a scan can tell.
    #[error("perhaps sent: {reason}")]
    PossiblyPersisted { reason: String },
}

/// Sends records exactly as they are: idempotent, acknowledged by all in-sync replicas, to an explicit
/// partition, in the order of the calls. A record that is not delivered within the delivery timeout
/// fails; librdkafka looks about once a second.
pub struct ReplayProducer {
    producer: ThreadedProducer<Context>,
}

/// A delivery report that is still to come.
pub struct PendingDelivery {
    report: oneshot::Receiver<Result<Landing, SendError>>,
}

impl PendingDelivery {
    /// Waits for the broker's answer, which comes within the delivery timeout and about a second.
    pub async fn wait(self) -> Result<Landing, SendError> {
        self.report.await.unwrap_or_else(|_| {
            let reason = "the Kafka client was stopped before it knew".to_owned();
            Err(SendError::PossiblyPersisted { reason })
        })
    }
}

/// How records are packed. A broker accepts or refuses a batch whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    Together,
    /// No record suffers for another.
    OneByOne,
}

impl Batching {
    const fn records_of_a_batch(self) -> &'static str {
        match self {
            Self::Together => "10000",
            Self::OneByOne => "1",
        }
    }
}

impl ReplayProducer {
    /// One that packs no two records together.
    pub fn new(config: &KafkaConfig, delivery_timeout: Duration) -> Result<Self, KafkaError> {
        Self::with_batching(config, delivery_timeout, Batching::OneByOne)
    }

    pub fn with_batching(
        config: &KafkaConfig,
        delivery_timeout: Duration,
        batching: Batching,
    ) -> Result<Self, KafkaError> {
        let timeout = delivery_timeout.as_millis().to_string();
        let mut client = client_config(config);
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", &timeout)
            .set("request.timeout.ms", &timeout)
            // A second request in flight may fail for the first and change the producer's epoch, with
            // which the broker no longer knows a retry.
            .set("max.in.flight", "1")
            .set("linger.ms", "2")
            .set("batch.num.messages", batching.records_of_a_batch())
            .set("queue.buffering.max.messages", "10000")
            .set("queue.buffering.max.kbytes", "65536")
            // A larger record is the broker's to refuse, with its own limit in the message.
            .set("message.max.bytes", "104857600")
            .set("partitioner", "murmur2_random");
        let producer = client
            .create_with_context(Context::new(config))
            .map_err(KafkaError::Client)?;
        Ok(Self { producer })
    }

    /// Hands a record to the client. Records of one partition arrive in the order of these calls.
    pub fn enqueue(
        &self,
        topic: &TopicName,
        partition: Partition,
        message: &Message,
    ) -> Result<PendingDelivery, SendError> {
        let refused = |reason: String| SendError::NotPersisted { reason };
        let headers =
            headers::write(&message.headers).map_err(|error| refused(error.to_string()))?;
        let (sender, report) = oneshot::channel();
        let mut record =
            BaseRecord::<[u8], [u8], _>::with_opaque_to(topic.as_str(), Box::new(sender))
                .partition(partition.0)
                .headers(headers);
        record.key = message.key.as_deref();
        record.payload = message.body.as_deref();
        self.producer.send(record).map_err(|(error, _)| {
            let reason = error.to_string();
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => SendError::NotTaken { reason },
                _ => SendError::NotPersisted { reason },
            }
        })?;
        Ok(PendingDelivery { report })
    }

    /// Sends one record and waits for the broker.
    pub async fn send(
        &self,
        topic: &TopicName,
        partition: Partition,
        message: &Message,
    ) -> Result<Landing, SendError> {
        self.enqueue(topic, partition, message)?.wait().await
    }

    /// Records that wait for their delivery report.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }
}

/// Whether the broker, or what it says of its topics, refused a record for good.
///
/// A timeout proves nothing: librdkafka 2.12 was seen to call records "not persisted" that timed out and that
/// the log held. Its source gives cases (`rd_kafka_err_action`: `_DESTROY_BROKER` and
/// `NOT_LEADER_FOR_PARTITION` count as not persisted though the request was sent).
fn is_refusal(error: &KafkaClientError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| {
        let is_from_broker = code as i32 > 0;
        is_from_broker
            || matches!(
                code,
                RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition
            )
    })
}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = Box<oneshot::Sender<Result<Landing, SendError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: Self::DeliveryOpaque) {
        let report = match result {
            Ok(message) => Ok(Landing {
                partition: Partition(message.partition()),
                offset: Offset(message.offset()),
            }),
            Err((error, message)) => {
                let reason = error.to_string();
                Err(if headers::is_not_persisted(message) && is_refusal(error) {
                    SendError::NotPersisted { reason }
                } else {
                    SendError::PossiblyPersisted { reason }
                })
            }
        };
        // Nobody waits any more when the sender of the record was dropped.
        let _ = sender.send(report);
    }
}
