//! `kill -9` at each step of a replay and at random times: nothing is lost, and nothing is sent twice
//! unseen. Each instance is the real binary with a store, a topic or queues of its own; it is killed
//! several times in a row and then left to finish.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use redrive::domain::conventions as names;
use redrive::domain::{
    DeadLetterId, Destination, Filter, NewDeadLetter, Partition, Position, QueueName, Replay,
    ReplayId, ReplayJobId, ReplayOptions, ReplayStateName, RevisionNumber, Timestamp, TopicName,
};
use redrive::store::{NewReplay, NewReplayJob, Store};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::crashes::{Kills, kills_of, run_and_kill, run_to_the_end, serve};
use crate::support::rabbitmq::Vhost;
use crate::support::replay_letters::{audit_entry, index, kafka_letters, queue_letter, take, text};
use crate::support::replays::{messages_in, new_store, new_topic, records_in};
use crate::support::{eventually, kafka, rabbitmq, required};

/// Instances at a time: more would only wait for the processor.
const INSTANCES: usize = 5;

/// The issue asks for so many on each broker.
const FEWEST_KILLS: usize = 50;

/// Each line is one instance. What follows a kill that leaves `sending` behind meets the recovery. Kills
/// at random times (`soon`) come last: a process that lives long enough leaves nothing to be sent.
const KAFKA_SCRIPTS: [&str; 9] = [
    "prepared sending.committed recovery.scanned recovery.committed sent.committed soon",
    "enqueued recovery.scanned answered recovery.committed sent.committed:2 soon",
    "answered:2 recovery.committed enqueued:2 recovery.scanned sending.committed soon",
    "sent.committed enqueued:3 sending.committed:2 answered:3 prepared:2 soon",
    "answered answered answered recovery.scanned recovery.scanned soon",
    "enqueued:2 enqueued:2 enqueued:2 recovery.committed sent.committed soon",
    "soon soon soon soon soon soon",
    "sending.committed answered:2 enqueued soon soon soon",
    "prepared:2 sent.committed:2 answered:2 recovery.scanned soon soon",
];

const RABBITMQ_SCRIPTS: [&str; 9] = [
    "prepared sending.committed recovery.found recovery.committed sent.committed soon",
    "confirmed recovery.committed sent.committed sending.committed recovery.found soon",
    "sent.committed sent.committed confirmed recovery.found recovery.committed soon",
    "publishing publishing publishing recovery.found recovery.committed soon",
    "sending.committed:2 recovery.found recovery.found publishing:2 soon soon",
    "prepared:2 confirmed:2 recovery.committed soon soon soon",
    "soon soon soon soon soon soon",
    "publishing confirmed sending.committed soon soon soon",
    "prepared publishing sent.committed confirmed recovery.found soon",
];

/// A folder with a store that holds a confirmed job, and the configuration of its service.
struct Instance {
    store: Store,
    folder: TempDir,
    job: ReplayJobId,
}

impl Instance {
    async fn new(
        brokers: &str,
        letters: &[NewDeadLetter],
        destination: impl Fn(usize) -> Destination,
    ) -> Self {
        let fixture = new_store().await;
        let ids = store_letters(&fixture.store, letters).await;
        let replays = ids.iter().enumerate().map(|(index, id)| NewReplay {
            id: ReplayId(Uuid::now_v7()),
            dead_letter: *id,
            revision: RevisionNumber(0),
            destination: destination(index),
        });
        let job = NewReplayJob {
            id: ReplayJobId(Uuid::now_v7()),
            created_at: Timestamp::now(),
            created_by: "alice".to_owned(),
            selection: "test".to_owned(),
            options: ReplayOptions::default(),
            replays: replays.collect(),
        };
        fixture
            .store
            .create_job(&job, &audit_entry())
            .await
            .unwrap();
        write_configuration(&fixture.folder, "127.0.0.1:0", brokers);
        Self {
            store: fixture.store,
            folder: fixture.folder,
            job: job.id,
        }
    }

    async fn kill_and_finish(&self, system: &str, script: &str, kills: &Kills) -> Vec<Replay> {
        for kill in kills_of(system, script) {
            run_and_kill(self.folder.path(), &kill, kills).await;
        }
        run_to_the_end(self.folder.path(), &self.store, self.job).await
    }
}

async fn store_letters(store: &Store, letters: &[NewDeadLetter]) -> Vec<DeadLetterId> {
    match letters[0].position {
        Position::Kafka { .. } => index(store, letters).await,
        Position::RabbitMq { .. } => take(store, letters).await,
    }
}

pub(crate) fn write_configuration(folder: &TempDir, listen: &str, brokers: &str) {
    let text = format!(
        "[http]\nlisten = '{listen}'\n[store]\nurl = 'sqlite:redrive.db'\n\
         [dead_letters]\nkafka_topics = ['no-topic-of-that-name']\n\
         [replay]\nkafka_delivery_timeout = '1s'\nrabbitmq_confirm_timeout = '5s'\n{brokers}"
    );
    std::fs::write(folder.path().join("redrive.toml"), text).unwrap();
}

pub(crate) fn kafka_section() -> String {
    let server = required("REDRIVE_TEST_KAFKA");
    format!("[[kafka]]\nname = 'kafka'\nbootstrap_servers = ['{server}']\n")
}

fn rabbitmq_section() -> String {
    let config = rabbitmq();
    let (amqp, management) = (config.amqp_url.expose(), config.management_url.expose());
    format!(
        "[[rabbitmq]]\nname = 'rabbitmq'\namqp_url = '{amqp}'\nmanagement_url = '{management}'\n"
    )
}

/// Events of one Kafka instance: two keys in turn, so that each key takes a round for each event.
const EVENTS_ON_KAFKA: usize = 24;

#[tokio::test]
async fn kafka_gets_every_event_exactly_once_however_often_the_process_is_killed() {
    let kills = Kills::default();
    let instances = KAFKA_SCRIPTS.map(|script| kafka_instance(script, &kills));
    let instances = futures_util::stream::iter(instances).buffer_unordered(INSTANCES);
    Box::pin(instances.collect::<Vec<()>>()).await;
    assert!(
        kills.count() >= FEWEST_KILLS,
        "only {} kills",
        kills.count()
    );
}

async fn kafka_instance(script: &str, kills: &Kills) {
    let topic = new_topic("crash", 1, &[]).await;
    let keys: Vec<_> = ["a", "b"]
        .into_iter()
        .cycle()
        .take(EVENTS_ON_KAFKA)
        .map(Some)
        .collect();
    let (brokers, letters) = (kafka_section(), kafka_letters(&topic, 0, &keys));
    let instance = Instance::new(&brokers, &letters, |_| Destination::Kafka {
        cluster: kafka().name,
        topic: topic.clone(),
        partition: Some(Partition(0)),
    })
    .await;
    let replays = instance.kill_and_finish("kafka", script, kills).await;
    assert_eq!(replays.len(), EVENTS_ON_KAFKA);
    for replay in &replays {
        assert_eq!(
            replay.state.name(),
            ReplayStateName::Sent,
            "{script}: {:?}",
            replay.state
        );
    }
    every_event_is_there_once_and_in_order(&topic, &replays, script).await;
}

async fn every_event_is_there_once_and_in_order(
    topic: &TopicName,
    replays: &[Replay],
    script: &str,
) {
    let records = records_in(topic, Partition(0)).await;
    let mut ids: Vec<&str> = records
        .iter()
        .map(|record| text(&record.message, names::REPLAY_ID))
        .collect();
    ids.sort_unstable();
    let expected: Vec<String> = replays.iter().map(|replay| replay.id.to_string()).collect();
    assert_eq!(ids, expected, "{script}");
    for key in [b"a", b"b"] {
        let of_key = records
            .iter()
            .filter(|record| record.message.key.as_deref() == Some(key));
        let numbers: Vec<usize> = of_key
            .map(|record| text(&record.message, "eventId"))
            .map(|id| id.trim_start_matches("event-").parse().unwrap())
            .collect();
        assert!(numbers.is_sorted(), "{script}: {numbers:?}");
    }
}

/// Queues of one RabbitMQ instance; each takes a batch.
const QUEUES: usize = 12;
const EVENTS_OF_A_QUEUE: i64 = 5;

#[tokio::test]
async fn rabbitmq_gets_no_event_twice_and_what_is_not_surely_there_is_said_to_be_unknown() {
    let kills = Kills::default();
    let instances = RABBITMQ_SCRIPTS.map(|script| rabbitmq_instance(script, &kills));
    let instances = futures_util::stream::iter(instances).buffer_unordered(INSTANCES);
    Box::pin(instances.collect::<Vec<()>>()).await;
    assert!(
        kills.count() >= FEWEST_KILLS,
        "only {} kills",
        kills.count()
    );
}

async fn rabbitmq_instance(script: &str, kills: &Kills) {
    let vhost = Vhost::create().await;
    let queues: Vec<QueueName> = (0..QUEUES)
        .map(|number| QueueName::new(format!("orders-{number}")))
        .collect();
    let channel = vhost.channel().await;
    let cluster = rabbitmq().name;
    let mut letters = Vec::new();
    for queue in &queues {
        channel.declare_queue(queue, &[]).await.unwrap();
        let letter = |number| queue_letter(&cluster, (&vhost.name, queue), number);
        letters.extend((0..EVENTS_OF_A_QUEUE).map(letter));
    }
    channel.close().await;
    let brokers = rabbitmq_section();
    let instance = Instance::new(&brokers, &letters, |index| {
        let queue = &queues[index / usize::try_from(EVENTS_OF_A_QUEUE).unwrap()];
        Destination::queue(cluster.clone(), vhost.name.clone(), queue)
    })
    .await;
    let replays = instance.kill_and_finish("rabbitmq", script, kills).await;
    assert_eq!(replays.len(), letters.len());
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for queue in &queues {
        for message in messages_in(&vhost, queue).await {
            let id = text(&message, names::REPLAY_ID).to_owned();
            *arrived.entry(id).or_default() += 1;
        }
    }
    for replay in &replays {
        let copies = arrived.remove(&replay.id.to_string()).unwrap_or(0);
        match replay.state.name() {
            ReplayStateName::Sent => assert_eq!(copies, 1, "{script}: {replay:?}"),
            ReplayStateName::Unknown => assert!(copies <= 1, "{script}: {replay:?}"),
            name => panic!("{script}: {name}"),
        }
    }
    assert!(
        arrived.is_empty(),
        "{script}: {arrived:?} belong to no replay"
    );
}

/// A job that comes by the API is either confirmed and then sent, or not there at all.
#[tokio::test]
async fn a_crash_while_a_job_is_confirmed_leaves_the_whole_job_or_nothing() {
    for (point, jobs) in [("plan.before_commit", 0), ("plan.committed", 1)] {
        let topic = new_topic("crash", 1, &[]).await;
        let fixture = new_store().await;
        let ids = index(
            &fixture.store,
            &kafka_letters(&topic, 0, &[None, None, None]),
        )
        .await;
        let port = free_port().await;
        write_configuration(
            &fixture.folder,
            &format!("127.0.0.1:{port}"),
            &kafka_section(),
        );
        let mut child = serve(fixture.folder.path(), Some(point));
        let api = format!("http://127.0.0.1:{port}/api/v1");
        confirm(&api, &ids).await;
        child.wait().await.unwrap();

        let child = serve(fixture.folder.path(), None);
        let sent = usize::try_from(jobs * 3).unwrap();
        eventually("what was confirmed is sent", async || {
            let states = [ReplayStateName::Sent];
            let sent_now = fixture.store.replays_in(&states, 10).await.unwrap();
            (sent_now.len() == sent).then_some(())
        })
        .await;
        drop(child);
        assert_eq!(
            records_in(&topic, Partition(0)).await.len(),
            sent,
            "{point}"
        );
        let open = Filter::parse("status:open").unwrap();
        let open = fixture
            .store
            .count_dead_letters(&open, Timestamp::now())
            .await
            .unwrap();
        assert_eq!(open, 3 - jobs * 3, "{point}");
    }
}

pub(crate) async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks for a replay of which the service dies.
async fn confirm(api: &str, ids: &[DeadLetterId]) {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let answer = post_replays(api, &serde_json::json!({ "dead_letter_ids": ids })).await;
    assert!(answer.is_err(), "it did not crash: {answer:?}");
}

/// Asks for a replay as soon as the service is up.
pub(crate) async fn post_replays(
    api: &str,
    job: &serde_json::Value,
) -> reqwest::Result<reqwest::Response> {
    crate::support::install_crypto_provider();
    let client = reqwest::Client::new();
    eventually("the service is up", async || {
        client.get(format!("{api}/overview")).send().await.ok()
    })
    .await;
    let origin = api.trim_end_matches("/api/v1");
    let asked = client
        .post(format!("{api}/replays"))
        .header("origin", origin)
        .json(job);
    asked.send().await
}
