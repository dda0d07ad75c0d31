//! How an exchange routes a key, as far as bindings tell it without the message.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::topic_pattern::{is_literal, topic_matches};
use crate::domain::{
    BindingDestination, BindingSample, ExchangeName, ExchangeSample, QueueName, QueueSample,
    VhostName,
};

/// A queue's dead letters are followed to so many queues; what goes beyond is no DLQ.
const MAX_TARGETS: usize = 256;

/// The queues that a message published to `exchange` with `routing_key` reaches for certain, and
/// whether there may be more of them (a headers exchange, an exchange of a plugin). `None` if there is
/// no such exchange.
pub fn reachable_queues(
    queues: &[QueueSample],
    exchanges: &[ExchangeSample],
    bindings: &[BindingSample],
    vhost: &VhostName,
    exchange: &ExchangeName,
    routing_key: &str,
) -> Option<(Vec<QueueName>, MoreQueues)> {
    let table = RoutingTable::new(queues, exchanges, bindings);
    if !table.exchange_exists(vhost.as_str(), exchange.as_str()) {
        return None;
    }
    let mut walk = Walk::new(&table, vhost.as_str());
    walk.publish(exchange.as_str(), Key::Literal(routing_key));
    let more = if walk.depends_on_messages {
        MoreQueues::Possible
    } else {
        MoreQueues::None
    };
    let names = walk
        .certain
        .iter()
        .map(|&queue| queues[queue].queue.clone());
    Some((names.collect(), more))
}

/// Whether a message may reach more queues than can be said without its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoreQueues {
    None,
    Possible,
}

/// Where the dead letters of one queue go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeadLetterRoutes {
    has_exchange: bool,
    certain: BTreeSet<usize>,
    depends_on_messages: bool,
}

impl DeadLetterRoutes {
    pub(super) const fn certain(&self) -> &BTreeSet<usize> {
        &self.certain
    }

    pub(super) const fn depends_on_messages(&self) -> bool {
        self.depends_on_messages
    }

    pub(super) fn unroutable(&self) -> bool {
        self.has_exchange && self.certain.is_empty() && !self.depends_on_messages
    }

    pub(super) fn names(&self, queues: &[QueueSample]) -> Vec<QueueName> {
        let mut names: Vec<QueueName> = self
            .certain
            .iter()
            .map(|&queue| queues[queue].queue.clone())
            .collect();
        names.sort_unstable();
        names
    }
}

/// What is known about the routing key of a message.
#[derive(Clone, Copy)]
enum Key<'a> {
    Literal(&'a str),
    /// Some key that this topic pattern matches.
    Matching(&'a str),
    /// Any key.
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Certain,
    /// Depends on what the message carries.
    Possible,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Direct,
    Topic,
    Fanout,
    /// Headers, or a plugin's.
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "direct" => Self::Direct,
            "topic" => Self::Topic,
            "fanout" => Self::Fanout,
            _ => Self::Other,
        }
    }
}

struct Exchange<'a> {
    kind: Kind,
    alternate: Option<&'a str>,
    /// Bindings that only their own key matches, by that key.
    literal: HashMap<&'a str, Vec<&'a BindingDestination>>,
    /// All other bindings.
    patterns: Vec<(&'a str, &'a BindingDestination)>,
}

impl<'a> Exchange<'a> {
    fn new(sample: &'a ExchangeSample) -> Self {
        Self {
            kind: Kind::of(&sample.kind),
            alternate: sample.alternate_exchange.as_ref().map(ExchangeName::as_str),
            literal: HashMap::new(),
            patterns: Vec::new(),
        }
    }

    fn add(&mut self, binding: &'a BindingSample) {
        let key = binding.routing_key.as_str();
        let is_literal = match self.kind {
            Kind::Direct => true,
            Kind::Topic => is_literal(key),
            Kind::Fanout | Kind::Other => false,
        };
        if is_literal {
            self.literal
                .entry(key)
                .or_default()
                .push(&binding.destination);
        } else {
            self.patterns.push((key, &binding.destination));
        }
    }

    /// The destinations that a key reaches for certain, and whether it may reach others.
    fn destinations(&self, key: Key<'a>) -> (Vec<&'a BindingDestination>, bool) {
        let mut certain = Vec::new();
        let mut possible = false;
        match key {
            Key::Literal(key) => certain.extend(self.literal.get(key).into_iter().flatten()),
            Key::Matching(_) | Key::Unknown => possible = !self.literal.is_empty(),
        }
        for &(pattern, destination) in &self.patterns {
            match self.matches(pattern, key) {
                Match::Certain => certain.push(destination),
                Match::Possible => possible = true,
                Match::No => {}
            }
        }
        (certain, possible)
    }

    fn matches(&self, pattern: &str, key: Key<'_>) -> Match {
        match (self.kind, key) {
            (Kind::Fanout, _) => Match::Certain,
            (Kind::Direct | Kind::Topic, Key::Literal(key)) => {
                if topic_matches(pattern, key) {
                    Match::Certain
                } else {
                    Match::No
                }
            }
            (Kind::Direct | Kind::Topic, _) if pattern == "#" => Match::Certain,
            (Kind::Direct | Kind::Topic, Key::Matching(other)) if pattern == other => {
                Match::Certain
            }
            _ => Match::Possible,
        }
    }
}

/// The bindings of a cluster, ready to be asked.
pub(super) struct RoutingTable<'a> {
    queues: HashMap<(&'a str, &'a str), usize>,
    exchanges: HashMap<(&'a str, &'a str), Exchange<'a>>,
    /// The keys under which messages arrive in a queue.
    incoming: HashMap<(&'a str, &'a str), Vec<Key<'a>>>,
}

impl<'a> RoutingTable<'a> {
    pub(super) fn new(
        queues: &'a [QueueSample],
        exchanges: &'a [ExchangeSample],
        bindings: &'a [BindingSample],
    ) -> Self {
        let number = |(number, queue): (usize, &'a QueueSample)| {
            ((queue.vhost.as_str(), queue.queue.as_str()), number)
        };
        let exchange = |sample: &'a ExchangeSample| {
            let key = (sample.vhost.as_str(), sample.exchange.as_str());
            (key, Exchange::new(sample))
        };
        let mut table = Self {
            queues: queues.iter().enumerate().map(number).collect(),
            exchanges: exchanges.iter().map(exchange).collect(),
            incoming: HashMap::new(),
        };
        for binding in bindings {
            table.add(binding);
        }
        table
    }

    fn add(&mut self, binding: &'a BindingSample) {
        let vhost = binding.vhost.as_str();
        // The broker lists the default exchange's bindings too; its rule is in `Walk::publish`.
        if binding.exchange.as_str().is_empty() {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(&(vhost, binding.exchange.as_str())) else {
            return;
        };
        exchange.add(binding);
        let key = binding.routing_key.as_str();
        let incoming = match exchange.kind {
            Kind::Direct => Key::Literal(key),
            Kind::Topic if is_literal(key) => Key::Literal(key),
            Kind::Topic => Key::Matching(key),
            Kind::Fanout | Kind::Other => return,
        };
        if let BindingDestination::Queue(queue) = &binding.destination {
            self.incoming
                .entry((vhost, queue.as_str()))
                .or_default()
                .push(incoming);
        }
    }

    fn exchange_exists(&self, vhost: &str, exchange: &str) -> bool {
        exchange.is_empty() || self.exchanges.contains_key(&(vhost, exchange))
    }

    /// The routes of every queue, in the order of `queues`.
    pub(super) fn dead_letter_routes(&self, queues: &'a [QueueSample]) -> Vec<DeadLetterRoutes> {
        queues.iter().map(|queue| self.routes_of(queue)).collect()
    }

    fn routes_of(&self, queue: &'a QueueSample) -> DeadLetterRoutes {
        let Some(target) = &queue.dead_letter else {
            return DeadLetterRoutes::default();
        };
        let vhost = queue.vhost.as_str();
        let exchange = target.exchange.as_str();
        let mut walk = Walk::new(self, vhost);
        if let Some(key) = &target.routing_key {
            walk.publish(exchange, Key::Literal(key));
        } else {
            // Each message keeps its own key, of which only the bindings tell something.
            let incoming = self.incoming.get(&(vhost, queue.queue.as_str()));
            for &key in incoming.into_iter().flatten() {
                walk.publish(exchange, key);
            }
            walk.publish(exchange, Key::Unknown);
        }
        DeadLetterRoutes {
            has_exchange: true,
            certain: walk.certain,
            depends_on_messages: walk.depends_on_messages,
        }
    }
}

/// One walk from an exchange to queues.
struct Walk<'t, 'a> {
    table: &'t RoutingTable<'a>,
    vhost: &'a str,
    certain: BTreeSet<usize>,
    depends_on_messages: bool,
}

impl<'t, 'a> Walk<'t, 'a> {
    const fn new(table: &'t RoutingTable<'a>, vhost: &'a str) -> Self {
        Self {
            table,
            vhost,
            certain: BTreeSet::new(),
            depends_on_messages: false,
        }
    }

    fn publish(&mut self, exchange: &'a str, key: Key<'a>) {
        if exchange.is_empty() {
            match key {
                Key::Literal(name) => self.reach(name),
                Key::Matching(_) | Key::Unknown => self.depends_on_messages = true,
            }
            return;
        }
        // Exchanges may be bound in a circle; the broker visits each once too.
        let mut visited: HashSet<&str> = HashSet::from([exchange]);
        let mut waiting = vec![exchange];
        while let Some(name) = waiting.pop() {
            let Some(exchange) = self.table.exchanges.get(&(self.vhost, name)) else {
                continue;
            };
            let (certain, possible) = exchange.destinations(key);
            self.depends_on_messages |= possible;
            // The alternate exchange gets what matches no binding.
            let next = match exchange.alternate {
                Some(alternate) if certain.is_empty() && !possible => Some(alternate),
                Some(_) if certain.is_empty() => {
                    self.depends_on_messages = true;
                    None
                }
                _ => None,
            };
            for destination in certain {
                match destination {
                    BindingDestination::Queue(queue) => self.reach(queue.as_str()),
                    BindingDestination::Exchange(next) => {
                        if visited.insert(next.as_str()) {
                            waiting.push(next.as_str());
                        }
                    }
                }
            }
            waiting.extend(next.filter(|&next| visited.insert(next)));
        }
    }

    fn reach(&mut self, queue: &str) {
        if self.certain.len() < MAX_TARGETS {
            self.certain
                .extend(self.table.queues.get(&(self.vhost, queue)));
        }
    }
}
