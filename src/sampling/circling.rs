//! Whether the messages of a work queue only go round through its retry queues.
//!
//! RabbitMQ counts a message that a consumer rejects without requeueing neither as acknowledged there, nor as
//! published or redelivered where it arrives and comes back (seen on 3.10.8): only deliveries grow. So a queue
//! circles while it delivers, takes back what it delivered, and settles nothing. That is not said before
//!
//! - ten readings of its counters, as for a consumer group, three of which saw new deliveries: the broker renews its
//!   statistics every 5 s and those of different queues at different moments, so one reading alone mixes times;
//! - three rounds of the cycle, each as long as the times to live on it: a message that fails once or twice
//!   before it succeeds is what a retry queue is for;
//! - a message was seen waiting in a retry queue: who gives messages back with `requeue` goes no round.
//!
//! One settled message, or counters that fell because the broker restarted, and the proof begins anew. It ends, too,
//! when nothing was delivered for two rounds and a minute.

use std::time::Duration;

use super::progress::WINDOW;
use crate::domain::Timestamp;

/// Rounds, readings that saw deliveries, and messages handed back.
const TIMES: u32 = 3;

/// The pause in which the statistics of every queue were renewed, whatever the interval.
const PAUSE: Duration = Duration::from_mins(1);

/// The rounds of one queue since a message of it was last settled.
#[derive(Debug, Default)]
pub(super) struct Rounds(Option<Streak>);

/// What one reading of the counters says, compared with the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) at: Timestamp,
    /// `None` if the counter fell.
    pub(super) delivered: Option<u64>,
    pub(super) settled: Option<u64>,
    pub(super) unacked: u64,
}

/// The way through the retry queues of one work queue, and what is on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// The times to live on it.
    pub(super) round: Duration,
    /// Messages that wait on it.
    pub(super) waiting: u64,
}

#[derive(Debug)]
struct Streak {
    since: Timestamp,
    last_delivery: Timestamp,
    readings: usize,
    readings_with_deliveries: u32,
    delivered: u64,
    unacked: u64,
    was_waiting: bool,
    round: Duration,
}

impl Rounds {
    /// Takes the next reading; `way` is `None` if dead letters of the queue do not come back to it.
    pub(super) fn observe(&mut self, reading: Reading, way: Option<Way>) {
        let progress = reading.delivered.zip(reading.settled);
        let (Some(way), Some((delivered, 0))) = (way, progress) else {
            self.0 = None;
            return;
        };
        if delivered > 0 || self.0.is_some() {
            let streak = self.0.get_or_insert_with(|| Streak::begin(reading.at));
            streak.observe(delivered, reading, way);
            if streak.is_over(reading.at) {
                self.0 = None;
            }
        }
    }

    /// Since when messages have been going round, and how many deliveries that were.
    pub(super) fn proven(&self) -> Option<(Timestamp, u64)> {
        let streak = self.0.as_ref()?;
        streak
            .is_proof()
            .then_some((streak.since, streak.delivered))
    }
}

impl Streak {
    const fn begin(at: Timestamp) -> Self {
        Self {
            since: at,
            last_delivery: at,
            readings: 0,
            readings_with_deliveries: 0,
            delivered: 0,
            unacked: 0,
            was_waiting: false,
            round: Duration::ZERO,
        }
    }

    fn observe(&mut self, delivered: u64, reading: Reading, way: Way) {
        self.readings += 1;
        if delivered > 0 {
            self.readings_with_deliveries += 1;
            self.last_delivery = reading.at;
        }
        self.delivered = self.delivered.saturating_add(delivered);
        self.unacked = reading.unacked;
        self.was_waiting |= way.waiting > 0;
        self.round = way.round;
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.last_delivery) > self.round.saturating_mul(2).saturating_add(PAUSE)
    }

    /// Measured to the last delivery: a pause proves nothing.
    fn is_proof(&self) -> bool {
        let lasted = self.last_delivery.since(self.since);
        let handed_back = self.delivered.saturating_sub(self.unacked);
        self.was_waiting
            && self.readings >= WINDOW
            && self.readings_with_deliveries >= TIMES
            && handed_back >= u64::from(TIMES)
            && lasted >= self.round.saturating_mul(TIMES)
    }
}

#[cfg(test)]
mod tests;
