//! Dead letters of a trial and the jobs that replay them. Every fifth event is, byte for byte, the same
//! message as the one before it.

use anyhow::{Result, ensure};
use bytes::Bytes;
use redrive::dialects;
use redrive::domain::conventions as names;
use redrive::domain::{
    Classification, ClusterName, Custody, DeadLetterId, Destination, EventIdentity, Header,
    Message, NewDeadLetter, Offset, Partition, Position, QueueName, ReplayId, ReplayJobId,
    ReplayOptions, RevisionNumber, Timestamp, TopicName, VhostName,
};
use redrive::store::{NewAuditEntry, NewReplay, NewReplayJob, Store};
use uuid::Uuid;

/// Where the events of an episode go.
pub(crate) enum Target {
    Topic(TopicName),
    Queues(VhostName, Vec<QueueName>),
}

/// A replay as the trial planned it.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) id: ReplayId,
    /// The place in the order in which the events died.
    pub(crate) number: i64,
    pub(crate) key: Option<Bytes>,
}

/// Stores so many dead letters, beginning with `first`, and confirms a job that replays them.
pub(crate) async fn plan_job(
    store: &Store,
    target: &Target,
    (first, count): (i64, usize),
    spread: usize,
) -> Result<Vec<Planned>> {
    let cluster = ClusterName::new(match target {
        Target::Topic(_) => "kafka",
        Target::Queues(..) => "rabbitmq",
    });
    let numbers = (first..).take(count);
    let letters: Vec<NewDeadLetter> = numbers
        .clone()
        .map(|number| letter(&cluster, target, number, spread))
        .collect();
    let ids = keep(store, &cluster, &letters).await?;
    ensure!(ids.len() == count, "{} of {count} were stored", ids.len());
    let mut planned = Vec::with_capacity(count);
    let mut replays = Vec::with_capacity(count);
    for ((number, dead_letter), letter) in numbers.zip(ids).zip(letters) {
        let id = ReplayId(Uuid::now_v7());
        planned.push(Planned {
            id,
            number,
            key: letter.message.key,
        });
        replays.push(NewReplay {
            id,
            dead_letter,
            revision: RevisionNumber(0),
            destination: destination(&cluster, target, number, spread),
        });
    }
    confirm(store, replays).await?;
    Ok(planned)
}

async fn keep(
    store: &Store,
    cluster: &ClusterName,
    letters: &[NewDeadLetter],
) -> Result<Vec<DeadLetterId>> {
    let now = Timestamp::now();
    let of_kafka = letters
        .iter()
        .any(|letter| matches!(letter.position, Position::Kafka { .. }));
    let kept = if of_kafka {
        let indexed = store.index_kafka_batch(cluster, letters, &[], &[], now);
        indexed.await?
    } else {
        let session = store.begin_custody().await?;
        store.take_custody(&session, letters, now).await?
    };
    Ok(kept.into_iter().map(|indexed| indexed.id).collect())
}

async fn confirm(store: &Store, replays: Vec<NewReplay>) -> Result<()> {
    let job = NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: Timestamp::now(),
        created_by: "trial".to_owned(),
        selection: "trial".to_owned(),
        options: ReplayOptions::default(),
        replays,
    };
    let entry = NewAuditEntry {
        at: Timestamp::now(),
        actor: "trial".to_owned(),
        address: String::new(),
        action: "replay".to_owned(),
        detail: serde_json::json!({}),
    };
    let created = store.create_job(&job, &entry).await?;
    ensure!(created.refused.is_empty(), "{:?}", created.refused);
    Ok(())
}

fn destination(cluster: &ClusterName, target: &Target, number: i64, spread: usize) -> Destination {
    match target {
        Target::Topic(topic) => Destination::Kafka {
            cluster: cluster.clone(),
            topic: topic.clone(),
            partition: None,
        },
        Target::Queues(vhost, queues) => {
            let queue = place(number, spread) % queues.len();
            Destination::queue(cluster.clone(), vhost.clone(), &queues[queue])
        }
    }
}

/// On RabbitMQ `spread` neighbours go to one queue; on Kafka there are so many keys.
fn place(number: i64, spread: usize) -> usize {
    usize::try_from(number).unwrap_or_default() / spread
}

fn letter(cluster: &ClusterName, target: &Target, number: i64, spread: usize) -> NewDeadLetter {
    // The twin of the event before it.
    let content = if number % 5 == 1 { number - 1 } else { number };
    let (position, key, custody) = match target {
        Target::Topic(topic) => {
            let position = Position::Kafka {
                topic: TopicName::new(format!("{topic}.dlq")),
                topic_id: None,
                partition: Partition(0),
                offset: Offset(number),
            };
            let keys = i64::try_from(spread).unwrap_or(1);
            let key = format!("customer-{}", (content / 5) % keys);
            (position, Some(Bytes::from(key)), Custody::Broker)
        }
        Target::Queues(vhost, _) => {
            let position = Position::RabbitMq {
                vhost: vhost.clone(),
                queue: QueueName::new("orders.dead"),
                fingerprint: format!("event-{number}"),
            };
            (position, None, Custody::Store)
        }
    };
    let message = Message {
        key,
        body: Some(Bytes::from(format!(
            "{{\"order\":{content},\"items\":[1,2,3]}}"
        ))),
        headers: vec![
            Header::text("eventId", format!("event-{content}")),
            Header::text(names::ERROR_CLASS, "PaymentTimeout"),
            Header::text(names::ERROR_MESSAGE, "the gateway did not answer"),
        ],
        properties: None,
    };
    NewDeadLetter {
        cluster: cluster.clone(),
        decoded: dialects::decode(&position, &message),
        position,
        message,
        body_omitted: None,
        dead_at: Timestamp::now(),
        event: EventIdentity::default(),
        classification: Classification {
            group: "v1:trial".into(),
            title: "trial".to_owned(),
            explanation: "grouped by trial".to_owned(),
        },
        custody,
        replay_id: None,
        redelivered: false,
    }
}
