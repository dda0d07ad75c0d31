use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::domain::{
    DeadLetterId, Landing, Offset, Partition, ReplayEvent, ReplayId, ReplayJobId, RevisionNumber,
};
use crate::store::tests::{NOW, entry, fixture, index, job};
use crate::store::{LogPlace, Store};

/// Before a replay was two rows.
const EARLIER: i64 = 172;

const ROWS: &str = r#"
INSERT INTO failure_groups (id, title, explanation, first_seen_ms, last_seen_ms) VALUES ('v1:1', '', '', 0, 0);
INSERT INTO dead_letters (id, system, cluster, vhost, dlq, topic_id, status, custody, dead_at_ms, indexed_at_ms,
    reason, failure_group, size, latest_revision)
    SELECT value, 'rabbitmq', 'r', '/', 'q', '', 'replaying', 'store', 0, 0, 'rejected', 'v1:1', 100 + value, 1
    FROM json_each('[1, 2, 3, 4]');
INSERT INTO bodies (dead_letter, message_key, headers, decoded)
    SELECT value, CAST('key ' || value AS BLOB), '[]', '{}' FROM json_each('[1, 2, 3, 4]');
INSERT INTO revisions (dead_letter, number, message_key, headers, author, created_at_ms)
    VALUES (2, 1, CAST('edited' AS BLOB), '[]', '', 0);
INSERT INTO replay_jobs (id, created_at_ms, created_by, selection) VALUES ('00000000-0000-7000-8000-0000000000aa', 0, '', '');
INSERT INTO replays (id, job, dead_letter, revision, destination, cluster, topic, attempt, state, stage, detail,
    updated_at_ms, partition, log_offset)
    SELECT '00000000-0000-7000-8000-00000000000' || (value ->> 0), '00000000-0000-7000-8000-0000000000aa', value ->> 0,
    value ->> 1, '{"system":"kafka","cluster":"k","topic":"t","partition":null}', 'k', 't', 1, value ->> 2,
    value ->> 3, value ->> 4, 50 + value ->> 0, value ->> 5, value ->> 6 FROM json_each('[
    [4, 0, "failed", "ended", {"state":"failed","at":1,"reason":"no"}, null, null],
    [3, 0, "sent", "ended", {"state":"sent","at":1,"landing":{"partition":2,"offset":9}}, 2, 9],
    [2, 1, "planned", "to_send", {"state":"planned"}, null, null],
    [1, 0, "sending", "to_send", {"state":"sending","started_at":1,"high_watermark":{"partition":2,"offset":7}}, 2, 7]
    ]');
"#;

#[tokio::test]
async fn the_replays_of_an_earlier_store_are_what_they_were() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("earlier.db");
    let mut earlier = sqlx::migrate!("./migrations");
    let known = earlier
        .migrations
        .iter()
        .filter(|known| known.version <= EARLIER);
    earlier.migrations = known.cloned().collect();
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    earlier.run(&mut connection).await.unwrap();
    sqlx::raw_sql(ROWS).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let store = Store::open(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    let job: ReplayJobId = "00000000-0000-7000-8000-0000000000aa".parse().unwrap();
    let id = |last: u32| -> ReplayId {
        format!("00000000-0000-7000-8000-00000000000{last}")
            .parse()
            .unwrap()
    };
    // In the order of their IDs.
    let all = store.replays_of_job(job, 0, 9).await.unwrap();
    let found: Vec<_> = all
        .iter()
        .map(|replay| (replay.id, replay.state.name()))
        .collect();
    let expected = [
        (id(1), ReplayStateName::Sending),
        (id(2), ReplayStateName::Planned),
        (id(3), ReplayStateName::Sent),
        (id(4), ReplayStateName::Failed),
    ];
    assert_eq!(found, expected);
    assert_eq!(all[1].updated_at, Timestamp(52));
    let planned = store
        .planned_replays(job, &"k".into(), None, 9)
        .await
        .unwrap();
    assert_eq!(planned.len(), 1);
    assert_eq!(planned[0].replay, all[1]);
    assert_eq!(planned[0].replay.revision, RevisionNumber(1));
    assert_eq!(
        (planned[0].key.as_deref(), planned[0].size),
        (Some(&b"edited"[..]), 102)
    );
    assert_eq!(
        store.sending_replays(&"k".into()).await.unwrap(),
        [all[0].clone()]
    );
    let place = LogPlace {
        cluster: "k".into(),
        topic: "t".into(),
        partition: Partition(2),
    };
    assert_eq!(
        store.places_of_replays().await.unwrap(),
        [place.clone(), place.clone()]
    );
    let landed = store.replays_landed(&place, (Offset(0), Offset(99)), Timestamp(0), 9);
    assert_eq!(landed.await.unwrap(), [all[2].clone()]);
    let high_watermark = Landing {
        partition: Partition(2),
        offset: Offset(7),
    };
    assert_eq!(place_of(&all[0].state), Some(high_watermark));
}

#[tokio::test]
async fn a_batch_of_any_size_changes_what_is_in_it_and_nothing_else() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let most = i64::try_from(MANY + FEW).unwrap();
    let letters = index(store, &(0..most).collect::<Vec<_>>()).await;
    let letters: Vec<DeadLetterId> = letters.iter().map(|letter| letter.id).collect();
    let job = job(&letters);
    let planned = store.create_job(&job, &entry()).await.unwrap().planned;
    let event = ReplayEvent::Sending {
        at: NOW,
        high_watermark: None,
        topic_id: None,
    };
    // All but the last by a full statement for many and one for few that is filled up; then the last alone.
    let (last, others) = planned.split_last().unwrap();
    let events = |ids: &[ReplayId]| ids.iter().map(|id| (*id, event.clone())).collect();
    for (ids, sending) in [(others, others.len()), (&[*last], planned.len())] {
        let results = store.advance_replays(events(ids), NOW).await.unwrap();
        assert!(results.iter().all(Result::is_ok));
        let found = store.replays_in(&[ReplayStateName::Sending], 9_999).await;
        assert_eq!(found.unwrap().len(), sending);
    }
    let counted = store.replay_job(job.id).await.unwrap().unwrap();
    assert_eq!(
        counted.count(ReplayStateName::Sending),
        planned.len() as u64
    );
}
