//! Dead letters as the sample workload's consumers write them, about 1 KiB each, the same on every run.

use bytes::Bytes;
use fastrand::Rng;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use std::time::Duration;

use anyhow::{Context as _, Result};
use redrive::config::KafkaConfig;
use redrive::domain::{Timestamp, TopicName, conventions};
use uuid::Uuid;

/// Changes with what is generated, so that a store of other letters is not taken for one of these.
pub(crate) const VERSION: u32 = 1;
/// Of a hundred: a failure that has most of the letters.
const TIMEOUTS_PERCENT: u64 = 60;
/// One in so many carries [`RARE_WORD`].
const RARE_EVERY: u64 = 100_000;
pub(crate) const RARE_WORD: &str = "quokka";
const CUSTOMERS: u64 = 20_000;
const TENANTS: u64 = 50;
/// 2026-11-01.
const FIRST_DEATH_MS: i64 = 1_793_491_200_000;

/// One record of a DLQ topic.
pub(crate) struct Letter {
    key: String,
    body: Bytes,
    headers: Vec<(&'static str, String)>,
}

/// What went wrong: class, message, package and first frame.
struct Failure {
    class: &'static str,
    message: String,
    frame: &'static str,
}

/// The letter with that number.
pub(crate) fn letter(number: u64) -> Letter {
    let order = format!("ord-{number}");
    let body = body(&order, number);
    let failure = failure(number);
    let died = FIRST_DEATH_MS + i64::try_from(number).unwrap_or(0) * 1000;
    let at = Timestamp(died);
    let headers = vec![
        (conventions::EVENT_ID, event_id(number)),
        (conventions::EVENT_TYPE, "OrderCreated".to_owned()),
        (conventions::CORRELATION_ID, uuid(number, 1)),
        ("tenant", format!("tenant-{}", number % TENANTS)),
        (conventions::ERROR_CLASS, failure.class.to_owned()),
        (conventions::ERROR_MESSAGE, failure.message.clone()),
        (
            conventions::ERROR_STACKTRACE,
            format!(
                "com.example.orders.{}: {}\n\tat com.example.orders.{}\n",
                failure.class, failure.message, failure.frame
            ),
        ),
        (conventions::ORIGINAL_TOPIC, "orders".to_owned()),
        (conventions::ORIGINAL_PARTITION, (number % 4).to_string()),
        (conventions::ORIGINAL_OFFSET, (number / 4).to_string()),
        (conventions::CONSUMER_GROUP, "order-service".to_owned()),
        (conventions::FAILED_AT, at.to_rfc3339()),
        (conventions::ATTEMPTS, "3".to_owned()),
    ];
    Letter {
        key: order,
        body,
        headers,
    }
}

/// The event ID of the letter with that number.
pub(crate) fn event_id(number: u64) -> String {
    uuid(number, 0)
}

/// The customer of the letter with that number.
pub(crate) fn customer(number: u64) -> String {
    format!("cus-{}", Rng::with_seed(number).u64(0..CUSTOMERS))
}

fn uuid(number: u64, which: u64) -> String {
    let seed = number.wrapping_mul(2).wrapping_add(which);
    Uuid::from_u128(Rng::with_seed(!seed).u128(..)).to_string()
}

fn body(order: &str, number: u64) -> Bytes {
    let mut random = Rng::with_seed(number.wrapping_add(7));
    let note = if number % RARE_EVERY == RARE_EVERY / 2 {
        RARE_WORD
    } else {
        "none"
    };
    let items: Vec<_> = (0..2)
        .map(|_| {
            serde_json::json!({
                "sku": format!("SKU-{}", random.u32(1000..9999)),
                "quantity": random.u32(1..9),
                "unitPrice": f64::from(random.u32(100..9999)) / 100.0,
            })
        })
        .collect();
    let body = serde_json::json!({
        "orderId": order,
        "customerId": customer(number),
        "version": 1,
        "items": items,
        "totalAmount": f64::from(random.u32(100..99999)) / 100.0,
        "note": note,
        "metadata": { "source": "shop", "currency": "EUR", "paymentProvider": "acme-pay" },
    });
    Bytes::from(body.to_string())
}

fn failure(number: u64) -> Failure {
    if number % 100 < TIMEOUTS_PERCENT {
        return Failure {
            class: "PaymentGatewayTimeoutException",
            message: format!(
                "payment gateway did not answer within {} ms",
                1000 + number % 7
            ),
            frame: "GatewayClient.charge(GatewayClient.java:88)",
        };
    }
    if number % 100 < 99 {
        return Failure {
            class: "ValidationException",
            message: format!("field data.items[{}] is required", number % 3),
            frame: "OrderValidator.validate(OrderValidator.java:27)",
        };
    }
    // Small failure groups: what a search within a group is asked for.
    Failure {
        class: FEW[usize::try_from(number / 100).unwrap_or(0) % FEW.len()],
        message: "the warehouse refused the order".to_owned(),
        frame: "Warehouse.reserve(Warehouse.java:12)",
    }
}

const FEW: [&str; 4] = [
    "StockException",
    "AddressException",
    "CarrierException",
    "CustomsException",
];

/// Fills a topic. librdkafka batches, so that the broker is the limit.
pub(crate) fn produce(config: &KafkaConfig, topic: &TopicName, count: u64) -> Result<()> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .set("linger.ms", "50")
        .set("queue.buffering.max.kbytes", "65536")
        .create()?;
    for number in 0..count {
        let letter = letter(number);
        let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len());
        for (key, value) in &letter.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let mut record = BaseRecord::to(topic.as_str())
            .key(&letter.key)
            .payload(letter.body.as_ref())
            .headers(headers);
        while let Err((error, refused)) = producer.send(record) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    std::thread::sleep(Duration::from_millis(10));
                    record = refused;
                }
                error => return Err(error).context("cannot fill the topic"),
            }
        }
    }
    Ok(producer.flush(Duration::from_mins(2))?)
}
