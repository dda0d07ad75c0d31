//! What a broker tells of the share groups that it coordinates (KIP-932): members, and how far they are. Brokers
//! before 4.1 list no such groups, or only as a preview that is left out here.

use kafka_protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use kafka_protocol::messages::{
    ApiKey, DescribeShareGroupOffsetsRequest, GroupId, ShareGroupDescribeRequest,
};

use super::answers::{self, DescribedGroup, GroupOffsets};
use super::connection::Connection;
use super::error::WireError;
use super::groups::GROUPS_PER_REQUEST;
use super::versions;

pub(super) async fn describe(
    connection: &mut Connection,
    names: &[GroupId],
) -> Result<Vec<DescribedGroup>, WireError> {
    let api = "ShareGroupDescribe";
    let key = ApiKey::ShareGroupDescribe;
    let Some(version) = connection.version(key, versions::SHARE_GROUP_DESCRIBE) else {
        return Ok(Vec::new());
    };
    let mut described = Vec::with_capacity(names.len());
    for chunk in names.chunks(GROUPS_PER_REQUEST) {
        let request = ShareGroupDescribeRequest::default().with_group_ids(chunk.to_vec());
        let body = connection.call(key, version, api, &request).await?;
        let groups = answers::share_groups::describe(&body)
            .map_err(|source| connection.garbage(api, source))?;
        described.extend(groups);
    }
    Ok(described)
}

/// Where in each partition the first record stands that is not done with; -1 where nobody has read yet.
pub(super) async fn first_open_offsets(
    connection: &mut Connection,
    names: &[GroupId],
) -> Result<Vec<GroupOffsets>, WireError> {
    let api = "DescribeShareGroupOffsets";
    let key = ApiKey::DescribeShareGroupOffsets;
    let Some(version) = connection.version(key, versions::DESCRIBE_SHARE_GROUP_OFFSETS) else {
        return Ok(Vec::new());
    };
    let mut offsets = Vec::with_capacity(names.len());
    for chunk in names.chunks(GROUPS_PER_REQUEST) {
        // No topics: all that the group has read of.
        let group = |name: &GroupId| {
            DescribeShareGroupOffsetsRequestGroup::default()
                .with_group_id(name.clone())
                .with_topics(None)
        };
        let groups = chunk.iter().map(group).collect();
        let request = DescribeShareGroupOffsetsRequest::default().with_groups(groups);
        let body = connection.call(key, version, api, &request).await?;
        let groups = answers::share_groups::first_open_offsets(&body)
            .map_err(|source| connection.garbage(api, source))?;
        offsets.extend(groups);
    }
    Ok(offsets)
}
