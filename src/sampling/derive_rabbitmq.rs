//! From two looks at a RabbitMQ cluster to rates and totals. Pure: the time is that of the sample.

use std::collections::{HashMap, HashSet};

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
    dead_lettered: HashMap<(String, String, String), CounterState>,
}

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
struct CounterState {
    last_seen: u64,
    last: u64,
    total: u64,
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
        self.dead_lettered
            .retain(|_, counter| lives(counter.last_seen));
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

    /// The counters since Redrive started. A series that was not there before begins at 0, as all do.
    fn dead_lettered(&mut self, counters: Vec<DeadLetteredCounter>) -> Vec<DeadLetteredCounter> {
        let key = |counter: &DeadLetteredCounter| {
            (
                counter.queue_type.clone(),
                counter.strategy.clone(),
                counter.reason.clone(),
            )
        };
        let mut seen = HashSet::new();
        counters
            .into_iter()
            .filter(|counter| seen.insert(key(counter)))
            .map(|counter| {
                let state = self.dead_lettered.entry(key(&counter));
                let state = state.or_insert(CounterState {
                    last_seen: self.samples,
                    last: counter.count,
                    total: 0,
                });
                state.last_seen = self.samples;
                let count = state.advance(counter.count);
                DeadLetteredCounter { count, ..counter }
            })
            .collect()
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

impl CounterState {
    fn advance(&mut self, now: u64) -> u64 {
        let delta = since_reset(self.last, now).unwrap_or(0);
        self.last = now;
        self.total = self.total.saturating_add(delta);
        self.total
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
mod tests {
    use super::*;
    use crate::domain::QueueType;

    fn queue(name: &str, counters: Option<QueueCounters>) -> QueueSample {
        QueueSample {
            vhost: "/".into(),
            queue: name.into(),
            queue_type: QueueType::Classic,
            durable: true,
            exclusive: false,
            auto_delete: false,
            dead_letter: None,
            message_ttl: None,
            expires: None,
            max_length: None,
            max_length_bytes: None,
            overflow: None,
            single_active_consumer: false,
            delivery_limit: None,
            messages: Some(1),
            ready: Some(1),
            unacked: Some(0),
            bytes: None,
            consumers: Some(1),
            counters,
        }
    }

    fn counters(published: u64, settled: u64, redelivered: u64) -> QueueCounters {
        QueueCounters {
            published,
            settled,
            redelivered,
            delivered: settled,
        }
    }

    fn derive(
        state: &mut RabbitMqState,
        seconds: i64,
        queues: Vec<QueueSample>,
        dead_lettered: &[(&str, u64)],
    ) -> RabbitMqDetail {
        let counter = |(reason, count): &(&str, u64)| DeadLetteredCounter {
            queue_type: "classic".to_owned(),
            strategy: "disabled".to_owned(),
            reason: (*reason).to_owned(),
            count: *count,
        };
        let sample = RabbitMqSample {
            counters_at: Timestamp::from_seconds(seconds),
            queues,
            dead_lettered: dead_lettered.iter().map(counter).collect(),
            ..RabbitMqSample::default()
        };
        state.derive(sample, &TopologyOverrides::default())
    }

    #[test]
    fn rates_come_from_counters_and_totals_begin_at_zero() {
        let mut state = RabbitMqState::default();
        let mut look = |seconds, now| {
            let detail = derive(&mut state, seconds, vec![queue("q", now)], &[]);
            (detail.queues[0].rates, detail.queues[0].totals)
        };
        let rates = |publish, settle, redeliver| QueueRates {
            publish: Some(publish),
            settle: Some(settle),
            redeliver: Some(redeliver),
        };
        let first = look(0, Some(counters(1000, 900, 3)));
        assert_eq!(first, (QueueRates::default(), counters(0, 0, 0)));
        let second = look(10, Some(counters(1050, 940, 4)));
        assert_eq!(second, (rates(5.0, 4.0, 0.1), counters(50, 40, 1)));
        let same_listing = look(10, Some(counters(1050, 940, 4)));
        assert_eq!(
            same_listing, second,
            "a listing that is used again is no pause"
        );
        let without_counters = look(20, None);
        assert_eq!(
            without_counters,
            (QueueRates::default(), counters(50, 40, 1))
        );
        let third = look(30, Some(counters(1070, 940, 4)));
        assert_eq!(third, (rates(1.0, 0.0, 0.0), counters(70, 40, 1)));
    }

    #[test]
    fn totals_do_not_fall_when_a_broker_restarts() {
        let mut state = RabbitMqState::default();
        let mut look = |seconds, now| {
            let detail = derive(&mut state, seconds, vec![queue("q", Some(now))], &[]);
            (
                detail.queues[0].rates.publish,
                detail.queues[0].totals.published,
            )
        };
        look(0, counters(1000, 0, 0));
        assert_eq!(look(10, counters(1100, 0, 0)), (Some(10.0), 100));
        assert_eq!(look(20, counters(30, 0, 0)), (None, 100));
        assert_eq!(look(30, counters(50, 0, 0)), (Some(2.0), 120));
    }

    #[test]
    fn discarded_messages_are_counted_since_redrive_started() {
        let mut state = RabbitMqState::default();
        let mut look = |seconds, counters: &[(&str, u64)]| -> Vec<u64> {
            let detail = derive(&mut state, seconds, Vec::new(), counters);
            detail
                .dead_lettered
                .iter()
                .map(|counter| counter.count)
                .collect()
        };
        assert_eq!(look(0, &[("rejected", 70)]), [0]);
        assert_eq!(look(10, &[("rejected", 75), ("expired", 9)]), [5, 0]);
        assert_eq!(look(20, &[("rejected", 2), ("expired", 10)]), [5, 1]);
        assert_eq!(look(30, &[("rejected", 3), ("rejected", 90)]), [6]);
    }

    #[test]
    fn a_queue_that_is_gone_is_forgotten_and_a_doubled_one_counts_once() {
        let mut state = RabbitMqState::default();
        let some = Some(counters(1, 1, 1));
        let doubled = vec![queue("q", some), queue("q", some)];
        assert_eq!(derive(&mut state, 0, doubled, &[]).queues.len(), 1);
        for look in 1..=10 {
            assert_eq!(state.queues.len(), 1, "after {look} looks");
            assert!(
                derive(&mut state, look * 10, Vec::new(), &[])
                    .queues
                    .is_empty()
            );
        }
        assert!(state.queues.is_empty());
    }

    #[test]
    fn what_is_missing_while_a_node_restarts_goes_on_where_it_was() {
        let mut state = RabbitMqState::default();
        let mut look = |seconds, published: Option<u64>, rejected: &[(&str, u64)]| {
            let queues = published.map(|published| queue("q", Some(counters(published, 0, 0))));
            let detail = derive(&mut state, seconds, queues.into_iter().collect(), rejected);
            (
                detail.queues.first().map(|queue| queue.totals.published),
                detail.dead_lettered.first().map(|counter| counter.count),
            )
        };
        look(0, Some(1000), &[("rejected", 70)]);
        let before = look(10, Some(1100), &[("rejected", 75)]);
        assert_eq!(before, (Some(100), Some(5)));
        assert_eq!(look(20, None, &[]), (None, None));
        let counters_began_anew = look(30, Some(3), &[("rejected", 1)]);
        assert_eq!(counters_began_anew, (Some(100), Some(5)));
        let after = look(40, Some(13), &[("rejected", 2)]);
        assert_eq!(after, (Some(110), Some(6)));
    }
}
