//! Kafka: the only place that names rdkafka and kafka-protocol.

pub mod wire;
