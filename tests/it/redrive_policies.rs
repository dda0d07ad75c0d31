//! Policies that replay the dead letters of a group by themselves, on the real Kafka: a poison message comes
//! to rest, what must not be replayed is left alone, a bad run switches the policy off, and a crash neither
//! repeats an attempt nor forgets one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redrive::brokers::kafka::{GroupConsumer, KafkaAdmin, ReplayProducer, StartAt};
use redrive::config::QueueCustody;
use redrive::domain::conventions as names;
use redrive::domain::{
    ConsumerGroup, DeadLetterStatus, FailureGroupId, Filter, Header, Message, Partition, QueueName,
    RedrivePolicy, Timestamp, TopicName,
};
use redrive::store::{AuditEntry, AuditFilter, Author, PageRequest, Store, StoredPolicy};

use crate::rabbitmq_managed::{dlq, in_custody};
use crate::replay_crash::{kafka_section, write_configuration};
use crate::support::crashes::{Kill, Kills, run_and_kill, serve};
use crate::support::rabbitmq::{REQUEST_TIMEOUT, Vhost, fill, text as header};
use crate::support::replay_letters::{index, kafka_letters, text};
use crate::support::replays::{
    Running, StoreInFolder, impatient_kafka, new_store, new_topic, records_in,
};
use crate::support::{eventually, kafka, unique};

/// At most so many attempts, one second after each death.
async fn switch_on(store: &Store, group: &FailureGroupId, attempts: u32) {
    let author = Author {
        name: "alice".to_owned(),
        address: "127.0.0.1".to_owned(),
        at: Timestamp::now(),
    };
    let policy = RedrivePolicy {
        attempts,
        first_delay: Duration::from_secs(1),
        factor: 1,
        ..RedrivePolicy::default()
    };
    let set = store.set_redrive_policy(group, true, &policy, &author);
    set.await.unwrap();
}

/// What the audit says last, the newest first.
async fn audited(store: &Store) -> Vec<AuditEntry> {
    let page = PageRequest::first(10);
    let entries = store.audit(&AuditFilter::default(), &page).await;
    entries.unwrap().items
}

async fn the_policy(store: &Store, group: &FailureGroupId) -> StoredPolicy {
    store.redrive_policy(group).await.unwrap().unwrap()
}

/// Waits until the last look at a group skipped exactly these, by reason.
async fn skips(store: &Store, group: &FailureGroupId, expected: &[(&str, u64)]) {
    eventually("the policy skips what it should", async || {
        let (_, findings) = the_policy(store, group).await.findings?;
        let skipped = findings.skipped.iter();
        let skipped: Vec<_> = skipped.map(|(why, n)| (why.as_str(), *n)).collect();
        (skipped == expected && findings.waiting == 0).then_some(())
    })
    .await;
}

async fn only_group(store: &Store) -> FailureGroupId {
    eventually("the dead letters have one group", async || {
        let page = PageRequest::first(2);
        let (filter, now) = (Filter::default(), Timestamp::now());
        let groups = store.failure_groups(&filter, now, &page).await;
        let groups = groups.unwrap().items;
        assert!(groups.len() < 2, "{groups:?}");
        groups.first().map(|group| group.id.clone())
    })
    .await
}

/// The record as a consumer writes it to its DLQ that keeps all headers and adds why it failed.
fn dead(message: &Message, topic: &TopicName, group: &ConsumerGroup) -> Message {
    let mut dead = message.clone();
    dead.headers.extend([
        Header::text(names::ERROR_CLASS, "PaymentTimeout"),
        Header::text(names::ERROR_MESSAGE, "the gateway did not answer"),
        Header::text(names::ORIGINAL_TOPIC, topic.as_str()),
        Header::text(names::ORIGINAL_PARTITION, "0"),
        Header::text(names::CONSUMER_GROUP, group.as_str()),
    ]);
    dead
}

/// A topic with a consumer that fails on everything, and the whole service.
struct Poisoned {
    topic: TopicName,
    fixture: StoreInFolder,
    running: Running,
    consumer: tokio::task::JoinHandle<()>,
}

impl Poisoned {
    /// With so many events that have died once.
    async fn start(events: usize) -> Self {
        let topic = new_topic("policy", 1, &[]).await;
        let dlq = TopicName::new(format!("{topic}.dlq"));
        let admin = KafkaAdmin::new(&kafka()).unwrap();
        admin.create_topic(&dlq, 1, &[]).await.unwrap();
        let group = ConsumerGroup::new(unique("group"));
        let producer = ReplayProducer::new(&kafka(), Duration::from_secs(5)).unwrap();
        for _ in 0..events {
            let dead = dead(&Message::default(), &topic, &group);
            producer.send(&dlq, Partition(0), &dead).await.unwrap();
        }
        let fixture = new_store().await;
        let mut config = impatient_kafka();
        config.dead_letters.kafka_topics = vec![dlq.as_str().to_owned()];
        let running = Running::everything(config, &fixture.store);
        let consumer = tokio::spawn(fail_for_ever(topic.clone(), dlq, group));
        Self {
            topic,
            fixture,
            running,
            consumer,
        }
    }

    async fn stop(self) {
        self.consumer.abort();
        self.running.stop().await;
    }
}

async fn fail_for_ever(topic: TopicName, dlq: TopicName, group: ConsumerGroup) {
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(5)).unwrap();
    let topics = std::slice::from_ref(&topic);
    let consumer = GroupConsumer::subscribe(&kafka(), &group, topics, StartAt::Earliest).unwrap();
    loop {
        let Some(record) = consumer.next(Duration::from_secs(1)).await.unwrap() else {
            continue;
        };
        let dead = dead(&record.message, &topic, &group);
        producer.send(&dlq, Partition(0), &dead).await.unwrap();
        consumer.commit(&record).unwrap();
    }
}

#[tokio::test]
async fn a_poison_message_gets_exactly_its_attempts_and_then_rests_open() {
    let poisoned = Poisoned::start(1).await;
    let store = &poisoned.fixture.store;
    let group = only_group(store).await;
    switch_on(store, &group, 3).await;
    skips(store, &group, &[("no attempt is left", 1)]).await;
    let records = records_in(&poisoned.topic, Partition(0)).await;
    assert_eq!(records.len(), 3, "the attempts");
    let policy = the_policy(store, &group).await;
    assert_eq!((policy.runs, policy.events, policy.enabled), (3, 3, true));
    let (filter, now) = (Filter::default(), Timestamp::now());
    let all = store.matching_ids(&filter, now, 10).await.unwrap();
    assert_eq!(all.len(), 4, "each death is a dead letter");
    let last = all.iter().max().unwrap();
    let last = store.dead_letter_summary(*last).await.unwrap();
    assert_eq!(last.status, DeadLetterStatus::Open);
    let replay = last.died_from_replay.unwrap().to_string();
    assert_eq!(text(&records[2].message, names::REPLAY_ID), replay);

    let audit = audited(store).await;
    let actions: Vec<_> = audit.iter().map(|entry| entry.action.as_str()).collect();
    let create = "replay.create";
    assert_eq!(actions, [create, create, create, "redrive_policy.set"]);
    assert_eq!(audit[0].actor, format!("policy of failure group {group}"));
    let exact = audit[0].detail["replays"].as_array().unwrap();
    assert_eq!(exact.len(), 1);
    poisoned.stop().await;
}

#[tokio::test]
async fn a_run_of_which_all_died_again_switches_the_policy_off() {
    let poisoned = Poisoned::start(10).await;
    let store = &poisoned.fixture.store;
    let group = only_group(store).await;
    eventually("all are there, so that they are one run", async || {
        let group = store.failure_group(&group).await.unwrap()?;
        (group.open == 10).then_some(())
    })
    .await;
    switch_on(store, &group, 3).await;
    let stopped = eventually("the policy switches itself off", async || {
        let policy = the_policy(store, &group).await;
        (!policy.enabled).then_some(policy)
    })
    .await;
    assert!(
        stopped
            .stopped
            .as_deref()
            .unwrap()
            .contains(" of 10 events of a run died again"),
        "{stopped:?}"
    );
    let entry = &audited(store).await[0];
    assert_eq!(
        (entry.action.as_str(), entry.actor.as_str()),
        ("redrive_policy.stop", "system")
    );
    poisoned.stop().await;
}

#[tokio::test]
async fn what_the_preflight_refuses_or_only_a_guess_could_send_is_left_to_a_person() {
    let topic = new_topic("policy", 1, &[]).await;
    let gone = TopicName::new(unique("policy-gone"));
    let fixture = new_store().await;
    let store = &fixture.store;
    let mut letters = kafka_letters(&topic, 0, &[Some("a"), Some("b"), Some("c")]);
    letters[1].decoded.origin.guessed = true;
    letters[2].decoded.origin.destination = Some(gone.as_str().to_owned());
    index(store, &letters).await;
    let group = only_group(store).await;
    let running = Running::everything(impatient_kafka(), store);
    switch_on(store, &group, 3).await;
    let expected = [
        ("its destination is only guessed", 1),
        ("no known destination", 1),
    ];
    skips(store, &group, &expected).await;
    eventually("the third one is sent", async || {
        (records_in(&topic, Partition(0)).await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(the_policy(store, &group).await.events, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_crash_neither_repeats_an_attempt_nor_forgets_one() {
    let topic = new_topic("policy", 1, &[]).await;
    let fixture = new_store().await;
    let store = &fixture.store;
    index(store, &kafka_letters(&topic, 0, &[Some("a"), Some("b")])).await;
    let group = only_group(store).await;
    switch_on(store, &group, 1).await;
    write_configuration(&fixture.folder, "127.0.0.1:0", &kafka_section());
    let kills = Kills::default();
    let kill = async |point: &str| {
        run_and_kill(fixture.folder.path(), &Kill::At(point.to_owned()), &kills).await;
    };
    kill("policy.before_commit").await;
    assert_eq!(the_policy(store, &group).await.runs, 0);
    kill("policy.committed").await;
    assert_eq!(the_policy(store, &group).await.runs, 1);
    kill("kafka.sending.committed").await;
    kill("kafka.answered").await;
    let mut service = serve(fixture.folder.path(), None);
    eventually("both are sent", async || {
        let found = records_in(&topic, Partition(0)).await;
        let open = store.failure_group(&group).await.unwrap()?.open;
        (found.len() == 2 && open == 0).then_some(())
    })
    .await;
    let policy = the_policy(store, &group).await;
    assert_eq!((policy.runs, policy.events), (1, 2));
    service.kill().await.unwrap();
}

#[tokio::test]
async fn a_poison_message_of_rabbitmq_comes_to_rest_too() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let work = QueueName::new("orders");
    let to_dlq = [
        header("x-dead-letter-exchange", ""),
        header("x-dead-letter-routing-key", dlq().as_str()),
    ];
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    channel.declare_queue(&work, &to_dlq).await.unwrap();
    fill(&channel, &work, "order", 1).await;
    let mut consumer = channel.consume(&work, 10).await.unwrap();
    let rejected = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&rejected);
    let failing = tokio::spawn(async move {
        loop {
            if let Some(delivery) = consumer.next(REQUEST_TIMEOUT).await.unwrap() {
                delivery.reject().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let fixture = new_store().await;
    let store = &fixture.store;
    let mut config = in_custody(&vhost, QueueCustody::Managed);
    config.replay = impatient_kafka().replay;
    config.sampling.interval = impatient_kafka().sampling.interval;
    let running = Running::everything(config, store);
    let group = only_group(store).await;
    switch_on(store, &group, 2).await;
    skips(store, &group, &[("no attempt is left", 1)]).await;
    let policy = the_policy(store, &group).await;
    assert_eq!((policy.runs, policy.events), (2, 2));
    assert_eq!(rejected.load(Ordering::Relaxed), 3, "once, and twice again");
    failing.abort();
    running.stop().await;
}
