//! From a record of the log to the change that it is. What outlives the read buffer is copied.

use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::group_records::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    GroupMetadataValue, GroupRecord, MemberMetadata, OffsetCommitValue,
    TopicPartitions as OwnedTopic, member_state,
};
use kabuki_protocol::ids::{LeaderEpoch, Offset};

use crate::names::{GroupId, InstanceId, MemberId};
use crate::partitions::{OwnedPartitions, TopicPartitions};
use crate::records::{
    Change, ClassicGroupValue, ClassicMemberValue, ClassicProtocols, CommittedOffset, CurrentValue,
    GroupEpochValue, JoinProtocol, MemberState, MemberValue, OffsetKey, RegexValue,
    TargetEpochValue,
};

/// `None` for what Kafka writes no longer (key 4).
pub(super) fn change_of(record: GroupRecord) -> Option<(GroupId, Change)> {
    let group = GroupId::new(record.group_id());
    let change = match record {
        GroupRecord::OffsetCommit(key, value) => {
            Change::Offset(OffsetKey::new(&key.topic, key.partition), value.map(offset))
        }
        GroupRecord::GroupMetadata(_, value) => {
            Change::ClassicGroup(value.map(|value| Arc::new(classic_group(value))))
        }
        GroupRecord::ConsumerGroupMetadata(_, value) => {
            Change::GroupEpoch(value.map(|value| GroupEpochValue {
                epoch: value.epoch,
                metadata_hash: value.metadata_hash,
            }))
        }
        GroupRecord::ConsumerGroupPartitionMetadata(..) => return None,
        GroupRecord::ConsumerGroupMemberMetadata(key, value) => Change::Member(
            MemberId::new(&key.member_id),
            value.map(|value| Arc::new(member(value))),
        ),
        GroupRecord::ConsumerGroupTargetAssignmentMetadata(_, value) => {
            Change::TargetEpoch(value.map(|value| TargetEpochValue {
                epoch: value.assignment_epoch,
                computed_ms: value.assignment_timestamp,
            }))
        }
        GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => Change::Target(
            MemberId::new(&key.member_id),
            value.map(|value| Arc::new(target(&value))),
        ),
        GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => Change::Current(
            MemberId::new(&key.member_id),
            value.map(|value| Arc::new(current(&value))),
        ),
        GroupRecord::ConsumerGroupRegularExpression(key, value) => Change::Regex(
            Arc::from(key.regular_expression),
            value.map(|value| Arc::new(regex(value))),
        ),
    };
    Some((group, change))
}

fn offset(value: OffsetCommitValue) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(value.offset),
        leader_epoch: LeaderEpoch(value.leader_epoch),
        metadata: Arc::from(value.metadata),
        commit_ms: value.commit_timestamp,
        expire_ms: value.expire_timestamp,
        topic_id: value.topic_id,
    }
}

fn classic_group(value: GroupMetadataValue) -> ClassicGroupValue {
    let mut members: Vec<_> = value.members.into_iter().map(classic_member).collect();
    members.sort_by(|one, other| one.member_id.cmp(&other.member_id));
    ClassicGroupValue {
        protocol_type: Arc::from(value.protocol_type),
        generation: value.generation,
        protocol: value.protocol.map(Arc::from),
        leader: value.leader.as_deref().map(MemberId::new),
        state_ms: value.current_state_timestamp,
        members,
    }
}

fn classic_member(value: MemberMetadata) -> ClassicMemberValue {
    let rebalance_timeout_ms = match value.rebalance_timeout {
        negative if negative < 0 => value.session_timeout,
        given_ms => given_ms,
    };
    ClassicMemberValue {
        member_id: MemberId::new(&value.member_id),
        instance_id: value.group_instance_id.as_deref().map(InstanceId::new),
        client_id: Arc::from(value.client_id),
        client_host: Arc::from(value.client_host),
        rebalance_timeout_ms,
        session_timeout_ms: value.session_timeout,
        subscription: Bytes::copy_from_slice(&value.subscription),
        assignment: Bytes::copy_from_slice(&value.assignment),
    }
}

fn member(value: ConsumerGroupMemberMetadataValue) -> MemberValue {
    let classic = value.classic_member_metadata.map(|classic| {
        let protocols = classic.supported_protocols.into_iter();
        let protocols = protocols.map(|protocol| JoinProtocol {
            name: Arc::from(protocol.name),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        });
        ClassicProtocols {
            session_timeout_ms: classic.session_timeout_ms,
            protocols: protocols.collect(),
        }
    });
    MemberValue {
        instance_id: value.instance_id.as_deref().map(InstanceId::new),
        rack_id: value.rack_id.map(Arc::from),
        client_id: Arc::from(value.client_id),
        client_host: Arc::from(value.client_host),
        topic_names: value
            .subscribed_topic_names
            .into_iter()
            .map(Arc::from)
            .collect(),
        topic_regex: value
            .subscribed_topic_regex
            .filter(|regex| !regex.is_empty())
            .map(Arc::from),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: value.server_assignor.map(Arc::from),
        classic,
    }
}

fn target(value: &ConsumerGroupTargetAssignmentMemberValue) -> TopicPartitions {
    let partitions = value.topic_partitions.iter().flat_map(|topic| {
        let numbers = topic.partitions.iter();
        numbers.map(|partition| (topic.topic_id, *partition))
    });
    partitions.collect()
}

fn current(value: &ConsumerGroupCurrentMemberAssignmentValue) -> CurrentValue {
    CurrentValue {
        epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: match value.state {
            member_state::STABLE => MemberState::Stable,
            member_state::UNREVOKED_PARTITIONS => MemberState::UnrevokedPartitions,
            member_state::UNRELEASED_PARTITIONS => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        },
        assigned: owned(&value.assigned_partitions, value.member_epoch),
        revoking: owned(&value.partitions_pending_revocation, value.member_epoch),
    }
}

/// Where a record says nothing of the epochs, the member's own stands for them.
fn owned(topics: &[OwnedTopic], member_epoch: i32) -> OwnedPartitions {
    let mut owned = OwnedPartitions::new();
    for topic in topics {
        let epochs = topic.assignment_epochs.as_deref().unwrap_or_default();
        for (at, partition) in topic.partitions.iter().enumerate() {
            let epoch = epochs.get(at).copied().unwrap_or(member_epoch);
            owned.insert(topic.topic_id, *partition, epoch);
        }
    }
    owned
}

fn regex(value: ConsumerGroupRegularExpressionValue) -> RegexValue {
    RegexValue {
        topics: value.topics.into_iter().map(Arc::from).collect(),
        version: value.version,
        resolved_ms: value.timestamp,
    }
}
