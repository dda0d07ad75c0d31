//! Fetches what the pointer records of share groups point to (KIP-1191), when they are indexed: later
//! the retention of the topic may have taken it. What Kafka does not give then is fetched later, when a person asks
//! and in the background ([`super::expiring_bodies`]), until it is there or known to be gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::brokers::kafka::{KafkaRecord, RecordReader};
use crate::config::KafkaConfig;
use crate::dialects;
use crate::domain::{
    Custody, DeadLetterId, Message, Offset, Partition, Position, Timestamp, TopicName,
};
use crate::store::{NewAuditEntry, UnkeptBody};

use super::IntakeContext;
use super::letters::{Found, dead_letter_or_pointer};

/// For all pointers of one batch; the intake of the cluster waits meanwhile.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// For those to one partition, so that it does not keep the others from being read.
const PARTITION_LIMIT: Duration = Duration::from_secs(5);
/// Originals of one batch are held in memory; what is left is read later.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Clocks of producers and brokers differ; an original that is this much younger than its dead letter
/// belongs to a topic that was made anew under the name.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(10);

/// What became of the search for an original: the whole message of the dead letter, or why it is not here.
pub(super) type Fetched = Result<Message, NotFetched>;

/// Why an original is not here, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotFetched {
    ForNow(String),
    ForGood(String),
}

/// The pointers of one partition: the index of each among the records, by where it points to.
type Pointers = BTreeMap<Offset, Vec<usize>>;

/// What the pointers among `records` point to, by their index in `records`.
pub(super) async fn fetch_originals(
    config: &KafkaConfig,
    records: &[KafkaRecord],
) -> HashMap<usize, Fetched> {
    let mut pointers: BTreeMap<(TopicName, Partition), Pointers> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        if let Some((topic, partition, offset)) = dialects::pointed_to(&record.message) {
            let partition = pointers.entry((topic, partition)).or_default();
            partition.entry(offset).or_default().push(index);
        }
    }
    let mut fetched = HashMap::new();
    let deadline = Instant::now() + TIME_LIMIT;
    let mut reader = None;
    let mut bytes = 0;
    for ((topic, partition), pointers) in pointers {
        let mut originals = HashMap::new();
        let limit = deadline.min(Instant::now() + PARTITION_LIMIT);
        let limit = if bytes > MOST_BYTES {
            Instant::now()
        } else {
            limit
        };
        let reading = read(
            config,
            &mut reader,
            (&topic, partition),
            &pointers,
            &mut originals,
        );
        let missing = match timeout_at(limit, reading).await {
            Ok(Ok(())) => NotFetched::ForGood("nothing lies there any more".to_owned()),
            Ok(Err(reason)) => NotFetched::ForNow(format!("reading it failed: {reason}")),
            Err(_) => NotFetched::ForNow("Kafka did not give it in time".to_owned()),
        };
        let sizes = originals
            .values()
            .map(|original: &KafkaRecord| original.message.size());
        bytes += sizes.sum::<usize>();
        for (offset, indexes) in pointers {
            let original = originals.get(&offset);
            fetched.extend(indexes.into_iter().map(|index| {
                let message = original
                    .ok_or_else(|| missing.clone())
                    .and_then(|original| with_original(&records[index], original));
                (index, message)
            }));
        }
    }
    fetched
}

/// Fetches the originals of pointers that are in the store without them, or says of each why it is not here. What is
/// gone for good is not tried again. What the store refuses of one is that one's.
pub(super) async fn fetch_late(
    context: &IntakeContext,
    kafka: &KafkaConfig,
    bodies: &[&UnkeptBody],
    entry: impl Fn(&UnkeptBody) -> Option<NewAuditEntry>,
) -> Vec<(DeadLetterId, Result<(), String>)> {
    let store = &context.store;
    let mut outcomes = Vec::with_capacity(bodies.len());
    let (mut known, mut pointers) = (Vec::new(), Vec::new());
    for body in bodies {
        let message = match store.dead_letter(body.dead_letter).await {
            Ok(letter) => letter.message,
            Err(error) => {
                outcomes.push((body.dead_letter, Err(crate::error_chain(&error))));
                continue;
            }
        };
        known.push(*body);
        pointers.push(KafkaRecord {
            topic: body.topic.clone(),
            partition: body.partition,
            offset: body.offset,
            timestamp: Some(body.dead_at),
            has_append_time: false,
            message,
        });
    }
    let mut fetched = fetch_originals(kafka, &pointers).await;
    for (index, (body, pointer)) in known.into_iter().zip(pointers).enumerate() {
        let original = fetched.remove(&index);
        let is_final = !matches!(original, Some(Err(NotFetched::ForNow(_))));
        let found = Found {
            cluster: body.cluster.clone(),
            position: Position::Kafka {
                topic: pointer.topic,
                topic_id: body.topic_id,
                partition: pointer.partition,
                offset: pointer.offset,
            },
            message: pointer.message,
            arrived_at: pointer.timestamp,
            custody: Custody::Broker,
            redelivered: false,
        };
        let is_here = matches!(original, Some(Ok(_)));
        let now = Timestamp::now();
        let letter = dead_letter_or_pointer(found, original, &context.config, now);
        let mut outcome = Ok(());
        if is_final {
            let entry = entry(body).filter(|_| is_here);
            let settled = store.settle_pointer(body.dead_letter, &letter, entry.as_ref(), now);
            outcome = settled.await.map(drop);
        }
        let outcome = outcome.map_err(|error| crate::error_chain(&error));
        let reason = letter.body_omitted;
        outcomes.push((
            body.dead_letter,
            outcome.and_then(|()| reason.map_or(Ok(()), Err)),
        ));
    }
    outcomes
}

async fn read(
    config: &KafkaConfig,
    reader: &mut Option<RecordReader>,
    place: (&TopicName, Partition),
    pointers: &Pointers,
    originals: &mut HashMap<Offset, KafkaRecord>,
) -> Result<(), String> {
    let wanted: BTreeSet<Offset> = pointers.keys().copied().collect();
    let outcome = async {
        let reader = match reader {
            Some(reader) => reader,
            None => reader.insert(RecordReader::new(config)?),
        };
        reader.read(place, wanted, originals).await
    };
    outcome.await.map_err(|error| {
        let reason = crate::error_chain(&error);
        tracing::warn!(cluster = %config.name, topic = %place.0, partition = place.1.0, reason,
            "the originals of pointer records could not be fetched");
        reason
    })
}

/// Key, value and headers of the original, and behind them what the broker wrote on the pointer.
fn with_original(pointer: &KafkaRecord, original: &KafkaRecord) -> Fetched {
    let times = original.timestamp.zip(pointer.timestamp);
    if times.is_some_and(|(original, pointer)| original.since(pointer) > CLOCK_TOLERANCE) {
        let reason = "the record that lies there now is younger than the dead letter";
        return Err(NotFetched::ForGood(reason.to_owned()));
    }
    let mut message = original.message.clone();
    message
        .headers
        .extend(pointer.message.headers.iter().cloned());
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Header, Offset, Partition, Timestamp};

    fn record(body: Option<&'static str>, header: &str, at: i64) -> KafkaRecord {
        KafkaRecord {
            topic: "orders".into(),
            partition: Partition(0),
            offset: Offset(7),
            timestamp: Some(Timestamp(at)),
            has_append_time: false,
            message: Message {
                body: body.map(Into::into),
                headers: vec![Header::text(header, "1")],
                ..Message::default()
            },
        }
    }

    #[test]
    fn the_headers_of_the_pointer_stand_behind_those_of_the_original() {
        let pointer = record(None, "__dlq.errors.offset", 1_000_000);
        let message = with_original(&pointer, &record(Some("{}"), "tenant", 1_600_000)).unwrap();
        assert_eq!(message.body.as_deref(), Some(b"{}".as_slice()));
        let names: Vec<String> = message.headers.iter().map(Header::name_lossy).collect();
        assert_eq!(names, ["tenant", "__dlq.errors.offset"]);
    }

    #[test]
    fn a_record_that_came_after_the_death_is_not_the_original() {
        let pointer = record(None, "__dlq.errors.offset", 1_000_000);
        let later = record(Some("{}"), "tenant", 1_600_001);
        let refused = with_original(&pointer, &later).unwrap_err();
        assert!(matches!(refused, NotFetched::ForGood(why) if why.contains("younger")));
    }
}
