//! The sample workload: an order system as the usual guides to event-driven communication draw it.
//!
//! ```text
//! order service ──► Kafka orders ──► payment-consumers ──► Kafka payments ──► analytics-consumers
//!       │                                  └─► orders.dlq            payments.dlq ◄─┘
//!       └─► RabbitMQ events ──► orders.queue ──► commands ──► shipping.queue
//!                     ▲             │   │    └─► notifications ──► email.queue
//!                     └─ retry.1..3 ┘   └─► events.dlx ──► orders.dlq
//! ```
//!
//! What is decided is pure and takes time and randomness as arguments: [`OrderGenerator`] plans orders
//! and what goes wrong with them, [`ValidOrder`] checks them, [`after_failure`] decides about retries.
//! Around it each service is a loop that survives an absent broker: it handles at least once, puts
//! what it cannot handle into a DLQ, and only then commits or acknowledges. [`run`] joins them.
//!
//! Another kind of failure is a variant of [`Fate`] that changes the order, and a
//! [`ProcessingError`] of the consumer that trips over it.

mod analytics;
mod backoff;
mod bystander;
mod event;
mod failure;
mod fulfilment;
mod gateway;
mod generator;
mod kafka_link;
mod names;
mod order_service;
mod outbox;
mod pace;
mod payments;
mod processed;
mod rabbitmq_link;
mod random;
mod retry;
#[cfg(test)]
mod schema_tests;
mod topology;
mod workload;

pub use event::{Event, Metadata, ORDER_CREATED_SCHEMA, OrderData, PaymentData, ValidOrder};
pub use failure::ProcessingError;
pub use gateway::{GatewayFile, GatewayFileError, GatewayState};
pub use generator::{Fate, OrderGenerator, PlannedOrder};
pub use names::Names;
pub use pace::SlowPhases;
pub use retry::{AfterFailure, after_failure};
pub use workload::{DemoError, WorkloadSettings, run};
