use std::time::Duration;

use super::*;
use crate::domain::*;
use crate::store::tests::{NOW, entry, fixture, index, job, kafka_letter};
use crate::store::{AuditFilter, Author, Indexed, PageRequest};

const MINUTE: Duration = Duration::from_mins(1);

fn group() -> FailureGroupId {
    "v1:1".into()
}

fn author() -> Author {
    Author {
        name: "alice".to_owned(),
        address: "127.0.0.1".to_owned(),
        at: NOW,
    }
}

async fn set(store: &Store, enabled: bool, policy: &RedrivePolicy) -> Result<(), StoreError> {
    let author = author();
    store
        .set_redrive_policy(&group(), enabled, policy, &author)
        .await
}

/// Switches a policy of at most so many attempts on.
async fn switch_on(store: &Store, attempts: u32) -> StoredPolicy {
    let policy = RedrivePolicy {
        attempts,
        ..RedrivePolicy::default()
    };
    set(store, true, &policy).await.unwrap();
    store.redrive_policy(&group()).await.unwrap().unwrap()
}

async fn run(
    store: &Store,
    policy: &StoredPolicy,
    attempts: &[(DeadLetterId, u32)],
) -> Option<JobCreated> {
    let ids: Vec<DeadLetterId> = attempts.iter().map(|(id, _)| *id).collect();
    store
        .start_redrive_run(policy, &job(&ids), attempts, &entry())
        .await
        .unwrap()
}

async fn open_letters(store: &Store) -> Vec<OpenLetter> {
    store
        .open_letters_of_group(&group(), DeadLetterId(0), 100)
        .await
        .unwrap()
}

async fn open(store: &Store) -> Vec<(i64, u32, bool)> {
    let letters = open_letters(store).await.into_iter();
    letters
        .map(|letter| (letter.id, letter.attempts, letter.is_copy))
        .collect()
}

/// Lets a replay be sent and come back as that many dead letters.
async fn die_again(store: &Store, replay: ReplayId, offsets: &[i64]) -> Vec<Indexed> {
    let sending = ReplayEvent::Sending {
        at: NOW,
        high_watermark: None,
        topic_id: None,
    };
    store.advance_replay(replay, sending, NOW).await.unwrap();
    let back = |offset: &i64| NewDeadLetter {
        replay_id: Some(replay),
        ..kafka_letter(*offset)
    };
    let back: Vec<_> = offsets.iter().map(back).collect();
    store
        .index_kafka_batch(&"c".into(), &back, &[], &[], NOW)
        .await
        .unwrap()
}

async fn last_action(store: &Store) -> String {
    let page = PageRequest::first(1);
    let entries = store.audit(&AuditFilter::default(), &page).await.unwrap();
    entries.items[0].action.clone()
}

#[tokio::test]
async fn attempts_follow_an_event_through_its_deaths_also_past_a_replay_by_hand() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let first = index(store, &[0]).await[0].id;
    let policy = switch_on(store, 3).await;
    assert_eq!(open(store).await, [(first.0, 0, false)]);
    let by_itself = run(store, &policy, &[(first, 1)]).await.unwrap().planned[0];
    assert_eq!(open(store).await, [], "it is on its way");
    let second = die_again(store, by_itself, &[1]).await[0].id;
    assert_eq!(open(store).await, [(second.0, 1, false)]);

    let by_hand = store.create_job(&job(&[second]), &entry()).await.unwrap();
    let third = die_again(store, by_hand.planned[0], &[2]).await[0].id;
    assert_eq!(open(store).await, [(third.0, 1, false)]);
}

#[tokio::test]
async fn of_what_came_back_twice_from_one_replay_only_the_first_goes_on() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let first = index(store, &[0]).await[0].id;
    let policy = switch_on(store, 3).await;
    let replay = run(store, &policy, &[(first, 1)]).await.unwrap().planned[0];
    let back = die_again(store, replay, &[1, 2]).await;
    let expected = [(back[0].id.0, 1, false), (back[1].id.0, 1, true)];
    assert_eq!(open(store).await, expected);
}

#[tokio::test]
async fn attempts_follow_the_event_where_a_consumer_drops_the_replay_id() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let letter = |offset, event_id: &str, source: &str| {
        let mut letter = kafka_letter(offset);
        letter.event.event_id = Some(event_id.to_owned());
        letter.decoded.origin.destination = Some(source.to_owned());
        letter
    };
    let index = async |letters: &[NewDeadLetter]| {
        store
            .index_kafka_batch(&"c".into(), letters, &[], &[], NOW)
            .await
            .unwrap()
    };
    let first = index(&[letter(0, "e-1", "orders")]).await[0].id;
    let policy = switch_on(store, 3).await;
    run(store, &policy, &[(first, 1)]).await.unwrap();
    let others = [
        letter(1, "e-1", "orders"),
        letter(2, "e-1", "payments"),
        letter(3, "e-2", "orders"),
    ];
    let others = index(&others).await;
    let expected = [
        (others[0].id.0, 1, false),
        (others[1].id.0, 0, false),
        (others[2].id.0, 0, false),
    ];
    assert_eq!(open(store).await, expected);
}

#[tokio::test]
async fn a_replay_that_failed_delays_the_next_attempt_and_counts() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let id = index(store, &[0]).await[0].id;
    let policy = switch_on(store, 3).await;
    let replay = run(store, &policy, &[(id, 1)]).await.unwrap().planned[0];
    let at = NOW.plus(MINUTE);
    let reason = "too large".to_owned();
    let refused = ReplayEvent::Refused { at, reason };
    store.advance_replay(replay, refused, at).await.unwrap();
    let letters = open_letters(store).await;
    assert_eq!((letters[0].attempts, letters[0].failed_at()), (1, at));
}

#[tokio::test]
async fn a_run_that_was_prepared_before_a_change_is_not_started() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let id = index(store, &[0]).await[0].id;
    let old = switch_on(store, 3).await;
    let changed = switch_on(store, 4).await;
    assert!(run(store, &old, &[(id, 1)]).await.is_none());
    set(store, false, &changed.policy).await.unwrap();
    let off = store.redrive_policy(&group()).await.unwrap().unwrap();
    assert!(run(store, &off, &[(id, 1)]).await.is_none());
    assert_eq!(open(store).await, [(id.0, 0, false)]);
    assert!(store.active_redrive_policies().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_open_any_more_is_left_out_of_a_run() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let indexed = index(store, &[0, 1]).await;
    let (sent, open) = (indexed[0].id, indexed[1].id);
    let policy = switch_on(store, 3).await;
    let by_hand = store.create_job(&job(&[sent]), &entry()).await.unwrap();
    for event in [
        ReplayEvent::Sending {
            at: NOW,
            high_watermark: None,
            topic_id: None,
        },
        ReplayEvent::Confirmed {
            at: NOW,
            landing: None,
        },
    ] {
        let advanced = store.advance_replay(by_hand.planned[0], event, NOW);
        advanced.await.unwrap();
    }
    assert!(run(store, &policy, &[(sent, 1)]).await.is_none());
    let both = run(store, &policy, &[(sent, 1), (open, 1)]).await.unwrap();
    assert_eq!(both.planned.len(), 1);
    let policy = store.redrive_policy(&group()).await.unwrap().unwrap();
    assert_eq!((policy.runs, policy.events), (1, 1));
    assert!(store.redrive_run_is_under_way(&group()).await.unwrap());
}

#[tokio::test]
async fn a_policy_that_stops_pauses_what_its_runs_have_planned_and_judges_new_runs_only() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let offsets: Vec<i64> = (0..20).collect();
    let indexed = index(store, &offsets).await;
    let policy = switch_on(store, 3).await;
    let attempts: Vec<_> = indexed.iter().map(|letter| (letter.id, 1)).collect();
    let (first, second) = attempts.split_at(10);
    let planned = run(store, &policy, first).await.unwrap().planned;
    for (replay, offset) in planned.iter().zip(100..) {
        let stops = store.redrive_run_to_stop_for(&policy).await.unwrap();
        assert_eq!(stops, None, "before all died again");
        die_again(store, *replay, &[offset]).await;
    }
    run(store, &policy, second).await.unwrap();
    let (_, reason) = store
        .redrive_run_to_stop_for(&policy)
        .await
        .unwrap()
        .unwrap();
    assert!(reason.contains("10 of 10 events"), "{reason}");
    let stop = |policy: StoredPolicy| {
        let reason = reason.clone();
        async move { store.stop_redrive_policy(&policy, &reason, &entry()).await }
    };
    assert!(stop(policy.clone()).await.unwrap());
    assert!(!stop(policy).await.unwrap(), "it is off already");
    let stopped = store.redrive_policy(&group()).await.unwrap().unwrap();
    assert_eq!((stopped.enabled, stopped.stopped), (false, Some(reason)));
    let (job, _) = store.last_redrive_run(&group()).await.unwrap().unwrap();
    let job = store.replay_job(job).await.unwrap().unwrap();
    let paused = (job.state, job.count(ReplayStateName::Planned));
    assert_eq!(paused, (ReplayJobState::Paused, 10));

    let later = Author {
        at: NOW.plus(MINUTE),
        ..author()
    };
    store
        .set_redrive_policy(&group(), true, &stopped.policy, &later)
        .await
        .unwrap();
    let again = store.redrive_policy(&group()).await.unwrap().unwrap();
    assert_eq!(again.stopped, None);
    assert_eq!(store.redrive_run_to_stop_for(&again).await.unwrap(), None);
}

#[tokio::test]
async fn each_change_of_a_policy_is_audited_once() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let unknown = set(store, true, &RedrivePolicy::default()).await;
    let unknown = unknown.unwrap_err();
    assert!(matches!(unknown, StoreError::NoSuchFailureGroup(_)));
    index(store, &[0]).await;
    let policy = switch_on(store, 3).await;
    assert_eq!(last_action(store).await, "redrive_policy.set");
    let same = switch_on(store, 3).await;
    assert_eq!(same.version, policy.version, "nothing changed");
    let remove = async || store.remove_redrive_policy(&group(), &author()).await;
    assert!(remove().await.unwrap());
    assert_eq!(last_action(store).await, "redrive_policy.remove");
    assert!(!remove().await.unwrap());
    assert_eq!(store.redrive_policy(&group()).await.unwrap(), None);
}
