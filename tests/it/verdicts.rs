//! Each verdict on a consumer group, reached by a real group that earns it.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset as LogOffset, TopicPartitionList};
use redrive::domain::{GroupStatus, GroupVerdict, Offset, TopicName};

use crate::kafka_edges::delete_before;
use crate::sampling::{Sampling, client, commit, create_topic, produce};
use crate::support::{eventually, kafka, unique};

/// A topic with so many records, and the name of a group for it.
async fn records(number: usize) -> (String, String) {
    let (topic, group) = (unique("verdict"), unique("group"));
    create_topic(&topic).await;
    produce(&topic, number).await;
    (topic, group)
}

/// The only member of a group, which commits what it is told to.
struct Member {
    consumer: BaseConsumer,
    topic: String,
}

impl Member {
    async fn join(group: &str, topic: &str) -> Self {
        let consumer: BaseConsumer = client()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[topic]).expect("a topic");
        eventually("partitions are assigned", async || {
            consumer.poll(Duration::from_millis(20));
            let assignment = consumer.assignment().expect("a consumer that lives");
            (assignment.count() == 2).then_some(())
        })
        .await;
        Self {
            consumer,
            topic: topic.to_owned(),
        }
    }

    fn commit(&self, offset: i64) {
        let mut offsets = TopicPartitionList::new();
        let added = offsets.add_partition_offset(&self.topic, 0, LogOffset::Offset(offset));
        added.expect("a valid offset");
        let committed = self.consumer.commit(&offsets, CommitMode::Sync);
        committed.expect("the offset is committed");
    }
}

/// Waits for the verdict, in the snapshot and in the metrics.
async fn verdict(sampling: &Sampling, group: &str, expected: GroupVerdict) -> GroupStatus {
    let is_expected = |seen: &GroupStatus| seen.verdict == expected;
    let what = format!("the verdict {}", expected.as_str());
    let seen = sampling.eventually_group(group, &what, is_expected).await;
    let series = format!(
        "kafka_consumer_group_status{{cluster=\"kafka\",group=\"{group}\",status=\"{}\"}} 1\n",
        expected.as_str()
    );
    eventually(&series, async || {
        sampling.text().contains(&series).then_some(())
    })
    .await;
    seen
}

#[tokio::test]
async fn a_group_that_has_read_everything_is_ok() {
    let (topic, group) = records(5).await;
    let member = Member::join(&group, &topic).await;
    member.commit(5);
    let sampling = Sampling::start(kafka());
    verdict(&sampling, &group, GroupVerdict::Ok).await;
    sampling.samples(11).await;
    let seen = verdict(&sampling, &group, GroupVerdict::Ok).await;
    assert_eq!((seen.lag, seen.members.len()), (0, 1));
    sampling.end().await;
}

#[tokio::test]
async fn a_group_that_reads_less_than_is_written_is_slow() {
    let (topic, group) = records(5).await;
    let member = Member::join(&group, &topic).await;
    member.commit(1);
    let sampling = Sampling::start(kafka());
    // All the time, so that no look falls between a commit and what is written next.
    let written = topic.clone();
    let writing = tokio::spawn(async move {
        loop {
            produce(&written, 10).await;
        }
    });
    let mut committed = 1;
    let seen = eventually("the verdict slow", async || {
        committed += 1;
        member.commit(committed);
        sampling.samples(1).await;
        let seen = sampling.group(&group)?;
        (seen.verdict == GroupVerdict::Slow).then_some(seen)
    })
    .await;
    writing.abort();
    assert!(committed >= 10, "said after {committed} commits");
    assert!(seen.lag > 4, "it grew: {seen:?}");
    sampling.end().await;
}

#[tokio::test]
async fn a_group_whose_member_makes_no_progress_is_stalled_until_it_does() {
    let (topic, group) = records(5).await;
    let member = Member::join(&group, &topic).await;
    member.commit(2);
    let sampling = Sampling::start(kafka());
    verdict(&sampling, &group, GroupVerdict::Ok).await;
    let seen = verdict(&sampling, &group, GroupVerdict::Stalled).await;
    assert_eq!((seen.lag, seen.members.len()), (3, 1));
    member.commit(4);
    let seen = verdict(&sampling, &group, GroupVerdict::Ok).await;
    assert_eq!(seen.lag, 1);
    sampling.end().await;
}

#[tokio::test]
async fn a_group_without_members_is_first_that_and_then_stopped() {
    let (topic, group) = records(5).await;
    commit(&group, &topic, 2).await;
    let sampling = Sampling::start(kafka());
    verdict(&sampling, &group, GroupVerdict::NoMembers).await;
    let seen = verdict(&sampling, &group, GroupVerdict::Stopped).await;
    assert!(seen.members.is_empty());
    let member = Member::join(&group, &topic).await;
    member.commit(5);
    verdict(&sampling, &group, GroupVerdict::Ok).await;
    sampling.end().await;
}

#[tokio::test]
async fn a_group_whose_offset_went_back_is_rewound() {
    let (topic, group) = records(5).await;
    let member = Member::join(&group, &topic).await;
    member.commit(4);
    let sampling = Sampling::start(kafka());
    verdict(&sampling, &group, GroupVerdict::Ok).await;
    member.commit(1);
    let seen = verdict(&sampling, &group, GroupVerdict::Rewound).await;
    assert_eq!(seen.lag, 4);
    sampling.end().await;
}

#[tokio::test]
async fn a_group_that_retention_overtook_has_lost_data() {
    let (topic, group) = records(10).await;
    let member = Member::join(&group, &topic).await;
    member.commit(4);
    let sampling = Sampling::start(kafka());
    let headroom = |seen: &GroupStatus| seen.topics[0].partitions[0].retention_headroom;
    let seen = verdict(&sampling, &group, GroupVerdict::Ok).await;
    assert_eq!(headroom(&seen), Some(0.4));
    delete_before(&TopicName::new(&topic), 0, 2).await;
    let nearer = |seen: &GroupStatus| headroom(seen) == Some(0.25);
    let seen = sampling.eventually_group(&group, "less headroom", nearer);
    assert_eq!(seen.await.verdict, GroupVerdict::Ok);
    delete_before(&TopicName::new(&topic), 0, 7).await;
    let seen = verdict(&sampling, &group, GroupVerdict::Lost).await;
    assert_eq!(seen.topics[0].partitions[0].log_start, Some(Offset(7)));
    // Three can be read still; three of six are gone.
    assert_eq!((seen.lag, seen.lost_total), (3, 3));
    assert_eq!(headroom(&seen), Some(0.0));
    let lost = format!(
        "kafka_consumer_group_lost_messages_total{{cluster=\"kafka\",group=\"{group}\",topic=\"{topic}\"}} 3\n"
    );
    assert!(sampling.text().contains(&lost), "{lost}");
    sampling.end().await;
}
