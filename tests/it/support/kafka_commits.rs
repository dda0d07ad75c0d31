//! Committed offsets of many groups without a member each: administration tools commit so.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, GroupId, OffsetCommitRequest, OffsetCommitResponse, RequestHeader, ResponseHeader,
    TopicName,
};
use kafka_protocol::protocol::{Decodable as _, Encodable, StrBytes};
use redrive::domain::Offset;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{eventually, required};

const VERSION: i16 = 8;

/// `NOT_COORDINATOR`, `COORDINATOR_NOT_AVAILABLE` and `COORDINATOR_LOAD_IN_PROGRESS`
const NOT_HERE: [i16; 3] = [16, 15, 14];

/// Commits this offset of partition 0 for each group.
pub(crate) async fn commit_for_groups(topic: &str, groups: &[String], offset: Offset) {
    let mut stream = TcpStream::connect(required("REDRIVE_TEST_KAFKA"))
        .await
        .unwrap();
    for group in groups {
        let code = commit(&mut stream, topic, group, 1, offset).await;
        assert_eq!(code, 0, "{group}");
    }
}

/// Commits this offset of the first partitions on whichever of the brokers coordinates the group.
pub(crate) async fn commit_on(
    brokers: &[String],
    topic: &str,
    group: &str,
    partitions: i32,
    offset: Offset,
) {
    eventually("a broker coordinates the group", async || {
        for broker in brokers {
            let mut stream = TcpStream::connect(broker).await.unwrap();
            let code = commit(&mut stream, topic, group, partitions, offset).await;
            if code == 0 {
                return Some(());
            }
            assert!(NOT_HERE.contains(&code), "{group}: error code {code}");
        }
        None
    })
    .await;
}

async fn commit(
    stream: &mut TcpStream,
    topic: &str,
    group: &str,
    partitions: i32,
    offset: Offset,
) -> i16 {
    let key = ApiKey::OffsetCommit;
    let partition = |index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset.0)
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partitions((0..partitions).map(partition).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let mut answer = exchange(stream, (key, VERSION), &request).await;
    let answer = OffsetCommitResponse::decode(&mut answer, VERSION).unwrap();
    answer.topics[0].partitions[0].error_code
}

/// Sends one request and answers the body of its answer.
pub(crate) async fn exchange(
    stream: &mut TcpStream,
    (key, version): (ApiKey, i16),
    request: &impl Encodable,
) -> Bytes {
    let mut frame = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str("redrive-tests")))
        .encode(&mut frame, key.request_header_version(version))
        .unwrap();
    request.encode(&mut frame, version).unwrap();
    let size = i32::try_from(frame.len()).unwrap();
    stream.write_i32(size).await.unwrap();
    stream.write_all(&frame).await.unwrap();
    let size = stream.read_i32().await.unwrap();
    let mut answer = vec![0; usize::try_from(size).unwrap()];
    stream.read_exact(&mut answer).await.unwrap();
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, key.response_header_version(version)).unwrap();
    answer
}
