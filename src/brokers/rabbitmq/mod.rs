//! Everything that talks to RabbitMQ; the only place that names lapin and the management API.
//!
//! - [`RabbitMqSampler`] reads one sample for the pages and metrics: queues and routing from the
//!   management API, depths from the prometheus plugin where it is configured.
//! - [`ManagementClient`] answers single questions before something is touched.
//! - [`amqp`] moves messages: it takes them into custody, looks at them and gives them back, and
//!   publishes replays.
//!
//! What a broker says is hostile: answers are bounded in size and time, and what cannot be understood
//! costs only itself.

mod access;
pub mod amqp;
mod effective;
mod error;
mod http;
mod management;
mod node_plugins;
mod plugin;
mod sampler;

use http::shortened;

pub use effective::BrokerVersion;
pub use error::RabbitMqError;
pub use management::{
    ManagementClient, Overview, QueueDetails, TapBinding, TapExchange, TapRouting,
    read_as_every_list,
};
pub use plugin::read_as_metrics;
pub use sampler::RabbitMqSampler;

const MANAGEMENT_KEY: &str = "rabbitmq.management_url";
const PROMETHEUS_KEY: &str = "rabbitmq.prometheus_url";

/// So many names are listed in a message; the rest are counted.
const NAMES: usize = 5;

fn listed(names: &[&str]) -> String {
    let first = names.iter().take(NAMES).map(|name| shortened(name));
    let first = first.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
