use std::time::{Duration, Instant};

use super::backlog::{QueueLimits, Reading};
use crate::brokers::rabbitmq::amqp::TakenMessage;
use crate::domain::Timestamp;

/// How often the queue is counted while messages come.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Messages on their way to us at most: two batches.
const WIDEST_PREFETCH: u16 = 400;

/// What these may take of the memory, by the largest that came lately.
const MOST_HELD_BYTES: u64 = 64 * 1024 * 1024;

/// How long no large message has come when more are asked for again.
const WIDER_AFTER: Duration = Duration::from_secs(10);

/// What came since the queue was counted.
pub(super) struct TakenSince {
    since: Instant,
    messages: u64,
    bytes: u64,
}

impl Default for TakenSince {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            messages: 0,
            bytes: 0,
        }
    }
}

impl TakenSince {
    pub(super) fn add(&mut self, batch: &[TakenMessage]) {
        let body = |taken: &TakenMessage| taken.message.body.as_ref().map_or(0, bytes::Bytes::len);
        self.messages += batch.len() as u64;
        self.bytes += batch.iter().map(body).sum::<usize>() as u64;
    }

    pub(super) fn is_to_be_counted(&self, limits: QueueLimits) -> bool {
        self.since.elapsed() >= COUNT_INTERVAL || self.messages >= limits.counted_after()
    }

    pub(super) fn reading(self, ready: u64, prefetch: u16) -> Reading {
        Reading {
            at: Timestamp::now(),
            ready,
            // What is on its way has left the queue as well.
            taken: match ready {
                0 => 0,
                _ => self.messages + u64::from(prefetch),
            },
            mean_bytes: self.bytes / self.messages.max(1),
        }
    }
}

/// How many messages the broker may send ahead: fewer where they are large, or they would fill the memory.
pub(super) struct Prefetch {
    count: u16,
    /// The size of the largest message since the time.
    largest: u64,
    since: Instant,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self {
            count: WIDEST_PREFETCH,
            largest: 0,
            since: Instant::now(),
        }
    }
}

impl Prefetch {
    pub(super) const fn count(&self) -> u16 {
        self.count
    }

    /// Learns from a batch; whether the consumer has to be opened anew, because a consumer keeps its prefetch.
    pub(super) fn adapt(&mut self, batch: &[TakenMessage], now: Instant) -> bool {
        let sizes = batch.iter().map(|taken| taken.message.size() as u64);
        self.largest = sizes.fold(self.largest, u64::max);
        let fitting = MOST_HELD_BYTES / self.largest.max(1);
        let fitting = u16::try_from(fitting)
            .map_or(WIDEST_PREFETCH, |fitting| fitting.clamp(1, WIDEST_PREFETCH));
        let is_calm = now.saturating_duration_since(self.since) >= WIDER_AFTER;
        if is_calm || fitting < self.count {
            let before = std::mem::replace(&mut self.count, fitting);
            self.largest = 0;
            self.since = now;
            return before != fitting;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Message;

    #[test]
    fn large_messages_are_sent_ahead_in_small_numbers() {
        let start = Instant::now();
        let mut prefetch = Prefetch {
            since: start,
            ..Prefetch::default()
        };
        let mut check = |second, size: usize, is_other, count| {
            let message = Message {
                body: Some(vec![0; size].into()),
                ..Message::default()
            };
            let taken = TakenMessage {
                message,
                redelivered: false,
                delivery_tag: 1,
            };
            let now = start + Duration::from_secs(second);
            assert_eq!(prefetch.adapt(&[taken], now), is_other, "{second} s");
            assert_eq!(prefetch.count(), count, "{second} s");
        };
        let mebibyte = 1024 * 1024;
        check(1, 1_000, false, 400);
        check(2, mebibyte, true, 64);
        check(3, 1_000, false, 64);
        check(4, 16 * mebibyte, true, 4);
        check(5, mebibyte, false, 4);
        check(13, 1_000, false, 4);
        check(14, 1_000, true, 64);
        check(24, 1_000, true, 400);
        check(40, 1_000, false, 400);
        check(41, 70 * mebibyte, true, 1);
        check(42, 0, false, 1);
    }
}
