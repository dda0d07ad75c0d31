use bytes::Bytes;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::domain::*;

pub(super) struct Fixture {
    pub(super) store: Store,
    _folder: TempDir,
}

pub(super) async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    Fixture {
        store: Store::open(&url).await.unwrap(),
        _folder: folder,
    }
}

pub(super) const NOW: Timestamp = Timestamp(1_000_000);

fn all() -> Filter {
    Filter::default()
}

pub(super) fn kafka_letter(offset: i64) -> NewDeadLetter {
    let position = Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: Some(Uuid::nil()),
        partition: Partition(0),
        offset: Offset(offset),
    };
    letter(position, Custody::Broker)
}

pub(super) fn queue_letter(fingerprint: &str, custody: Custody) -> NewDeadLetter {
    let position = Position::RabbitMq {
        vhost: "/".into(),
        queue: "orders.dlq".into(),
        fingerprint: fingerprint.to_owned(),
    };
    letter(position, custody)
}

pub(super) fn letter(position: Position, custody: Custody) -> NewDeadLetter {
    NewDeadLetter {
        cluster: "c".into(),
        position,
        message: Message {
            key: None,
            body: Some(Bytes::from_static(b"{}")),
            headers: vec![Header::text("a", "1"), Header::text("a", "2")],
            properties: None,
        },
        body_omitted: None,
        dead_at: NOW,
        decoded: Decoded::default(),
        event: EventIdentity::default(),
        classification: Classification {
            group: "v1:1".into(),
            title: "title".to_owned(),
            explanation: "grouped by test".to_owned(),
        },
        custody,
        replay_id: None,
        redelivered: false,
    }
}

pub(super) fn cursor(next_offset: i64) -> KafkaCursor {
    KafkaCursor {
        topic: "orders.dlq".into(),
        topic_id: Some(Uuid::nil()),
        partition: Partition(0),
        next_offset: Offset(next_offset),
    }
}

pub(super) fn entry() -> NewAuditEntry {
    NewAuditEntry {
        at: NOW,
        actor: "alice".to_owned(),
        address: "127.0.0.1".to_owned(),
        action: "replay.create".to_owned(),
        detail: serde_json::json!({ "dead_letters": [1] }),
    }
}

pub(super) async fn index(store: &Store, offsets: &[i64]) -> Vec<Indexed> {
    let batch: Vec<_> = offsets.iter().map(|offset| kafka_letter(*offset)).collect();
    let next = offsets.last().map_or(0, |offset| offset + 1);
    store
        .index_kafka_batch(&"c".into(), &batch, &[cursor(next)], &[], NOW)
        .await
        .unwrap()
}

pub(super) fn job(dead_letters: &[DeadLetterId]) -> NewReplayJob {
    let destination = Destination::Kafka {
        cluster: "c".into(),
        topic: "orders".into(),
        partition: None,
    };
    let replay = |id: &DeadLetterId| NewReplay {
        id: ReplayId(Uuid::now_v7()),
        dead_letter: *id,
        revision: RevisionNumber(0),
        destination: destination.clone(),
    };
    NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: NOW,
        created_by: "alice".to_owned(),
        selection: "test".to_owned(),
        options: ReplayOptions::default(),
        replays: dead_letters.iter().map(replay).collect(),
    }
}

pub(super) async fn group(store: &Store) -> FailureGroup {
    store.failure_group(&"v1:1".into()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_batch_and_its_cursor_are_stored_together_or_not_at_all() {
    let fixture = fixture().await;
    let store = &fixture.store;
    index(store, &[0, 1]).await;
    assert_eq!(store.kafka_cursors(&"c".into()).await.unwrap(), [cursor(2)]);

    let again = [kafka_letter(2), kafka_letter(1)];
    let result = store
        .index_kafka_batch(&"c".into(), &again, &[cursor(3)], &[], NOW)
        .await;
    assert!(result.is_err(), "a record was indexed twice");
    assert_eq!(store.kafka_cursors(&"c".into()).await.unwrap(), [cursor(2)]);
    assert_eq!(store.count_dead_letters(&all(), NOW).await.unwrap(), 2);
}

#[tokio::test]
async fn a_message_is_read_back_exactly() {
    let fixture = fixture().await;
    let id = index(&fixture.store, &[0]).await[0].id;
    let stored = fixture.store.dead_letter(id).await.unwrap();
    assert_eq!(stored.message, kafka_letter(0).message);
    assert_eq!(stored.summary.position, kafka_letter(0).position);
}

#[tokio::test]
async fn pages_follow_one_another_without_repeating() {
    let fixture = fixture().await;
    index(&fixture.store, &[0, 1, 2, 3, 4]).await;
    let mut seen = Vec::new();
    let mut page = PageRequest::first(2);
    loop {
        let read = fixture
            .store
            .dead_letters(&all(), NOW, &page)
            .await
            .unwrap();
        seen.extend(read.items.iter().map(|summary| summary.id.0));
        match read.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    page.cursor = Some("x' OR 1".to_owned());
    let refused = fixture.store.dead_letters(&all(), NOW, &page).await;
    assert!(matches!(refused, Err(StoreError::BadCursor(_))));
}

#[tokio::test]
async fn an_edit_builds_on_the_revision_that_its_author_saw() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let id = index(store, &[0]).await[0].id;
    let edit = |builds_on| NewRevision {
        dead_letter: id,
        builds_on: RevisionNumber(builds_on),
        message: Message {
            body: Some(Bytes::from_static(b"repaired")),
            ..Message::default()
        },
        author: "alice".to_owned(),
        note: None,
        at: NOW,
    };
    assert_eq!(
        store.add_revision(&edit(0), &entry()).await.unwrap(),
        RevisionNumber(1)
    );
    let conflict = store.add_revision(&edit(0), &entry()).await;
    assert!(
        matches!(conflict, Err(StoreError::RevisionConflict { .. })),
        "{conflict:?}"
    );
    let original = store.message(id, RevisionNumber(0)).await.unwrap();
    assert_eq!(original, kafka_letter(0).message);
    let edited = store.message(id, RevisionNumber(1)).await.unwrap();
    assert_eq!(edited.body, Some(Bytes::from_static(b"repaired")));
}

#[tokio::test]
async fn what_left_the_window_of_an_observed_queue_is_gone_and_may_come_back() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let look = async |fingerprints: &[&str]| {
        let window: Vec<_> = fingerprints
            .iter()
            .map(|f| queue_letter(f, Custody::Broker))
            .collect();
        let queue = (&"/".into(), &"orders.dlq".into());
        store
            .replace_window(&"c".into(), queue, &window, NOW)
            .await
            .unwrap()
            .len()
    };
    let open = async || group(store).await.open;
    assert_eq!(look(&["a", "a", "b"]).await, 3);
    assert_eq!(look(&["a", "a", "b"]).await, 0);
    assert_eq!(open().await, 3);
    assert_eq!(look(&["a"]).await, 0);
    assert_eq!(open().await, 1);
    assert_eq!(look(&["b", "a"]).await, 0);
    assert_eq!(open().await, 2);
}

#[tokio::test]
async fn a_group_regresses_when_it_comes_back_after_everything_was_resolved() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let first = index(store, &[0]).await;
    assert!(first[0].group_is_new_or_regressed);
    assert!(!index(store, &[1]).await[0].group_is_new_or_regressed);
    let both = job(&[DeadLetterId(1), DeadLetterId(2)]);
    let replays = store.create_job(&both, &entry()).await.unwrap().planned;
    assert_eq!(group(store).await.open, 0);
    let third = index(store, &[2]).await[0].clone();
    assert!(
        !third.group_is_new_or_regressed,
        "what is on its way back is not resolved"
    );
    let third = store.create_job(&job(&[third.id]), &entry()).await.unwrap();
    for replay in replays.into_iter().chain(third.planned) {
        let sending = ReplayEvent::Sending {
            at: NOW,
            high_watermark: None,
            topic_id: None,
        };
        store.advance_replay(replay, sending, NOW).await.unwrap();
        store
            .advance_replay(
                replay,
                ReplayEvent::Confirmed {
                    at: NOW,
                    landing: None,
                },
                NOW,
            )
            .await
            .unwrap();
    }
    assert!(index(store, &[3]).await[0].group_is_new_or_regressed);
    assert_eq!(group(store).await.regressed_at, Some(NOW));
}

#[tokio::test]
async fn the_audit_is_a_chain() {
    let fixture = fixture().await;
    for _ in 0..3 {
        fixture.store.append_audit(&entry()).await.unwrap();
    }
    let page = fixture
        .store
        .audit(&AuditFilter::default(), &PageRequest::first(2))
        .await
        .unwrap();
    assert_eq!(
        page.items.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        [3, 2]
    );
    let hashes: std::collections::HashSet<_> = page.items.iter().map(|e| &e.hash).collect();
    assert_eq!(
        hashes.len(),
        2,
        "equal entries have different hashes because of the chain"
    );
}

#[tokio::test]
async fn a_truncated_log_may_use_its_offsets_again() {
    let fixture = fixture().await;
    let store = &fixture.store;
    index(store, &[0, 1, 2]).await;
    let gap = Gap {
        topic: "orders.dlq".into(),
        partition: Partition(0),
        from: Offset(1),
        to: Offset(3),
        kind: GapKind::Truncated,
    };
    let gaps = std::slice::from_ref(&gap);
    store
        .index_kafka_batch(&"c".into(), &[], &[cursor(1)], gaps, NOW)
        .await
        .unwrap();
    index(store, &[1]).await;
    assert_eq!(store.count_dead_letters(&all(), NOW).await.unwrap(), 4);
    assert_eq!(store.gaps(10).await.unwrap()[0].1, gap);
}

#[tokio::test]
async fn a_filter_selects_what_it_says() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut timeout = kafka_letter(0);
    timeout.decoded.failure.class = Some("TimeoutException".to_owned());
    timeout.decoded.failure.message = Some("100% of tries_failed".to_owned());
    timeout.decoded.origin.destination = Some("orders".to_owned());
    timeout.event.event_type = Some("Order[1]".to_owned());
    let unknown = NewDeadLetter {
        dead_at: Timestamp(0),
        ..kafka_letter(1)
    };
    let batch = [timeout, unknown];
    store
        .index_kafka_batch(&"c".into(), &batch, &[cursor(2)], &[], NOW)
        .await
        .unwrap();

    let check = async |text: &str, expected: &[i64]| {
        let filter = Filter::parse(text).unwrap();
        let ids = store.matching_ids(&filter, NOW, 10).await.unwrap();
        assert_eq!(
            ids.iter().map(|id| id.0).collect::<Vec<_>>(),
            expected,
            "{text}"
        );
    };
    check("", &[1, 2]).await;
    check("error:timeout", &[1]).await;
    check("-error:timeout", &[2]).await;
    check("source:orders", &[1]).await;
    check("source:ord*", &[1]).await;
    check("-source:orders", &[2]).await;
    check("type:Order[1]", &[1]).await;
    check("type:Order[*", &[1]).await;
    check("\"100% of\"", &[1]).await;
    check("\"1%f\"", &[]).await;
    check("tries_f", &[]).await;
    check("tries_fai*", &[1]).await;
    check("tries_failed", &[1]).await;
    check("triesXf", &[]).await;
    check("age:>10m", &[2]).await;
    check("age:<10m", &[1]).await;
    check("status:open dlq:orders.dlq system:kafka", &[1, 2]).await;
    check("status:replayed", &[]).await;
    check("\"' OR 1=1 --\"", &[]).await;
}

#[tokio::test]
async fn what_waits_in_a_dlq_and_when_a_group_died_are_counted_as_they_change() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let ids = index(store, &[0, 1, 2]).await;
    let depth = async || {
        let depths = store.dlq_depths().await.unwrap();
        (depths.len(), depths[0].open, depths[0].oldest.is_some())
    };
    assert_eq!(depth().await, (1, 3, true));
    for (status, waiting) in [("discarded", 2), ("open", 3)] {
        sqlx::query("UPDATE dead_letters SET status = ? WHERE id = ?")
            .bind(status)
            .bind(ids[0].id.0)
            .execute(&store.writer)
            .await
            .unwrap();
        assert_eq!(depth().await.1, waiting, "{status}");
    }
    let hour = std::time::Duration::from_hours(1);
    let span = (NOW.minus(hour), NOW.plus(hour));
    let group = "v1:1".into();
    let arrivals = store.failure_group_arrivals(&group, span, 4);
    assert_eq!(arrivals.await.unwrap().iter().sum::<u64>(), 3);
    let later = NOW.plus(hour * 26);
    store.forget_old_minutes(later).await.unwrap();
    let arrivals = store.failure_group_arrivals(&group, span, 4);
    assert_eq!(arrivals.await.unwrap(), [0; 4]);
}

#[tokio::test]
async fn a_job_s_options_come_with_its_planned_replays() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let letters = index(store, &[0]).await;
    let options = ReplayOptions {
        restore_expiration: true,
        ..ReplayOptions::default()
    };
    let job = NewReplayJob {
        options,
        ..job(&[letters[0].id])
    };
    store.create_job(&job, &entry()).await.unwrap();
    let planned = store.planned_replays(job.id, &"c".into(), None, 10).await;
    assert_eq!(planned.unwrap()[0].options, options);
    sqlx::query("UPDATE replay_jobs SET options = '{\"of a later version\":true}'")
        .execute(&store.writer)
        .await
        .unwrap();
    let read = store.replay_job(job.id).await.unwrap().unwrap();
    assert_eq!(read.options, ReplayOptions::default());
}
