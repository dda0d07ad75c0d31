//! RabbitMQ: the only place that names lapin and the management API.
//!
//! [`amqp`] moves messages: it takes them into custody, looks at them and gives them back, and
//! publishes replays.

pub mod amqp;
