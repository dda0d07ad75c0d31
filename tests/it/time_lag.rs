//! How late a group is, against what is known of the records; and that a transactional topic which is read to
//! its end has no lag.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer as _};
use redrive::domain::{GroupStatus, TimeLag, Timestamp, TopicName};

use crate::kafka_edges::write_transaction;
use crate::sampling::{Sampling, commit, create_topic, produce};
use crate::support::{kafka, unique};

/// An end is dated to the sample that first saw it, one interval after the record at most; a late sample of a
/// busy machine adds to that.
const TOLERANCE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn the_reported_seconds_are_those_since_the_record_was_written() {
    let (topic, group) = (unique("seconds"), unique("group"));
    create_topic(&topic).await;
    commit(&group, &topic, 0).await;
    let sampling = Sampling::start(kafka());
    sampling
        .eventually_group(&group, "the group is watched", |seen| seen.lag == 0)
        .await;
    let mut written = Vec::new();
    for _ in 0..8 {
        written.push(Timestamp::now());
        produce(&topic, 1).await;
        sampling.samples(1).await;
    }
    for (offset, written) in (0..).zip(&written).skip(1).step_by(3) {
        commit(&group, &topic, offset).await;
        let stands_there = |seen: &GroupStatus| seen.topics[0].partitions[0].committed.0 == offset;
        sampling
            .eventually_group(&group, "the commit is seen", stands_there)
            .await;
        // It goes on growing although nothing is written any more.
        for _ in 0..3 {
            let truth = Timestamp::now().since(*written);
            let seen = sampling.group(&group).expect("it is watched");
            let Some(TimeLag::Exactly(reported)) = seen.time_lag else {
                panic!("{:?}", seen.time_lag);
            };
            assert!(
                reported.abs_diff(truth) < TOLERANCE,
                "record {offset}: {reported:?} of {truth:?}"
            );
            sampling.samples(1).await;
        }
    }
    commit(&group, &topic, 8).await;
    let seen = sampling
        .eventually_group(&group, "all is read", |seen| seen.lag == 0)
        .await;
    assert_eq!(seen.time_lag, Some(TimeLag::Exactly(Duration::ZERO)));
    sampling.end().await;
}

/// A topic whose one transaction was over before Redrive looked.
async fn transactional_topic() -> String {
    let topic = unique("transactional");
    create_topic(&topic).await;
    let written = TopicName::new(&topic);
    let commit = |producer: &BaseProducer| producer.commit_transaction(Duration::from_secs(10));
    let writing = tokio::task::spawn_blocking(move || write_transaction(&written, commit));
    writing.await.expect("no panic");
    topic
}

#[tokio::test]
async fn what_is_read_up_to_the_end_of_a_transaction_has_no_lag() {
    let topic = transactional_topic().await;
    let (read, unread) = (unique("read"), unique("unread"));
    commit(&read, &topic, 1).await;
    commit(&unread, &topic, 0).await;
    let sampling = Sampling::start(kafka());
    let none = |seen: &GroupStatus| seen.lag == 0;
    sampling.eventually_group(&read, "no lag", none).await;
    for _ in 0..3 {
        sampling.samples(1).await;
        assert_eq!(sampling.group(&read).map(|seen| seen.lag), Some(0));
        assert_eq!(sampling.group(&unread).map(|seen| seen.lag), Some(2));
    }
    // What comes after the transaction is a record.
    produce(&topic, 1).await;
    let two = |seen: &GroupStatus| seen.lag == 2;
    sampling
        .eventually_group(&read, "a record to read", two)
        .await;
    commit(&read, &topic, 2).await;
    let one = |seen: &GroupStatus| seen.lag == 1;
    sampling
        .eventually_group(&read, "the last record", one)
        .await;
    sampling.samples(4).await;
    assert_eq!(sampling.group(&read).map(|seen| seen.lag), Some(1));
    sampling.end().await;
}
