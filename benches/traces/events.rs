//! Events of orders, five a trace, of 1 KiB: IDs in headers, and once more in a JSON body.

use std::time::Duration;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use redrive::config::KafkaConfig;
use redrive::domain::conventions::{CAUSATION_ID, CORRELATION_ID, EVENT_ID, EVENT_TYPE};
use uuid::Uuid;

pub(crate) const A_TRACE: u64 = 5;

const TYPES: [&str; 5] = [
    "OrderCreated",
    "PaymentTaken",
    "StockReserved",
    "ParcelSent",
    "OrderMailed",
];

/// Of key, headers and body.
const BYTES: usize = 1024;

pub(crate) struct Producer(ThreadedProducer<DefaultProducerContext>);

/// The correlation ID of the trace with that number.
pub(crate) fn correlation_id(trace: u64) -> String {
    uuid(trace, 1)
}

fn uuid(number: u64, which: u64) -> String {
    let seed = number.wrapping_mul(2).wrapping_add(which);
    Uuid::from_u128(Rng::with_seed(!seed).u128(..)).to_string()
}

impl Producer {
    pub(crate) fn new(config: &KafkaConfig) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", config.bootstrap_servers.join(","))
            .set("linger.ms", "5")
            .set("queue.buffering.max.kbytes", "65536")
            .create()?;
        Ok(Self(producer))
    }

    /// Sends the event with that number; each is caused by the one before in its trace.
    pub(crate) fn send(&self, topic: &str, number: u64) -> Result<()> {
        let (trace, step) = (number / A_TRACE, number % A_TRACE);
        let correlation_id = correlation_id(trace);
        let event_id = uuid(number, 0);
        let cause = (step > 0).then(|| uuid(number - 1, 0));
        let kind = TYPES[usize::try_from(step)? % TYPES.len()];
        let mut headers = vec![
            (CORRELATION_ID, correlation_id.as_str()),
            (EVENT_ID, event_id.as_str()),
            (EVENT_TYPE, kind),
        ];
        if let Some(cause) = &cause {
            headers.push((CAUSATION_ID, cause));
        }
        let in_headers: usize = headers
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let aggregate_id = format!("ord-{trace}");
        let body = body(&aggregate_id, &event_id, BYTES.saturating_sub(in_headers));
        self.send_record(topic, &aggregate_id, &headers, &body)
    }

    /// Sends an event that has a correlation ID and nothing else.
    pub(crate) fn send_probe(&self, topic: &str, correlation_id: &str) -> Result<()> {
        self.send_record(
            topic,
            correlation_id,
            &[(CORRELATION_ID, correlation_id)],
            "{}",
        )
    }

    fn send_record(
        &self,
        topic: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<()> {
        let mut owned = OwnedHeaders::new_with_capacity(headers.len());
        for (key, value) in headers {
            owned = owned.insert(Header {
                key,
                value: Some(*value),
            });
        }
        let mut record = BaseRecord::to(topic).key(key).payload(body).headers(owned);
        while let Err((error, refused)) = self.0.send(record) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    std::thread::sleep(Duration::from_millis(5));
                    record = refused;
                }
                error => return Err(error).context("cannot fill the topic"),
            }
        }
        Ok(())
    }

    pub(crate) fn flush(&self) -> Result<()> {
        Ok(self.0.flush(Duration::from_mins(2))?)
    }
}

fn body(aggregate_id: &str, event_id: &str, bytes: usize) -> String {
    let body = |note: &str| {
        serde_json::json!({
            "eventId": event_id,
            "aggregateId": aggregate_id,
            "version": 1,
            "data": { "customerId": "cus-1", "totalAmount": 12.5, "note": note },
            "metadata": { "source": "shop", "currency": "EUR" },
        })
        .to_string()
    };
    let bare = body("").len();
    body(&"n".repeat(bytes.saturating_sub(bare)))
}
