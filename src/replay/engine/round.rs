//! Which planned replays may be in flight together. Pure.

use std::collections::HashSet;

use bytes::Bytes;

use crate::domain::{Destination, TopicName};
use crate::store::PlannedReplay;

/// Records in flight together.
const MOST_RECORDS: usize = 500;

/// Takes the replays that may be sent together out of what is planned, in its order: of each key the
/// first alone, so that a failure is known before a later event of that key leaves.
pub(super) fn take_round(planned: &mut Vec<PlannedReplay>) -> Vec<PlannedReplay> {
    let mut keys: HashSet<(TopicName, Bytes)> = HashSet::new();
    let mut round = Vec::new();
    let mut left = Vec::new();
    for replay in planned.drain(..) {
        let is_first = match key_of(&replay) {
            Some(key) => keys.insert(key),
            None => true,
        };
        if is_first && round.len() < MOST_RECORDS {
            round.push(replay);
        } else {
            left.push(replay);
        }
    }
    *planned = left;
    round
}

/// What must arrive in order: the records of one key in one topic. Without a key there is no order.
fn key_of(planned: &PlannedReplay) -> Option<(TopicName, Bytes)> {
    let Destination::Kafka { topic, .. } = &planned.replay.destination else {
        return None;
    };
    planned.key.clone().map(|key| (topic.clone(), key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        DeadLetterId, Replay, ReplayId, ReplayJobId, ReplayState, RevisionNumber, Timestamp,
    };
    use uuid::Uuid;

    fn planned(number: i64, key: Option<&'static str>) -> PlannedReplay {
        let replay = Replay {
            id: ReplayId(Uuid::nil()),
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
            replay,
            key: key.map(|key| Bytes::from_static(key.as_bytes())),
        }
    }

    fn rounds(mut planned: Vec<PlannedReplay>) -> Vec<Vec<i64>> {
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
        let planned = (0..1200).map(|number| planned(number, None)).collect();
        let sizes: Vec<usize> = rounds(planned).iter().map(Vec::len).collect();
        assert_eq!(sizes, [500, 500, 200]);
    }
}
