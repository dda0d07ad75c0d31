//! Redrive watches event-driven systems on Kafka and RabbitMQ and brings their dead letters back.
//!
//! `ARCHITECTURE.md` has the map; each module head explains its own design.

pub mod brokers;
pub mod config;
pub mod dialects;
pub mod domain;
pub mod lifecycle;
pub mod metrics;
pub mod sampling;
pub mod replay;
pub mod store;
pub mod web;
