use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::domain::*;
use crate::store::tests::{NOW, fixture};
use crate::store::{AuditFilter, CustodySession, KafkaCursor, NewBulkAction, PageRequest};

const START: DeadLetterId = DeadLetterId(0);

fn letter(position: Position, custody: Custody) -> NewDeadLetter {
    let mut letter = crate::store::tests::letter(position, custody);
    letter.message.body = Some(Bytes::from_static(b"{\"needle\": 1}"));
    letter
}

async fn index(store: &Store, offsets: std::ops::Range<i64>, at: Timestamp) {
    let cursor = KafkaCursor {
        topic: "orders.dlq".into(),
        topic_id: None,
        partition: Partition(0),
        next_offset: Offset(offsets.end),
    };
    let position = |offset| Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: None,
        partition: Partition(0),
        offset: Offset(offset),
    };
    let batch: Vec<_> = offsets
        .map(|offset| letter(position(offset), Custody::Broker))
        .collect();
    store
        .index_kafka_batch(&"c".into(), &batch, &[cursor], &[], at)
        .await
        .unwrap();
}

/// Takes a message whose acknowledgement RabbitMQ has seen.
async fn take(store: &Store, fingerprint: &str, custody: Custody) {
    let session = take_unacknowledged(store, fingerprint, custody).await;
    store.acknowledged(&session).await.unwrap();
}

async fn take_unacknowledged(store: &Store, fingerprint: &str, custody: Custody) -> CustodySession {
    let position = Position::RabbitMq {
        vhost: "/".into(),
        queue: "orders.dlq".into(),
        fingerprint: fingerprint.to_owned(),
    };
    let batch = [letter(position, custody)];
    let session = store.begin_custody().await.unwrap();
    store.take_custody(&session, &batch, NOW).await.unwrap();
    session
}

async fn set(store: &Store, id: i64, status: DeadLetterStatus) {
    sqlx::query("UPDATE dead_letters SET status = ? WHERE id = ?")
        .bind(status.as_str())
        .bind(id)
        .execute(&store.writer)
        .await
        .unwrap();
}

async fn replay(store: &Store, id: i64, state: ReplayStateName) {
    let job = Uuid::now_v7().to_string();
    sqlx::query(
        "INSERT INTO replay_jobs (id, created_at_ms, created_by, selection) VALUES (?, 0, '', '')",
    )
    .bind(&job)
    .execute(&store.writer)
    .await
    .unwrap();
    for statement in [
        "INSERT INTO replay_plans (number, id, job, dead_letter, revision, destination, attempt, cluster, size) \
         VALUES (?1, 'r' || ?1, ?2, ?1, 0, '{}', 1, 'c', 1)",
        "INSERT INTO replay_states (number, dead_letter, job, cluster, state, stage, detail, updated_at_ms) \
         VALUES (?1, ?1, 1, 2, ?3, 'ended', '{}', 0)",
    ] {
        let statement = sqlx::query(statement).bind(id).bind(&job);
        let statement = statement.bind(state.as_str());
        statement.execute(&store.writer).await.unwrap();
    }
}

async fn discard(store: &Store, id: i64, expires_at: Timestamp) {
    let action = NewBulkAction {
        kind: BulkActionKind::Discard {
            reason: "known bug".to_owned(),
            expires_at,
        },
        selection: BulkSelection::DeadLetters(vec![DeadLetterId(id)]),
        requested_at: NOW,
        requested_by: "alice".to_owned(),
        address: String::new(),
    };
    let action = store.create_bulk_action(&action).await.unwrap();
    store.continue_bulk_action(action, NOW).await.unwrap();
}

async fn left(store: &Store) -> Vec<i64> {
    let sql = "SELECT id FROM dead_letters ORDER BY id";
    sqlx::query_scalar(sql)
        .fetch_all(&store.reader)
        .await
        .unwrap()
}

async fn count(store: &Store, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&store.reader)
        .await
        .unwrap()
}

const OLD: Removal = Removal::Old {
    before: Timestamp(NOW.0 + 1),
    open_too: false,
};

#[tokio::test]
async fn only_what_is_settled_and_old_goes_with_all_its_parts() {
    let fixture = fixture().await;
    let store = &fixture.store;
    index(store, 0..8, NOW).await;
    let states = [
        (
            2,
            DeadLetterStatus::Replaying,
            Some(ReplayStateName::Unknown),
        ),
        (3, DeadLetterStatus::Replayed, Some(ReplayStateName::Sent)),
        (4, DeadLetterStatus::Replayed, Some(ReplayStateName::Passed)),
        (
            5,
            DeadLetterStatus::Replayed,
            Some(ReplayStateName::Consumed),
        ),
        (
            6,
            DeadLetterStatus::Replayed,
            Some(ReplayStateName::DiedAgain),
        ),
        (7, DeadLetterStatus::Gone, None),
    ];
    for (id, status, state) in states {
        set(store, id, status).await;
        if let Some(state) = state {
            replay(store, id, state).await;
        }
    }
    index(store, 8..9, NOW.plus(Duration::from_secs(1))).await;
    set(store, 9, DeadLetterStatus::Replayed).await;
    let removed = store.remove_chunk(OLD, START, NOW).await.unwrap();
    assert_eq!(
        (removed.count, removed.position),
        (3, Some(DeadLetterId(7)))
    );
    assert_eq!(left(store).await, [1, 2, 3, 4, 8, 9]);
    let next = store.remove_chunk(OLD, DeadLetterId(7), NOW).await.unwrap();
    assert_eq!(next, Removed::default());
    for sql in [
        "SELECT COUNT(*) FROM bodies WHERE dead_letter IN (5, 6, 7)",
        "SELECT COUNT(*) FROM replays WHERE dead_letter IN (5, 6, 7)",
        "SELECT COUNT(*) FROM search_index WHERE rowid IN (5, 6, 7)",
    ] {
        assert_eq!(count(store, sql).await, 0, "{sql}");
    }
    let listed = store.count_dead_letters(&Filter::default(), NOW).await;
    assert_eq!(listed.unwrap(), 6);
    // What was counted stays counted, and nothing is read again.
    let group = store.failure_group(&"v1:1".into()).await.unwrap().unwrap();
    assert_eq!((group.total, group.open), (9, 2));
    assert_eq!(store.dead_letter_totals().await.unwrap()[0].total, 9);
    let cursors = store.kafka_cursors(&"c".into()).await.unwrap();
    assert_eq!(cursors[0].next_offset, Offset(9));
    let page = store
        .audit(&AuditFilter::default(), &PageRequest::first(1))
        .await
        .unwrap();
    assert_eq!(page.items[0].action, "retention.remove");
    assert_eq!(page.items[0].detail["dead_letters"], "5-7");
    assert_eq!(page.items[0].detail["reason"], "age");
}

#[tokio::test]
async fn open_ones_go_only_when_told_and_active_ones_never() {
    let fixture = fixture().await;
    let store = &fixture.store;
    index(store, 0..3, NOW).await;
    set(store, 2, DeadLetterStatus::Replaying).await;
    replay(store, 2, ReplayStateName::Planned).await;
    let removal = Removal::Oldest { open_too: false };
    let removed = store.remove_chunk(removal, START, NOW).await.unwrap();
    assert_eq!(removed.count, 0);
    let removal = Removal::Oldest { open_too: true };
    let removed = store.remove_chunk(removal, START, NOW).await.unwrap();
    assert_eq!(removed.count, 2);
    assert_eq!(left(store).await, [2]);
    let group = store.failure_group(&"v1:1".into()).await.unwrap().unwrap();
    assert_eq!(group.total, 3);
    let open = count(
        store,
        "SELECT COUNT(*) FROM dead_letters WHERE status = 'open'",
    )
    .await;
    assert_eq!(group.open, u64::try_from(open).unwrap());
}

#[tokio::test]
async fn a_discard_that_expired_goes_unless_the_queue_still_has_the_message() {
    let fixture = fixture().await;
    let store = &fixture.store;
    index(store, 0..2, NOW).await;
    take(store, "managed", Custody::Store).await;
    take(store, "observed", Custody::Broker).await;
    let later = NOW.plus(Duration::from_hours(1));
    // RabbitMQ may deliver this one again.
    take_unacknowledged(store, "not acknowledged", Custody::Store).await;
    for (id, expires_at) in [(1, NOW), (2, later), (3, NOW), (4, NOW), (5, NOW)] {
        discard(store, id, expires_at).await;
    }
    let removed = store
        .remove_chunk(Removal::Expired, START, NOW)
        .await
        .unwrap();
    assert_eq!(removed.count, 2);
    assert_eq!(left(store).await, [2, 4, 5]);
    let sql = "SELECT COUNT(*) FROM discarded_dead_letters";
    assert_eq!(count(store, sql).await, 3);
    let removed = store
        .remove_chunk(Removal::Expired, START, later)
        .await
        .unwrap();
    assert_eq!(removed.count, 1);
}

#[tokio::test]
async fn freed_pages_are_given_back() {
    let fixture = fixture().await;
    let store = &fixture.store;
    // Of what migrations dropped.
    while store.give_back_pages().await.unwrap() {}
    let empty = store.space().await.unwrap().bytes;
    index(store, 0..700, NOW).await;
    for id in 1..=700 {
        set(store, id, DeadLetterStatus::Gone).await;
    }
    let before = store.space().await.unwrap();
    let mut position = START;
    let mut chunks = Vec::new();
    loop {
        let removed = store.remove_chunk(OLD, position, NOW).await.unwrap();
        let Some(last) = removed.position else { break };
        position = last;
        chunks.push(removed.count);
    }
    assert_eq!(chunks, [200, 200, 200, 100]);
    assert!(store.space().await.unwrap().free_bytes > 0);
    while store.give_back_pages().await.unwrap() {}
    let after = store.space().await.unwrap();
    assert_eq!(after.free_bytes, 0);
    let (after, before) = (after.bytes - empty, before.bytes - empty);
    assert!(after < before / 2, "{before} {after} beside {empty}");
}

#[tokio::test]
async fn the_newest_that_is_old_is_found_whatever_gaps_there_are() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let at = |second: u64| NOW.plus(Duration::from_secs(second));
    assert_eq!(store.last_indexed_before(at(9)).await.unwrap(), 0);
    for second in 0..9 {
        let first = i64::try_from(second).unwrap() * 3;
        index(store, first..first + 3, at(second)).await;
    }
    set(store, 5, DeadLetterStatus::Gone).await;
    set(store, 6, DeadLetterStatus::Gone).await;
    let early = Removal::Oldest { open_too: false };
    store.remove_chunk(early, START, NOW).await.unwrap();
    for (before, expected) in [(0, 0), (1, 3), (2, 6), (3, 9), (9, 27), (99, 27)] {
        let found = store.last_indexed_before(at(before)).await.unwrap();
        assert_eq!(found, expected, "{before}");
    }
}

/// A table that refers to dead letters and is not in [`PARTS`] would stop retention.
#[tokio::test]
async fn every_table_that_refers_to_dead_letters_is_a_part() {
    let fixture = fixture().await;
    let referring: Vec<(String, String)> = sqlx::query_as(
        "SELECT m.name, f.\"from\" FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f \
         WHERE m.type = 'table' AND f.\"table\" = 'dead_letters' \
         AND f.on_delete <> 'CASCADE'",
    )
    .fetch_all(&fixture.store.reader)
    .await
    .unwrap();
    assert!(!referring.is_empty());
    for (table, column) in referring {
        let part = (table.as_str(), column.as_str());
        assert!(PARTS.contains(&part), "add {part:?} to PARTS");
    }
}

#[tokio::test]
async fn whatever_belongs_to_a_dead_letter_leaves_with_it() {
    let fixture = fixture().await;
    let tables: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT m.name, f.\"from\", f.on_delete FROM sqlite_schema m, pragma_foreign_key_list(m.name) f \
         WHERE m.type = 'table' AND f.\"table\" = 'dead_letters'",
    )
    .fetch_all(&fixture.store.reader)
    .await
    .unwrap();
    assert!(tables.len() > PARTS.len(), "{tables:?}");
    for (table, column, on_delete) in &tables {
        let is_removed = PARTS.contains(&(table.as_str(), column.as_str()));
        assert!(
            is_removed || on_delete == "CASCADE",
            "a dead letter with a row in {table} can never be removed"
        );
    }
}
