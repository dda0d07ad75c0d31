//! Integration tests against real brokers, in one binary because linking is what costs.
//!
//! `cargo xtask test` starts the brokers and says where they are in `REDRIVE_TEST_*`.

mod browser;
mod alerts;
mod kafka_clients;
mod kafka_wire;
mod metrics;
mod prometheus;
mod sampling;
mod support;
mod web;
