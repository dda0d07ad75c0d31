use super::*;
use crate::domain::DeadLetterStatus;
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
