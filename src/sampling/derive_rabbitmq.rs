//! From two looks at a RabbitMQ cluster to rates and totals. Pure: the time is that of the sample.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::circling::{Reading, Rounds, Way};
use super::derive_kafka::FORGOTTEN_AFTER_SAMPLES;
use crate::domain::{
    Circling, DeadLetteredCounter, QueueCounters, QueueKey, QueueName, QueueRates, QueueRole,
    QueueSample, QueueStatus, QueueTopology, RabbitMqDetail, RabbitMqSample, Timestamp,
    TopologyOverrides, classify_queues,
};

/// What is remembered from one sample to the next.
#[derive(Debug, Default)]
pub(super) struct RabbitMqState {
    samples: u64,
    queues: HashMap<QueueKey, QueueState>,
    /// The last count of each node.
    node_counters: HashMap<(String, DeadLetterSeries), LastCount>,
    dead_lettered: BTreeMap<DeadLetterSeries, Total>,
}

/// Queue type, strategy and reason.
type DeadLetterSeries = (String, String, String);

#[derive(Debug)]
struct QueueState {
    last_seen: u64,
    last: QueueCounters,
    at: Timestamp,
    rates: QueueRates,
    totals: QueueCounters,
    rounds: Rounds,
}

#[derive(Debug)]
struct LastCount {
    last_seen: u64,
    count: u64,
}

/// What was counted since Redrive started, on all nodes together. It never falls, whatever node goes.
#[derive(Debug, Default)]
struct Total {
    last_seen: u64,
    count: u64,
}

impl RabbitMqState {
    pub(super) fn derive(
        &mut self,
        mut sample: RabbitMqSample,
        overrides: &TopologyOverrides,
    ) -> RabbitMqDetail {
        self.samples += 1;
        let topology = classify_queues(
            &sample.queues,
            &sample.exchanges,
            &sample.bindings,
            overrides,
        );
        let counters_at = sample.counters_at;
        let queues = std::mem::take(&mut sample.queues);
        let ways = ways_back(&queues, &topology);
        let mut seen = HashSet::new();
        let queues: Vec<QueueStatus> = queues
            .into_iter()
            .zip(topology)
            .zip(ways)
            .filter(|((queue, _), _)| seen.insert((queue.vhost.clone(), queue.queue.clone())))
            .map(|((queue, topology), way)| self.queue(queue, topology, way, counters_at))
            .collect();
        let dead_lettered = self.dead_lettered(sample.dead_lettered);
        self.forget_what_is_gone();
        RabbitMqDetail {
            version: sample.version,
            queues,
            exchanges: sample.exchanges,
            bindings: sample.bindings,
            dead_lettered,
        }
    }

    /// A node that restarts does not name all its queues at once, and the plugin may not answer for a moment:
    /// forgetting them at once would take their counters back.
    fn forget_what_is_gone(&mut self) {
        let samples = self.samples;
        let lives = |last_seen: u64| samples - last_seen < FORGOTTEN_AFTER_SAMPLES;
        self.queues.retain(|_, queue| lives(queue.last_seen));
        self.node_counters
            .retain(|_, counter| lives(counter.last_seen));
        self.dead_lettered.retain(|_, total| lives(total.last_seen));
    }

    fn queue(
        &mut self,
        sample: QueueSample,
        topology: QueueTopology,
        way: Option<Way>,
        at: Timestamp,
    ) -> QueueStatus {
        let key = (sample.vhost.clone(), sample.queue.clone());
        let mut status = QueueStatus {
            sample,
            role: topology.role,
            dead_letters_to: topology.dead_letters_to,
            dead_letters_unroutable: topology.unroutable,
            circling: None,
            rates: QueueRates::default(),
            totals: QueueCounters::default(),
        };
        if let Some(counters) = status.sample.counters {
            let state = self
                .queues
                .entry(key)
                .or_insert_with(|| QueueState::begin(counters, at));
            state.last_seen = self.samples;
            state.advance(counters, at, status.sample.unacked.unwrap_or(0), way);
            status.rates = state.rates;
            status.totals = state.totals;
            if status.role == QueueRole::Work {
                status.circling = state.circling(topology.returns_through);
            }
        } else if let Some(state) = self.queues.get_mut(&key) {
            state.last_seen = self.samples;
            status.totals = state.totals;
        }
        status
    }

    /// The counters since Redrive started. One that was not there before begins at 0, as all do.
    fn dead_lettered(
        &mut self,
        nodes: BTreeMap<String, Vec<DeadLetteredCounter>>,
    ) -> Vec<DeadLetteredCounter> {
        let is_told = !nodes.is_empty();
        for (node, counters) in nodes {
            let mut seen = HashSet::new();
            for counter in counters {
                let series = (counter.queue_type, counter.strategy, counter.reason);
                if seen.insert(series.clone()) {
                    self.count_dead_letters(&node, series, counter.count);
                }
            }
        }
        let counter = |((queue_type, strategy, reason), total): (&DeadLetterSeries, &Total)| {
            DeadLetteredCounter {
                queue_type: queue_type.clone(),
                strategy: strategy.clone(),
                reason: reason.clone(),
                count: total.count,
            }
        };
        let told = self.dead_lettered.iter().filter(|_| is_told);
        told.map(counter).collect()
    }

    fn count_dead_letters(&mut self, node: &str, series: DeadLetterSeries, count: u64) {
        let key = (node.to_owned(), series.clone());
        let now = LastCount {
            last_seen: self.samples,
            count,
        };
        let before = self.node_counters.insert(key, now);
        let delta = before.and_then(|before| since_reset(before.count, count));
        let total = self.dead_lettered.entry(series).or_default();
        total.last_seen = self.samples;
        total.count = total.count.saturating_add(delta.unwrap_or(0));
    }
}

impl QueueState {
    fn begin(counters: QueueCounters, at: Timestamp) -> Self {
        Self {
            last_seen: 0,
            last: counters,
            at,
            rates: QueueRates::default(),
            totals: QueueCounters::default(),
            rounds: Rounds::default(),
        }
    }

    fn advance(&mut self, now: QueueCounters, at: Timestamp, unacked: u64, way: Option<Way>) {
        if at <= self.at {
            // The same listing as before: its rates still are what is known.
            return;
        }
        let seconds = at.since(self.at).as_secs_f64();
        let progress = |last: u64, now: u64, total: &mut u64| {
            let delta = since_reset(last, now)?;
            *total = total.saturating_add(delta);
            Some(delta)
        };
        let totals = &mut self.totals;
        let last = self.last;
        let published = progress(last.published, now.published, &mut totals.published);
        let settled = progress(last.settled, now.settled, &mut totals.settled);
        let redelivered = progress(last.redelivered, now.redelivered, &mut totals.redelivered);
        let delivered = progress(last.delivered, now.delivered, &mut totals.delivered);
        let rate = |delta: Option<u64>| delta.map(|delta| delta as f64 / seconds);
        self.rates = QueueRates {
            publish: rate(published),
            settle: rate(settled),
            redeliver: rate(redelivered),
        };
        let reading = Reading {
            at,
            delivered,
            settled,
            unacked,
        };
        self.rounds.observe(reading, way);
        self.last = now;
        self.at = at;
    }

    fn circling(&self, through: Vec<QueueName>) -> Option<Circling> {
        let (since, delivered) = self.rounds.proven()?;
        Some(Circling {
            since,
            delivered,
            through,
        })
    }
}

/// For each queue the way on which its dead letters come back to it, if there is one.
fn ways_back(queues: &[QueueSample], topology: &[QueueTopology]) -> Vec<Option<Way>> {
    let with_ttl = queues.iter().filter_map(|queue| {
        let waiting = queue.messages.unwrap_or(0);
        let round = queue.message_ttl?;
        Some(((&queue.vhost, &queue.queue), Way { round, waiting }))
    });
    let with_ttl: HashMap<_, Way> = with_ttl.collect();
    let way = |topology: &QueueTopology| {
        let queues = topology.returns_through.iter();
        let steps = queues.filter_map(|queue| with_ttl.get(&(&topology.vhost, queue)));
        steps.copied().reduce(|way, step| Way {
            round: way.round.saturating_add(step.round),
            waiting: way.waiting.saturating_add(step.waiting),
        })
    };
    topology.iter().map(way).collect()
}

/// How much a counter grew; nothing if it fell. It may be a sum over nodes or channels of which one
/// restarted, and then what is left of it is no growth: a few events are missed rather than invented.
fn since_reset(last: u64, now: u64) -> Option<u64> {
    now.checked_sub(last)
}

#[cfg(test)]
mod tests;
