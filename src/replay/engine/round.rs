//! Which planned replays may be in flight together. Pure.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use bytes::Bytes;

use super::MOST_BYTES_IN_FLIGHT;
use crate::domain::{Destination, TopicName};
use crate::store::PlannedReplay;

/// Records in flight together. While they are, as many wait for their turn with *sending* on disk, and
/// what the broker said of as many before is being written down: a crash leaves three rounds to look for.
const MOST_RECORDS: usize = 1_000;

/// Takes the replays that may be sent together out of what is planned, in its order: of each key the
/// first alone, so that a failure is known before a later event of that key leaves.
pub(super) fn take_round(planned: &mut VecDeque<PlannedReplay>) -> Vec<PlannedReplay> {
    // Of keys that share a hash the second waits for a round, which costs nothing but that.
    let (hashes, mut taken) = (RandomState::new(), HashSet::new());
    take(planned, MOST_RECORDS, |replay| {
        key_of(replay).is_none_or(|key| taken.insert(hashes.hash_one(key)))
    })
}

/// Takes at most so many of those that may go now, in their order and only as large together as may be in
/// flight; the others stay in theirs.
pub(super) fn take(
    planned: &mut VecDeque<PlannedReplay>,
    most: usize,
    mut may_go: impl FnMut(&PlannedReplay) -> bool,
) -> Vec<PlannedReplay> {
    let mut taken = Vec::new();
    let mut skipped = Vec::new();
    let mut bytes = 0;
    while let Some(replay) = planned.pop_front() {
        if !may_go(&replay) {
            skipped.push(replay);
            continue;
        }
        bytes += replay.size;
        // One that is larger than all may be goes alone.
        let has_room = taken.is_empty() || bytes <= MOST_BYTES_IN_FLIGHT;
        if !has_room || taken.len() == most {
            skipped.push(replay);
            break;
        }
        taken.push(replay);
    }
    for replay in skipped.into_iter().rev() {
        planned.push_front(replay);
    }
    taken
}

/// What must arrive in order: the records of one key in one topic. Without a key there is no order.
fn key_of(planned: &PlannedReplay) -> Option<(&TopicName, &Bytes)> {
    let Destination::Kafka { topic, .. } = &planned.replay.destination else {
        return None;
    };
    planned.key.as_ref().map(|key| (topic, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        DeadLetterId, Replay, ReplayId, ReplayJobId, ReplayOptions, ReplayState, RevisionNumber,
        Timestamp,
    };
    use uuid::Uuid;

    fn planned(number: i64, key: Option<&'static str>) -> PlannedReplay {
        let replay = Replay {
            id: ReplayId(Uuid::nil()),
            number: crate::domain::ReplayNumber(1),
            job: ReplayJobId(Uuid::nil()),
            dead_letter: DeadLetterId(number),
            revision: RevisionNumber(0),
            destination: Destination::Kafka {
                cluster: "k".into(),
                topic: "orders".into(),
                partition: None,
            },
            attempt: 1,
            state: ReplayState::Planned,
            updated_at: Timestamp(0),
        };
        PlannedReplay {
            options: ReplayOptions::default(),
            replay,
            key: key.map(|key| Bytes::from_static(key.as_bytes())),
            size: 1,
        }
    }

    fn rounds(planned: Vec<PlannedReplay>) -> Vec<Vec<i64>> {
        let mut planned = VecDeque::from(planned);
        let mut rounds = Vec::new();
        while !planned.is_empty() {
            let round = take_round(&mut planned);
            rounds.push(round.iter().map(|p| p.replay.dead_letter.0).collect());
        }
        rounds
    }

    #[test]
    fn events_of_one_key_never_fly_together_and_keep_their_order() {
        let planned = vec![
            planned(1, Some("a")),
            planned(2, Some("b")),
            planned(3, Some("a")),
            planned(4, None),
            planned(5, Some("a")),
            planned(6, None),
            planned(7, Some("b")),
        ];
        assert_eq!(rounds(planned), [vec![1, 2, 4, 6], vec![3, 7], vec![5]]);
    }

    #[test]
    fn a_round_is_bounded() {
        let planned: Vec<PlannedReplay> = (0..2_500).map(|number| planned(number, None)).collect();
        let sizes = |planned| -> Vec<usize> { rounds(planned).iter().map(Vec::len).collect() };
        assert_eq!(sizes(planned.clone()), [1_000, 1_000, 500]);
        let mut large: Vec<PlannedReplay> = planned.into_iter().take(3).collect();
        for planned in &mut large {
            planned.size = MOST_BYTES_IN_FLIGHT / 2 + 1;
        }
        assert_eq!(sizes(large), [1, 1, 1]);
    }
}
