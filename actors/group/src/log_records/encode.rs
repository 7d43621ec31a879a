//! From a change to the record that Kafka 4.3 would write for it.

use kabuki_protocol::group_records::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
    GroupMetadataKey, GroupMetadataValue, GroupRecord, MemberMetadata, OffsetCommitKey,
    OffsetCommitValue, TopicPartition, TopicPartitions as OwnedTopic,
};

use crate::names::GroupId;
use crate::partitions::{OwnedPartitions, TopicPartitions};
use crate::records::{
    Change, ClassicGroupValue, ClassicMemberValue, ClassicProtocols, CommittedOffset, CurrentValue,
    MemberValue, RegexValue,
};

pub(super) fn record_of(group: &GroupId, change: &Change) -> GroupRecord {
    let group_id = group.to_string();
    match change {
        Change::Offset(key, value) => GroupRecord::OffsetCommit(
            OffsetCommitKey {
                group: group_id,
                topic: key.topic.to_string(),
                partition: key.partition,
            },
            value.as_ref().map(offset),
        ),
        Change::ClassicGroup(value) => GroupRecord::GroupMetadata(
            GroupMetadataKey { group: group_id },
            value.as_deref().map(classic_group),
        ),
        Change::GroupEpoch(value) => GroupRecord::ConsumerGroupMetadata(
            ConsumerGroupMetadataKey { group_id },
            value.map(|value| ConsumerGroupMetadataValue {
                epoch: value.epoch,
                metadata_hash: value.metadata_hash,
            }),
        ),
        Change::Member(member, value) => GroupRecord::ConsumerGroupMemberMetadata(
            ConsumerGroupMemberMetadataKey {
                group_id,
                member_id: member.to_string(),
            },
            value.as_deref().map(member_metadata),
        ),
        Change::TargetEpoch(value) => GroupRecord::ConsumerGroupTargetAssignmentMetadata(
            ConsumerGroupTargetAssignmentMetadataKey { group_id },
            value.map(|value| ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch: value.epoch,
                assignment_timestamp: value.computed_ms,
            }),
        ),
        Change::Target(member, value) => GroupRecord::ConsumerGroupTargetAssignmentMember(
            ConsumerGroupTargetAssignmentMemberKey {
                group_id,
                member_id: member.to_string(),
            },
            value.as_deref().map(target),
        ),
        Change::Current(member, value) => GroupRecord::ConsumerGroupCurrentMemberAssignment(
            ConsumerGroupCurrentMemberAssignmentKey {
                group_id,
                member_id: member.to_string(),
            },
            value.as_deref().map(current),
        ),
        Change::Regex(expression, value) => GroupRecord::ConsumerGroupRegularExpression(
            ConsumerGroupRegularExpressionKey {
                group_id,
                regular_expression: expression.to_string(),
            },
            value.as_deref().map(regex),
        ),
    }
}

fn offset(value: &CommittedOffset) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: value.offset.0,
        leader_epoch: value.leader_epoch.0,
        metadata: value.metadata.to_string(),
        commit_timestamp: value.commit_ms,
        expire_timestamp: value.expire_ms,
        topic_id: value.topic_id,
    }
}

fn classic_group(value: &ClassicGroupValue) -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: value.protocol_type.to_string(),
        generation: value.generation,
        protocol: value.protocol.as_ref().map(ToString::to_string),
        leader: value.leader.as_ref().map(ToString::to_string),
        current_state_timestamp: value.state_ms,
        members: value.members.iter().map(classic_member).collect(),
    }
}

fn classic_member(value: &ClassicMemberValue) -> MemberMetadata {
    MemberMetadata {
        member_id: value.member_id.to_string(),
        group_instance_id: value.instance_id.as_ref().map(ToString::to_string),
        client_id: value.client_id.to_string(),
        client_host: value.client_host.to_string(),
        rebalance_timeout: value.rebalance_timeout_ms,
        session_timeout: value.session_timeout_ms,
        subscription: value.subscription.clone(),
        assignment: value.assignment.clone(),
    }
}

fn member_metadata(value: &MemberValue) -> ConsumerGroupMemberMetadataValue {
    ConsumerGroupMemberMetadataValue {
        instance_id: value.instance_id.as_ref().map(ToString::to_string),
        rack_id: value.rack_id.as_ref().map(ToString::to_string),
        client_id: value.client_id.to_string(),
        client_host: value.client_host.to_string(),
        subscribed_topic_names: value.topic_names.iter().map(ToString::to_string).collect(),
        // Kafka writes empty for none.
        subscribed_topic_regex: Some(value.regex().map(ToString::to_string).unwrap_or_default()),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: value.server_assignor.as_ref().map(ToString::to_string),
        classic_member_metadata: value.classic.as_ref().map(classic_protocols),
    }
}

fn classic_protocols(value: &ClassicProtocols) -> ClassicMemberMetadata {
    let protocols = value.protocols.iter().map(|protocol| ClassicProtocol {
        name: protocol.name.to_string(),
        metadata: protocol.metadata.clone(),
    });
    ClassicMemberMetadata {
        session_timeout_ms: value.session_timeout_ms,
        supported_protocols: protocols.collect(),
    }
}

fn target(value: &TopicPartitions) -> ConsumerGroupTargetAssignmentMemberValue {
    let topics = value.topics().map(|(topic_id, partitions)| TopicPartition {
        topic_id,
        partitions: partitions.iter().copied().collect(),
    });
    ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: topics.collect(),
    }
}

fn current(value: &CurrentValue) -> ConsumerGroupCurrentMemberAssignmentValue {
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: value.epoch,
        previous_member_epoch: value.previous_epoch,
        state: value.state as i8,
        assigned_partitions: owned(&value.assigned),
        partitions_pending_revocation: owned(&value.revoking),
    }
}

fn owned(partitions: &OwnedPartitions) -> Vec<OwnedTopic> {
    let topics = partitions
        .topics()
        .map(|(topic_id, partitions)| OwnedTopic {
            topic_id,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
        });
    topics.collect()
}

fn regex(value: &RegexValue) -> ConsumerGroupRegularExpressionValue {
    ConsumerGroupRegularExpressionValue {
        topics: value.topics.iter().map(ToString::to_string).collect(),
        version: value.version,
        timestamp: value.resolved_ms,
    }
}
