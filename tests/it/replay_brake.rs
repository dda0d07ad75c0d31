//! The brake of a job on the real Kafka: pause, rate, canary ramp, start time, and the stop when too
//! many events fail.

use std::time::{Duration, Instant};

use bytes::Bytes;
use redrive::domain::{
    Brake, NewDeadLetter, Partition, ReplayJob, ReplayJobId, ReplayJobState, ReplayStateName,
    Timestamp, TopicName,
};
use redrive::store::{AuditFilter, PageRequest, Store};

use crate::support::eventually;
use crate::support::replay_letters::{index, kafka_letters, text};
use crate::support::replays::{
    Running, StoreInFolder, alice, impatient_kafka, new_store, new_topic, records_in, request,
};

/// A job whose events have no key, with that brake.
async fn start(
    fixture: &StoreInFolder,
    running: &Running,
    letters: &[NewDeadLetter],
    brake: Brake,
) -> ReplayJobId {
    let ids = index(&fixture.store, letters).await;
    let started = running.handle.start_held(request(&ids), brake, alice());
    started.await.unwrap().job
}

async fn job(store: &Store, id: ReplayJobId) -> ReplayJob {
    store.replay_job(id).await.unwrap().unwrap()
}

async fn sent(store: &Store, id: ReplayJobId, events: u64) -> ReplayJob {
    eventually("so many events are sent", async || {
        let job = job(store, id).await;
        (job.count(ReplayStateName::Sent) >= events).then_some(job)
    })
    .await
}

async fn landed(topic: &TopicName) -> usize {
    records_in(topic, Partition(0)).await.len()
}

#[tokio::test]
async fn a_paused_job_sends_nothing_until_it_is_resumed_even_by_another_process() {
    let topic = new_topic("brake", 1, &[]).await;
    let fixture = new_store().await;
    let store = &fixture.store;
    let running = Running::engines(impatient_kafka(), store);
    let slow = Brake {
        events_per_second: Some(1),
        ..Brake::default()
    };
    let letters = kafka_letters(&topic, 0, &[None; 30]);
    let id = start(&fixture, &running, &letters, slow).await;
    sent(store, id, 1).await;
    running.handle.pause(id, alice()).await.unwrap();
    let paused = job(store, id).await;
    assert_eq!(paused.state, ReplayJobState::Paused);
    assert_eq!(paused.reason.as_deref(), Some("paused by alice"));
    assert!(running.handle.pause(id, alice()).await.is_err());
    running.stop().await;
    let sent_before = job(store, id).await.count(ReplayStateName::Sent);

    let running = Running::engines(impatient_kafka(), store);
    running
        .handle
        .set_brake(id, Brake::default(), alice())
        .await
        .unwrap();
    // Another job goes through meanwhile, so the engine has surely looked.
    let other = new_topic("brake", 1, &[]).await;
    let letters = kafka_letters(&other, 0, &[None]);
    let quick = start(&fixture, &running, &letters, Brake::default()).await;
    sent(store, quick, 1).await;
    assert_eq!(
        job(store, id).await.count(ReplayStateName::Sent),
        sent_before
    );
    running.handle.resume(id, alice()).await.unwrap();
    sent(store, id, 30).await;
    assert_eq!(landed(&topic).await, 30);
    let audit = store
        .audit(&AuditFilter::default(), &PageRequest::first(10))
        .await
        .unwrap()
        .items;
    let actions: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    let expected = [
        "replay.resume",
        "replay.create",
        "replay.brake",
        "replay.pause",
        "replay.create",
    ];
    assert_eq!(actions, expected);
    running.stop().await;
}

#[tokio::test]
async fn no_event_overtakes_one_of_its_key_that_a_pause_holds_back() {
    const EVENTS: usize = 300;
    let topic = new_topic("brake", 1, &[]).await;
    let fixture = new_store().await;
    let store = &fixture.store;
    let running = Running::engines(impatient_kafka(), store);
    let letters = kafka_letters(&topic, 0, &[Some("order-1"); EVENTS]);
    let id = start(&fixture, &running, &letters, Brake::default()).await;
    // Somebody who cannot decide, so that now and then an event is held back and the next would not be.
    let (mut count, mut pauses) = (0, 0);
    while count < EVENTS as u64 {
        if running.handle.pause(id, alice()).await.is_ok() {
            running.handle.resume(id, alice()).await.unwrap();
            pauses += 1;
        }
        let job = sent(store, id, count + 1).await;
        count = job.count(ReplayStateName::Sent);
    }
    assert!(pauses > 0, "the job was never paused");
    let records = records_in(&topic, Partition(0)).await;
    let landed: Vec<&str> = records
        .iter()
        .map(|record| text(&record.message, "eventId"))
        .collect();
    let in_order: Vec<String> = (0..EVENTS)
        .map(|number| format!("event-{number}"))
        .collect();
    assert_eq!(landed, in_order, "{pauses} pauses");
    running.stop().await;
}

#[tokio::test]
async fn a_brake_holds_what_a_running_job_has_not_begun_to_send() {
    const EVENTS: usize = 300;
    let topic = new_topic("brake", 1, &[]).await;
    let fixture = new_store().await;
    let store = &fixture.store;
    let running = Running::engines(impatient_kafka(), store);
    // Of one key, so that they go one by one out of what was loaded at once.
    let letters = kafka_letters(&topic, 0, &[Some("order-1"); EVENTS]);
    let id = start(&fixture, &running, &letters, Brake::default()).await;
    sent(store, id, 1).await;
    let tomorrow = Brake {
        not_before: Some(Timestamp::now().plus(Duration::from_hours(24))),
        ..Brake::default()
    };
    let changed = running.handle.set_brake(id, tomorrow, alice());
    changed.await.unwrap();
    let released = job(store, id).await.released();

    // Another job goes through, so the engine has surely looked.
    let other = new_topic("brake", 1, &[]).await;
    let letters = kafka_letters(&other, 0, &[None]);
    let quick = start(&fixture, &running, &letters, Brake::default()).await;
    sent(store, quick, 1).await;
    let held = job(store, id).await;
    assert!(
        held.released() <= released + 1,
        "{released}, then {:?}",
        held.counts
    );
    assert!(
        held.count(ReplayStateName::Planned) > 0,
        "{:?}",
        held.counts
    );
    running.stop().await;
}

#[tokio::test]
async fn a_rate_holds_a_job_back_and_not_the_next_one() {
    let topic = new_topic("brake", 1, &[]).await;
    let fixture = new_store().await;
    let running = Running::engines(impatient_kafka(), &fixture.store);
    let brake = Brake {
        events_per_second: Some(10),
        ..Brake::default()
    };
    let begun = Instant::now();
    let letters = kafka_letters(&topic, 0, &[None; 31]);
    let slow = start(&fixture, &running, &letters, brake).await;
    let other = new_topic("brake", 1, &[]).await;
    let letters = kafka_letters(&other, 0, &[None; 200]);
    let quick = start(&fixture, &running, &letters, Brake::default()).await;
    sent(&fixture.store, quick, 200).await;
    let halfway = job(&fixture.store, slow).await;
    assert!(halfway.count(ReplayStateName::Planned) > 0, "{halfway:?}");
    sent(&fixture.store, slow, 31).await;
    // The first leaves at once, 30 more take three seconds.
    assert!(
        begun.elapsed() >= Duration::from_millis(2_900),
        "{:?}",
        begun.elapsed()
    );
    running.stop().await;
}

#[tokio::test]
async fn a_canary_ramp_sends_one_event_and_waits_for_its_outcome() {
    let topic = new_topic("brake", 1, &[]).await;
    let fixture = new_store().await;
    let running = Running::engines(impatient_kafka(), &fixture.store);
    let ramp = Brake {
        ramp: true,
        ..Brake::default()
    };
    let letters = kafka_letters(&topic, 0, &[None; 40]);
    let id = start(&fixture, &running, &letters, ramp).await;
    let first = sent(&fixture.store, id, 1).await;
    assert_eq!(first.brake.stop_percent, Some(10), "a ramp has a limit");
    let other = new_topic("brake", 1, &[]).await;
    let letters = kafka_letters(&other, 0, &[None]);
    let quick = start(&fixture, &running, &letters, Brake::default()).await;
    sent(&fixture.store, quick, 1).await;
    assert_eq!(landed(&topic).await, 1, "nobody consumed the first");
    // Without the ramp the rest goes.
    running
        .handle
        .set_brake(id, Brake::default(), alice())
        .await
        .unwrap();
    sent(&fixture.store, id, 40).await;
    running.stop().await;
}

#[tokio::test]
async fn a_job_of_which_too_much_fails_stops_and_says_why() {
    let topic = new_topic("brake", 1, &[("max.message.bytes", "2000")]).await;
    let fixture = new_store().await;
    let running = Running::engines(impatient_kafka(), &fixture.store);
    let brake = Brake {
        events_per_second: Some(5),
        stop_count: Some(2),
        ..Brake::default()
    };
    let mut letters = kafka_letters(&topic, 0, &[None; 40]);
    for letter in &mut letters {
        letter.message.body = Some(Bytes::from(vec![b'x'; 5000]));
    }
    let id = start(&fixture, &running, &letters, brake).await;
    let stopped = eventually("the job is stopped", async || {
        let job = job(&fixture.store, id).await;
        (job.state == ReplayJobState::Paused).then_some(job)
    })
    .await;
    let reason = stopped.reason.unwrap();
    assert!(
        reason.contains("died again or failed, more than 2"),
        "{reason}"
    );
    assert!(
        stopped
            .counts
            .iter()
            .any(|(state, _)| *state == ReplayStateName::Planned)
    );
    let audit = fixture
        .store
        .audit(&AuditFilter::default(), &PageRequest::first(1))
        .await
        .unwrap()
        .items;
    assert_eq!(audit[0].action, "replay.stop");
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_before_its_time() {
    let topic = new_topic("brake", 1, &[]).await;
    let fixture = new_store().await;
    let running = Running::engines(impatient_kafka(), &fixture.store);
    let start_at = Timestamp::now().plus(Duration::from_secs(3));
    let brake = Brake {
        not_before: Some(start_at),
        ..Brake::default()
    };
    let letters = kafka_letters(&topic, 0, &[None; 5]);
    let id = start(&fixture, &running, &letters, brake).await;
    sent(&fixture.store, id, 5).await;
    let replays = fixture.store.replays_of_job(id, 0, 10).await.unwrap();
    assert!(
        replays.iter().all(|replay| replay.updated_at >= start_at),
        "{replays:?}"
    );
    running.stop().await;
}
