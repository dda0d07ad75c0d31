//! Whether a group that stands just before the end of a log has anything to read: a transaction ends with a
//! control record, which no consumer is ever shown. Where no transaction was seen open, the leader is asked
//! what the last records are, once an end.

use std::time::Duration;

use super::partition_view::distance;
use crate::brokers::kafka::wire::TailContent;
use crate::domain::{Offset, Timestamp};

/// Transactions that end side by side leave their control records side by side.
const MOST_CONTROL_RECORDS: u64 = 8;

/// Who did not answer is not asked at every sample: it may never, for want of an authorisation to read.
const ASKED_AGAIN_AFTER: Duration = Duration::from_mins(5);

/// What is known of the end of a partition.
#[derive(Debug, Default)]
pub(super) struct LogEnd {
    /// The high watermark of the last sample.
    end: Option<Offset>,
    /// The sample before found the same: asking pays.
    stands_still: bool,
    /// A transaction was seen open: the last record is most likely a control record.
    transactional: bool,
    /// From here on there are control records only.
    control_from: Option<Offset>,
    /// Who stands here or before has a record to read.
    record_from: Option<Offset>,
    /// A question without an answer.
    asked_at: Option<Timestamp>,
}

impl LogEnd {
    /// What the last run knew.
    pub(super) fn remembered(transactional: bool) -> Self {
        Self {
            transactional,
            ..Self::default()
        }
    }

    /// Whether the last record is most likely a control record, for the next run.
    pub(super) const fn is_transactional(&self) -> bool {
        self.transactional || self.control_from.is_some()
    }

    pub(super) fn observe(&mut self, end: Offset, last_stable: Option<Offset>) {
        let open = last_stable.is_some_and(|stable| stable < end);
        let transactional = self.transactional || open;
        if self.end == Some(end) {
            self.stands_still = true;
            self.transactional = transactional;
        } else {
            *self = Self {
                end: Some(end),
                transactional,
                ..Self::default()
            };
        }
    }

    /// Whether nothing is left to read from here to the end.
    pub(super) fn is_read_up_to(&self, committed: Offset) -> bool {
        match self.content(committed) {
            Some(content) => content == TailContent::ControlRecords,
            None => self.transactional && self.records_after(committed) == Some(1),
        }
    }

    /// The end up to which the leader is to be asked what comes after `committed`, if it is.
    pub(super) fn question(&mut self, committed: Offset, now: Timestamp) -> Option<Offset> {
        let records = self.records_after(committed)?;
        let is_in_doubt = self.stands_still
            && (1..=MOST_CONTROL_RECORDS).contains(&records)
            && self.content(committed).is_none();
        let is_asked = self
            .asked_at
            .is_some_and(|at| now.since(at) < ASKED_AGAIN_AFTER);
        if !is_in_doubt || is_asked {
            return None;
        }
        self.asked_at = Some(now);
        self.end
    }

    pub(super) fn answer(&mut self, (from, end): (Offset, Offset), content: TailContent) {
        if self.end != Some(end) {
            return;
        }
        self.asked_at = None;
        match content {
            TailContent::ControlRecords => {
                self.control_from = Some(self.control_from.map_or(from, |known| known.min(from)));
            }
            TailContent::Records => {
                self.record_from = Some(self.record_from.map_or(from, |known| known.max(from)));
            }
        }
    }

    fn content(&self, from: Offset) -> Option<TailContent> {
        if self.control_from.is_some_and(|control| control <= from) {
            return Some(TailContent::ControlRecords);
        }
        let has_record = self.record_from.is_some_and(|record| from <= record);
        has_record.then_some(TailContent::Records)
    }

    fn records_after(&self, committed: Offset) -> Option<u64> {
        distance(committed, self.end?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing_at(end: i64) -> LogEnd {
        let mut log = LogEnd::default();
        log.observe(Offset(end), Some(Offset(end)));
        log.observe(Offset(end), Some(Offset(end)));
        log
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_leader_is_asked_once_an_end_and_only_just_before_one_that_stands_still() {
        let mut log = LogEnd::default();
        log.observe(Offset(10), Some(Offset(10)));
        assert_eq!(log.question(Offset(9), at(0)), None, "it may move");
        let mut log = standing_at(10);
        assert_eq!(log.question(Offset(10), at(0)), None);
        assert_eq!(log.question(Offset(11), at(0)), None);
        assert_eq!(log.question(Offset(1), at(0)), None);
        assert_eq!(log.question(Offset(2), at(0)), Some(Offset(10)));
        assert_eq!(log.question(Offset(9), at(299)), None, "one is open");
        assert_eq!(log.question(Offset(8), at(300)), Some(Offset(10)));
        log.answer((Offset(8), Offset(10)), TailContent::Records);
        assert_eq!(log.question(Offset(8), at(301)), None);
        assert_eq!(log.question(Offset(7), at(301)), None, "it is the same");
        assert_eq!(log.question(Offset(9), at(301)), Some(Offset(10)));
    }

    #[test]
    fn an_answer_counts_for_its_end_and_for_those_who_stand_further_on() {
        let mut log = standing_at(10);
        log.answer((Offset(8), Offset(10)), TailContent::ControlRecords);
        log.answer((Offset(6), Offset(10)), TailContent::Records);
        let read = |log: &LogEnd| [5, 6, 7, 8, 9].map(|from| log.is_read_up_to(Offset(from)));
        assert_eq!(read(&log), [false, false, false, true, true]);
        assert_eq!(log.question(Offset(7), at(0)), Some(Offset(10)));
        log.answer((Offset(7), Offset(10)), TailContent::ControlRecords);
        assert_eq!(read(&log), [false, false, true, true, true]);
        log.observe(Offset(11), Some(Offset(11)));
        assert!(!log.is_read_up_to(Offset(10)));
        log.answer((Offset(9), Offset(10)), TailContent::ControlRecords);
        assert!(!log.is_read_up_to(Offset(10)), "that end is gone");
    }

    #[test]
    fn where_a_transaction_was_seen_its_control_record_needs_no_answer() {
        let mut log = LogEnd::default();
        log.observe(Offset(10), Some(Offset(5)));
        log.observe(Offset(11), Some(Offset(11)));
        assert!(log.is_read_up_to(Offset(10)));
        assert!(!log.is_read_up_to(Offset(9)));
        log.answer((Offset(10), Offset(11)), TailContent::Records);
        assert!(!log.is_read_up_to(Offset(10)), "the leader knows better");
    }
}
