use std::time::Duration;

use super::*;
use crate::domain::{Brake, Landing, NewDeadLetter, Offset, Partition, PassedBy, ReplayState};
use crate::store::tests::{NOW, cursor, entry, fixture, group, index, job, kafka_letter};
use crate::store::{AuditFilter, PageRequest, Replayed};

fn sending() -> ReplayEvent {
    ReplayEvent::Sending {
        at: NOW,
        high_watermark: None,
        topic_id: None,
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
        .planned_replays(job.id, &"c".into(), None, 10)
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

#[tokio::test]
async fn what_never_left_is_not_planned_again_in_a_cancelled_job() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let letters: Vec<_> = index(store, &[0, 1]).await.iter().map(|i| i.id).collect();
    let [cancelled, kept] = [&letters[..1], &letters[1..]].map(job);
    let mut ids = Vec::new();
    for job in [&cancelled, &kept] {
        let created = store.create_job(job, &entry()).await.unwrap();
        let id = created.planned[0];
        store.advance_replay(id, sending(), NOW).await.unwrap();
        ids.push(id);
    }
    let none_planned = store.cancel_some(cancelled.id, "why", &entry()).await;
    assert!(none_planned.unwrap().is_empty());
    for id in &ids {
        let absent = ReplayEvent::ProvenAbsent;
        store.advance_replay(*id, absent, NOW).await.unwrap();
    }
    let states = async |id| store.replay(id).await.unwrap().state.name();
    assert_eq!(states(ids[0]).await, ReplayStateName::Cancelled);
    assert_eq!(states(ids[1]).await, ReplayStateName::Planned);
    let letter = store.dead_letter_summary(letters[0]).await.unwrap();
    assert_eq!(letter.status, DeadLetterStatus::Open);
    let counted = store.replay_job(cancelled.id).await.unwrap().unwrap();
    assert_eq!(counted.counts, [(ReplayStateName::Cancelled, 1)]);
}

#[tokio::test]
async fn a_ramp_that_is_set_while_a_job_runs_counts_from_there() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let letters: Vec<_> = index(store, &[0, 1, 2])
        .await
        .iter()
        .map(|i| i.id)
        .collect();
    let job = job(&letters);
    let created = store.create_job(&job, &entry()).await.unwrap();
    let first = created.planned[0];
    store.advance_replay(first, sending(), NOW).await.unwrap();
    let ramp = Brake {
        ramp: true,
        ..Brake::default()
    };
    store.set_brake(job.id, &ramp, &entry()).await.unwrap();
    let allowed = async || {
        let known = store.replay_job(job.id).await.unwrap().unwrap();
        known.allowed_by_ramp()
    };
    assert_eq!(allowed().await, Some(1));
    let second = created.planned[1];
    store.advance_replay(second, sending(), NOW).await.unwrap();
    assert_eq!(allowed().await, Some(0));
    // Changed again, it is the same ramp.
    store.set_brake(job.id, &ramp, &entry()).await.unwrap();
    assert_eq!(allowed().await, Some(0));
}

#[tokio::test]
async fn no_dead_letter_has_two_active_replays() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let ids: Vec<_> = index(store, &[0, 1])
        .await
        .iter()
        .map(|indexed| indexed.id)
        .collect();
    let first = store.create_job(&job(&ids[..1]), &entry()).await.unwrap();
    assert_eq!(first.planned.len(), 1);
    let second = store.create_job(&job(&ids), &entry()).await.unwrap();
    assert_eq!(second.planned.len(), 1);
    assert_eq!(second.refused[0].dead_letter, ids[0]);
    let twice = store
        .create_job(&job(&[ids[0], ids[0]]), &entry())
        .await
        .unwrap();
    assert!(twice.planned.is_empty());
    assert_eq!(
        store
            .replay_jobs(&PageRequest::first(10))
            .await
            .unwrap()
            .items
            .len(),
        2
    );
}

#[tokio::test]
async fn the_newest_replay_decides_what_its_dead_letter_waits_for() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let id = index(store, &[0]).await[0].id;
    let status = async || store.dead_letter_summary(id).await.unwrap().status;
    assert_eq!(group(store).await.open, 1);

    let first = store
        .create_job(&job(&[id]), &entry())
        .await
        .unwrap()
        .planned[0];
    assert_eq!(status().await, DeadLetterStatus::Replaying);
    assert_eq!(group(store).await.open, 0);
    let refused = ReplayEvent::Refused {
        at: NOW,
        reason: "no such topic".to_owned(),
    };
    store.advance_replay(first, refused, NOW).await.unwrap();
    assert_eq!(status().await, DeadLetterStatus::Open);

    let second = store
        .create_job(&job(&[id]), &entry())
        .await
        .unwrap()
        .planned[0];
    store.advance_replay(second, sending(), NOW).await.unwrap();
    let sent = store.advance_replay(
        second,
        ReplayEvent::Confirmed {
            at: NOW,
            landing: None,
        },
        NOW,
    );
    assert_eq!(sent.await.unwrap().attempt, 2);
    assert_eq!(status().await, DeadLetterStatus::Replayed);
    assert_eq!(group(store).await.open, 0);
}

#[tokio::test]
async fn what_somebody_took_for_not_sent_and_comes_back_is_no_longer_open() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let id = index(store, &[0]).await[0].id;
    let created = store.create_job(&job(&[id]), &entry()).await.unwrap();
    let replay = created.planned[0];
    let unprovable = ReplayEvent::Unprovable {
        at: NOW,
        reason: "a crash".to_owned(),
    };
    for event in [
        sending(),
        unprovable,
        ReplayEvent::AcceptAsFailed { at: NOW },
    ] {
        store.advance_replay(replay, event, NOW).await.unwrap();
    }
    let status = async || store.dead_letter_summary(id).await.unwrap().status;
    assert_eq!(status().await, DeadLetterStatus::Open);
    let back = NewDeadLetter {
        replay_id: Some(replay),
        ..kafka_letter(1)
    };
    store
        .index_kafka_batch(&"c".into(), &[back], &[cursor(2)], &[], NOW)
        .await
        .unwrap();
    let state = store.replay(replay).await.unwrap().state;
    assert_eq!(state.name(), ReplayStateName::DiedAgain);
    assert_eq!(status().await, DeadLetterStatus::Replayed);

    // A filter that had found it open does not send it a second time.
    let by_filter = job(&[id]);
    let (brake, entry_of_job) = (Brake::default(), entry());
    let created = store.create_held_job(&by_filter, &brake, Replayed::AreRefused, &entry_of_job);
    let refused = created.await.unwrap().refused;
    assert!(
        refused[0].reason.contains("replayed meanwhile"),
        "{refused:?}"
    );
    let by_name = store.create_job(&job(&[id]), &entry()).await.unwrap();
    assert_eq!(by_name.planned.len(), 1);
}

#[tokio::test]
async fn a_replay_that_comes_back_died_again_and_reopens_nothing_else() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let id = index(store, &[0]).await[0].id;
    let replay = store
        .create_job(&job(&[id]), &entry())
        .await
        .unwrap()
        .planned[0];
    store.advance_replay(replay, sending(), NOW).await.unwrap();

    let back = NewDeadLetter {
        replay_id: Some(replay),
        ..kafka_letter(1)
    };
    let indexed = store
        .index_kafka_batch(&"c".into(), &[back], &[cursor(2)], &[], NOW)
        .await
        .unwrap();
    let successor = indexed[0].id;
    let state = store.replay(replay).await.unwrap().state;
    assert_eq!(
        state,
        ReplayState::DiedAgain {
            sent_at: Some(NOW),
            at: NOW,
            dead_letter: successor
        }
    );
    assert_eq!(
        store.dead_letter_summary(id).await.unwrap().status,
        DeadLetterStatus::Replayed
    );
    let successor = store.dead_letter_summary(successor).await.unwrap();
    assert_eq!(
        (successor.status, successor.died_from_replay),
        (DeadLetterStatus::Open, Some(replay))
    );
}

#[tokio::test]
async fn only_what_is_planned_is_cancelled_and_the_audit_names_it() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let ids: Vec<_> = index(store, &[0, 1]).await.iter().map(|i| i.id).collect();
    let job = job(&ids);
    let replays = store.create_job(&job, &entry()).await.unwrap().planned;
    store
        .advance_replay(replays[0], sending(), NOW)
        .await
        .unwrap();
    let cancelled = store.cancel_some(job.id, "why", &entry()).await.unwrap();
    let cancelled: Vec<ReplayId> = cancelled.iter().map(|replay| replay.id).collect();
    assert_eq!(cancelled, [replays[1]]);
    let audit = store
        .audit(&AuditFilter::default(), &PageRequest::first(2))
        .await
        .unwrap()
        .items;
    let expected = serde_json::json!(ids[1].to_string());
    assert_eq!(audit[0].detail["dead_letters"], expected);
    let frozen = &audit[1].detail["replays"];
    assert_eq!(frozen[0]["dead_letter"], serde_json::json!(ids[0]));
    assert_eq!(frozen[1]["replay"], serde_json::json!(replays[1]));
}

#[tokio::test]
async fn what_replays_bring_back_is_counted_once_a_batch() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let letters = index(store, &[0, 1, 2]).await;
    let letters: Vec<DeadLetterId> = letters.iter().map(|letter| letter.id).collect();
    let planned = store.create_job(&job(&letters), &entry()).await;
    let planned = planned.unwrap().planned;
    let counted = async || {
        let sql = "SELECT open, replaying FROM failure_groups";
        let (open, replaying): (i64, i64) =
            sqlx::query_as(sql).fetch_one(&store.reader).await.unwrap();
        let depths = store.dlq_depths().await.unwrap();
        (depths[0].open, open, replaying)
    };
    assert_eq!(counted().await, (3, 0, 3));
    let sent = ReplayEvent::Confirmed {
        at: NOW,
        landing: None,
    };
    let all =
        |ids: &[ReplayId], event: &ReplayEvent| ids.iter().map(|id| (*id, event.clone())).collect();
    store
        .advance_replays(all(&planned, &sending()), NOW)
        .await
        .unwrap();
    for (ids, left) in [(&planned[..2], 1), (&planned[2..], 0)] {
        store.advance_replays(all(ids, &sent), NOW).await.unwrap();
        assert_eq!(counted().await, (left, 0, i64::try_from(left).unwrap()));
    }
}
