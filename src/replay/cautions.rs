//! What people are told before they confirm a job with options (broker-facts B.2 and B.3). Pure, from the
//! last snapshot.

use std::collections::BTreeSet;

use crate::domain::{ClusterName, Destination, ReplayOptions, Snapshot};

use super::Audience;

/// Sentences without a full stop, for the options that are on.
pub(super) fn cautions(
    options: ReplayOptions,
    audiences: &[Audience],
    snapshot: &Snapshot,
) -> Vec<String> {
    if options == ReplayOptions::default() || audiences.is_empty() {
        return Vec::new();
    }
    let destinations = audiences.iter().map(|audience| &audience.destination);
    let rabbitmq = destinations.filter(|to| matches!(to, Destination::RabbitMq { .. }));
    let clusters: BTreeSet<&ClusterName> = rabbitmq.map(Destination::cluster).collect();
    if clusters.is_empty() {
        return vec!["The options are for RabbitMQ, and nothing goes there".to_owned()];
    }
    let mut cautions = Vec::new();
    if options.keep_x_death {
        let kept = clusters.iter().map(|name| x_death_is_kept(name, snapshot));
        cautions.extend(kept);
    }
    if options.restore_expiration {
        cautions.push(EXPIRATION.to_owned());
    }
    if options.keep_cc {
        cautions.push(CC.to_owned());
    }
    cautions
}

const EXPIRATION: &str = "Where the headers tell the original expiration it is set again: such a replay \
     can expire before it is consumed, and then dies again or is gone";

const CC: &str = "CC is kept: what the exchange routes by its keys gets a copy too, and is not listed here; a replay counts as \
     sent also where only those keys lead to a queue";

const IN_A_CYCLE: &str = "takes x-death for its own history and counts on in it; where that history has \
     automatic reasons only (expired, maxlen, delivery_limit), a replay that is to be dead-lettered into one \
     of its queues again is dropped silently";

fn x_death_is_kept(cluster: &ClusterName, snapshot: &Snapshot) -> String {
    let known = snapshot.cluster(cluster);
    let detail = known.and_then(|known| known.rabbitmq());
    let version = detail.map_or("", |detail| detail.version.as_str());
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    match major {
        Some(0..=3_u32) => format!("RabbitMQ {version} on {cluster} {IN_A_CYCLE}"),
        Some(_) => format!(
            "RabbitMQ {version} on {cluster} does not read x-death: it counts from 1 and replaces it at the \
             next death"
        ),
        None => format!("The version of {cluster} is not known: RabbitMQ up to 3.13 {IN_A_CYCLE}"),
    }
}

#[cfg(test)]
mod tests;
