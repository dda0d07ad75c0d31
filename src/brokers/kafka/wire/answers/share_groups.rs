//! The answers about share groups (KIP-932).

use super::{
    DescribedGroup, DescribedMember, GroupOffsets, PartitionOffset, Result, TopicOffsets,
    groups_with_epochs, target_assignment,
};
use crate::brokers::kafka::wire::reader::Reader;

/// `ShareGroupDescribe` v1 (KIP-932).
pub(in super::super) fn describe(bytes: &[u8]) -> Result<Vec<DescribedGroup>> {
    groups_with_epochs(bytes, 12, share_member)
}

fn share_member(reader: &mut Reader<'_>) -> Result<DescribedMember> {
    let member_id = reader.string()?.to_owned();
    reader.nullable_string()?;
    reader.i32()?;
    let client_id = reader.string()?.to_owned();
    let host = reader.string()?.to_owned();
    reader.items(1, |reader| reader.string().map(drop))?;
    let assignment = target_assignment(reader)?;
    reader.tags()?;
    Ok(DescribedMember {
        member_id,
        client_id,
        host,
        assignment,
    })
}

/// `DescribeShareGroupOffsets` v0 (KIP-932): where the first record stands that is not done with.
pub(in super::super) fn first_open_offsets(bytes: &[u8]) -> Result<Vec<GroupOffsets>> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    reader.items(6, |reader| {
        let group = reader.string()?.to_owned();
        let topics = reader.items(19, |reader| {
            let topic = reader.string()?.to_owned();
            reader.uuid()?;
            let partitions = reader.items(20, |reader| {
                let partition = reader.i32()?;
                let offset = reader.i64()?;
                // The epoch of the leader.
                reader.i32()?;
                let error = reader.i16()?;
                reader.nullable_string()?;
                reader.tags()?;
                Ok(PartitionOffset {
                    partition,
                    offset,
                    error,
                })
            })?;
            reader.tags()?;
            Ok(TopicOffsets { topic, partitions })
        })?;
        let error = reader.i16()?;
        reader.nullable_string()?;
        reader.tags()?;
        Ok(GroupOffsets {
            group,
            error,
            topics,
        })
    })
}
