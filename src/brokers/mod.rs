//! The clients of both brokers. Nothing outside names a client library.

pub mod kafka;
pub mod rabbitmq;
