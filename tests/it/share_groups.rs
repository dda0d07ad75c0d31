//! A share group (KIP-932) of a real broker, whose members are done with records one by one.

use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, ApiKey, GroupId,
    ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable as _, StrBytes};
use redrive::domain::{GroupKind, GroupStatus, GroupVerdict, Offset, Partition};
use tokio::net::TcpStream;

use crate::sampling::{Sampling, create_topic, produce};
use crate::support::kafka_commits::exchange;
use crate::support::{eventually, kafka, kafka_release, required, unique};

const ALTER_OFFSETS: (ApiKey, i16) = (ApiKey::AlterShareGroupOffsets, 0);
const HEARTBEAT: (ApiKey, i16) = (ApiKey::ShareGroupHeartbeat, 1);

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Lets the group, which has no members, begin at this offset of partition 0.
async fn begin_at(stream: &mut TcpStream, group: &str, topic: &str, offset: i64) {
    let partition = AlterShareGroupOffsetsRequestPartition::default().with_start_offset(offset);
    let topic = AlterShareGroupOffsetsRequestTopic::default()
        .with_topic_name(TopicName(text(topic)))
        .with_partitions(vec![partition]);
    let request = AlterShareGroupOffsetsRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(vec![topic]);
    eventually("the coordinator is there", async || {
        let mut answer = exchange(stream, ALTER_OFFSETS, &request).await;
        let answer = AlterShareGroupOffsetsResponse::decode(&mut answer, ALTER_OFFSETS.1).unwrap();
        let partition = answer.responses.first()?.partitions.first()?;
        (answer.error_code == 0 && partition.error_code == 0).then_some(())
    })
    .await;
}

/// Joins with the epoch 0, and beats on with the epoch that the answer gives.
async fn heartbeat(stream: &mut TcpStream, (group, topic): (&str, &str), epoch: i32) -> i32 {
    let topics = (epoch == 0).then(|| vec![TopicName(text(topic))]);
    let request = ShareGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text("AAAAAAAAAAAAAAAAAAAAAQ"))
        .with_member_epoch(epoch)
        .with_subscribed_topic_names(topics);
    let mut answer = exchange(stream, HEARTBEAT, &request).await;
    let answer = ShareGroupHeartbeatResponse::decode(&mut answer, HEARTBEAT.1).unwrap();
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    answer.member_epoch
}

#[tokio::test]
async fn a_share_group_is_listed_with_its_members_and_what_it_is_not_done_with() {
    if kafka_release() < (4, 2) {
        // Share groups were a preview.
        return;
    }
    let (topic, group) = (unique("shared"), unique("share-group"));
    create_topic(&topic).await;
    produce(&topic, 10).await;
    let mut stream = TcpStream::connect(required("REDRIVE_TEST_KAFKA"))
        .await
        .unwrap();
    begin_at(&mut stream, &group, &topic, 3).await;
    let sampling = Sampling::start(kafka());
    let seen = sampling
        .eventually_group(&group, "seven records to read", |seen| seen.lag == 7)
        .await;
    assert_eq!(
        (seen.kind, seen.state.as_str(), seen.member_count()),
        (GroupKind::Share, "Empty", Some(0))
    );
    assert_eq!(seen.verdict, GroupVerdict::NoMembers);
    let partition = &seen.topics[0].partitions[0];
    assert_eq!(
        (partition.partition, partition.committed),
        (Partition(0), Offset(3))
    );

    let mut epoch = heartbeat(&mut stream, (&group, &topic), 0).await;
    let joined = |seen: &GroupStatus| !seen.members.is_empty();
    eventually("its member is assigned both partitions", async || {
        epoch = heartbeat(&mut stream, (&group, &topic), epoch).await;
        let seen = sampling.group(&group).filter(joined)?;
        let member = &seen.members[0];
        assert_eq!(member.client_id, "redrive-tests");
        let (assigned, partitions) = member.assignment.first()?;
        assert_eq!(assigned.as_str(), topic);
        (partitions.len() == 2 && seen.state == "Stable").then_some(())
    })
    .await;
    sampling.end().await;
}
