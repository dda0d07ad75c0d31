use super::*;
use crate::domain::{DeadLetterId, Landing, ReplayEvent, ReplayId};
use crate::store::tests::{Fixture, NOW, entry, fixture, index, job};

fn landing(offset: i64) -> Landing {
    Landing {
        partition: Partition(3),
        offset: Offset(offset),
    }
}

fn place() -> LogPlace {
    LogPlace {
        cluster: "c".into(),
        topic: "orders".into(),
        partition: Partition(3),
    }
}

fn sending(high_watermark: i64) -> ReplayEvent {
    ReplayEvent::Sending {
        at: NOW,
        high_watermark: Some(landing(high_watermark)),
        topic_id: None,
    }
}

fn confirmed(offset: i64) -> ReplayEvent {
    ReplayEvent::Confirmed {
        at: NOW,
        landing: Some(landing(offset)),
    }
}

/// Replays of so many dead letters, planned.
async fn planned(count: i64) -> (Fixture, Vec<ReplayId>) {
    let fixture = fixture().await;
    let offsets: Vec<i64> = (0..count).collect();
    let letters = index(&fixture.store, &offsets).await;
    let ids: Vec<DeadLetterId> = letters.iter().map(|letter| letter.id).collect();
    let created = fixture
        .store
        .create_job(&job(&ids), &entry())
        .await
        .unwrap();
    (fixture, created.planned)
}

async fn advance(store: &Store, at: i64, events: Vec<(ReplayId, ReplayEvent)>) {
    for result in store.advance_replays(events, Timestamp(at)).await.unwrap() {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_replay_is_found_where_it_landed_until_its_outcome_is_known() {
    let (fixture, replays) = planned(3).await;
    let store = &fixture.store;
    assert_eq!(store.places_of_replays().await.unwrap(), []);
    let begin = replays.iter().map(|id| (*id, sending(7))).collect();
    advance(store, 10, begin).await;
    assert_eq!(store.places_of_replays().await.unwrap(), [place()]);
    let land = (7..)
        .zip(&replays)
        .map(|(offset, id)| (*id, confirmed(offset)));
    advance(store, 20, land.collect()).await;
    assert_eq!(store.places_of_replays().await.unwrap(), [place()]);
    let found = async |range: (i64, i64), since: i64, limit: u32| -> Vec<ReplayId> {
        let range = (Offset(range.0), Offset(range.1));
        let place = place();
        let landed = store.replays_landed(&place, range, Timestamp(since), limit);
        landed
            .await
            .unwrap()
            .iter()
            .map(|replay| replay.id)
            .collect()
    };
    assert_eq!(found((7, 10), 0, 10).await, replays);
    assert_eq!(found((7, 9), 0, 10).await, replays[..2]);
    assert_eq!(found((8, 10), 0, 1).await, replays[1..2]);
    assert!(
        found((7, 10), 21, 10).await.is_empty(),
        "they changed at 20"
    );
    let again = |id: &ReplayId| {
        let dead_letter = DeadLetterId(1);
        (
            *id,
            ReplayEvent::SeenInDlq {
                at: NOW,
                dead_letter,
            },
        )
    };
    advance(store, 30, replays.iter().map(again).collect()).await;
    assert!(found((7, 10), 0, 10).await.is_empty());
    assert_eq!(store.places_of_replays().await.unwrap(), []);
}

#[tokio::test]
async fn what_waits_is_read_in_pages_in_the_order_of_its_last_change() {
    let (fixture, replays) = planned(5).await;
    let store = &fixture.store;
    for (at, id) in [100, 101, 102, 102, 102].into_iter().zip(&replays).rev() {
        // Three of them change in the same millisecond.
        advance(store, at, vec![(*id, sending(0)), (*id, confirmed(1))]).await;
    }
    let state = ReplayStateName::Sent;
    let mut after = TrackedPosition::at(Timestamp(101));
    let mut seen = Vec::new();
    loop {
        let page = store
            .tracked_replays(state, after, Timestamp(102), 2)
            .await
            .unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else {
            break;
        };
        after = last.position();
        seen.extend(page.iter().map(|tracked| tracked.replay.id));
        assert_eq!(
            (page[0].dlq.as_str(), page[0].cluster.as_str()),
            ("orders.dlq", "c")
        );
    }
    assert_eq!(seen, replays[1..], "the one that changed at 100 is too old");
    let early = store.tracked_replays(state, TrackedPosition::at(Timestamp(0)), Timestamp(101), 9);
    let early: Vec<ReplayId> = early.await.unwrap().iter().map(|t| t.replay.id).collect();
    assert_eq!(early, replays[..2]);
}

#[tokio::test]
async fn a_batch_counts_its_job_and_leaves_alone_what_it_must_not_change() {
    let (fixture, replays) = planned(4).await;
    let store = &fixture.store;
    let events = vec![
        (replays[0], sending(0)),
        (replays[1], confirmed(1)),
        (replays[2], sending(0)),
        (replays[2], confirmed(2)),
        (replays[3], ReplayEvent::Cancel { at: NOW }),
        (ReplayId(uuid::Uuid::nil()), sending(0)),
    ];
    let results = store.advance_replays(events, NOW).await.unwrap();
    let is_ok: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(is_ok, [true, false, true, true, true, false]);
    let job = store.replay(replays[0]).await.unwrap().job;
    let counts = store.replay_job(job).await.unwrap().unwrap().counts;
    let count = |wanted| {
        counts
            .iter()
            .find(|(state, _)| *state == wanted)
            .map_or(0, |c| c.1)
    };
    let expected = [
        (ReplayStateName::Planned, 1),
        (ReplayStateName::Sending, 1),
        (ReplayStateName::Sent, 1),
        (ReplayStateName::Cancelled, 1),
    ];
    assert_eq!(expected.map(|(state, _)| count(state)), [1, 1, 1, 1]);
    let letter = async |index: usize| {
        let id = store.replay(replays[index]).await.unwrap().dead_letter;
        store.dead_letter_summary(id).await.unwrap().status.as_str()
    };
    assert_eq!(letter(0).await, "replaying");
    assert_eq!(letter(2).await, "replayed");
    assert_eq!(letter(3).await, "open");
}

#[tokio::test]
async fn what_waits_for_its_outcome_tells_of_its_dead_letter() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let ids: Vec<_> = index(store, &[0, 1]).await.iter().map(|i| i.id).collect();
    let replays = store
        .create_job(&job(&ids), &entry())
        .await
        .unwrap()
        .planned;
    let job = store.jobs_to_send().await.unwrap()[0].id;
    let planned = store
        .planned_replays(job, &"c".into(), None, 10)
        .await
        .unwrap();
    assert_eq!(
        planned.iter().map(|p| p.replay.id).collect::<Vec<_>>(),
        replays
    );
    assert!(
        store
            .planned_replays(job, &"other".into(), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let sending = ReplayEvent::Sending {
        at: NOW,
        high_watermark: None,
        topic_id: None,
    };
    store
        .advance_replay(replays[1], sending, NOW)
        .await
        .unwrap();
    let sending = store.sending_replays(&"c".into()).await.unwrap();
    assert_eq!(sending[0].id, replays[1]);
}
