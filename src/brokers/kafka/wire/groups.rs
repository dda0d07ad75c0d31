//! What one broker tells of the groups that it coordinates.

use std::collections::HashMap;

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest,
    OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::answers::{self, DescribedGroup, DescribedMember, GroupOffsets, ListedGroup};
use super::connection::Connection;
use super::error::WireError;
use super::problems::Problems;
use super::share_groups;
use super::versions;
use crate::domain::{CommittedOffset, GroupKind, GroupMember, GroupSample, Offset, Partition};

/// Groups a request, so that an answer stays below the limit unless each group has thousands of
/// partitions.
pub(super) const GROUPS_PER_REQUEST: usize = 1_000;

const GROUP_ID_NOT_FOUND: i16 = 69;

/// The groups of one broker and what could not be read of them.
#[derive(Debug, Default)]
pub(super) struct BrokerGroups {
    pub(super) groups: Vec<GroupSample>,
    pub(super) problems: Problems,
}

pub(super) async fn read(connection: &mut Connection) -> Result<BrokerGroups, WireError> {
    let listed = list(connection).await?;
    let mut result = BrokerGroups::default();
    let mut described = HashMap::new();
    for group in describe_classic(connection, &listed).await? {
        described.insert(group.group.clone(), group);
    }
    for group in describe_consumer(connection, &listed).await? {
        described.insert(group.group.clone(), group);
    }
    let share_groups = names_of(&listed, |group| kind_of(group) == GroupKind::Share);
    for group in share_groups::describe(connection, &share_groups).await? {
        described.insert(group.group.clone(), group);
    }
    let mut offsets: HashMap<String, GroupOffsets> = HashMap::new();
    let committed = fetch_offsets(connection, &listed).await?;
    let first_open = share_groups::first_open_offsets(connection, &share_groups).await?;
    for group in committed.into_iter().chain(first_open) {
        offsets.insert(group.group.clone(), group);
    }
    for group in listed {
        let described = described.remove(&group.group);
        let committed = offsets.remove(&group.group);
        let errors = [
            described.as_ref().map_or(0, |described| described.error),
            committed.as_ref().map_or(0, |committed| committed.error),
        ];
        match errors.into_iter().find(|code| *code != 0) {
            None => {
                let sample = group_sample(group, described, committed, &mut result.problems);
                result.groups.push(sample);
            }
            // It was deleted between two requests.
            Some(GROUP_ID_NOT_FOUND) => {}
            // Without its numbers it would pass for a group that has no lag.
            Some(code) => {
                let what = format!("group {} is left out", group.group);
                result.problems.push_code(&what, code);
            }
        }
    }
    Ok(result)
}

async fn list(connection: &mut Connection) -> Result<Vec<ListedGroup>, WireError> {
    let api = "ListGroups";
    let version = connection.required_version(ApiKey::ListGroups, versions::LIST_GROUPS, api)?;
    let request = ListGroupsRequest::default();
    let body = connection
        .call(ApiKey::ListGroups, version, api, &request)
        .await?;
    let (code, groups) =
        answers::list_groups(&body, version).map_err(|source| connection.garbage(api, source))?;
    // A coordinator that still loads must not pass for one without groups.
    match code {
        0 => Ok(groups),
        code => Err(connection.refused(api, code)),
    }
}

async fn describe_classic(
    connection: &mut Connection,
    listed: &[ListedGroup],
) -> Result<Vec<DescribedGroup>, WireError> {
    let api = "DescribeGroups";
    let names = names_of(listed, has_classic_protocol);
    let mut described = Vec::with_capacity(names.len());
    for chunk in names.chunks(GROUPS_PER_REQUEST) {
        let version =
            connection.required_version(ApiKey::DescribeGroups, versions::DESCRIBE_GROUPS, api)?;
        let request = DescribeGroupsRequest::default().with_groups(chunk.to_vec());
        let body = connection
            .call(ApiKey::DescribeGroups, version, api, &request)
            .await?;
        let groups =
            answers::describe_groups(&body).map_err(|source| connection.garbage(api, source))?;
        described.extend(groups);
    }
    Ok(described)
}

async fn describe_consumer(
    connection: &mut Connection,
    listed: &[ListedGroup],
) -> Result<Vec<DescribedGroup>, WireError> {
    let api = "ConsumerGroupDescribe";
    let key = ApiKey::ConsumerGroupDescribe;
    let names = names_of(listed, |group| kind_of(group) == GroupKind::Consumer);
    let Some(version) = connection.version(key, versions::CONSUMER_GROUP_DESCRIBE) else {
        return Ok(Vec::new());
    };
    let mut described = Vec::with_capacity(names.len());
    for chunk in names.chunks(GROUPS_PER_REQUEST) {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(chunk.to_vec());
        let body = connection.call(key, version, api, &request).await?;
        let groups = answers::consumer_group_describe(&body, version)
            .map_err(|source| connection.garbage(api, source))?;
        described.extend(groups);
    }
    Ok(described)
}

async fn fetch_offsets(
    connection: &mut Connection,
    listed: &[ListedGroup],
) -> Result<Vec<GroupOffsets>, WireError> {
    let api = "OffsetFetch";
    // A share group commits no offsets of this kind.
    let names = names_of(listed, |group| kind_of(group) != GroupKind::Share);
    let key = ApiKey::OffsetFetch;
    let Some(version) = connection.version(key, versions::OFFSET_FETCH_BATCHED) else {
        return fetch_offsets_one_by_one(connection, &names).await;
    };
    let mut offsets = Vec::with_capacity(names.len());
    for chunk in names.chunks(GROUPS_PER_REQUEST) {
        let group = |name: &GroupId| {
            // No topics: all that the group committed.
            OffsetFetchRequestGroup::default()
                .with_group_id(name.clone())
                .with_topics(None)
        };
        let request = OffsetFetchRequest::default().with_groups(chunk.iter().map(group).collect());
        let body = connection.call(key, version, api, &request).await?;
        let groups =
            answers::offset_fetch(&body).map_err(|source| connection.garbage(api, source))?;
        offsets.extend(groups);
    }
    Ok(offsets)
}

async fn fetch_offsets_one_by_one(
    connection: &mut Connection,
    names: &[GroupId],
) -> Result<Vec<GroupOffsets>, WireError> {
    let api = "OffsetFetch";
    let key = ApiKey::OffsetFetch;
    let version = connection.required_version(key, versions::OFFSET_FETCH_SINGLE, api)?;
    let mut offsets = Vec::with_capacity(names.len());
    for name in names {
        let request = OffsetFetchRequest::default()
            .with_group_id(name.clone())
            .with_topics(None);
        let body = connection.call(key, version, api, &request).await?;
        let group = answers::offset_fetch_single(&body, name.as_str())
            .map_err(|source| connection.garbage(api, source))?;
        offsets.push(group);
    }
    Ok(offsets)
}

fn names_of(listed: &[ListedGroup], wanted: impl Fn(&ListedGroup) -> bool) -> Vec<GroupId> {
    let matching = listed.iter().filter(|group| wanted(group));
    matching
        .map(|group| GroupId(StrBytes::from_string(group.group.clone())))
        .collect()
}

/// `DescribeGroups` knows groups of `JoinGroup` alone, Kafka Connect's workers among them, and calls
/// every other dead. Brokers before 3.8 name no type and have no others.
fn has_classic_protocol(group: &ListedGroup) -> bool {
    group.group_type.is_empty() || group.group_type.eq_ignore_ascii_case("classic")
}

fn kind_of(group: &ListedGroup) -> GroupKind {
    match group.group_type.to_ascii_lowercase().as_str() {
        "consumer" => GroupKind::Consumer,
        "share" => GroupKind::Share,
        "streams" => GroupKind::Streams,
        "classic" | "" if matches!(group.protocol_type.as_str(), "consumer" | "") => {
            GroupKind::Classic
        }
        _ => GroupKind::Other,
    }
}

fn group_sample(
    listed: ListedGroup,
    described: Option<DescribedGroup>,
    offsets: Option<GroupOffsets>,
    problems: &mut Problems,
) -> GroupSample {
    let kind = kind_of(&listed);
    let committed = offsets
        .map(|offsets| committed_offsets(offsets, problems))
        .unwrap_or_default();
    let (state, members) = match described {
        Some(described) => {
            let state = if described.state.is_empty() {
                listed.state
            } else {
                described.state
            };
            (state, described.members)
        }
        None => (listed.state, Vec::new()),
    };
    GroupSample {
        group: listed.group.into(),
        kind,
        state,
        members: members.into_iter().map(group_member).collect(),
        committed,
    }
}

fn group_member(member: DescribedMember) -> GroupMember {
    let partitions = |(topic, partitions): (String, Vec<i32>)| {
        (
            topic.into(),
            partitions.into_iter().map(Partition).collect(),
        )
    };
    GroupMember {
        member_id: member.member_id,
        client_id: member.client_id,
        host: member.host,
        assignment: member.assignment.into_iter().map(partitions).collect(),
    }
}

fn committed_offsets(group: GroupOffsets, problems: &mut Problems) -> Vec<CommittedOffset> {
    let mut committed = Vec::new();
    for topic in group.topics {
        for partition in topic.partitions {
            if partition.error != 0 {
                let what = format!(
                    "committed offset of group {} on {}, partition {}",
                    group.group, topic.topic, partition.partition
                );
                problems.push_code(&what, partition.error);
            } else if partition.offset >= 0 {
                committed.push(CommittedOffset {
                    topic: topic.topic.as_str().into(),
                    partition: Partition(partition.partition),
                    offset: Offset(partition.offset),
                });
            }
            // -1: nothing committed for this partition.
        }
    }
    committed
}
