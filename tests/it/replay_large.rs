//! Jobs that are too large for one transaction, on the real Kafka: they are whole before anything is sent,
//! whatever happens meanwhile.

use std::collections::HashMap;

use redrive::domain::{
    Brake, DeadLetterId, Filter, Partition, ReplayJob, ReplayJobId, ReplayJobState, ReplayOptions,
    ReplayStateName, Timestamp, TopicName,
};
use redrive::replay::{DestinationChoice, ReplayRequest, RevisionChoice, Selection};
use redrive::store::{AuditEntry, AuditFilter, PageRequest, Store};

use crate::replay_crash::{free_port, kafka_section, post_replays, write_configuration};
use crate::support::crashes::serve;
use crate::support::eventually;
use crate::support::replay_letters::{index, kafka_letters, text};
use crate::support::replays::{Running, alice, impatient_kafka, new_store, new_topic, records_in};

/// More than one transaction plans.
const EVENTS: usize = 2_600;

fn everything() -> ReplayRequest {
    ReplayRequest {
        selection: Selection::Filter(Filter::parse("status:open").unwrap()),
        revision: RevisionChoice::Latest,
        destination: DestinationChoice::Original,
        options: ReplayOptions::default(),
    }
}

/// Letters of fifty keys in the opposite of the order in which they came from their topic.
async fn reversed(store: &Store, topic: &TopicName) -> Vec<DeadLetterId> {
    reversed_of(store, topic, EVENTS, 50).await
}

async fn reversed_of(
    store: &Store,
    topic: &TopicName,
    events: usize,
    keys: usize,
) -> Vec<DeadLetterId> {
    let names: Vec<String> = (0..keys).map(|number| format!("key-{number}")).collect();
    let keys: Vec<Option<&str>> = names.iter().map(String::as_str).map(Some).collect();
    let keys: Vec<Option<&str>> = keys.into_iter().cycle().take(events).collect();
    let mut letters = kafka_letters(topic, 0, &keys);
    letters.reverse();
    index(store, &letters).await
}

async fn job(store: &Store, id: ReplayJobId) -> ReplayJob {
    store.replay_job(id).await.unwrap().unwrap()
}

async fn all_sent(store: &Store, id: ReplayJobId, events: usize) -> ReplayJob {
    eventually("every event of the job is sent", async || {
        let job = job(store, id).await;
        (job.count(ReplayStateName::Sent) == events as u64).then_some(job)
    })
    .await
}

async fn newest_audit(store: &Store) -> AuditEntry {
    let (all, one) = (AuditFilter::default(), PageRequest::first(1));
    store.audit(&all, &one).await.unwrap().items.remove(0)
}

async fn events_are_there_once_and_each_key_in_order(topic: &TopicName, events: usize) {
    let mut last_of_key: HashMap<Vec<u8>, i64> = HashMap::new();
    let records = records_in(topic, Partition(0)).await;
    assert_eq!(records.len(), events);
    for record in records {
        let number = text(&record.message, "eventId").trim_start_matches("event-");
        let number: i64 = number.parse().unwrap();
        let key = record.message.key.unwrap().to_vec();
        if let Some(last) = last_of_key.insert(key, number) {
            assert!(last < number, "{last} came before {number}");
        }
    }
}

#[tokio::test]
async fn a_large_job_is_written_down_whole_and_sent_in_the_order_of_origin() {
    let topic = new_topic("large", 1, &[]).await;
    let fixture = new_store().await;
    let store = &fixture.store;
    let ids = reversed(store, &topic).await;
    let running = Running::engines(impatient_kafka(), store);
    let preflight = running.handle.preflight(&everything()).await.unwrap();
    assert_eq!((preflight.matching, preflight.eligible), (2_600, 2_600));
    assert_eq!(preflight.audiences[0].events, EVENTS);
    assert!(
        preflight.events.len() < EVENTS,
        "{}",
        preflight.events.len()
    );

    let started = running.handle.start(everything(), alice()).await.unwrap();
    let whole = all_sent(store, started.job, EVENTS).await;
    assert_eq!((whole.total(), whole.refused), (2_600, 0));
    events_are_there_once_and_each_key_in_order(&topic, EVENTS).await;
    let frozen = newest_audit(store).await;
    assert_eq!(frozen.action, "replay.freeze");
    let (first, last) = (ids[0], ids[EVENTS - 1]);
    assert_eq!(frozen.detail["dead_letters"], format!("{first}-{last}"));
    assert_eq!(frozen.detail["count"], 2_600);
    running.stop().await;
}

#[tokio::test]
async fn what_an_engine_loads_while_it_sends_comes_after_what_it_had() {
    // More than an engine loads at once, in rounds of several hundred.
    const MANY: usize = 12_000;
    let topic = new_topic("large", 1, &[]).await;
    let fixture = new_store().await;
    let store = &fixture.store;
    reversed_of(store, &topic, MANY, 700).await;
    let running = Running::engines(impatient_kafka(), store);
    let started = running.handle.start(everything(), alice()).await.unwrap();
    all_sent(store, started.job, MANY).await;
    events_are_there_once_and_each_key_in_order(&topic, MANY).await;
    running.stop().await;
}

#[tokio::test]
async fn a_large_job_goes_on_after_a_crash_while_it_is_written_down() {
    let topic = new_topic("large", 1, &[]).await;
    let fixture = new_store().await;
    let store = &fixture.store;
    reversed(store, &topic).await;
    let port = free_port().await;
    let listen = format!("127.0.0.1:{port}");
    write_configuration(&fixture.folder, &listen, &kafka_section());
    let mut child = serve(fixture.folder.path(), Some("freeze.chunk:3"));
    let api = format!("http://{listen}/api/v1");
    let selected = serde_json::json!({ "filter": "status:open" });
    let confirmed = post_replays(&api, &selected).await.unwrap();
    assert_eq!(confirmed.status(), 201);
    child.wait().await.unwrap();
    let id = store
        .replay_jobs(&PageRequest::first(1))
        .await
        .unwrap()
        .items[0]
        .id;
    let half = job(store, id).await;
    assert_eq!(
        (half.state, half.total()),
        (ReplayJobState::Freezing, 1_500)
    );
    assert!(records_in(&topic, Partition(0)).await.is_empty());

    let child = serve(fixture.folder.path(), None);
    let whole = all_sent(store, id, EVENTS).await;
    assert_eq!((whole.total(), whole.refused), (2_600, 0));
    drop(child);
    events_are_there_once_and_each_key_in_order(&topic, EVENTS).await;
}

#[tokio::test]
async fn a_cancelled_large_job_leaves_every_event_open_and_the_audit_names_them() {
    let topic = new_topic("large", 1, &[]).await;
    let fixture = new_store().await;
    let store = &fixture.store;
    reversed(store, &topic).await;
    let running = Running::engines(impatient_kafka(), store);
    let later = Brake {
        not_before: Some(Timestamp(i64::MAX / 2)),
        ..Brake::default()
    };
    let started = running
        .handle
        .start_held(everything(), later, alice())
        .await;
    let id = started.unwrap().job;
    eventually("the job is whole", async || {
        (job(store, id).await.state == ReplayJobState::Ready).then_some(())
    })
    .await;
    assert_eq!(running.handle.cancel(id, alice()).await.unwrap(), 2_600);
    let cancelled = job(store, id).await;
    assert_eq!(
        cancelled.state,
        ReplayJobState::Ready,
        "{:?}",
        cancelled.reason
    );
    assert_eq!(cancelled.counts, [(ReplayStateName::Cancelled, 2_600)]);
    let filter = Filter::parse("status:open").unwrap();
    let open = store.count_dead_letters(&filter, Timestamp::now());
    assert_eq!(open.await.unwrap(), 2_600);
    let entries = store
        .audit(&AuditFilter::default(), &PageRequest::first(3))
        .await
        .unwrap()
        .items;
    let counts: u64 = entries
        .iter()
        .map(|entry| entry.detail["count"].as_u64().unwrap())
        .sum();
    assert_eq!(counts, 2_600);
    assert!(records_in(&topic, Partition(0)).await.is_empty());
    running.stop().await;
}
