//! A group as administrators see it.

use std::sync::Arc;

use bytes::Bytes;

use super::classic::{ClassicGroup, ClassicState};
use super::consumer::{self, ConsumerImage};
use super::{Group, Kind};
use crate::embedded::CONSUMER_PROTOCOL;
use crate::messages::{
    ClassicMemberView, ClassicView, ConsumerMemberView, ConsumerView, GroupListing, GroupState,
};
use crate::partitions::TopicPartitions;
use crate::records::CurrentValue;
use crate::refusal::GroupRefused;

impl Group {
    /// DescribeGroups.
    pub(super) fn describe_classic(&self) -> Result<ClassicView, GroupRefused> {
        match &self.kind {
            Kind::Classic(classic) if self.exists() => Ok(classic_view(classic)),
            _ => Err(GroupRefused::UnknownGroup),
        }
    }

    /// ConsumerGroupDescribe.
    pub(super) fn describe_consumer(&self) -> Result<ConsumerView, GroupRefused> {
        match &self.kind {
            Kind::Consumer(_) if self.exists() => Ok(consumer_view(&self.ledger.durable.consumer)),
            _ => Err(GroupRefused::UnknownGroup),
        }
    }

    /// ListGroups; `None` when there is no such group.
    pub(crate) fn listing(&self) -> Option<GroupListing> {
        if !self.exists() {
            return None;
        }
        Some(match &self.kind {
            Kind::Classic(classic) => GroupListing {
                protocol_type: classic.protocol_type.clone().unwrap_or_default(),
                state: classic.group_state(),
                is_consumer: false,
            },
            Kind::Consumer(_) => GroupListing {
                protocol_type: Arc::from(CONSUMER_PROTOCOL),
                state: consumer::group_state(&self.ledger.durable.consumer),
                is_consumer: true,
            },
        })
    }

    /// State of the group; `Dead` when there is none.
    pub fn state(&self) -> GroupState {
        self.listing()
            .map_or(GroupState::Dead, |listing| listing.state)
    }
}

fn classic_view(group: &ClassicGroup) -> ClassicView {
    // In a rebalance there is no protocol that members have metadata for; what they were assigned last stays.
    let is_stable = group.state == ClassicState::Stable;
    let if_stable = |bytes: Bytes| if is_stable { bytes } else { Bytes::new() };
    let members = group.members.values().map(|member| ClassicMemberView {
        member_id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: if_stable(member.metadata(group.protocol.as_ref())),
        assignment: member.assignment.clone(),
    });
    ClassicView {
        state: group.group_state(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        protocol: group
            .protocol
            .clone()
            .filter(|_| is_stable)
            .unwrap_or_default(),
        members: members.collect(),
    }
}

fn held(current: &CurrentValue) -> TopicPartitions {
    let all = current.assigned.iter().chain(current.revoking.iter());
    all.map(|(topic, partition, _)| (topic, partition))
        .collect()
}

fn consumer_view(image: &ConsumerImage) -> ConsumerView {
    let members = image.members().iter().map(|(id, member)| {
        let current = image.current(id);
        ConsumerMemberView {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            member_epoch: current.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topic_names: member.topic_names.iter().cloned().collect(),
            topic_regex: member.regex().cloned(),
            // What it gives up is its own until it has.
            assignment: held(&current),
            target: (*image.target(id)).clone(),
            is_classic: member.classic.is_some(),
        }
    });
    ConsumerView {
        state: consumer::group_state(image),
        group_epoch: image.group_epoch(),
        assignment_epoch: image.target_epoch(),
        assignor: Arc::from(consumer::target::assignor(image.members().values()).name()),
        members: members.collect(),
    }
}
