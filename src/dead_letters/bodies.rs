//! Fetches bodies that were too large for the store from the Kafka topics in which they lie: when a person asks,
//! and before the retention of the topic would remove them ([`super::expiring_bodies`]).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::give_back::{MOST_RETURNS, NOT_ITS_TURN};
use super::letters::tells_length;
use super::observe::{LookError, Observer};
use super::pointers::fetch_late;
use super::take_one::Requester;
use crate::brokers::kafka::{KafkaError, KafkaRecord, RecordReader};
use crate::config::KafkaConfig;
use crate::domain::{
    BulkSelection, ClusterName, ClusterSnapshot, DeadLetterId, Message, Snapshot, Timestamp,
    TopicName,
};
use crate::store::{NewAuditEntry, Store, StoreError, UnkeptBody};

/// For one body.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// After this time a request begins with no further body, so that its answer is in time.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

const REPLACED: &str = "another record lies at its place in the topic now; its body is lost";

/// What became of the bodies of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchReport {
    /// Their bodies are in the store.
    pub fetched: Vec<DeadLetterId>,
    /// They are as before.
    pub refused: Vec<(DeadLetterId, String)>,
}

/// Reads bodies out of the topics of one cluster.
pub(super) struct BodyReader {
    records: RecordReader,
}

impl BodyReader {
    pub(super) fn new(kafka: &KafkaConfig) -> Result<Self, KafkaError> {
        let records = RecordReader::new(kafka)?;
        Ok(Self { records })
    }

    /// Fetches a body into the store, or says why it stays where it is.
    pub(super) async fn fetch(
        &self,
        store: &Store,
        body: &UnkeptBody,
        topics: &TopicIds,
        entry: Option<&NewAuditEntry>,
    ) -> Result<(), String> {
        if !is_in_same_topic(body, topics) {
            return Err(REPLACED.to_owned());
        }
        let record = self.record(body).await?;
        let failed = |error: StoreError| crate::error_chain(&error);
        let known = store.dead_letter(body.dead_letter).await.map_err(failed)?;
        // The topic may have been made anew since the snapshot, or by a broker that gives topics no ID.
        let Some(bytes) = body_of_same(
            known.body_omitted.as_deref(),
            &known.message,
            &record.message,
        ) else {
            return Err(REPLACED.to_owned());
        };
        let kept = store.keep_body(body.dead_letter, bytes, entry).await;
        if !kept.map_err(failed)? {
            return Err("somebody else has fetched it in this moment".to_owned());
        }
        Ok(())
    }

    async fn record(&self, body: &UnkeptBody) -> Result<KafkaRecord, String> {
        let place = (&body.topic, body.partition);
        let mut found = HashMap::new();
        let reading = self
            .records
            .read(place, BTreeSet::from([body.offset]), &mut found);
        match tokio::time::timeout(TIME_LIMIT, reading).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(format!("reading it failed: {}", crate::error_chain(&error)));
            }
            Err(_) => {
                let seconds = TIME_LIMIT.as_secs();
                return Err(format!("Kafka did not give it within {seconds} s"));
            }
        }
        let (topic, offset) = (&body.topic, body.offset);
        found.remove(&offset).ok_or_else(|| {
            format!("nothing lies at offset {offset} of {topic} any more; its body is lost")
        })
    }
}

/// The body of a record, if it is the one that was indexed, as far as can be told without what it had then.
fn body_of_same<'a>(
    omitted: Option<&str>,
    known: &Message,
    found: &'a Message,
) -> Option<&'a Bytes> {
    let body = found.body.as_ref()?;
    let is_same = tells_length(omitted?, body.len())
        && (&found.key, &found.headers) == (&known.key, &known.headers);
    is_same.then_some(body)
}

/// The IDs of the topics of one cluster, where brokers give them IDs.
pub(super) type TopicIds = HashMap<TopicName, Uuid>;

pub(super) fn topic_ids(snapshot: &Snapshot, cluster: &ClusterName) -> TopicIds {
    let known = snapshot.cluster(cluster).and_then(ClusterSnapshot::kafka);
    let topics = known.iter().flat_map(|detail| &detail.topics);
    let ids = topics.filter_map(|topic| Some((topic.topic.clone(), topic.topic_id?)));
    ids.collect()
}

/// Whether the topic is, as far as is known, the one in which the dead letter was found.
pub(super) fn is_in_same_topic(body: &UnkeptBody, topics: &TopicIds) -> bool {
    let ids = topics.get(&body.topic).zip(body.topic_id);
    ids.is_none_or(|(now, then)| *now == then)
}

fn fetch_entry(body: &UnkeptBody, requester: &Requester) -> NewAuditEntry {
    let detail = serde_json::json!({ "dead_letter": body.dead_letter.0, "cluster": body.cluster,
        "topic": body.topic, "partition": body.partition, "offset": body.offset });
    requester.entry(Timestamp::now(), "body.fetch", detail)
}

impl Observer {
    /// Fetches the bodies of dead letters into the store, from where they can be replayed. Of a filter the first
    /// thousand whose bodies lie in topics.
    pub async fn fetch_bodies(
        &self,
        selection: &BulkSelection,
        requester: &Requester,
    ) -> Result<FetchReport, LookError> {
        let store = &self.context.store;
        let snapshot = self.context.snapshots.borrow().clone();
        let mut topics: HashMap<ClusterName, TopicIds> = HashMap::new();
        let mut readers: HashMap<ClusterName, Result<BodyReader, String>> = HashMap::new();
        let mut pointers: HashMap<ClusterName, Vec<UnkeptBody>> = HashMap::new();
        let mut report = FetchReport::default();
        let ids = match selection {
            BulkSelection::DeadLetters(_) => self.selected(selection).await?,
            BulkSelection::Filter(filter) => {
                let limit = u32::from(MOST_RETURNS);
                let matching = store.matching_unkept_bodies(filter, Timestamp::now(), limit);
                matching.await?
            }
        };
        let begun = Instant::now();
        for id in ids {
            if begun.elapsed() >= REQUEST_LIMIT {
                report.refused.push((id, NOT_ITS_TURN.to_owned()));
                continue;
            }
            let Some(body) = store.unkept_body(id).await? else {
                report.refused.push((id, self.why_not_unkept(id).await?));
                continue;
            };
            let ids = || topic_ids(&snapshot, &body.cluster);
            let topics = topics.entry(body.cluster.clone()).or_insert_with(ids);
            if body.is_pointer {
                if is_in_same_topic(&body, topics) {
                    let cluster = pointers.entry(body.cluster.clone());
                    cluster.or_default().push(body);
                } else {
                    report.refused.push((id, REPLACED.to_owned()));
                }
                continue;
            }
            let reader = readers
                .entry(body.cluster.clone())
                .or_insert_with(|| self.body_reader(&body.cluster));
            let fetched = match reader {
                Ok(reader) => {
                    let entry = fetch_entry(&body, requester);
                    reader.fetch(store, &body, topics, Some(&entry)).await
                }
                Err(reason) => Err(reason.clone()),
            };
            match fetched {
                Ok(()) => report.fetched.push(id),
                Err(reason) => report.refused.push((id, reason)),
            }
        }
        for (cluster, bodies) in pointers {
            let fetched = self.fetch_originals(&cluster, &bodies, requester).await;
            for (id, outcome) in fetched {
                match outcome {
                    Ok(()) => report.fetched.push(id),
                    Err(reason) => report.refused.push((id, reason)),
                }
            }
        }
        Ok(report)
    }

    /// Fetches what pointers of one cluster point to.
    async fn fetch_originals(
        &self,
        cluster: &ClusterName,
        bodies: &[UnkeptBody],
        requester: &Requester,
    ) -> Vec<(DeadLetterId, Result<(), String>)> {
        let bodies: Vec<&UnkeptBody> = bodies.iter().collect();
        match self.kafka(cluster) {
            Ok(kafka) => {
                let entry = |body: &UnkeptBody| Some(fetch_entry(body, requester));
                fetch_late(&self.context, kafka, &bodies, entry).await
            }
            Err(reason) => {
                let refused = bodies.into_iter();
                let refused = refused.map(|body| (body.dead_letter, Err(reason.clone())));
                refused.collect()
            }
        }
    }

    fn kafka(&self, cluster: &ClusterName) -> Result<&KafkaConfig, String> {
        let mut clusters = self.context.config.kafka.iter();
        let kafka = clusters.find(|kafka| kafka.name == *cluster);
        kafka.ok_or_else(|| format!("no Kafka named {cluster} is configured any more"))
    }

    fn body_reader(&self, cluster: &ClusterName) -> Result<BodyReader, String> {
        let kafka = self.kafka(cluster)?;
        BodyReader::new(kafka).map_err(|error| crate::error_chain(&error))
    }

    async fn why_not_unkept(&self, id: DeadLetterId) -> Result<String, LookError> {
        Ok(match self.context.store.dead_letter(id).await {
            Err(error @ StoreError::NoSuchDeadLetter(_)) => error.to_string(),
            letter => match letter?.body_omitted {
                Some(omitted) => omitted,
                None => "its body is in the store already".to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::dead_letters::letters::{Found, dead_letter};
    use crate::domain::{Custody, Header, Offset, Partition, Position};

    #[test]
    fn a_record_is_the_same_by_key_headers_and_length() {
        let message = |key: &'static str, value: &str, length: usize| Message {
            key: Some(Bytes::from_static(key.as_bytes())),
            body: Some(vec![b'x'; length].into()),
            headers: vec![Header::text("eventId", value)],
            properties: None,
        };
        let original = message("a", "1", 200);
        let mut config = Config::default();
        config.dead_letters.body_limit_bytes = 100;
        let found = Found {
            cluster: "kafka".into(),
            position: Position::Kafka {
                topic: "orders.dlq".into(),
                topic_id: None,
                partition: Partition(0),
                offset: Offset(0),
            },
            message: original.clone(),
            arrived_at: None,
            custody: Custody::Broker,
            redelivered: false,
        };
        let known = dead_letter(found, &config, Timestamp(0));
        let omitted = known.body_omitted.as_deref();
        let same = |found: &Message| body_of_same(omitted, &known.message, found).is_some();
        assert!(same(&original));
        assert!(!same(&message("b", "1", 200)));
        assert!(!same(&message("a", "2", 200)));
        assert!(!same(&message("a", "1", 201)));
        assert!(!same(&Message {
            body: None,
            ..original.clone()
        }));
        assert!(body_of_same(None, &known.message, &original).is_none());
    }
}
