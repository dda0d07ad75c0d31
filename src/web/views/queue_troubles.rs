//! What is wrong with a queue, in a sentence that says what to do.

use crate::domain::{
    BindingDestination, BindingSample, Circling, ClusterSnapshot, DeadLetterTarget, ExchangeSample,
    QueueName, QueueStatus, Timestamp,
};
use crate::web::markup;

/// So many bindings are named; the rest are counted.
const BINDINGS: usize = 5;

/// So many queues of a way are named.
const STEPS: usize = 5;

/// The sentences for one queue; empty if nothing is known to be wrong.
pub(super) fn troubles(
    cluster: &ClusterSnapshot,
    queue: &QueueStatus,
    now: Timestamp,
) -> Vec<String> {
    let circling = queue.circling.as_ref();
    let circling = circling.map(|circling| circles(queue, circling, now));
    let target = queue.sample.dead_letter.as_ref();
    let vanish = target.filter(|_| queue.dead_letters_unroutable);
    let vanish = vanish.map(|target| vanishing(cluster, queue, target));
    circling.into_iter().chain(vanish).collect()
}

pub(super) fn circles(queue: &QueueStatus, circling: &Circling, now: Timestamp) -> String {
    let queue = queue.sample.queue.as_str();
    let through = circling.through.iter().map(QueueName::as_str);
    let mut through: Vec<&str> = through.take(STEPS + 1).collect();
    if let Some(left_out) = through.get_mut(STEPS) {
        *left_out = "…";
    }
    format!(
        "{queue} circles: its consumers reject what they get, and it comes back by {} → {queue}. None of {} in \
         {} was settled. The consumers' log says why they reject; let them put a message aside after some \
         rounds, which x-death counts.",
        through.join(" → "),
        markup::counted(circling.delivered, "delivery", "deliveries"),
        markup::duration(now.since(circling.since)),
    )
}

fn vanishing(cluster: &ClusterSnapshot, queue: &QueueStatus, target: &DeadLetterTarget) -> String {
    let exchange = target.exchange.as_str();
    let Some(detail) = cluster.rabbitmq().filter(|_| !exchange.is_empty()) else {
        let key = target.routing_key.as_deref().unwrap_or("");
        return format!(
            "Its dead letters vanish: there is no queue {key}, to which the default exchange would route them. \
             Create it, or correct the dead-letter routing key."
        );
    };
    let vhost = &queue.sample.vhost;
    let is_there =
        |other: &ExchangeSample| other.vhost == *vhost && other.exchange == target.exchange;
    if !detail.exchanges.iter().any(is_there) {
        return format!(
            "Its dead letters vanish: the dead-letter exchange {exchange} does not exist in virtual host {vhost}. \
             Create it and bind a queue to it."
        );
    }
    let from_exchange =
        |binding: &&BindingSample| binding.vhost == *vhost && binding.exchange == target.exchange;
    let bindings = detail.bindings.iter().filter(from_exchange);
    let key = match &target.routing_key {
        Some(key) => format!("the key {key}"),
        None => "the keys of its messages".to_owned(),
    };
    format!(
        "Its dead letters vanish: no binding of the dead-letter exchange {exchange} matches {key}; {}. Bind a queue \
         with that key, or correct the key.",
        listed(&bindings.collect::<Vec<_>>())
    )
}

fn listed(bindings: &[&BindingSample]) -> String {
    if bindings.is_empty() {
        return "it has no binding".to_owned();
    }
    let written = |binding: &&BindingSample| match &binding.destination {
        BindingDestination::Queue(queue) => format!("{} → {queue}", binding.routing_key),
        BindingDestination::Exchange(exchange) => {
            format!("{} → exchange {exchange}", binding.routing_key)
        }
    };
    let named: Vec<String> = bindings.iter().take(BINDINGS).map(written).collect();
    let more = match bindings.len().saturating_sub(BINDINGS) {
        0 => String::new(),
        more => format!(" and {} more", markup::thousands(more as u64)),
    };
    format!("it has {}{more}", named.join(", "))
}
