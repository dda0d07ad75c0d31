//! Bodies that are too large for the store, and that the retention of their topic is about to remove.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::IntakeContext;
use crate::brokers::kafka::KafkaAdmin;
use crate::config::KafkaConfig;
use crate::domain::{Offset, Partition, Snapshot, System, Timestamp, TopicName};
use crate::store::{StoreError, UnkeptBody};

const INTERVAL: Duration = Duration::from_secs(10);

/// How long before it expires a body is counted.
const SOON: Duration = Duration::from_hours(24);

/// After this time a topic is asked for its settings anew.
const SETTINGS_LAST: Duration = Duration::from_mins(5);

/// Counts them until it is stopped.
pub(super) async fn publish_expiring(context: IntakeContext, kafka: KafkaConfig) {
    let mut counting = Counting {
        context,
        kafka,
        retentions: HashMap::new(),
        published: HashSet::new(),
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = counting.context.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = counting.publish(Timestamp::now()).await {
            let error = crate::error_chain(&error);
            tracing::warn!(error, "cannot count the bodies that expire");
        }
    }
}

struct Counting {
    context: IntakeContext,
    kafka: KafkaConfig,
    /// When each topic was asked, and what it answered.
    retentions: HashMap<TopicName, (Timestamp, Option<Duration>)>,
    published: HashSet<TopicName>,
}

impl Counting {
    async fn publish(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let cluster = &self.kafka.name;
        let bodies = self.context.store.unkept_bodies(cluster).await?;
        let topics: HashSet<&TopicName> = bodies.iter().map(|body| &body.topic).collect();
        let snapshot = self.context.snapshots.borrow().clone();
        let log_starts = log_starts(&snapshot, &self.kafka, &topics);
        for topic in topics {
            let known = self.retentions.get(topic);
            if known.is_none_or(|(asked_at, _)| now.since(*asked_at) >= SETTINGS_LAST) {
                let retention = retention_of(&self.kafka, topic).await;
                self.retentions.insert(topic.clone(), (now, retention));
            }
        }
        let retention = |topic: &TopicName| self.retentions.get(topic)?.1;
        let mut counts = expiring(&bodies, &log_starts, retention, now);
        for topic in std::mem::take(&mut self.published) {
            counts.entry(topic).or_insert(0);
        }
        for (topic, count) in counts {
            let metrics = &self.context.metrics;
            metrics.set_expiring_bodies(cluster, System::Kafka, topic.as_str(), count);
            if count > 0 {
                self.published.insert(topic);
            }
        }
        Ok(())
    }
}

/// Those of each topic that are there still and expire soon. What the snapshot does not show is gone, or is
/// counted when it does.
fn expiring(
    bodies: &[UnkeptBody],
    log_starts: &HashMap<(TopicName, Partition), Offset>,
    retention: impl Fn(&TopicName) -> Option<Duration>,
    now: Timestamp,
) -> BTreeMap<TopicName, u64> {
    let mut counts = BTreeMap::new();
    for body in bodies {
        let log_start = log_starts.get(&(body.topic.clone(), body.partition));
        let is_there = log_start.is_some_and(|start| *start <= body.offset);
        let expires_soon = retention(&body.topic)
            .is_some_and(|retention| body.dead_at.plus(retention) < now.plus(SOON));
        if is_there && expires_soon {
            *counts.entry(body.topic.clone()).or_default() += 1;
        }
    }
    counts
}

fn log_starts(
    snapshot: &Snapshot,
    kafka: &KafkaConfig,
    topics: &HashSet<&TopicName>,
) -> HashMap<(TopicName, Partition), Offset> {
    let mut clusters = snapshot.clusters.iter();
    let cluster = clusters.find(|cluster| cluster.name == kafka.name);
    let known = cluster.and_then(|cluster| cluster.kafka());
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

/// For how long the topic keeps a record at least; `None` if its age removes none, or the broker does not say.
async fn retention_of(kafka: &KafkaConfig, topic: &TopicName) -> Option<Duration> {
    let admin = KafkaAdmin::new(kafka).ok()?;
    let settings = admin.topic_config(topic).await;
    let settings = settings.inspect_err(|error| {
        let error = crate::error_chain(error);
        tracing::debug!(error, "the retention of a topic is not known");
    });
    retention_by(&settings.ok()?)
}

/// `retention.ms` is -1 for ever.
fn retention_by(settings: &HashMap<String, String>) -> Option<Duration> {
    let is_deleted = settings.get("cleanup.policy")?.contains("delete");
    let millis: u64 = settings.get("retention.ms")?.parse().ok()?;
    is_deleted.then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_is_what_is_there_and_expires_within_a_day() {
        let body = |topic: &str, offset: i64, hours: i64| UnkeptBody {
            topic: topic.into(),
            partition: Partition(0),
            offset: Offset(offset),
            dead_at: Timestamp::from_seconds(hours * 3600),
        };
        let bodies = [
            body("orders.dlq", 3, 0),
            body("orders.dlq", 4, 1),
            body("orders.dlq", 5, 1),
            body("orders.dlq", 6, 2),
            body("for-ever.dlq", 6, 0),
            body("not-shown.dlq", 6, 0),
        ];
        let place = |topic: &str| (TopicName::new(topic), Partition(0));
        let starts = [
            (place("orders.dlq"), Offset(4)),
            (place("for-ever.dlq"), Offset(0)),
        ]
        .into();
        let week = Duration::from_hours(7 * 24);
        let retention = |topic: &TopicName| (topic.as_str() != "for-ever.dlq").then_some(week);
        let at = |hours: i64| {
            expiring(
                &bodies,
                &starts,
                retention,
                Timestamp::from_seconds(hours * 3600),
            )
        };
        assert_eq!(at(6 * 24 + 1), [].into());
        assert_eq!(at(6 * 24 + 2), [("orders.dlq".into(), 2)].into());
        assert_eq!(at(9 * 24), [("orders.dlq".into(), 3)].into());
    }

    #[test]
    fn only_a_topic_that_deletes_by_age_has_a_retention() {
        let of = |policy: &str, millis: &str| {
            let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let settings = [
                setting("cleanup.policy", policy),
                setting("retention.ms", millis),
            ];
            retention_by(&settings.into())
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(of("delete", "1000"), second);
        assert_eq!(of("compact,delete", "1000"), second);
        assert_eq!(of("compact", "1000"), None);
        assert_eq!(of("delete", "-1"), None);
        assert_eq!(retention_by(&HashMap::new()), None);
    }
}
