//! Sampling of real brokers, from the broker to the exposition.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use redrive::config::{Config, HumanDuration, KafkaConfig};
use redrive::domain::{ClusterName, GroupStatus, GroupVerdict, Partition, TimeLag, Timestamp};
use redrive::metrics::{Format, Metrics};
use redrive::sampling::{self, SamplingHandle, Series, SeriesKey};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::{eventually, kafka, required, unique};

/// Sampling that runs until the test ends.
pub(crate) struct Sampling {
    pub(crate) handle: SamplingHandle,
    metrics: Arc<Metrics>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Sampling {
    pub(crate) fn start(kafka: KafkaConfig) -> Self {
        Self::of(Config {
            kafka: vec![kafka],
            ..Config::default()
        })
    }

    /// Samples these brokers every second.
    pub(crate) fn of(mut config: Config) -> Self {
        let interval = HumanDuration::from_secs(1);
        config.sampling.interval = interval;
        let metrics = Arc::new(Metrics::new(*interval));
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let handle = sampling::start(&config, Arc::clone(&metrics), &stop, |task| {
            tracker.spawn(task);
        });
        Self {
            handle,
            metrics,
            tracker,
            stop,
        }
    }

    pub(crate) fn group(&self, name: &str) -> Option<GroupStatus> {
        let snapshot = self.handle.snapshot();
        let mut groups = snapshot.groups().map(|(_cluster, group)| group);
        groups.find(|group| group.group.as_str() == name).cloned()
    }

    pub(crate) async fn eventually_group(
        &self,
        name: &str,
        what: &str,
        condition: impl Fn(&GroupStatus) -> bool,
    ) -> GroupStatus {
        eventually(what, || async { self.group(name).filter(&condition) }).await
    }

    /// Waits for so many more looks at the brokers.
    pub(crate) async fn samples(&self, number: usize) {
        let mut snapshots = self.handle.subscribe();
        snapshots.mark_unchanged();
        for _ in 0..number {
            snapshots.changed().await.expect("sampling runs");
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.metrics.render(Format::Text).to_vec()).expect("text")
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

pub(crate) fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", required("REDRIVE_TEST_KAFKA"));
    config
}

pub(crate) async fn create_topic(topic: &str) {
    let admin: AdminClient<DefaultClientContext> = client().create().expect("a client");
    let topic = NewTopic::new(topic, 2, TopicReplication::Fixed(1));
    let created = admin.create_topics([&topic], &AdminOptions::new()).await;
    created.expect("Kafka answers")[0]
        .as_ref()
        .expect("a new topic");
}

pub(crate) async fn produce(topic: &str, records: usize) {
    let producer: FutureProducer = client().create().expect("a producer");
    for _ in 0..records {
        let record = FutureRecord::<(), [u8]>::to(topic)
            .partition(0)
            .payload(b"{}");
        producer
            .send(record, Duration::from_secs(10))
            .await
            .expect("delivered");
    }
}

/// Commits without being a member, as readers outside the group protocol do. A young broker may say
/// for a moment that it is not the coordinator.
pub(crate) async fn commit(group: &str, topic: &str, offset: i64) {
    let consumer: BaseConsumer = client()
        .set("group.id", group)
        .create()
        .expect("a consumer");
    let consumer = Arc::new(consumer);
    let mut offsets = TopicPartitionList::new();
    let added = offsets.add_partition_offset(topic, 0, Offset::Offset(offset));
    added.expect("a valid offset");
    eventually("the offset is committed", || {
        let (consumer, offsets) = (Arc::clone(&consumer), offsets.clone());
        async move {
            let commit = move || consumer.commit(&offsets, CommitMode::Sync).ok();
            tokio::task::spawn_blocking(commit).await.expect("no panic")
        }
    })
    .await;
}

#[tokio::test]
async fn the_lag_of_a_real_group_is_seen_to_grow_and_drain() {
    let (topic, group) = (unique("sampled"), unique("group"));
    create_topic(&topic).await;
    produce(&topic, 10).await;
    commit(&group, &topic, 4).await;
    let sampling = Sampling::start(kafka());
    let behind = |lag: u64| move |group: &GroupStatus| group.lag == lag;

    let seen = sampling
        .eventually_group(&group, "a lag of 6", behind(6))
        .await;
    assert_eq!(seen.verdict, GroupVerdict::NoMembers);
    assert_eq!(
        seen.topics[0].partitions.len(),
        1,
        "partition 1 has no commit"
    );
    assert_eq!(seen.topics[0].partitions[0].partition, Partition(0));

    produce(&topic, 5).await;
    let seen = sampling
        .eventually_group(&group, "a lag of 11", behind(11))
        .await;
    let at_least = matches!(seen.time_lag, Some(TimeLag::AtLeast(_)));
    assert!(
        at_least,
        "written before the first look: {:?}",
        seen.time_lag
    );

    commit(&group, &topic, 12).await;
    let seen = sampling
        .eventually_group(&group, "a lag of 3", behind(3))
        .await;
    let known = matches!(seen.time_lag, Some(TimeLag::Exactly(lag)) if lag > Duration::ZERO);
    assert!(known, "written while it was watched: {:?}", seen.time_lag);
    assert_eq!(seen.topics[0].processed_total, 8);

    let cluster = ClusterName::new("kafka");
    let exposition = sampling.text();
    for line in [
        format!(
            "kafka_consumer_group_lag{{cluster=\"kafka\",group=\"{group}\",topic=\"{topic}\",partition=\"0\"}} 3\n"
        ),
        format!(
            "events_processed_total{{cluster=\"kafka\",system=\"kafka\",source=\"{topic}\",consumer=\"{group}\"}} 8\n"
        ),
        format!("kafka_topic_produced_messages_total{{cluster=\"kafka\",topic=\"{topic}\"}} 5\n"),
        "redrive_broker_up{cluster=\"kafka\",system=\"kafka\"} 1\n".to_owned(),
    ] {
        assert!(exposition.contains(&line), "{line}");
    }
    let counted = format!("source=\"{topic}\",consumer=\"{group}\",basis=\"publish_to_commit\"}} ");
    assert!(
        exposition.contains(&counted),
        "two records were written while it was watched"
    );

    let key = SeriesKey::new(&cluster, Series::GroupLag(group.as_str().into()));
    let history: Vec<_> = sampling
        .handle
        .lately(&[key], Timestamp::now())
        .points
        .iter()
        .map(|p| p.value)
        .collect();
    assert!(history.contains(&Some(11.0)), "{history:?}");
    assert_eq!(history.last(), Some(&Some(3.0)));
    sampling.end().await;
}

/// The counter of messages produced to a topic, as it is exported.
fn produced(exposition: &str, topic: &str) -> Option<u64> {
    let series =
        format!("kafka_topic_produced_messages_total{{cluster=\"kafka\",topic=\"{topic}\"}} ");
    let line = exposition
        .lines()
        .find_map(|line| line.strip_prefix(&series))?;
    Some(line.parse().expect("a whole number"))
}

/// What a broker that lost its data looks like: the topic is another, and its offsets begin anew.
#[tokio::test]
async fn a_topic_that_is_made_anew_takes_no_counter_back_and_makes_none_jump() {
    let topic = unique("anew");
    create_topic(&topic).await;
    produce(&topic, 40).await;
    let sampling = Sampling::start(kafka());
    let mut seen = vec![0];
    let mut until = async |what: &str, wanted: u64| {
        eventually(what, async || {
            let now = produced(&sampling.text(), &topic)?;
            assert!(
                *seen.last().expect("one at least") <= now,
                "{now} after {seen:?}"
            );
            seen.push(now);
            (now >= wanted).then_some(())
        })
        .await;
    };
    until("the topic is there", 0).await;
    produce(&topic, 5).await;
    until("five are counted", 5).await;
    let admin: AdminClient<DefaultClientContext> = client().create().expect("a client");
    let deleted = admin.delete_topics(&[&topic], &AdminOptions::new()).await;
    deleted.expect("Kafka answers")[0]
        .as_ref()
        .expect("deleted");
    eventually("the topic can be made anew", async || {
        let topic = NewTopic::new(&topic, 2, TopicReplication::Fixed(1));
        let created = admin.create_topics([&topic], &AdminOptions::new()).await;
        created.ok()?.pop()?.ok()
    })
    .await;
    produce(&topic, 3).await;
    // Some of the first three may be older than the first look at the new topic; these are counted.
    eventually("what is produced now is counted", async || {
        produce(&topic, 1).await;
        let now = produced(&sampling.text(), &topic)?;
        (now >= 6).then_some(())
    })
    .await;
    until("the counter has not gone back", 6).await;
    let last = produced(&sampling.text(), &topic).expect("it is exported");
    assert!(last < 40, "{last}: what was there before is in no counter");
    sampling.end().await;
}

/// Redrive has not seen these records arrive; the broker knows how old they are.
#[tokio::test]
async fn how_late_a_group_was_before_redrive_looked_is_proven() {
    let topic = unique("proofs");
    create_topic(&topic).await;
    let producer: FutureProducer = client().create().expect("a producer");
    let minutes = [120, 20, 2, 0];
    for age in minutes.map(Duration::from_mins) {
        let record = FutureRecord::<(), [u8]>::to(&topic)
            .partition(0)
            .timestamp(Timestamp::now().minus(age).as_millis())
            .payload(b"{}");
        let sent = producer.send(record, Duration::from_secs(10)).await;
        sent.expect("delivered");
    }
    // Each group stands before another record: proven is the largest known age that it has.
    let proven = [60, 15, 1].map(Duration::from_mins);
    let groups = ["an-hour", "a-quarter", "a-minute"].map(unique);
    for (offset, group) in (0..).zip(&groups) {
        commit(group, &topic, offset).await;
    }
    let sampling = Sampling::start(kafka());
    for (group, least) in groups.iter().zip(proven) {
        let is_proven = |seen: &GroupStatus| match seen.time_lag {
            Some(TimeLag::AtLeast(lag)) => lag >= least,
            _ => false,
        };
        let seen = sampling.eventually_group(group, "a proof", is_proven).await;
        let Some(TimeLag::AtLeast(lag)) = seen.time_lag else {
            panic!("{seen:?}");
        };
        assert!(lag < least + Duration::from_mins(2), "{group}: {lag:?}");
    }
    sampling.end().await;
}

#[tokio::test]
async fn a_broker_that_is_not_there_costs_only_its_own_numbers() {
    let nobody = KafkaConfig {
        bootstrap_servers: vec!["127.0.0.1:1".to_owned()],
        ..KafkaConfig::default()
    };
    let sampling = Sampling::start(nobody);
    let mut snapshots = sampling.handle.subscribe();
    let failed = snapshots.wait_for(|snapshot| snapshot.clusters[0].health.error.is_some());
    let failed = Arc::clone(&*failed.await.expect("sampling runs"));
    let health = &failed.clusters[0].health;
    assert!(!health.up);
    assert!(
        health
            .error
            .as_ref()
            .is_some_and(|error| error.contains("127.0.0.1:1"))
    );
    assert!(failed.clusters[0].detail.is_none());
    assert!(
        sampling
            .text()
            .contains("redrive_broker_up{cluster=\"kafka\",system=\"kafka\"} 0\n")
    );
    sampling.end().await;
}
