//! Bodies that are too large for the store, and that their topic is about to lose: they are fetched, and counted
//! while they are not. What pointers of share groups point to is tried again here too, where it could not be read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::IntakeContext;
use super::bodies::{BodyReader, TopicIds, is_in_same_topic, topic_ids};
use super::pointers::fetch_late;
use crate::brokers::kafka::KafkaAdmin;
use crate::config::KafkaConfig;
use crate::domain::{
    ClusterSnapshot, DeadLetterId, Offset, Partition, Snapshot, System, Timestamp, TopicName,
};
use crate::store::{StoreError, UnkeptBody};

const INTERVAL: Duration = Duration::from_secs(10);

/// How long before it expires a body is fetched.
const SOON: Duration = Duration::from_hours(24);

/// After this time a topic is asked for its settings anew.
const SETTINGS_LAST: Duration = Duration::from_mins(5);

/// After this time a round begins with no further body: those that are left are counted, and have their turn in
/// the next.
const ROUND_LIMIT: Duration = Duration::from_mins(1);

/// A body that could not be fetched is tried again after this time.
const TRIED_AGAIN_AFTER: Duration = Duration::from_mins(5);

/// Pointers of one round.
const POINTERS_AT_ONCE: u32 = 500;

/// Between the first tries of a pointer; each pause is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

fn next_pause(before: Option<Duration>) -> Duration {
    before.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE))
}

/// Fetches them before it is too late, and counts those that lie in the topic still, until it is stopped.
pub(super) async fn keep(context: IntakeContext, kafka: KafkaConfig) {
    let mut keeper = Keeper {
        context,
        kafka,
        retentions: HashMap::new(),
        published: HashSet::new(),
        tried: HashMap::new(),
        waiting: HashMap::new(),
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = keeper.context.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = keeper.round(Timestamp::now()).await {
            let error = crate::error_chain(&error);
            tracing::warn!(error, "cannot keep the bodies that expire");
        }
    }
}

struct Keeper {
    context: IntakeContext,
    kafka: KafkaConfig,
    /// When each topic was asked, and what it answered.
    retentions: HashMap<TopicName, (Timestamp, Retention)>,
    published: HashSet<TopicName>,
    /// What could not be fetched, and when that was tried.
    tried: HashMap<DeadLetterId, Instant>,
    /// Pointers whose originals could not be read: when they have their next turn, and the pause before it.
    waiting: HashMap<DeadLetterId, (Instant, Duration)>,
}

impl Keeper {
    async fn round(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let snapshot = self.context.snapshots.borrow().clone();
        let mut bodies = self.context.store.unkept_bodies(&self.kafka.name).await?;
        let ids = topic_ids(&snapshot, &self.kafka.name);
        bodies.retain(|body| is_in_same_topic(body, &ids));
        let topics: HashSet<&TopicName> = bodies.iter().map(|body| &body.topic).collect();
        let log_starts = log_starts(&snapshot, &self.kafka, &topics);
        for topic in topics {
            let known = self.retentions.get(topic);
            if known.is_none_or(|(asked_at, _)| now.since(*asked_at) >= SETTINGS_LAST) {
                let retention = retention_of(&self.kafka, topic).await;
                self.retentions.insert(topic.clone(), (now, retention));
            }
        }
        let retention = |topic: &TopicName| Some(self.retentions.get(topic)?.1);
        let mut expiring = expiring(&bodies, &log_starts, retention, now);
        if self.may_fetch().await? {
            expiring = self.fetch(expiring, &ids).await;
        }
        self.publish(&expiring);
        if self.is_full().await? || self.context.stop.is_cancelled() {
            return Ok(());
        }
        self.try_pointers(&ids).await
    }

    /// Those whose turn it is, the oldest first, at most [`POINTERS_AT_ONCE`] of them, which takes 15 seconds at
    /// most.
    async fn try_pointers(&mut self, ids: &TopicIds) -> Result<(), StoreError> {
        let now = Instant::now();
        self.waiting
            .retain(|_, (turn, _)| now < *turn + LONGEST_PAUSE);
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(|(_, (turn, _))| now < *turn);
        let waiting: Vec<DeadLetterId> = waiting.map(|(id, _)| *id).collect();
        let (store, cluster) = (&self.context.store, &self.kafka.name);
        let due = store.unkept_pointers(cluster, &waiting, POINTERS_AT_ONCE);
        let due = due.await?;
        let due: Vec<&UnkeptBody> = due
            .iter()
            .filter(|body| is_in_same_topic(body, ids))
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let outcomes = fetch_late(&self.context, &self.kafka, &due, |_| None).await;
        let not_read = outcomes.iter().filter(|(_, outcome)| outcome.is_err());
        for (id, _) in not_read {
            let before = self.waiting.get(id).map(|(_, pause)| *pause);
            let pause = next_pause(before);
            self.waiting.insert(*id, (Instant::now() + pause, pause));
        }
        let (cluster, pointers) = (&self.kafka.name, outcomes.len());
        let fetched = outcomes
            .iter()
            .filter(|(_, outcome)| outcome.is_ok())
            .count();
        tracing::info!(%cluster, pointers, fetched, "the originals of pointers were tried again");
        Ok(())
    }

    async fn may_fetch(&self) -> Result<bool, StoreError> {
        Ok(self.context.config.dead_letters.fetch_expiring_bodies && !self.is_full().await?)
    }

    /// Whether the store is larger than it shall be: then nothing is fetched into it.
    async fn is_full(&self) -> Result<bool, StoreError> {
        Ok(match self.context.config.retention.max_bytes {
            Some(limit) => self.context.store.space().await?.used_bytes() > limit,
            None => false,
        })
    }

    /// Fetches the bodies; answers those that are still in the topic alone.
    async fn fetch<'a>(
        &mut self,
        bodies: Vec<&'a UnkeptBody>,
        ids: &TopicIds,
    ) -> Vec<&'a UnkeptBody> {
        let begun = Instant::now();
        self.tried
            .retain(|_, tried_at| tried_at.elapsed() < TRIED_AGAIN_AFTER);
        let mut reader = None;
        let mut left = Vec::new();
        for body in bodies {
            let id = body.dead_letter;
            let is_late = begun.elapsed() >= ROUND_LIMIT || self.context.stop.is_cancelled();
            if is_late || self.tried.contains_key(&id) {
                left.push(body);
                continue;
            }
            let reader = reader.get_or_insert_with(|| {
                BodyReader::new(&self.kafka).map_err(|error| crate::error_chain(&error))
            });
            let fetched = match reader {
                Ok(reader) => reader.fetch(&self.context.store, body, ids, None).await,
                Err(reason) => Err(reason.clone()),
            };
            if let Err(reason) = fetched {
                let (cluster, topic) = (&self.kafka.name, &body.topic);
                tracing::warn!(%cluster, %topic, dead_letter = id.0, reason, "a body that expires was not fetched");
                self.tried.insert(id, Instant::now());
                left.push(body);
            }
        }
        left
    }

    fn publish(&mut self, expiring: &[&UnkeptBody]) {
        let mut counts: BTreeMap<TopicName, u64> = BTreeMap::new();
        for body in expiring {
            *counts.entry(body.topic.clone()).or_default() += 1;
        }
        for topic in std::mem::take(&mut self.published) {
            counts.entry(topic).or_insert(0);
        }
        for (topic, count) in counts {
            let metrics = &self.context.metrics;
            metrics.set_expiring_bodies(&self.kafka.name, System::Kafka, topic.as_str(), count);
            if count > 0 {
                self.published.insert(topic);
            }
        }
    }
}

/// Those that are there still and expire soon. What the snapshot does not show is gone, or has its turn when it
/// does.
fn expiring<'a>(
    bodies: &'a [UnkeptBody],
    log_starts: &HashMap<(TopicName, Partition), Offset>,
    retention: impl Fn(&TopicName) -> Option<Retention>,
    now: Timestamp,
) -> Vec<&'a UnkeptBody> {
    let expires = |body: &&UnkeptBody| {
        let log_start = log_starts.get(&(body.topic.clone(), body.partition));
        let is_there = log_start.is_some_and(|start| *start <= body.offset);
        let expires_soon = retention(&body.topic)
            .is_some_and(|retention| retention.may_end(body.dead_at, now.plus(SOON)));
        is_there && expires_soon
    };
    bodies.iter().filter(expires).collect()
}

fn log_starts(
    snapshot: &Snapshot,
    kafka: &KafkaConfig,
    topics: &HashSet<&TopicName>,
) -> HashMap<(TopicName, Partition), Offset> {
    let cluster = snapshot.cluster(&kafka.name);
    let known = cluster.and_then(ClusterSnapshot::kafka);
    let known = known.iter().flat_map(|detail| &detail.topics);
    known
        .filter(|topic| topics.contains(&topic.topic))
        .flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.filter_map(|partition| {
                let place = (topic.topic.clone(), partition.partition);
                Some((place, partition.log_start?))
            })
        })
        .collect()
}

/// What a topic may lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Retention {
    /// Records of this age.
    age: Option<Duration>,
    /// Records of any age, as soon as others follow: by the size of their partition, or by their keys.
    at_any_time: bool,
}

impl Retention {
    /// By its settings; -1 is for ever. Of what the broker does not say nothing is known.
    fn of(settings: &HashMap<String, String>) -> Self {
        let policy = settings.get("cleanup.policy").map_or("", String::as_str);
        let limit = |name: &str| -> Option<u64> {
            let limit = settings.get(name)?.parse().ok();
            limit.filter(|_| policy.contains("delete"))
        };
        Self {
            age: limit("retention.ms").map(Duration::from_millis),
            at_any_time: limit("retention.bytes").is_some() || policy.contains("compact"),
        }
    }

    fn may_end(self, dead_at: Timestamp, by: Timestamp) -> bool {
        self.at_any_time || self.age.is_some_and(|age| dead_at.plus(age) < by)
    }
}

async fn retention_of(kafka: &KafkaConfig, topic: &TopicName) -> Retention {
    let settings = match KafkaAdmin::new(kafka) {
        Ok(admin) => admin.topic_config(topic).await,
        Err(error) => Err(error),
    };
    match settings {
        Ok(settings) => Retention::of(&settings),
        Err(error) => {
            let error = crate::error_chain(&error);
            tracing::debug!(error, "the retention of a topic is not known");
            Retention::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_expires_within_a_day_has_its_turn() {
        let body = |topic: &str, offset: i64, hours: i64| UnkeptBody {
            dead_letter: DeadLetterId(offset),
            cluster: "c".into(),
            topic: topic.into(),
            topic_id: None,
            partition: Partition(0),
            offset: Offset(offset),
            dead_at: Timestamp::from_seconds(hours * 3600),
            is_pointer: false,
        };
        let bodies = [
            body("orders.dlq", 3, 0),
            body("orders.dlq", 4, 1),
            body("orders.dlq", 5, 1),
            body("orders.dlq", 6, 2),
            body("for-ever.dlq", 6, 0),
            body("not-shown.dlq", 6, 0),
            body("small.dlq", 7, 240),
        ];
        let place = |topic: &str| (TopicName::new(topic), Partition(0));
        let starts = [
            (place("orders.dlq"), Offset(4)),
            (place("for-ever.dlq"), Offset(0)),
            (place("small.dlq"), Offset(0)),
        ]
        .into();
        let week = Duration::from_hours(7 * 24);
        let retention = |topic: &TopicName| {
            let name = topic.as_str();
            Some(Retention {
                age: (name != "for-ever.dlq").then_some(week),
                at_any_time: name == "small.dlq",
            })
        };
        let at = |hours: i64| {
            let now = Timestamp::from_seconds(hours * 3600);
            let expiring = expiring(&bodies, &starts, retention, now);
            let offsets = expiring.into_iter().map(|body| body.offset.0);
            offsets.collect::<Vec<_>>()
        };
        assert_eq!(at(6 * 24 + 1), [7]);
        assert_eq!(at(6 * 24 + 2), [4, 5, 7]);
        assert_eq!(at(9 * 24), [4, 5, 6, 7]);
    }

    #[test]
    fn the_pauses_of_a_pointer_grow_to_an_hour() {
        let pauses = std::iter::successors(Some(next_pause(None)), |pause| {
            Some(next_pause(Some(*pause)))
        });
        let minutes: Vec<u64> = pauses.take(8).map(|pause| pause.as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_topic_loses_by_age_what_it_deletes_and_by_size_or_key_at_any_time() {
        let of = |policy: &str, millis: &str, bytes: &str| {
            let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let settings = [
                setting("cleanup.policy", policy),
                setting("retention.ms", millis),
                setting("retention.bytes", bytes),
            ];
            let retention = Retention::of(&settings.into());
            (retention.age, retention.at_any_time)
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(of("delete", "1000", "-1"), (second, false));
        assert_eq!(of("delete", "-1", "-1"), (None, false));
        assert_eq!(of("delete", "-1", "1073741824"), (None, true));
        assert_eq!(of("compact", "1000", "1073741824"), (None, true));
        assert_eq!(of("compact,delete", "1000", "-1"), (second, true));
        assert_eq!(Retention::of(&HashMap::new()), Retention::default());
    }
}
