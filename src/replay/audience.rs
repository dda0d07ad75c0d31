//! Who will receive replays beside the consumer that failed. Pure, from the last snapshot.

use std::collections::{HashMap, HashSet};

use crate::domain::{
    ClusterSnapshot, ConsumerGroup, DeadLetterId, Destination, GroupMember, GroupStatus, QueueName,
    QueueSample, Snapshot, TopicName, reachable_queues,
};
use crate::store::ReplayCandidate;

use super::{Audience, PreflightEvent, Recipient};

/// Collects who will receive what, chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    known: Vec<(Audience, HashSet<ConsumerGroup>)>,
}

impl Audiences {
    /// Adds events that were judged, with the candidates that they came from.
    pub(super) fn add(&mut self, events: &[PreflightEvent], candidates: &[ReplayCandidate]) {
        let failed_groups: HashMap<DeadLetterId, &ConsumerGroup> = candidates
            .iter()
            .filter_map(|candidate| {
                let group = candidate.summary.consumer.as_ref()?;
                Some((candidate.summary.id, group))
            })
            .collect();
        for event in events {
            let Ok(destination) = &event.verdict else {
                continue;
            };
            let (audience, failed) = self.of(without_partition(destination.clone()));
            audience.events += 1;
            if let Some(group) = failed_groups.get(&event.dead_letter)
                && !failed.contains(*group)
            {
                failed.insert((*group).clone());
            }
        }
    }

    fn of(&mut self, destination: Destination) -> &mut (Audience, HashSet<ConsumerGroup>) {
        let known = self
            .known
            .iter()
            .position(|(audience, _)| audience.destination == destination);
        let index = known.unwrap_or_else(|| {
            self.known.push((empty(destination), HashSet::new()));
            self.known.len() - 1
        });
        &mut self.known[index]
    }

    /// One audience for each destination of the events that would be sent, those of most events first.
    pub(super) fn finish(self, snapshot: &Snapshot) -> Vec<Audience> {
        let mut audiences: Vec<Audience> = self
            .known
            .into_iter()
            .map(|(audience, failed)| with_recipients(audience, &failed, snapshot))
            .collect();
        audiences.sort_by_key(|audience| std::cmp::Reverse(audience.events));
        audiences
    }
}

fn without_partition(mut destination: Destination) -> Destination {
    if let Destination::Kafka { partition, .. } = &mut destination {
        *partition = None;
    }
    destination
}

const fn empty(destination: Destination) -> Audience {
    Audience {
        destination,
        events: 0,
        recipients: Vec::new(),
        known: false,
    }
}

fn with_recipients(
    audience: Audience,
    failed: &HashSet<ConsumerGroup>,
    snapshot: &Snapshot,
) -> Audience {
    let cluster = snapshot.cluster(audience.destination.cluster());
    let Some(cluster) = cluster.filter(|cluster| cluster.detail.is_some()) else {
        return audience;
    };
    let recipients = match &audience.destination {
        Destination::Kafka { topic, .. } => groups_of(cluster, topic, failed),
        Destination::RabbitMq { .. } => queues_of(cluster, &audience.destination),
    };
    Audience {
        recipients,
        known: true,
        ..audience
    }
}

/// Groups that have committed offsets on the topic, or members that are assigned to it.
fn groups_of(
    cluster: &ClusterSnapshot,
    topic: &TopicName,
    failed: &HashSet<ConsumerGroup>,
) -> Vec<Recipient> {
    let groups = cluster.kafka().into_iter().flat_map(|kafka| &kafka.groups);
    groups
        .filter(|group| reads(group, topic))
        .map(|status| Recipient::Group {
            group: status.group.clone(),
            members: status.member_count(),
            failed: failed.contains(&status.group),
        })
        .collect()
}

fn reads(group: &GroupStatus, topic: &TopicName) -> bool {
    let assigned = |member: &GroupMember| {
        member
            .assignment
            .iter()
            .any(|(assigned, _)| assigned == topic)
    };
    group.topics.iter().any(|status| status.topic == *topic) || group.members.iter().any(assigned)
}

fn queues_of(cluster: &ClusterSnapshot, destination: &Destination) -> Vec<Recipient> {
    let (
        Some(rabbitmq),
        Destination::RabbitMq {
            vhost,
            exchange,
            routing_key,
            ..
        },
    ) = (cluster.rabbitmq(), destination)
    else {
        return Vec::new();
    };
    let queues = rabbitmq.queues.iter().map(|status| &status.sample);
    let reached: Vec<QueueName> = if exchange.as_str().is_empty() {
        vec![routing_key.as_str().into()]
    } else {
        let samples: Vec<QueueSample> = queues.clone().cloned().collect();
        let (exchanges, bindings) = (&rabbitmq.exchanges, &rabbitmq.bindings);
        reachable_queues(&samples, exchanges, bindings, vhost, exchange, routing_key)
            .map_or_else(Vec::new, |(names, _)| names)
    };
    queues
        .filter(|sample| sample.vhost == *vhost && reached.contains(&sample.queue))
        .map(|sample| Recipient::Queue {
            queue: sample.queue.clone(),
            consumers: sample.consumers,
        })
        .collect()
}
