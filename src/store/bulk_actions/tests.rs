use std::time::Duration;

use super::*;
use crate::domain::*;
use crate::store::AuditFilter;
use crate::store::tests::{NOW, fixture, kafka_letter};

async fn index(store: &Store, offsets: std::ops::Range<i64>) -> Vec<DeadLetterId> {
    let batch: Vec<_> = offsets.map(kafka_letter).collect();
    let indexed = store
        .index_kafka_batch(&"c".into(), &batch, &[], &[], NOW)
        .await;
    indexed.unwrap().into_iter().map(|entry| entry.id).collect()
}

fn discard_of(selection: BulkSelection) -> NewBulkAction {
    NewBulkAction {
        kind: BulkActionKind::Discard {
            reason: "known bug".to_owned(),
            expires_at: NOW.plus(Duration::from_hours(24)),
        },
        selection,
        requested_at: NOW,
        requested_by: "alice".to_owned(),
        address: "127.0.0.1".to_owned(),
    }
}

fn restore_of(selection: BulkSelection) -> NewBulkAction {
    NewBulkAction {
        kind: BulkActionKind::Restore,
        ..discard_of(selection)
    }
}

fn all() -> BulkSelection {
    BulkSelection::Filter(Filter::default())
}

/// Does all chunks and answers how the action ended.
async fn finish(store: &Store, action: &NewBulkAction) -> BulkAction {
    let id = store.create_bulk_action(action).await.unwrap();
    loop {
        let action = store.continue_bulk_action(id, NOW).await.unwrap();
        if action.finished_at.is_some() {
            return action;
        }
    }
}

async fn open_in_group(store: &Store) -> u64 {
    let group = store.failure_group(&"v1:1".into()).await.unwrap();
    group.unwrap().open
}

#[tokio::test]
async fn a_discard_says_who_and_why_and_a_restore_ends_it() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let ids = index(store, 0..3).await;
    let named = BulkSelection::DeadLetters(ids[..2].to_vec());
    assert_eq!(finish(store, &discard_of(named.clone())).await.changed, 2);
    assert_eq!(open_in_group(store).await, 1);
    let discard = store.discard_of(ids[0]).await.unwrap().unwrap();
    assert_eq!(
        (discard.by.as_str(), discard.reason.as_str()),
        ("alice", "known bug")
    );
    let page = PageRequest::first(10);
    let listed = store
        .discarded(&Filter::default(), NOW, &page)
        .await
        .unwrap();
    let listed: Vec<_> = listed.items.iter().map(|(letter, _)| letter.id).collect();
    assert_eq!(listed, [ids[1], ids[0]]);
    // A second discard finds nothing to do and leaves no entry.
    assert_eq!(finish(store, &discard_of(named.clone())).await.changed, 0);
    assert_eq!(finish(store, &restore_of(named)).await.changed, 2);
    assert_eq!(store.discard_of(ids[0]).await.unwrap(), None);
    assert_eq!(open_in_group(store).await, 3);
    let audit = store
        .audit(&AuditFilter::default(), &page)
        .await
        .unwrap()
        .items;
    let actions: Vec<_> = audit.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["dead_letter.restore", "dead_letter.discard"]);
    assert_eq!(audit[1].detail["dead_letters"], "1-2");
    assert_eq!(audit[1].detail["reason"], "known bug");
}

#[tokio::test]
async fn what_arrives_after_the_confirmation_is_not_part_of_the_action() {
    let fixture = fixture().await;
    let store = &fixture.store;
    index(store, 0..3).await;
    let id = store.create_bulk_action(&discard_of(all())).await.unwrap();
    index(store, 3..5).await;
    let action = store.continue_bulk_action(id, NOW).await.unwrap();
    assert_eq!((action.changed, action.finished_at), (3, Some(NOW)));
    assert_eq!(open_in_group(store).await, 2);
}

#[tokio::test]
async fn a_group_whose_last_open_one_is_discarded_regresses_with_the_next() {
    let fixture = fixture().await;
    let store = &fixture.store;
    index(store, 0..2).await;
    finish(store, &discard_of(all())).await;
    let batch = [kafka_letter(2)];
    let indexed = store
        .index_kafka_batch(&"c".into(), &batch, &[], &[], NOW)
        .await;
    assert!(indexed.unwrap()[0].group_is_new_or_regressed);
}

#[tokio::test]
async fn each_chunk_is_audited_with_its_exact_set() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let count = 2 * u64::from(CHUNK) + 500;
    index(store, 0..i64::try_from(count).unwrap()).await;
    let id = store.create_bulk_action(&discard_of(all())).await.unwrap();
    let mut steps = 0;
    loop {
        let action = store.continue_bulk_action(id, NOW).await.unwrap();
        steps += 1;
        if action.finished_at.is_some() {
            assert_eq!(action.changed, count);
            break;
        }
    }
    assert_eq!(steps, 3);
    let audit = store
        .audit(&AuditFilter::default(), &PageRequest::first(10))
        .await
        .unwrap()
        .items;
    let sets: Vec<_> = audit
        .iter()
        .map(|e| e.detail["dead_letters"].as_str().unwrap())
        .collect();
    assert_eq!(sets, ["2001-2500", "1001-2000", "1-1000"]);
    assert_eq!(store.unfinished_bulk_action().await.unwrap(), None);
}

#[tokio::test]
async fn a_replay_that_is_active_is_not_discarded_and_a_discarded_one_is_not_replayed() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let ids = index(store, 0..2).await;
    let job = |id| crate::store::NewReplayJob {
        id: ReplayJobId(uuid::Uuid::now_v7()),
        created_at: NOW,
        created_by: "alice".to_owned(),
        selection: "test".to_owned(),
        options: ReplayOptions::default(),
        replays: vec![crate::store::NewReplay {
            id: ReplayId(uuid::Uuid::now_v7()),
            dead_letter: id,
            revision: RevisionNumber(0),
            destination: Destination::Kafka {
                cluster: "c".into(),
                topic: "orders".into(),
                partition: None,
            },
        }],
    };
    let entry = NewAuditEntry {
        at: NOW,
        actor: "alice".to_owned(),
        address: String::new(),
        action: "replay.create".to_owned(),
        detail: serde_json::json!({}),
    };
    let planned = store
        .create_job(&job(ids[0]), &entry)
        .await
        .unwrap()
        .planned;
    assert_eq!(planned.len(), 1);
    assert_eq!(finish(store, &discard_of(all())).await.changed, 1);
    let refused = store
        .create_job(&job(ids[1]), &entry)
        .await
        .unwrap()
        .refused;
    assert!(
        refused[0].reason.contains("restore it first"),
        "{refused:?}"
    );
}
