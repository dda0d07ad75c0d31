//! When the queue of a tap was full, and so lost events. Pure.

use crate::domain::Timestamp;

/// What may wait in the queue; of more the broker drops the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueLimits {
    pub(super) messages: u64,
    /// Of bodies.
    pub(super) bytes: u64,
}

/// One look at the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) at: Timestamp,
    /// Messages that wait.
    pub(super) ready: u64,
    /// Messages that left it for us since the look before, at most.
    pub(super) taken: u64,
    /// The size of a body among those.
    pub(super) mean_bytes: u64,
}

/// What is known from one look to the next.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Nothing that was published before is missing.
    whole_until: Timestamp,
    /// Since when events may be missing, while the queue is full.
    missing_since: Option<Timestamp>,
}

impl QueueLimits {
    /// The queue has to be counted before so many were taken from it.
    pub(super) const fn counted_after(self) -> u64 {
        self.messages / 10
    }

    /// Whether the queue was full at some time since the look before. Since it was, no more can have left it
    /// than we have taken.
    fn were_reached(self, reading: Reading) -> bool {
        // A queue far from its limit is not called full because much was taken at once.
        let taken = reading.taken.min(self.messages / 5);
        let most = reading.ready.saturating_add(taken);
        // No body is as large as the mean of those before it: a tenth is left for that.
        most >= self.messages || most.saturating_mul(reading.mean_bytes) >= self.bytes / 10 * 9
    }
}

impl Backlog {
    pub(super) const fn new(whole_until: Timestamp) -> Self {
        Self {
            whole_until,
            missing_since: None,
        }
    }

    /// The gap that this look shows, from the last time when nothing was missing until now. While the queue
    /// stays full it grows with each look.
    pub(super) fn observe(
        &mut self,
        reading: Reading,
        limits: QueueLimits,
    ) -> Option<(Timestamp, Timestamp)> {
        if limits.were_reached(reading) {
            let since = *self.missing_since.get_or_insert(self.whole_until);
            return Some((since, reading.at));
        }
        self.whole_until = reading.at;
        self.missing_since.take().map(|since| (since, reading.at))
    }

    pub(super) const fn whole_until(&self) -> Timestamp {
        self.whole_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: QueueLimits = QueueLimits {
        messages: 1_000,
        bytes: 1_000_000,
    };

    fn reading(at: i64, ready: u64, taken: u64, mean_bytes: u64) -> Reading {
        Reading {
            at: Timestamp(at),
            ready,
            taken,
            mean_bytes,
        }
    }

    #[test]
    fn a_queue_is_full_at_its_limit_of_messages_or_bytes() {
        let check = |reading: Reading, expected: bool| {
            assert_eq!(LIMITS.were_reached(reading), expected, "{reading:?}");
        };
        check(reading(0, 0, 0, 0), false);
        check(reading(0, 999, 0, 0), false);
        check(reading(0, 1_000, 0, 0), true);
        check(reading(0, 1_001, 0, 0), true);
        // It may have been full before we took these.
        check(reading(0, 950, 50, 0), true);
        check(reading(0, 949, 50, 0), false);
        check(reading(0, 500, 5_000, 0), false);
        check(reading(0, 100, 0, 8_999), false);
        check(reading(0, 100, 0, 9_000), true);
        check(reading(0, u64::MAX, u64::MAX, u64::MAX), true);
    }

    #[test]
    fn a_gap_lasts_from_the_last_good_look_to_the_next() {
        let mut backlog = Backlog::new(Timestamp(1));
        let mut check = |at, ready, expected: Option<(i64, i64)>| {
            let gap = backlog.observe(reading(at, ready, 0, 0), LIMITS);
            let expected = expected.map(|(from, to)| (Timestamp(from), Timestamp(to)));
            assert_eq!(gap, expected, "at {at}");
        };
        check(5, 1_000, Some((1, 5)));
        check(6, 1_000, Some((1, 6)));
        check(7, 900, Some((1, 7)));
        check(8, 900, None);
        check(9, 0, None);
        check(10, 1_000, Some((9, 10)));
        check(11, 0, Some((9, 11)));
        check(12, 0, None);
        assert_eq!(backlog.whole_until(), Timestamp(12));
    }
}
