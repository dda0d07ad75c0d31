use std::time::Duration;

use super::*;
use crate::domain::{DeadLetterStatus, PassedBy};
use crate::store::tests::{NOW, entry, fixture, index, job};

fn sending() -> ReplayEvent {
    ReplayEvent::Sending {
        at: NOW,
        high_watermark: None,
    }
}

#[tokio::test]
async fn what_another_wrote_meanwhile_is_read_again_and_holds_up_only_itself() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let letters: Vec<_> = index(store, &[0, 1]).await.iter().map(|i| i.id).collect();
    let job = job(&letters);
    store.create_job(&job, &entry()).await.unwrap();
    let planned = store
        .planned_replays(job.id, &"c".into(), 10)
        .await
        .unwrap();
    let [first, second] = [0, 1].map(|index| planned[index].replay.clone());
    let cancel = ReplayEvent::Cancel { at: NOW };
    store.advance_replay(first.id, cancel, NOW).await.unwrap();

    let events = vec![(first.clone(), sending()), (second.clone(), sending())];
    let results = store.advance_known_replays(events, NOW).await.unwrap();
    assert!(
        matches!(results[0], Err(StoreError::IllegalTransition(_))),
        "{results:?}"
    );
    let sent_off = results[1].as_ref().unwrap().clone();
    assert_eq!(sent_off.state.name(), ReplayStateName::Sending);

    let confirmed = ReplayEvent::Confirmed {
        at: NOW,
        landing: None,
    };
    let events = vec![(sent_off, confirmed)];
    let results = store.advance_known_replays(events, NOW).await.unwrap();
    assert!(results[0].is_ok(), "{results:?}");
    let states = async |id| store.replay(id).await.unwrap().state.name();
    assert_eq!(states(first.id).await, ReplayStateName::Cancelled);
    assert_eq!(states(second.id).await, ReplayStateName::Sent);
    let known = store.replay_job(job.id).await.unwrap().unwrap();
    let counts = [
        ReplayStateName::Planned,
        ReplayStateName::Sending,
        ReplayStateName::Cancelled,
        ReplayStateName::Sent,
    ];
    assert_eq!(counts.map(|state| known.count(state)), [0, 0, 1, 1]);
    for (letter, status) in letters
        .iter()
        .zip([DeadLetterStatus::Open, DeadLetterStatus::Replayed])
    {
        let summary = store.dead_letter_summary(*letter).await.unwrap();
        assert_eq!(summary.status, status);
    }
}

#[tokio::test]
async fn the_same_state_of_another_time_is_not_what_was_known() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let letters = [index(store, &[0]).await[0].id];
    let created = store.create_job(&job(&letters), &entry()).await.unwrap();
    let [id] = created.planned[..] else {
        panic!("one replay is planned");
    };
    let landing = Landing {
        partition: Partition(0),
        offset: Offset(7),
    };
    let confirmed = ReplayEvent::Confirmed {
        at: NOW,
        landing: Some(landing),
    };
    let passed_by = |group: &str| {
        ReplayEvent::PassedBy(PassedBy {
            group: group.into(),
            at: NOW,
        })
    };
    for event in [sending(), confirmed] {
        store.advance_replay(id, event, NOW).await.unwrap();
    }
    let (first, second) = (passed_by("first"), passed_by("second"));
    let known = store.advance_replay(id, first, NOW).await.unwrap();
    let later = NOW.plus(Duration::from_millis(1));
    store.advance_replay(id, second, later).await.unwrap();

    let events = vec![(known, passed_by("third"))];
    let results = store.advance_known_replays(events, later).await.unwrap();
    assert!(results[0].is_ok(), "{results:?}");
    let ReplayState::Passed { by, .. } = store.replay(id).await.unwrap().state else {
        panic!("it was passed");
    };
    let groups: Vec<&str> = by.iter().map(|passed| passed.group.as_str()).collect();
    assert_eq!(groups, ["first", "second", "third"]);
}
