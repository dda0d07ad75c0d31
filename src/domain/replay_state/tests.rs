use super::*;
use crate::domain::{Offset, Partition};

const AT: Timestamp = Timestamp(1);
const LANDING: Landing = Landing {
    partition: Partition(0),
    offset: Offset(7),
};

fn sent() -> ReplayState {
    ReplayState::Planned
        .advance(ReplayEvent::Sending {
            at: AT,
            high_watermark: None,
            topic_id: None,
        })
        .and_then(|s| {
            s.advance(ReplayEvent::Confirmed {
                at: AT,
                landing: Some(LANDING),
            })
        })
        .unwrap()
}

fn passed_by(group: &str) -> ReplayEvent {
    ReplayEvent::PassedBy(PassedBy {
        group: group.into(),
        at: AT,
    })
}

#[test]
fn a_replay_is_consumed_only_after_it_passed_and_settled() {
    assert!(sent().advance(ReplayEvent::Settled { at: AT }).is_err());
    let consumed = sent()
        .advance(passed_by("payments"))
        .and_then(|state| state.advance(ReplayEvent::Settled { at: AT }))
        .unwrap();
    assert_eq!(consumed.name(), ReplayStateName::Consumed);
}

#[test]
fn died_again_may_follow_consumed_but_never_the_reverse() {
    let seen = ReplayEvent::SeenInDlq {
        at: AT,
        dead_letter: DeadLetterId(2),
    };
    let died = sent()
        .advance(passed_by("payments"))
        .and_then(|state| state.advance(ReplayEvent::Settled { at: AT }))
        .and_then(|state| state.advance(seen))
        .unwrap();
    assert_eq!(died.name(), ReplayStateName::DiedAgain);
    assert!(
        died.clone()
            .advance(ReplayEvent::Settled { at: AT })
            .is_err()
    );
    assert!(died.advance(passed_by("payments")).is_err());
}

#[test]
fn what_is_back_in_a_dlq_was_sent_whatever_was_believed_before() {
    let seen = ReplayEvent::SeenInDlq {
        at: AT,
        dead_letter: DeadLetterId(2),
    };
    let unknown = ReplayState::Unknown {
        at: AT,
        reason: "a crash".to_owned(),
    };
    let decisions = [
        ReplayEvent::SendAgain,
        ReplayEvent::AcceptAsFailed { at: AT },
    ];
    for decision in decisions {
        let decided = unknown.clone().advance(decision).unwrap();
        let died = decided.advance(seen.clone()).unwrap();
        assert_eq!(died.name(), ReplayStateName::DiedAgain);
    }
    let cancelled = ReplayState::Cancelled { at: AT };
    let died = cancelled.advance(seen).unwrap();
    assert_eq!(died.sent_at(), None);
}

#[test]
fn what_was_sent_is_never_planned_again() {
    assert!(sent().advance(ReplayEvent::ProvenAbsent).is_err());
    assert!(sent().advance(ReplayEvent::SendAgain).is_err());
    assert!(sent().advance(ReplayEvent::Cancel { at: AT }).is_err());
}

#[test]
fn a_group_is_listed_once_however_often_it_commits() {
    let state = sent()
        .advance(passed_by("a"))
        .and_then(|state| state.advance(passed_by("b")))
        .and_then(|state| state.advance(passed_by("a")))
        .unwrap();
    let ReplayState::Passed { by, .. } = state else {
        panic!("{state:?}")
    };
    assert_eq!(
        by.iter().map(|p| p.group.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
}

#[test]
fn every_state_survives_its_stored_form() {
    for name in ReplayStateName::ALL {
        assert_eq!(name.as_str().parse::<ReplayStateName>().unwrap(), name);
    }
    let state = sent();
    let stored = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<ReplayState>(&stored).unwrap(), state);
}
