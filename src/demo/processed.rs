use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use crate::domain::{Offset, Partition};

/// The events that a consumer handled with success, and where each stood. Only success counts: an
/// event that failed keeps its ID when it is replayed, and must be handled then.
#[derive(Debug)]
pub(super) struct ProcessedEvents {
    capacity: usize,
    positions: HashMap<Uuid, (Partition, Offset)>,
    oldest_first: VecDeque<Uuid>,
}

/// What the consumer knows about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquaintance {
    New,
    /// The same record again, because its offset was not committed before a restart or rebalance.
    Redelivered,
    /// Another record with the same event ID.
    Duplicate,
}

impl ProcessedEvents {
    /// Remembers the latest `capacity` events.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            positions: HashMap::new(),
            oldest_first: VecDeque::new(),
        }
    }

    pub(super) fn look_up(&self, event_id: Uuid, position: (Partition, Offset)) -> Acquaintance {
        match self.positions.get(&event_id) {
            None => Acquaintance::New,
            Some(known) if *known == position => Acquaintance::Redelivered,
            Some(_) => Acquaintance::Duplicate,
        }
    }

    pub(super) fn remember(&mut self, event_id: Uuid, position: (Partition, Offset)) {
        if self.positions.insert(event_id, position).is_none() {
            self.oldest_first.push_back(event_id);
        }
        if self.oldest_first.len() > self.capacity
            && let Some(forgotten) = self.oldest_first.pop_front()
        {
            self.positions.remove(&forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> (Partition, Offset) {
        (Partition(0), Offset(offset))
    }

    #[test]
    fn a_duplicate_is_another_record_of_an_event_that_succeeded() {
        let mut processed = ProcessedEvents::with_capacity(10);
        let event = Uuid::from_u128(1);
        assert_eq!(processed.look_up(event, at(1)), Acquaintance::New);
        processed.remember(event, at(1));
        assert_eq!(processed.look_up(event, at(1)), Acquaintance::Redelivered);
        assert_eq!(processed.look_up(event, at(2)), Acquaintance::Duplicate);
    }

    #[test]
    fn memory_is_bounded() {
        let mut processed = ProcessedEvents::with_capacity(3);
        for number in 0..5_u8 {
            processed.remember(Uuid::from_u128(number.into()), at(number.into()));
        }
        assert_eq!(processed.positions.len(), 3);
        assert_eq!(
            processed.look_up(Uuid::from_u128(1), at(9)),
            Acquaintance::New
        );
        assert_eq!(
            processed.look_up(Uuid::from_u128(4), at(9)),
            Acquaintance::Duplicate
        );
    }
}
