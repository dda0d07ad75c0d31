//! The answers that a sample needs, in the versions of [`super::versions`], as the message definitions
//! of Apache Kafka (`clients/src/main/resources/common/message`) lay them out.

use uuid::Uuid;

use super::reader::{DecodeError, Reader};

pub(super) mod share_groups;

type Result<T> = std::result::Result<T, DecodeError>;

pub(super) struct ApiVersionRange {
    pub(super) api_key: i16,
    pub(super) min: i16,
    pub(super) max: i16,
}

/// `ApiVersions` v3: error code and ranges. A refusal comes in the form of v0, which begins alike.
pub(super) fn api_versions(bytes: &[u8]) -> Result<(i16, Vec<ApiVersionRange>)> {
    let mut reader = Reader::new(bytes);
    let error = reader.i16()?;
    if error != 0 {
        return Ok((error, Vec::new()));
    }
    let ranges = reader.items(7, |reader| {
        let range = ApiVersionRange {
            api_key: reader.i16()?,
            min: reader.i16()?,
            max: reader.i16()?,
        };
        reader.tags()?;
        Ok(range)
    })?;
    Ok((error, ranges))
}

/// `SaslHandshake` v1: error code and the mechanisms that the broker offers.
pub(super) fn sasl_handshake(bytes: &[u8]) -> Result<(i16, Vec<String>)> {
    let mut reader = Reader::new(bytes);
    let error = reader.i16()?;
    let offered = reader.plain_items(2, |reader| Ok(reader.short_string()?.to_owned()))?;
    Ok((error, offered))
}

/// One step of a login.
pub(super) struct SaslAnswer {
    pub(super) error: i16,
    pub(super) message: Option<String>,
    pub(super) bytes: Vec<u8>,
    /// 0: the session is not limited.
    pub(super) session_lifetime_ms: i64,
}

/// `SaslAuthenticate` v2.
pub(super) fn sasl_authenticate(bytes: &[u8]) -> Result<SaslAnswer> {
    let mut reader = Reader::new(bytes);
    Ok(SaslAnswer {
        error: reader.i16()?,
        message: reader.nullable_string()?.map(str::to_owned),
        bytes: reader.compact_bytes()?.to_vec(),
        session_lifetime_ms: reader.i64()?,
    })
}

pub(super) struct Metadata {
    pub(super) brokers: Vec<BrokerAddress>,
    pub(super) cluster_id: Option<String>,
    pub(super) topics: Vec<TopicMetadata>,
}

pub(super) struct BrokerAddress {
    pub(super) id: i32,
    pub(super) host: String,
    pub(super) port: i32,
}

pub(super) struct TopicMetadata {
    pub(super) error: i16,
    pub(super) name: String,
    pub(super) topic_id: Option<Uuid>,
    pub(super) internal: bool,
    pub(super) partitions: Vec<PartitionMetadata>,
    /// A bit for each `AclOperation`; absent unless they were asked for.
    pub(super) allowed_operations: Option<i32>,
}

pub(super) struct PartitionMetadata {
    pub(super) partition: i32,
    pub(super) leader: i32,
    pub(super) replicas: u32,
    pub(super) in_sync_replicas: u32,
}

/// `Metadata` v9 to v12.
pub(super) fn metadata(bytes: &[u8], version: i16) -> Result<Metadata> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    let brokers = reader.items(11, |reader| {
        let id = reader.i32()?;
        let host = reader.string()?.to_owned();
        let port = reader.i32()?;
        reader.nullable_string()?;
        reader.tags()?;
        Ok(BrokerAddress { id, host, port })
    })?;
    let cluster_id = reader.nullable_string()?.map(str::to_owned);
    reader.i32()?;
    let topics = reader.items(9, |reader| topic_metadata(reader, version))?;
    Ok(Metadata {
        brokers,
        cluster_id,
        topics,
    })
}

fn topic_metadata(reader: &mut Reader<'_>, version: i16) -> Result<TopicMetadata> {
    let error = reader.i16()?;
    let name = reader.string()?.to_owned();
    let topic_id = if version >= 10 {
        Some(reader.uuid()?)
    } else {
        None
    };
    let internal = reader.i8()? != 0;
    let partitions = reader.items(18, |reader| {
        reader.i16()?;
        let partition = reader.i32()?;
        let leader = reader.i32()?;
        reader.i32()?;
        let replicas = reader.skip_items(4)?;
        let in_sync_replicas = reader.skip_items(4)?;
        reader.skip_items(4)?;
        reader.tags()?;
        Ok(PartitionMetadata {
            partition,
            leader,
            replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
            in_sync_replicas: u32::try_from(in_sync_replicas).unwrap_or(u32::MAX),
        })
    })?;
    let allowed_operations = reader.i32()?;
    reader.tags()?;
    let topic_id = topic_id.filter(|id| !id.is_nil());
    Ok(TopicMetadata {
        error,
        name,
        topic_id,
        internal,
        partitions,
        allowed_operations: Some(allowed_operations).filter(|allowed| *allowed != i32::MIN),
    })
}

pub(super) struct ListedGroup {
    pub(super) group: String,
    pub(super) protocol_type: String,
    pub(super) state: String,
    /// Empty before v5.
    pub(super) group_type: String,
}

/// `ListGroups` v4 and v5: error code and the groups that this broker coordinates.
pub(super) fn list_groups(bytes: &[u8], version: i16) -> Result<(i16, Vec<ListedGroup>)> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    let error = reader.i16()?;
    let groups = reader.items(4, |reader| {
        let group = reader.string()?.to_owned();
        let protocol_type = reader.string()?.to_owned();
        let state = reader.string()?.to_owned();
        let group_type = if version >= 5 {
            reader.string()?.to_owned()
        } else {
            String::new()
        };
        reader.tags()?;
        Ok(ListedGroup {
            group,
            protocol_type,
            state,
            group_type,
        })
    })?;
    Ok((error, groups))
}

pub(super) struct DescribedGroup {
    pub(super) error: i16,
    pub(super) group: String,
    pub(super) state: String,
    pub(super) members: Vec<DescribedMember>,
}

pub(super) struct DescribedMember {
    pub(super) member_id: String,
    pub(super) client_id: String,
    pub(super) host: String,
    pub(super) assignment: Vec<(String, Vec<i32>)>,
}

/// `DescribeGroups` v5.
pub(super) fn describe_groups(bytes: &[u8]) -> Result<Vec<DescribedGroup>> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    reader.items(12, |reader| {
        let error = reader.i16()?;
        let group = reader.string()?.to_owned();
        let state = reader.string()?.to_owned();
        reader.string()?;
        reader.string()?;
        let members = reader.items(7, classic_member)?;
        reader.i32()?;
        reader.tags()?;
        Ok(DescribedGroup {
            error,
            group,
            state,
            members,
        })
    })
}

fn classic_member(reader: &mut Reader<'_>) -> Result<DescribedMember> {
    let member_id = reader.string()?.to_owned();
    reader.nullable_string()?;
    let client_id = reader.string()?.to_owned();
    let host = reader.string()?.to_owned();
    reader.compact_bytes()?;
    let assignment = reader.compact_bytes()?;
    reader.tags()?;
    // Members of other protocols (Connect workers) put something else there: no assignment to show.
    let assignment = consumer_assignment(assignment).unwrap_or_default();
    Ok(DescribedMember {
        member_id,
        client_id,
        host,
        assignment,
    })
}

/// `ConsumerProtocolAssignment`: version, topics with their partitions, user data.
pub(super) fn consumer_assignment(bytes: &[u8]) -> Result<Vec<(String, Vec<i32>)>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    reader.i16()?;
    reader.plain_items(6, |reader| {
        let topic = reader.short_string()?.to_owned();
        Ok((topic, reader.plain_items(4, Reader::i32)?))
    })
}

/// `ConsumerGroupDescribe` v0 and v1 (KIP-848).
pub(super) fn consumer_group_describe(bytes: &[u8], version: i16) -> Result<Vec<DescribedGroup>> {
    groups_with_epochs(bytes, 15, |reader| consumer_member(reader, version))
}

/// The groups whose members the coordinator assigns; each member takes at least `smallest_member` bytes.
fn groups_with_epochs(
    bytes: &[u8],
    smallest_member: usize,
    member: impl Fn(&mut Reader<'_>) -> Result<DescribedMember>,
) -> Result<Vec<DescribedGroup>> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    reader.items(20, |reader| {
        let error = reader.i16()?;
        reader.nullable_string()?;
        let group = reader.string()?.to_owned();
        let state = reader.string()?.to_owned();
        reader.i32()?;
        reader.i32()?;
        reader.string()?;
        let members = reader.items(smallest_member, &member)?;
        reader.i32()?;
        reader.tags()?;
        Ok(DescribedGroup {
            error,
            group,
            state,
            members,
        })
    })
}

fn consumer_member(reader: &mut Reader<'_>, version: i16) -> Result<DescribedMember> {
    let member_id = reader.string()?.to_owned();
    reader.nullable_string()?;
    reader.nullable_string()?;
    reader.i32()?;
    let client_id = reader.string()?.to_owned();
    let host = reader.string()?.to_owned();
    reader.items(1, |reader| reader.string().map(drop))?;
    reader.nullable_string()?;
    let assignment = target_assignment(reader)?;
    target_assignment(reader)?;
    if version >= 1 {
        reader.i8()?;
    }
    reader.tags()?;
    Ok(DescribedMember {
        member_id,
        client_id,
        host,
        assignment,
    })
}

fn target_assignment(reader: &mut Reader<'_>) -> Result<Vec<(String, Vec<i32>)>> {
    let assignment = reader.items(19, |reader| {
        reader.uuid()?;
        let topic = reader.string()?.to_owned();
        let partitions = reader.items(4, Reader::i32)?;
        reader.tags()?;
        Ok((topic, partitions))
    })?;
    reader.tags()?;
    Ok(assignment)
}

pub(super) struct GroupOffsets {
    pub(super) group: String,
    pub(super) error: i16,
    pub(super) topics: Vec<TopicOffsets>,
}

pub(super) struct TopicOffsets {
    pub(super) topic: String,
    pub(super) partitions: Vec<PartitionOffset>,
}

/// An offset of a partition with the error of its own.
pub(super) struct PartitionOffset {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) error: i16,
}

/// `OffsetFetch` v8: many groups.
pub(super) fn offset_fetch(bytes: &[u8]) -> Result<Vec<GroupOffsets>> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    reader.items(5, |reader| {
        let group = reader.string()?.to_owned();
        let topics = committed_topics(reader)?;
        let error = reader.i16()?;
        reader.tags()?;
        Ok(GroupOffsets {
            group,
            error,
            topics,
        })
    })
}

/// `OffsetFetch` v7: one group, whose name the answer does not repeat.
pub(super) fn offset_fetch_single(bytes: &[u8], group: &str) -> Result<GroupOffsets> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    let topics = committed_topics(&mut reader)?;
    let error = reader.i16()?;
    Ok(GroupOffsets {
        group: group.to_owned(),
        error,
        topics,
    })
}

fn committed_topics(reader: &mut Reader<'_>) -> Result<Vec<TopicOffsets>> {
    reader.items(3, |reader| {
        let topic = reader.string()?.to_owned();
        let partitions = reader.items(20, |reader| {
            let partition = reader.i32()?;
            let offset = reader.i64()?;
            reader.i32()?;
            reader.nullable_string()?;
            let error = reader.i16()?;
            reader.tags()?;
            Ok(PartitionOffset {
                partition,
                offset,
                error,
            })
        })?;
        reader.tags()?;
        Ok(TopicOffsets { topic, partitions })
    })
}

/// `ListOffsets` v6 and v7.
pub(super) fn list_offsets(bytes: &[u8]) -> Result<Vec<TopicOffsets>> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    reader.items(3, |reader| {
        let topic = reader.string()?.to_owned();
        let partitions = reader.items(27, |reader| {
            let partition = reader.i32()?;
            let error = reader.i16()?;
            reader.i64()?;
            let offset = reader.i64()?;
            reader.i32()?;
            reader.tags()?;
            Ok(PartitionOffset {
                partition,
                offset,
                error,
            })
        })?;
        reader.tags()?;
        Ok(TopicOffsets { topic, partitions })
    })
}

/// The settings of one topic or broker.
pub(super) struct DescribedConfig {
    pub(super) error: i16,
    pub(super) settings: Vec<(String, String)>,
}

/// `DescribeConfigs` v4. A secret setting has no value, as one that is not set.
pub(super) fn describe_configs(bytes: &[u8]) -> Result<Vec<DescribedConfig>> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    reader.items(7, |reader| {
        let error = reader.i16()?;
        reader.nullable_string()?;
        reader.i8()?;
        reader.string()?;
        let settings = reader.items(9, described_setting)?;
        reader.tags()?;
        let settings = settings.into_iter().flatten().collect();
        Ok(DescribedConfig { error, settings })
    })
}

fn described_setting(reader: &mut Reader<'_>) -> Result<Option<(String, String)>> {
    let name = reader.string()?.to_owned();
    let value = reader.nullable_string()?.map(str::to_owned);
    // Whether it is read-only, where it comes from, whether it is secret.
    reader.bytes(3)?;
    // Where else it is set.
    reader.items(4, |reader| {
        reader.string()?;
        reader.nullable_string()?;
        reader.i8()?;
        reader.tags()
    })?;
    reader.i8()?;
    reader.nullable_string()?;
    reader.tags()?;
    Ok(value.map(|value| (name, value)))
}

#[cfg(test)]
mod tests;
