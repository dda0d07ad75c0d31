//! Fills a broker with topics, groups and commits. The setup speaks the protocol directly, because a
//! librdkafka client for each group would take hours. What an earlier run left there is used again.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, CreateTopicsResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, OffsetCommitRequest,
    OffsetCommitResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

pub(crate) const TOPICS: usize = 1_000;
pub(crate) const PARTITIONS_PER_TOPIC: i32 = 10;
pub(crate) const FEW_GROUPS: usize = 100;
pub(crate) const GROUPS: usize = 1_000;
/// Two topics with all their partitions.
pub(crate) const COMMITS_PER_GROUP: usize = 20;

/// A broker that creates a thousand topics answers late.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);
/// The broker learns of ten thousand partitions some time after its controller made them.
pub(crate) const SETUP_LIMIT: Duration = Duration::from_mins(5);
/// `KRaft` takes at most 10,000 metadata records a request.
const TOPICS_PER_REQUEST: usize = 100;

/// Error codes of Kafka that the setup expects.
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const COORDINATOR_LOADING: i16 = 14;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const GROUP_ID_NOT_FOUND: i16 = 69;

/// A connection over which a broker is filled.
pub(crate) struct Load {
    stream: TcpStream,
}

impl Load {
    pub(crate) fn connect(server: &str) -> Result<Self> {
        let stream = TcpStream::connect(server).with_context(|| format!("no Kafka at {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream })
    }

    fn call<Q: Encodable, A: Decodable>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Result<A> {
        let mut body = BytesMut::new();
        RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_client_id(Some(StrBytes::from_static_str("redrive-bench")))
            .encode(&mut body, key.request_header_version(version))?;
        request.encode(&mut body, version)?;
        let mut frame = i32::try_from(body.len())?.to_be_bytes().to_vec();
        frame.extend_from_slice(&body);
        self.stream.write_all(&frame)?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size))?];
        self.stream.read_exact(&mut answer)?;
        let mut answer = Bytes::from(answer);
        ResponseHeader::decode(&mut answer, key.response_header_version(version))?;
        A::decode(&mut answer, version)
    }

    pub(crate) fn create_topics(&mut self) -> Result<()> {
        let names: Vec<usize> = (0..TOPICS).collect();
        for chunk in names.chunks(TOPICS_PER_REQUEST) {
            let topic = |index: &usize| {
                CreatableTopic::default()
                    .with_name(topic_name(*index))
                    .with_num_partitions(PARTITIONS_PER_TOPIC)
                    .with_replication_factor(1)
            };
            let request = CreateTopicsRequest::default()
                .with_timeout_ms(i32::try_from(TIMEOUT.as_millis())?)
                .with_topics(chunk.iter().map(topic).collect());
            let answer: CreateTopicsResponse = self.call(ApiKey::CreateTopics, 5, &request)?;
            for topic in answer.topics {
                let code = topic.error_code;
                ensure!(
                    matches!(code, 0 | TOPIC_ALREADY_EXISTS),
                    "creating {:?} failed with code {code}",
                    topic.name
                );
            }
        }
        Ok(())
    }

    pub(crate) fn delete_groups(&mut self, groups: Range<usize>) -> Result<()> {
        self.wait_for_coordinator()?;
        let request =
            DeleteGroupsRequest::default().with_groups_names(groups.map(group_id).collect());
        retried(|| {
            let answer: DeleteGroupsResponse = self.call(ApiKey::DeleteGroups, 2, &request)?;
            let codes = answer.results.iter().map(|group| group.error_code);
            Ok(first_error(
                codes.filter(|code| *code != GROUP_ID_NOT_FOUND),
            ))
        })
    }

    /// The first question makes the broker create the topic of the offsets.
    pub(crate) fn wait_for_coordinator(&mut self) -> Result<()> {
        let request = FindCoordinatorRequest::default().with_key(group_id(0).0);
        retried(|| {
            let answer: FindCoordinatorResponse =
                self.call(ApiKey::FindCoordinator, 3, &request)?;
            Ok(answer.error_code)
        })
    }

    /// Commits without members, as administration tools do.
    pub(crate) fn commit(&mut self, groups: Range<usize>) -> Result<()> {
        for group in groups {
            let topics = [group, group + 1].map(|topic| {
                let partition = |partition| {
                    OffsetCommitRequestPartition::default()
                        .with_partition_index(partition)
                        .with_committed_offset(0)
                };
                OffsetCommitRequestTopic::default()
                    .with_name(topic_name(topic % TOPICS))
                    .with_partitions((0..PARTITIONS_PER_TOPIC).map(partition).collect())
            });
            let request = OffsetCommitRequest::default()
                .with_group_id(group_id(group))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(topics.to_vec());
            retried(|| {
                let answer: OffsetCommitResponse = self.call(ApiKey::OffsetCommit, 8, &request)?;
                let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                Ok(first_error(
                    partitions.map(|partition| partition.error_code),
                ))
            })?;
        }
        Ok(())
    }
}

fn first_error(mut codes: impl Iterator<Item = i16>) -> i16 {
    codes.find(|code| *code != 0).unwrap_or(0)
}

/// Repeats a request until the broker has its coordinator and the new topics.
fn retried(mut request: impl FnMut() -> Result<i16>) -> Result<()> {
    let deadline = Instant::now() + SETUP_LIMIT;
    loop {
        match request()? {
            0 => return Ok(()),
            UNKNOWN_TOPIC_OR_PARTITION
            | COORDINATOR_LOADING
            | COORDINATOR_NOT_AVAILABLE
            | NOT_COORDINATOR
                if Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(100));
            }
            code => bail!("the broker refused with code {code}"),
        }
    }
}

fn topic_name(index: usize) -> TopicName {
    TopicName(StrBytes::from_string(format!("bench-topic-{index:04}")))
}

fn group_id(index: usize) -> GroupId {
    GroupId(StrBytes::from_string(format!("bench-group-{index:04}")))
}
