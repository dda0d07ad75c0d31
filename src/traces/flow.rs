//! Where events flow: services, topics, exchanges, queues, consumer groups and DLQs, as they were observed.
//!
//! Who publishes where and because of what is counted from traced events, what consumers do and which bindings
//! exist is sampled, and deaths are counted from the store. Nothing is drawn that was not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::{
    BindingDestination, CausedFlow, Channel, ClusterName, ClusterSnapshot, ConsumerGroup, DeadFlow,
    ExchangeName, GroupStatus, KafkaDetail, ObservedFlows, PublishedFlow, QueueName, QueueRole,
    QueueStatus, RabbitMqDetail, Snapshot, System, Timestamp, VhostName,
};

/// A place where events come by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowNode {
    /// By the name that its events give.
    Service(String),
    Channel(Channel),
    Queue(ClusterName, VhostName, QueueName),
    Group(ClusterName, ConsumerGroup),
}

/// What an edge stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowKind {
    /// A service publishes to a topic or an exchange.
    Publishes,
    /// A binding.
    Routes,
    /// A consumer group reads a topic.
    Reads,
    /// A service publishes events that name one of the channel as their cause.
    Causes,
    /// What dies goes there.
    DeadLetters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FlowMeasure {
    /// Events per second; absent where nothing tells.
    pub rate: Option<f64>,
    /// Of the events that come this way so many die, between 0 and 1.
    pub error_share: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowEdge {
    /// Indices of nodes.
    pub from: usize,
    pub to: usize,
    pub kind: FlowKind,
    pub measure: FlowMeasure,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowGraph {
    pub nodes: Vec<FlowNode>,
    /// Nodes that hold dead letters.
    pub dlqs: BTreeSet<FlowNode>,
    pub edges: Vec<FlowEdge>,
}

/// What Redrive itself put there, which is nobody's flow.
#[derive(Clone, Debug)]
pub struct OwnNames {
    pub group: String,
}

/// The graph of all that was observed until `now`.
pub fn flow_graph(
    snapshot: &Snapshot,
    observed: &ObservedFlows,
    own: &OwnNames,
    now: Timestamp,
) -> FlowGraph {
    let mut drawing = Drawing {
        window: now.since(observed.since),
        seen: seen(observed),
        edges: BTreeMap::new(),
        dlqs: BTreeSet::new(),
        deaths: deaths(observed),
    };
    for cluster in &snapshot.clusters {
        if let Some(kafka) = cluster.kafka() {
            drawing.add_groups(cluster, kafka, own);
        }
        if let Some(rabbitmq) = cluster.rabbitmq() {
            drawing.add_queues(&cluster.name, rabbitmq);
        }
    }
    let published = observed.published.iter();
    published.for_each(|flow| drawing.add_published(flow));
    observed
        .caused
        .iter()
        .for_each(|flow| drawing.add_caused(flow));
    observed.dead.iter().for_each(|flow| drawing.add_dead(flow));
    drawing.into_graph()
}

fn seen(observed: &ObservedFlows) -> BTreeMap<Channel, u64> {
    let mut seen = BTreeMap::new();
    for flow in &observed.published {
        *seen.entry(flow.to.clone()).or_default() += flow.events;
    }
    seen
}

/// Dead letters by where they came from: a group and its topic, or a queue.
type Deaths = BTreeMap<(FlowNode, Option<String>), u64>;

fn deaths(observed: &ObservedFlows) -> Deaths {
    let mut deaths = Deaths::new();
    for flow in &observed.dead {
        if let Some(source) = source_of(flow) {
            let consumer = flow
                .consumer
                .clone()
                .filter(|_| flow.system == System::Kafka);
            *deaths.entry((source, consumer)).or_default() += flow.dead_letters;
        }
    }
    deaths
}

fn source_of(flow: &DeadFlow) -> Option<FlowNode> {
    let source = flow.source.as_deref()?;
    Some(match flow.system {
        System::Kafka => topic(&flow.cluster, source),
        System::RabbitMq => {
            FlowNode::Queue(flow.cluster.clone(), flow.vhost.clone(), source.into())
        }
    })
}

fn topic(cluster: &ClusterName, topic: &str) -> FlowNode {
    FlowNode::Channel(Channel::Topic {
        cluster: cluster.clone(),
        topic: topic.into(),
    })
}

struct Drawing {
    window: Duration,
    /// Events that were seen to be published to each topic or exchange.
    seen: BTreeMap<Channel, u64>,
    edges: BTreeMap<(FlowNode, FlowNode, FlowKind), FlowMeasure>,
    dlqs: BTreeSet<FlowNode>,
    deaths: Deaths,
}

impl Drawing {
    fn add(&mut self, from: FlowNode, to: FlowNode, kind: FlowKind, measure: FlowMeasure) {
        self.edges.insert((from, to, kind), measure);
    }

    fn per_second(&self, events: u64) -> Option<f64> {
        let seconds = self.window.as_secs_f64();
        (seconds > 0.0).then(|| events as f64 / seconds)
    }

    fn add_groups(&mut self, cluster: &ClusterSnapshot, kafka: &KafkaDetail, own: &OwnNames) {
        for group in &kafka.groups {
            if group.group.as_str() != own.group {
                self.add_group(&cluster.name, group);
            }
        }
    }

    fn add_group(&mut self, cluster: &ClusterName, group: &GroupStatus) {
        let node = FlowNode::Group(cluster.clone(), group.group.clone());
        // The sampled rate is that of all its topics.
        let rate = group.consume_rate.filter(|_| group.topics.len() == 1);
        for read in &group.topics {
            let source = topic(cluster, read.topic.as_str());
            let consumer = Some(group.group.as_str().to_owned());
            let measure = FlowMeasure {
                rate,
                error_share: self.error_share(&(source.clone(), consumer), &source),
            };
            self.add(source, node.clone(), FlowKind::Reads, measure);
        }
    }

    /// Of the events that were published in the same time, where these are followed.
    fn error_share(&self, of: &(FlowNode, Option<String>), channel: &FlowNode) -> Option<f64> {
        let FlowNode::Channel(channel) = channel else {
            return None;
        };
        let seen = *self.seen.get(channel)?;
        let dead = self.deaths.get(of).copied().unwrap_or(0);
        (seen > 0).then(|| (dead as f64 / seen as f64).min(1.0))
    }

    fn add_queues(&mut self, cluster: &ClusterName, rabbitmq: &RabbitMqDetail) {
        let node = |vhost: &VhostName, queue: &QueueName| {
            FlowNode::Queue(cluster.clone(), vhost.clone(), queue.clone())
        };
        let queues: BTreeMap<(&VhostName, &QueueName), &QueueStatus> = rabbitmq
            .queues
            .iter()
            .map(|queue| ((&queue.sample.vhost, &queue.sample.queue), queue))
            .collect();
        let mut ways_in: BTreeMap<(&VhostName, &QueueName), usize> = BTreeMap::new();
        let mut ways_out: BTreeMap<(&VhostName, &ExchangeName), usize> = BTreeMap::new();
        for binding in &rabbitmq.bindings {
            *ways_out
                .entry((&binding.vhost, &binding.exchange))
                .or_default() += 1;
            if let BindingDestination::Queue(queue) = &binding.destination {
                *ways_in.entry((&binding.vhost, queue)).or_default() += 1;
            }
        }
        for binding in &rabbitmq.bindings {
            let exchange = |name| {
                FlowNode::Channel(Channel::Exchange {
                    cluster: cluster.clone(),
                    vhost: binding.vhost.clone(),
                    exchange: name,
                })
            };
            let from = exchange(binding.exchange.clone());
            let to = match &binding.destination {
                BindingDestination::Exchange(to) => {
                    self.add(
                        from,
                        exchange(to.clone()),
                        FlowKind::Routes,
                        FlowMeasure::default(),
                    );
                    continue;
                }
                BindingDestination::Queue(queue) => queue,
            };
            let key = (&binding.vhost, to);
            let Some(queue) = queues.get(&key) else {
                continue;
            };
            let to = node(&binding.vhost, to);
            let is_only_way = ways_in.get(&key) == Some(&1);
            let is_only_target = ways_out.get(&(&binding.vhost, &binding.exchange)) == Some(&1);
            let share = self.error_share(&(to.clone(), None), &from);
            let measure = FlowMeasure {
                rate: queue.rates.publish.filter(|_| is_only_way),
                error_share: share.filter(|_| is_only_way && is_only_target),
            };
            self.add(from, to, FlowKind::Routes, measure);
        }
        for queue in &rabbitmq.queues {
            let (vhost, name) = (&queue.sample.vhost, &queue.sample.queue);
            if matches!(queue.role, QueueRole::Dlq | QueueRole::Parking) {
                self.dlqs.insert(node(vhost, name));
            }
            for to in &queue.dead_letters_to {
                let ends = (node(vhost, name), node(vhost, to));
                self.add(
                    ends.0,
                    ends.1,
                    FlowKind::DeadLetters,
                    FlowMeasure::default(),
                );
            }
        }
    }

    fn add_published(&mut self, flow: &PublishedFlow) {
        let Some(source) = &flow.source else {
            return;
        };
        let rate = self.per_second(flow.events);
        let (from, to) = (
            FlowNode::Service(source.clone()),
            FlowNode::Channel(flow.to.clone()),
        );
        let error_share = None;
        self.add(
            from,
            to,
            FlowKind::Publishes,
            FlowMeasure { rate, error_share },
        );
    }

    fn add_caused(&mut self, flow: &CausedFlow) {
        let rate = self.per_second(flow.events);
        let (from, to) = (
            FlowNode::Channel(flow.cause.clone()),
            FlowNode::Service(flow.source.clone()),
        );
        let error_share = None;
        self.add(
            from,
            to,
            FlowKind::Causes,
            FlowMeasure { rate, error_share },
        );
    }

    /// From the consumer group that gave up, if it is known, and else from where the event came.
    fn add_dead(&mut self, flow: &DeadFlow) {
        let Some(source) = source_of(flow) else {
            return;
        };
        let consumer = flow
            .consumer
            .as_deref()
            .filter(|_| flow.system == System::Kafka);
        let group = consumer.map(|group| FlowNode::Group(flow.cluster.clone(), group.into()));
        let reads = |group: &FlowNode| {
            let key = (source.clone(), group.clone(), FlowKind::Reads);
            self.edges.contains_key(&key)
        };
        let from = group.filter(reads).unwrap_or_else(|| source.clone());
        let dlq = match flow.system {
            System::Kafka => topic(&flow.cluster, &flow.dlq),
            System::RabbitMq => {
                let queue = flow.dlq.as_str().into();
                FlowNode::Queue(flow.cluster.clone(), flow.vhost.clone(), queue)
            }
        };
        self.dlqs.insert(dlq.clone());
        let rate = self.per_second(flow.dead_letters);
        let measure = self
            .edges
            .entry((from, dlq, FlowKind::DeadLetters))
            .or_default();
        measure.rate = match (measure.rate, rate) {
            (Some(before), Some(rate)) => Some(before + rate),
            (before, rate) => before.or(rate),
        };
    }

    fn into_graph(self) -> FlowGraph {
        let ends = self.edges.keys().flat_map(|(from, to, _)| [from, to]);
        let nodes: BTreeSet<FlowNode> = ends.chain(&self.dlqs).cloned().collect();
        let nodes: Vec<FlowNode> = nodes.into_iter().collect();
        let index = |node: &FlowNode| nodes.binary_search(node).unwrap_or_default();
        let edge =
            |((from, to, kind), measure): (&(FlowNode, FlowNode, FlowKind), &FlowMeasure)| {
                FlowEdge {
                    from: index(from),
                    to: index(to),
                    kind: *kind,
                    measure: *measure,
                }
            };
        FlowGraph {
            edges: self.edges.iter().map(edge).collect(),
            dlqs: self.dlqs,
            nodes,
        }
    }
}

#[cfg(test)]
mod tests;
