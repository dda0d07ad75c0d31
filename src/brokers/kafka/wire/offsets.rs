//! Log start, high watermark and last stable offset of the partitions that one broker leads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ApiKey, BrokerId, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::answers;
use super::connection::Connection;
use super::error::WireError;
use super::problems::Problems;
use super::versions;
use crate::domain::Timestamp;

/// `ListOffsets` timestamps with a meaning of their own.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

const READ_UNCOMMITTED: i8 = 0;
const READ_COMMITTED: i8 = 1;

/// Topic and partition.
pub(super) type PartitionKey = (String, i32);

#[derive(Debug, Default)]
pub(super) struct LogOffsets {
    pub(super) log_start: HashMap<PartitionKey, i64>,
    pub(super) high_watermark: HashMap<PartitionKey, i64>,
    pub(super) last_stable: HashMap<PartitionKey, i64>,
    pub(super) problems: Problems,
}

/// The partitions that gave no offset, by error code.
type FailedPartitions = BTreeMap<i16, BTreeSet<PartitionKey>>;

/// Three requests for all partitions that this broker leads.
pub(super) async fn read(
    connection: &mut Connection,
    led: &[(String, Vec<i32>)],
) -> Result<LogOffsets, WireError> {
    if led.is_empty() {
        return Ok(LogOffsets::default());
    }
    let mut request = request_for(led);
    let mut failed = BTreeMap::new();
    let high_watermark = list(connection, &request, &mut failed).await?;
    request.isolation_level = READ_COMMITTED;
    let last_stable = list(connection, &request, &mut failed).await?;
    for topic in &mut request.topics {
        for partition in &mut topic.partitions {
            partition.timestamp = EARLIEST;
        }
    }
    request.isolation_level = READ_UNCOMMITTED;
    let log_start = list(connection, &request, &mut failed).await?;
    Ok(LogOffsets {
        log_start,
        high_watermark,
        last_stable,
        problems: problems_of(&failed),
    })
}

/// For a partition and each time that was asked for, the first offset of a record that is not older, `None` if
/// all are.
pub(super) type FirstSince = Vec<(Timestamp, Option<i64>)>;

/// One request a time. What the broker does not answer is left out.
pub(super) async fn first_since(
    connection: &mut Connection,
    led: &[(String, Vec<i32>)],
    times: &[Timestamp],
) -> Result<HashMap<PartitionKey, FirstSince>, WireError> {
    let mut request = request_for(led);
    let mut all: HashMap<PartitionKey, FirstSince> = HashMap::new();
    for at in times {
        for topic in &mut request.topics {
            for partition in &mut topic.partitions {
                partition.timestamp = at.as_millis();
            }
        }
        let mut failed = BTreeMap::new();
        let found = list(connection, &request, &mut failed).await?;
        let failed: BTreeSet<PartitionKey> = failed.into_values().flatten().collect();
        for (topic, partitions) in led {
            let keys = partitions
                .iter()
                .map(|partition| (topic.clone(), *partition));
            for key in keys.filter(|key| !failed.contains(key)) {
                let first = found.get(&key).copied();
                all.entry(key).or_default().push((*at, first));
            }
        }
    }
    Ok(all)
}

fn request_for(led: &[(String, Vec<i32>)]) -> ListOffsetsRequest {
    let partition = |partition: &i32| {
        ListOffsetsPartition::default()
            .with_partition_index(*partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(LATEST)
    };
    let topic = |(name, partitions): &(String, Vec<i32>)| {
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.clone())))
            .with_partitions(partitions.iter().map(partition).collect())
    };
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(READ_UNCOMMITTED)
        .with_topics(led.iter().map(topic).collect())
}

async fn list(
    connection: &mut Connection,
    request: &ListOffsetsRequest,
    failed: &mut FailedPartitions,
) -> Result<HashMap<PartitionKey, i64>, WireError> {
    let api = "ListOffsets";
    let version = connection.required_version(ApiKey::ListOffsets, versions::LIST_OFFSETS, api)?;
    let body = connection
        .call(ApiKey::ListOffsets, version, api, request)
        .await?;
    let topics = answers::list_offsets(&body).map_err(|source| connection.garbage(api, source))?;
    let mut offsets = HashMap::new();
    for topic in topics {
        for partition in topic.partitions {
            if partition.error != 0 {
                let of_code = failed.entry(partition.error).or_default();
                of_code.insert((topic.topic.clone(), partition.partition));
            } else if partition.offset >= 0 {
                offsets.insert((topic.topic.clone(), partition.partition), partition.offset);
            }
        }
    }
    Ok(offsets)
}

fn problems_of(failed: &FailedPartitions) -> Problems {
    let mut problems = Problems::default();
    for (code, partitions) in failed {
        if let Some((topic, partition)) = partitions.first() {
            let what = format!(
                "log offsets of {} partitions, among them {topic} {partition}",
                partitions.len()
            );
            problems.push_code(&what, *code);
        }
    }
    problems
}
