//! Redrive watches event-driven systems on Kafka and RabbitMQ and brings their dead letters back.
//!
//! `ARCHITECTURE.md` has the map; each module head explains its own design.

pub mod alerts;
pub mod allocator;
pub mod app;
pub mod brokers;
pub mod cli;
pub mod config;
mod crash;
pub mod dead_letters;
pub mod demo;
pub mod dialects;
pub mod domain;
mod event_identity;
mod http_body;
pub mod lifecycle;
pub mod metrics;
pub mod notifications;
pub mod replay;
pub mod sampling;
pub mod sandbox;
pub mod schemas;
pub mod store;
pub mod traces;
pub mod web;

/// An error with its causes, for a log line or a page: "reading failed: connection refused".
pub(crate) fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
