//! Offsets that groups have committed: reading them, and setting those of a group without members.

use std::collections::BTreeMap;

use kabuki_protocol::api::ApiKey;
use kabuki_protocol::ids::{LeaderEpoch, Offset};
use kabuki_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kabuki_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponseTopics,
};

use super::Admin;
use crate::cluster::Client;
use crate::connection::Connection;
use crate::error::ClientError;

/// Highest versions that name topics by name.
const FETCH_VERSION_MAX: i16 = 9;
const COMMIT_VERSION_MAX: i16 = 9;

/// First version of OffsetFetch that asks for several groups.
const VERSION_WITH_GROUPS: i16 = 8;

/// A partition, by topic and number.
pub type TopicPartition = (String, i32);

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Offset of the next record to read.
    pub offset: Offset,
    /// Leader epoch of the last record read, -1 where unknown.
    pub leader_epoch: LeaderEpoch,
    /// Text that was stored beside it.
    pub metadata: String,
}

/// Who commits: a member of the group, or nobody of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Committer {
    /// Epoch of the member, -1 for an administrator.
    pub(crate) epoch: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

impl Admin {
    /// All offsets that a group has committed; none for a group that does not exist.
    pub async fn group_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        fetch_offsets(&self.client, group).await
    }

    /// Sets offsets of a group that has no members; a group that does not exist comes into being.
    ///
    /// # Errors
    /// Code 25 where the group has members: they would not notice. The offsets of one request are
    /// stored together or not at all, but for partitions that do not exist.
    pub async fn set_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        let nobody = Committer {
            epoch: -1,
            ..Committer::default()
        };
        commit_offsets(&self.client, group, &nobody, offsets).await
    }
}

pub(crate) async fn fetch_offsets(
    client: &Client,
    group: &str,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
    let ask = async |connection| fetch_at(connection, group).await;
    client.at_coordinator(group, ask).await
}

async fn fetch_at(
    connection: Connection,
    group: &str,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
    let version = connection.version_within(ApiKey::OffsetFetch, FETCH_VERSION_MAX)?;
    if version < VERSION_WITH_GROUPS {
        return Err(ClientError::Unsupported {
            address: connection.address().to_owned(),
            api: ApiKey::OffsetFetch,
            min: VERSION_WITH_GROUPS,
            max: FETCH_VERSION_MAX,
        });
    }
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: None,
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let answer = connection
        .call_in(version, &request, std::time::Duration::ZERO)
        .await?;
    let fetched =
        answer.groups.into_iter().next().ok_or_else(|| {
            ClientError::malformed("OffsetFetch", "the group is not in the answer")
        })?;
    ClientError::check(fetched.error_code, None, || {
        format!("offsets of group {group}")
    })?;
    let mut offsets = BTreeMap::new();
    for topic in fetched.topics {
        take_topic(topic, &mut offsets)?;
    }
    Ok(offsets)
}

fn take_topic(
    topic: OffsetFetchResponseTopics,
    offsets: &mut BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<(), ClientError> {
    for partition in topic.partitions {
        let index = partition.partition_index;
        let what = || format!("offset of {}-{index}", topic.name);
        ClientError::check(partition.error_code, None, what)?;
        if partition.committed_offset >= 0 {
            let committed = CommittedOffset {
                offset: Offset(partition.committed_offset),
                leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
                metadata: partition.metadata.unwrap_or_default(),
            };
            offsets.insert((topic.name.clone(), index), committed);
        }
    }
    Ok(())
}

/// Stores offsets; the first error that a partition has is the error of all.
pub(crate) async fn commit_offsets(
    client: &Client,
    group: &str,
    by: &Committer,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> Result<(), ClientError> {
    if offsets.is_empty() {
        return Ok(());
    }
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, partition), offset) in offsets {
        let one = OffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: offset.get(),
            committed_leader_epoch: -1,
            committed_metadata: Some(String::new()),
        };
        topics.entry(topic).or_default().push(one);
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| OffsetCommitRequestTopic {
            name: name.to_owned(),
            partitions,
            ..OffsetCommitRequestTopic::default()
        });
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: by.epoch,
        member_id: by.member_id.clone(),
        group_instance_id: by.instance_id.clone(),
        topics: topics.collect(),
        ..OffsetCommitRequest::default()
    };
    client
        .at_coordinator(group, async |connection: Connection| {
            let version = connection.version_within(ApiKey::OffsetCommit, COMMIT_VERSION_MAX)?;
            let answer = connection
                .call_in(version, &request, std::time::Duration::ZERO)
                .await?;
            for topic in answer.topics {
                for partition in topic.partitions {
                    let index = partition.partition_index;
                    ClientError::check(partition.error_code, None, || {
                        format!("commit of group {group} for {}-{index}", topic.name)
                    })?;
                }
            }
            Ok(())
        })
        .await
}
