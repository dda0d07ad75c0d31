//! Which dead letters can be replayed, whereto, in which order, and who will see it. Pure: from what
//! the store knows, the configuration, and the last snapshot.

use std::collections::HashMap;

use crate::config::Config;
use crate::domain::{
    ClusterDetail, ClusterName, ClusterSnapshot, DeadLetterId, DeadLetterStatus, Destination,
    ExchangeName, Offset, Partition, Position, QueueName, QueueSample, RabbitMqDetail,
    ReplayOptions, RevisionNumber, Snapshot, System, TopicName, VhostName,
};
use crate::store::ReplayCandidate;

use super::{DestinationChoice, PreflightEvent, Refusal, RefusalKind, ReplayRequest, Selection};

/// What a plan looks at beside the dead letters.
pub(super) struct PlanContext<'a> {
    pub(super) config: &'a Config,
    pub(super) snapshot: &'a Snapshot,
    pub(super) request: &'a ReplayRequest,
}

/// Brings candidates into the order in which they will be sent: as they lay in the topic of origin,
/// which keeps the order per key, else as they lie in the DLQ.
pub(super) fn sort_for_sending(candidates: &mut [ReplayCandidate]) {
    candidates.sort_by_cached_key(sending_order);
}

type SendingOrder = (
    ClusterName,
    Option<String>,
    Option<(Partition, Offset)>,
    Option<(Partition, Offset)>,
    DeadLetterId,
);

fn sending_order(candidate: &ReplayCandidate) -> SendingOrder {
    let origin = &candidate.origin;
    let summary = &candidate.summary;
    let in_dlq = match summary.position {
        Position::Kafka {
            partition, offset, ..
        } => Some((partition, offset)),
        Position::RabbitMq { .. } => None,
    };
    (
        summary.cluster.clone(),
        origin.destination.clone(),
        origin.partition.zip(origin.offset),
        in_dlq,
        summary.id,
    )
}

/// The place of an event in the order of sending, small enough to keep a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SendingPlace {
    /// A number for the cluster and the place of origin: which of them come first does not matter.
    source: u32,
    origin: Option<(Partition, Offset)>,
    in_dlq: Option<(Partition, Offset)>,
}

/// The same order as that of [`sort_for_sending`] within one place of origin.
pub(super) fn sending_place(
    candidate: &ReplayCandidate,
    sources: &mut HashMap<(ClusterName, Option<String>), u32>,
) -> SendingPlace {
    let (cluster, source, origin, in_dlq, _) = sending_order(candidate);
    let next = u32::try_from(sources.len()).unwrap_or(u32::MAX);
    SendingPlace {
        source: *sources.entry((cluster, source)).or_insert(next),
        origin,
        in_dlq,
    }
}

/// What is said of a dead letter that the store does not know.
pub(super) fn unknown(dead_letter: DeadLetterId) -> PreflightEvent {
    PreflightEvent {
        dead_letter,
        revision: RevisionNumber(0),
        replayed_before: false,
        verdict: refuse(RefusalKind::Gone, "there is no such dead letter"),
        warnings: Vec::new(),
    }
}

/// What would happen to each candidate.
pub(super) fn judge(candidate: &ReplayCandidate, context: &PlanContext<'_>) -> PreflightEvent {
    let mut warnings = Vec::new();
    let verdict = is_ready(candidate, &context.request.selection)
        .and_then(|()| destination_of(candidate, &context.request.destination))
        .and_then(|destination| keeps_cc(destination, context.request.options))
        .and_then(|destination| is_allowed(candidate, &destination, context).map(|()| destination))
        .and_then(|destination| exists(destination, candidate, context.snapshot, &mut warnings));
    if candidate.origin.guessed && context.request.destination == DestinationChoice::Original {
        let guess = "the headers do not tell where it came from; the destination is guessed by the \
                     name of the DLQ";
        warnings.push(guess.to_owned());
    }
    PreflightEvent {
        dead_letter: candidate.summary.id,
        revision: candidate.revision,
        replayed_before: candidate.replayed_before,
        verdict,
        warnings,
    }
}

fn refuse<T>(kind: RefusalKind, reason: impl Into<String>) -> Result<T, Refusal> {
    let reason = reason.into();
    Err(Refusal { kind, reason })
}

/// Whether the dead letter itself can be sent. The store checks the same again when it freezes the job.
fn is_ready(candidate: &ReplayCandidate, selection: &Selection) -> Result<(), Refusal> {
    let summary = &candidate.summary;
    match summary.status {
        DeadLetterStatus::Replaying => {
            return refuse(RefusalKind::Active, "a replay of it is still active");
        }
        DeadLetterStatus::Gone => return refuse(RefusalKind::Gone, "it has left its queue"),
        DeadLetterStatus::Discarded => {
            return refuse(RefusalKind::Gone, "it was discarded; restore it first");
        }
        DeadLetterStatus::Replayed if matches!(selection, Selection::Filter(_)) => {
            let reason = "it was replayed already; select it by itself to send it again";
            return refuse(RefusalKind::AlreadyReplayed, reason);
        }
        DeadLetterStatus::Open | DeadLetterStatus::Replayed => {}
    }
    if candidate.revision > summary.latest_revision {
        let reason = format!("it has no revision {}", candidate.revision);
        return refuse(RefusalKind::Incomplete, reason);
    }
    let is_original = candidate.revision.0 == 0;
    if let Some(omitted) = candidate.body_omitted.as_ref().filter(|_| is_original) {
        return refuse(RefusalKind::Incomplete, omitted);
    }
    if summary.lies_in_observed_queue() {
        return refuse(
            RefusalKind::StillInQueue,
            "it still lies in its queue, which Redrive only observes, so a replay would be a second \
             copy; take it into custody first, on its page or by POST /api/v1/dead-letters/{id}/take",
        );
    }
    Ok(())
}

fn destination_of(
    candidate: &ReplayCandidate,
    choice: &DestinationChoice,
) -> Result<Destination, Refusal> {
    Ok(match choice {
        DestinationChoice::Original => return origin_of(candidate),
        DestinationChoice::KafkaTopic { cluster, topic } => Destination::Kafka {
            cluster: cluster.clone(),
            topic: topic.clone(),
            partition: None,
        },
        DestinationChoice::Queue {
            cluster,
            vhost,
            queue,
        } => Destination::queue(cluster.clone(), vhost.clone(), queue),
        DestinationChoice::Exchange {
            cluster,
            vhost,
            exchange,
            routing_key,
        } => Destination::RabbitMq {
            cluster: cluster.clone(),
            vhost: vhost.clone(),
            exchange: exchange.clone(),
            routing_key: routing_key.clone(),
        },
    })
}

/// The default exchange takes each key for the name of a queue, which would get a stray copy.
fn keeps_cc(destination: Destination, options: ReplayOptions) -> Result<Destination, Refusal> {
    match &destination {
        Destination::RabbitMq { exchange, .. }
            if options.keep_cc && exchange.as_str().is_empty() =>
        {
            refuse(
                RefusalKind::NotAllowed,
                "CC is kept only to an exchange that is named: straight to a queue each of its keys would \
                 be the name of a queue that gets a copy; choose an exchange, or leave CC out",
            )
        }
        _ => Ok(destination),
    }
}

/// The topic with the original partition, or the queue in which it died.
fn origin_of(candidate: &ReplayCandidate) -> Result<Destination, Refusal> {
    let summary = &candidate.summary;
    let cluster = summary.cluster.clone();
    let Some(name) = candidate.origin.destination.as_deref() else {
        return refuse(
            RefusalKind::NoDestination,
            "its headers do not tell where it came from; choose a destination",
        );
    };
    Ok(match &summary.position {
        // A new key belongs to the partition that its hash gives, not to that of the old one.
        Position::Kafka { .. } => Destination::Kafka {
            cluster,
            topic: name.into(),
            partition: candidate.origin.partition.filter(|_| !candidate.key_edited),
        },
        Position::RabbitMq { vhost, .. } => {
            Destination::queue(cluster, vhost.clone(), &QueueName::from(name))
        }
    })
}

fn is_allowed(
    candidate: &ReplayCandidate,
    destination: &Destination,
    context: &PlanContext<'_>,
) -> Result<(), Refusal> {
    let from = candidate.summary.position.system();
    let to = match destination {
        Destination::Kafka { .. } => System::Kafka,
        Destination::RabbitMq { .. } => System::RabbitMq,
    };
    if from != to {
        return refuse(
            RefusalKind::NotAllowed,
            "a dead letter of one system cannot be replayed to the other, whose headers and keys mean \
             something else; choose a destination on its own system",
        );
    }
    let cluster = destination.cluster();
    match read_only(context.config, cluster, to) {
        Some(false) => Ok(()),
        Some(true) => refuse(
            RefusalKind::NotAllowed,
            format!("{cluster} is configured with read_only = true"),
        ),
        None => refuse(
            RefusalKind::NotAllowed,
            format!("no {to} named {cluster} is configured"),
        ),
    }
}

/// Whether the configuration forbids writes to a cluster; `None` if it has no such cluster.
fn read_only(config: &Config, cluster: &ClusterName, system: System) -> Option<bool> {
    match system {
        System::Kafka => {
            let found = config.kafka.iter().find(|kafka| kafka.name == *cluster);
            found.map(|kafka| kafka.read_only)
        }
        System::RabbitMq => {
            let found = config.rabbitmq.iter().find(|r| r.name == *cluster);
            found.map(|rabbitmq| rabbitmq.read_only)
        }
    }
}

/// Checks the destination against the last sample, if there is one. The engine looks again before it
/// sends; here it is for the person who is about to confirm.
fn exists(
    destination: Destination,
    candidate: &ReplayCandidate,
    snapshot: &Snapshot,
    warnings: &mut Vec<String>,
) -> Result<Destination, Refusal> {
    let name = destination.cluster();
    let fresh = snapshot.cluster(name).filter(|cluster| cluster.health.up);
    let Some(cluster) = fresh else {
        warnings.push(format!(
            "whether the destination exists could not be checked: {name} does not answer; the replay \
             is sent when it does"
        ));
        return Ok(destination);
    };
    match destination {
        Destination::Kafka {
            cluster: name,
            topic,
            partition,
        } => {
            let partition = partition_in(cluster, &topic, partition)?;
            if partition.is_none() && candidate.origin.partition.is_some() {
                warnings.push("the partition is chosen by the key".to_owned());
            }
            Ok(Destination::Kafka {
                cluster: name,
                topic,
                partition,
            })
        }
        Destination::RabbitMq { .. } => {
            queue_or_exchange_exists(cluster, &destination)?;
            Ok(destination)
        }
    }
}

/// The partition if the topic has it, else `None`, which means by key.
fn partition_in(
    cluster: &ClusterSnapshot,
    topic: &TopicName,
    partition: Option<Partition>,
) -> Result<Option<Partition>, Refusal> {
    let Some(detail) = cluster.kafka() else {
        return Ok(partition);
    };
    let Some(status) = detail.topic(topic) else {
        let reason = format!("topic {topic} does not exist on {}", cluster.name);
        return refuse(RefusalKind::NoDestination, reason);
    };
    if status.internal {
        let reason = format!("topic {topic} belongs to Kafka itself");
        return refuse(RefusalKind::NotAllowed, reason);
    }
    let has = |wanted: &Partition| status.partitions.iter().any(|p| p.partition == *wanted);
    Ok(partition.filter(has))
}

fn queue_or_exchange_exists(
    cluster: &ClusterSnapshot,
    destination: &Destination,
) -> Result<(), Refusal> {
    let Destination::RabbitMq {
        vhost,
        exchange,
        routing_key,
        ..
    } = destination
    else {
        return Ok(());
    };
    let Some(ClusterDetail::RabbitMq(detail)) = &cluster.detail else {
        return Ok(());
    };
    if exchange.as_str().is_empty() {
        let is_it =
            |sample: &QueueSample| sample.vhost == *vhost && sample.queue.as_str() == routing_key;
        if detail.queues.iter().any(|status| is_it(&status.sample)) {
            return Ok(());
        }
        let reason = format!("queue {routing_key} does not exist in virtual host {vhost}");
        return refuse(RefusalKind::NoDestination, reason);
    }
    exchange_exists(detail, vhost, exchange)
}

fn exchange_exists(
    detail: &RabbitMqDetail,
    vhost: &VhostName,
    exchange: &ExchangeName,
) -> Result<(), Refusal> {
    let known = detail
        .exchanges
        .iter()
        .any(|sample| sample.vhost == *vhost && sample.exchange == *exchange);
    if known {
        return Ok(());
    }
    let reason = format!("exchange {exchange} does not exist in virtual host {vhost}");
    refuse(RefusalKind::NoDestination, reason)
}

#[cfg(test)]
mod tests;
