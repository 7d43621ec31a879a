//! A consumer group whose last member of the new protocol left becomes a classic group.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Context, Group, Kind};
use crate::embedded::{self, CONSUMER_PROTOCOL};
use crate::messages::Token;
use crate::names::MemberId;
use crate::partitions::TopicPartitions;
use crate::records::{Change, ClassicGroupValue, ClassicMemberValue, MemberValue};
use crate::state::classic::ClassicGroup;
use crate::state::consumer::{self, ConsumerImage};
use crate::topics::TopicCatalog;

impl Group {
    /// Turns the group over when only classic members are left. `joining` is the member that is about to be
    /// answered; its join waits for the rebalance. True when the group was turned over.
    pub(in crate::state) fn maybe_downgrade(
        &mut self,
        joining: Option<(&MemberId, Token)>,
        cx: &Context<'_>,
    ) -> bool {
        let image = &self.ledger.durable.consumer;
        if !matches!(self.kind, Kind::Consumer(_)) || !is_due(image, cx) {
            return false;
        }
        let Some(mut classic) = translate(image, cx) else {
            return false;
        };
        consumer::leave::erase_all(&mut self.ledger);
        self.ledger.timers.clear();
        let value = classic.value(|member| member.assignment.clone());
        self.ledger
            .write(Change::ClassicGroup(Some(Arc::new(value))));
        classic.resume(cx, &mut self.ledger);
        if let Some((id, token)) = joining {
            classic.await_rebalance(id, token);
        }
        classic.prepare_rebalance(cx, &mut self.ledger);
        self.kind = Kind::Classic(Box::new(classic));
        true
    }
}

/// Whether the group, as it is, becomes a classic one at the next occasion.
pub(in crate::state) fn will_downgrade(image: &ConsumerImage, cx: &Context<'_>) -> bool {
    is_due(image, cx) && translate(image, cx).is_some()
}

fn is_due(image: &ConsumerImage, cx: &Context<'_>) -> bool {
    let member_count = image.members().len();
    member_count > 0
        && image.classic_count() == member_count
        && cx.config.migration_policy.allows_downgrade()
        && member_count <= cx.config.classic_size_max
}

/// The group as a classic one, stable at the group epoch; `None` when its members share no protocol.
fn translate(image: &ConsumerImage, cx: &Context<'_>) -> Option<ClassicGroup> {
    let mut value = ClassicGroupValue {
        protocol_type: Arc::from(CONSUMER_PROTOCOL),
        generation: image.group_epoch(),
        protocol: None,
        leader: None,
        state_ms: cx.now.wall_ms,
        members: Vec::new(),
    };
    let mut protocols = BTreeMap::new();
    for (id, member) in image.members() {
        let assignment = assignment_bytes(member, &image.target(id), cx.topics);
        value.members.push(member_value(id, member, assignment));
        let classic = member.classic.as_ref()?;
        protocols.insert(id.clone(), classic.protocols.clone());
    }
    let mut group = ClassicGroup::from_value(&value);
    group.set_protocols(protocols);
    group.protocol = group.select_protocol();
    group.protocol.is_some().then_some(group)
}

fn member_value(id: &MemberId, member: &MemberValue, assignment: Bytes) -> ClassicMemberValue {
    let session_timeout_ms = member
        .classic
        .as_ref()
        .map_or(0, |classic| classic.session_timeout_ms);
    ClassicMemberValue {
        member_id: id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms,
        subscription: Bytes::new(),
        assignment,
    }
}

/// Partitions in the bytes that a classic member understands, in the version it speaks.
pub(super) fn assignment_bytes(
    member: &MemberValue,
    partitions: &TopicPartitions,
    topics: &dyn TopicCatalog,
) -> Bytes {
    let protocols = member.classic.as_ref().map(|classic| &classic.protocols);
    let first = protocols.and_then(|protocols| protocols.first());
    let version = first
        .and_then(|first| embedded::version(&first.metadata))
        .unwrap_or(0);
    let by_name: Vec<(Arc<str>, Vec<i32>)> = partitions
        .topics()
        .filter_map(|(topic, numbers)| {
            Some((topics.by_id(topic)?.name, numbers.iter().copied().collect()))
        })
        .collect();
    embedded::write_assignment(version, &by_name)
}
