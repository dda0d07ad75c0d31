//! What each RabbitMQ queue is for, found from the dead-letter edges between queues.
//!
//! The naive rule, "the target of a dead-letter exchange is a DLQ", would drain an application's own
//! queue, because a retry queue's dead letters go back to work. So the edges are classified first:
//! a DLQ is where the dead letters of a *work* queue certainly arrive and where nothing leads back.
//! In doubt a queue is work, because a work queue is never read without configuration. Doubt is: an
//! unknown number of consumers, a route that depends on what a message carries, a dead-letter loop.

mod retry_cycles;
mod routes;
#[cfg(test)]
mod tests;
mod topic_pattern;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{BindingSample, ClusterName, ExchangeSample, QueueName, QueueSample, VhostName};
use retry_cycles::way_back;
use routes::{DeadLetterRoutes, RoutingTable};
pub use routes::{MoreQueues, reachable_queues};

/// What a queue is for, found from the dead-letter edges between queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueRole {
    /// An application's own queue; never read without configuration.
    Work,
    /// Has a TTL, a dead-letter exchange and no consumers: messages wait here and go back to work.
    Retry,
    /// The dead-letter edge of a work queue routes here, and nobody consumes it.
    Dlq,
    /// Declared as such in the configuration: messages that people set aside.
    Parking,
}

impl QueueRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Retry => "retry",
            Self::Dlq => "dlq",
            Self::Parking => "parking",
        }
    }
}

/// A queue of one cluster.
pub type QueueKey = (VhostName, QueueName);

/// A queue of any cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePlace {
    pub cluster: ClusterName,
    pub vhost: VhostName,
    pub queue: QueueName,
}

/// What is known about queues beside the topology.
#[derive(Clone, Debug, Default)]
pub struct TopologyOverrides {
    /// Roles from the configuration; they win over everything. Whoever configures custody of a queue, or
    /// gives it into custody on its page, has said that it is a DLQ.
    pub roles: HashMap<QueueKey, QueueRole>,
    /// How many consumers Redrive itself has on a queue. They do not count: a DLQ that Redrive manages
    /// is still a DLQ.
    pub own_consumers: HashMap<QueueKey, u64>,
}

impl TopologyOverrides {
    fn foreign_consumers(&self, key: &QueueKey, consumers: Option<u64>) -> Option<u64> {
        let own = self.own_consumers.get(key).copied().unwrap_or(0);
        consumers.map(|all| all.saturating_sub(own))
    }
}

/// What the topology says about one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueTopology {
    pub vhost: VhostName,
    pub queue: QueueName,
    pub role: QueueRole,
    /// The queues that its dead letters certainly reach, in the order of their names.
    pub dead_letters_to: Vec<QueueName>,
    /// It has a dead-letter exchange, and no dead letter can arrive anywhere: the exchange is missing
    /// or its key matches no binding.
    pub unroutable: bool,
    /// The queues with a time to live through which its dead letters come back to it, in the order in which
    /// they pass them: a retry cycle. Empty if they do not come back by themselves.
    pub returns_through: Vec<QueueName>,
}

/// Classifies all queues of a cluster; the answer has the order of `queues`.
pub fn classify_queues(
    queues: &[QueueSample],
    exchanges: &[ExchangeSample],
    bindings: &[BindingSample],
    overrides: &TopologyOverrides,
) -> Vec<QueueTopology> {
    let routes = RoutingTable::new(queues, exchanges, bindings).dead_letter_routes(queues);
    let roles = Classifier::new(queues, &routes, overrides).roles();
    let name = |queue: usize| queues[queue].queue.clone();
    let topology = |(number, role): (usize, QueueRole)| QueueTopology {
        vhost: queues[number].vhost.clone(),
        queue: name(number),
        role,
        unroutable: routes[number].unroutable(),
        dead_letters_to: routes[number].names(queues),
        returns_through: way_back(number, queues, &routes)
            .into_iter()
            .map(name)
            .collect(),
    };
    roles.into_iter().enumerate().map(topology).collect()
}

/// Queues are numbered by their place in the sample.
struct Classifier<'a> {
    queues: &'a [QueueSample],
    routes: &'a [DeadLetterRoutes],
    keys: Vec<QueueKey>,
    overrides: &'a TopologyOverrides,
}

impl<'a> Classifier<'a> {
    fn new(
        queues: &'a [QueueSample],
        routes: &'a [DeadLetterRoutes],
        overrides: &'a TopologyOverrides,
    ) -> Self {
        let key = |queue: &QueueSample| (queue.vhost.clone(), queue.queue.clone());
        Self {
            queues,
            routes,
            keys: queues.iter().map(key).collect(),
            overrides,
        }
    }

    fn roles(&self) -> Vec<QueueRole> {
        let retry: Vec<bool> = self.numbers().map(|queue| self.is_retry(queue)).collect();
        let mut candidate = vec![false; self.queues.len()];
        for source in self.numbers().filter(|&source| !retry[source]) {
            for &target in self.routes[source].certain() {
                candidate[target] |= !self.may_be_a_return(source, target);
            }
        }
        for source in self.numbers().filter(|&source| retry[source]) {
            for &target in self.routes[source].certain() {
                candidate[target] = false;
            }
        }
        let looping = self.queues_in_loops();
        for queue in self.numbers() {
            candidate[queue] &= !retry[queue] && !looping[queue] && self.may_be_dlq(queue);
        }
        // A queue behind a DLQ is no DLQ: what made the first one overflow says nothing about it.
        let mut dlq = vec![false; self.queues.len()];
        for source in self.numbers().filter(|&source| !retry[source]) {
            if self.is_work_for_certain(source, &candidate) {
                for &target in self.routes[source].certain() {
                    dlq[target] |= candidate[target] && !self.may_be_a_return(source, target);
                }
            }
        }
        let role = |queue: usize| match self.configured(queue) {
            Some(role) => role,
            None if retry[queue] => QueueRole::Retry,
            None if dlq[queue] => QueueRole::Dlq,
            None => QueueRole::Work,
        };
        self.numbers().map(role).collect()
    }

    fn numbers(&self) -> std::ops::Range<usize> {
        0..self.queues.len()
    }

    fn configured(&self, queue: usize) -> Option<QueueRole> {
        self.overrides.roles.get(&self.keys[queue]).copied()
    }

    fn is_work_for_certain(&self, queue: usize, candidate: &[bool]) -> bool {
        self.configured(queue)
            .map_or(!candidate[queue], |role| role == QueueRole::Work)
    }

    /// Somebody looks into a retry queue, which makes it seem a work queue for a moment; the queue that
    /// it returns to has dead letters of its own.
    fn may_be_a_return(&self, source: usize, target: usize) -> bool {
        self.configured(source).is_none()
            && self.queues[source].message_ttl.is_some()
            && self.queues[target].dead_letter.is_some()
    }

    fn has_no_consumers(&self, queue: usize) -> bool {
        let consumers = self.queues[queue].consumers;
        self.overrides
            .foreign_consumers(&self.keys[queue], consumers)
            == Some(0)
    }

    fn is_retry(&self, queue: usize) -> bool {
        let sample = &self.queues[queue];
        match self.configured(queue) {
            Some(role) => role == QueueRole::Retry,
            None => {
                sample.message_ttl.is_some()
                    && sample.dead_letter.is_some()
                    && self.has_no_consumers(queue)
            }
        }
    }

    /// A queue whose own dead letters may go anywhere may be a waiting room with a TTL on each message.
    fn may_be_dlq(&self, queue: usize) -> bool {
        self.has_no_consumers(queue)
            && !self.queues[queue].exclusive
            && !self.routes[queue].depends_on_messages()
    }

    /// Queues whose dead letters come back to them, possibly through others.
    fn queues_in_loops(&self) -> Vec<bool> {
        // Kahn's algorithm in both directions: what remains lies on a loop or between two loops, and
        // for the latter there is doubt as well.
        let numbers: Vec<usize> = self.numbers().collect();
        let forwards: Vec<(usize, usize)> = numbers
            .iter()
            .flat_map(|&source| {
                self.routes[source]
                    .certain()
                    .iter()
                    .map(move |&t| (source, t))
            })
            .collect();
        let backwards: Vec<(usize, usize)> = forwards.iter().map(|&(s, t)| (t, s)).collect();
        let after_loops = not_sorted_topologically(numbers.len(), &forwards);
        let before_loops = not_sorted_topologically(numbers.len(), &backwards);
        numbers
            .iter()
            .map(|&queue| after_loops[queue] && before_loops[queue])
            .collect()
    }
}

/// Marks the nodes that lie on a loop or behind one.
fn not_sorted_topologically(nodes: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let mut successors: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut incoming = vec![0_usize; nodes];
    for &(source, target) in edges {
        successors.entry(source).or_default().push(target);
        incoming[target] += 1;
    }
    let mut ready: Vec<usize> = (0..nodes).filter(|&node| incoming[node] == 0).collect();
    let mut sorted: HashSet<usize> = HashSet::with_capacity(nodes);
    while let Some(node) = ready.pop() {
        sorted.insert(node);
        for &target in successors.get(&node).into_iter().flatten() {
            incoming[target] -= 1;
            if incoming[target] == 0 {
                ready.push(target);
            }
        }
    }
    (0..nodes).map(|node| !sorted.contains(&node)).collect()
}
