//! Committed offsets of many groups without a member each: administration tools commit so.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, GroupId, OffsetCommitRequest, OffsetCommitResponse, RequestHeader, ResponseHeader,
    TopicName,
};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, StrBytes};
use redrive::domain::Offset;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::required;

const VERSION: i16 = 8;

/// Commits this offset of partition 0 for each group.
pub(crate) async fn commit_for_groups(topic: &str, groups: &[String], offset: Offset) {
    let mut stream = TcpStream::connect(required("REDRIVE_TEST_KAFKA"))
        .await
        .unwrap();
    for group in groups {
        commit(&mut stream, topic, group, offset).await;
    }
}

async fn commit(stream: &mut TcpStream, topic: &str, group: &str, offset: Offset) {
    let key = ApiKey::OffsetCommit;
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset.0);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partitions(vec![partition]);
    let mut frame = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(VERSION)
        .encode(&mut frame, key.request_header_version(VERSION))
        .unwrap();
    OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
        .encode(&mut frame, VERSION)
        .unwrap();
    let size = i32::try_from(frame.len()).unwrap();
    stream.write_i32(size).await.unwrap();
    stream.write_all(&frame).await.unwrap();
    let size = stream.read_i32().await.unwrap();
    let mut answer = vec![0; usize::try_from(size).unwrap()];
    stream.read_exact(&mut answer).await.unwrap();
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, key.response_header_version(VERSION)).unwrap();
    let answer = OffsetCommitResponse::decode(&mut answer, VERSION).unwrap();
    assert_eq!(answer.topics[0].partitions[0].error_code, 0, "{group}");
}
