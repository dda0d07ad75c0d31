//! Walks through what is selected, chunk by chunk, as it was at one moment: what arrives later is not part
//! of it.

use crate::domain::{DeadLetterId, Timestamp};
use crate::store::{Store, StoreError};

use super::Selection;

/// Dead letters looked at together.
pub(super) const CHUNK: usize = 1_000;

pub(super) struct SelectionWalk<'a> {
    store: &'a Store,
    selection: &'a Selection,
    now: Timestamp,
    after: DeadLetterId,
    through: DeadLetterId,
}

impl<'a> SelectionWalk<'a> {
    /// Relative times of a filter count from `now`.
    pub(super) const fn new(
        store: &'a Store,
        selection: &'a Selection,
        now: Timestamp,
        through: DeadLetterId,
    ) -> Self {
        Self {
            store,
            selection,
            now,
            after: DeadLetterId(0),
            through,
        }
    }

    /// The next dead letters by their IDs; none at the end. Named ones need not exist.
    pub(super) async fn next(&mut self) -> Result<Vec<DeadLetterId>, StoreError> {
        let ids = match self.selection {
            Selection::DeadLetters(ids) => next_of(ids, self.after),
            Selection::Filter(filter) => {
                let range = (self.after, self.through);
                let limit = u32::try_from(CHUNK).unwrap_or(u32::MAX);
                let matching = self
                    .store
                    .matching_ids_between(filter, self.now, range, limit);
                matching.await?
            }
        };
        if let Some(last) = ids.last() {
            self.after = *last;
        }
        Ok(ids)
    }
}

fn next_of(ids: &[DeadLetterId], after: DeadLetterId) -> Vec<DeadLetterId> {
    let mut left: Vec<DeadLetterId> = ids.iter().copied().filter(|id| *id > after).collect();
    left.sort_unstable();
    left.dedup();
    left.truncate(CHUNK);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_dead_letters_come_once_each_in_order_and_in_chunks() {
        let named: Vec<DeadLetterId> = [7, 3, 7, 1].map(DeadLetterId).to_vec();
        assert_eq!(
            next_of(&named, DeadLetterId(0)),
            [1, 3, 7].map(DeadLetterId)
        );
        assert_eq!(next_of(&named, DeadLetterId(3)), [DeadLetterId(7)]);
        assert_eq!(next_of(&named, DeadLetterId(7)), []);
        let many: Vec<DeadLetterId> = (1..=1_500).map(DeadLetterId).collect();
        assert_eq!(next_of(&many, DeadLetterId(0)).len(), CHUNK);
        assert_eq!(next_of(&many, DeadLetterId(1_000)).len(), 500);
    }
}
