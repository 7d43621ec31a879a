//! The classic protocol in a consumer group: JoinGroup, SyncGroup, Heartbeat and LeaveGroup of members that do
//! not speak the new one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::downgrade::assignment_bytes;
use super::{Context, Group, Kind, Ledger};
use crate::embedded::{self, CONSUMER_PROTOCOL, Subscription};
use crate::messages::{
    Heartbeat, JoinGroup, JoinedGroup, LeaveGroup, LeavingMember, LeftMember, SyncGroup,
    SyncedGroup, Token,
};
use crate::names::{InstanceId, MemberId};
use crate::partitions::TopicPartitions;
use crate::records::{ClassicProtocols, CurrentValue, MemberState, MemberValue};
use crate::refusal::GroupRefused;
use crate::state::TimerKey;
use crate::state::classic::{check_session_timeout, copied, timeouts_ms};
use crate::state::consumer::{self, ConsumerImage};

impl Group {
    /// A classic member joins, or joins again because a heartbeat told it to. `None` where the join is parked
    /// in the classic group that this one has become.
    pub(in crate::state) fn bridge_join(
        &mut self,
        token: Token,
        request: &JoinGroup,
        cx: &Context<'_>,
    ) -> Result<Option<JoinedGroup>, GroupRefused> {
        check_session_timeout(request, cx)?;
        self.bridge_checked_join(token, request, cx)
            .map_err(GroupRefused::of_nobody)
    }

    fn bridge_checked_join(
        &mut self,
        token: Token,
        request: &JoinGroup,
        cx: &Context<'_>,
    ) -> Result<Option<JoinedGroup>, GroupRefused> {
        consumer::heartbeat::check_room(&request.member_id, cx, &self.ledger)?;
        let image = &self.ledger.durable.consumer;
        let subscription = check_join(request, image)?;
        let id = match request.member_id.is_empty() {
            true => MemberId::new(&kabuki_protocol::ids::TopicId(cx.fresh_id).to_string()),
            false => request.member_id.clone(),
        };
        let is_first = request.member_id.is_empty();
        let instance = request.instance_id.as_ref();
        let is_static_back = instance.is_some_and(|id| image.static_member(id).is_some());
        match &request.instance_id {
            None if is_first && request.needs_member_id => {
                return Err(GroupRefused::MemberIdRequired { member_id: id });
            }
            // The id was handed out a moment ago, and nothing noted; any new id may come.
            None => {}
            Some(instance) => match image.static_member(instance).cloned() {
                Some(owner) if is_first => consumer::leave::replace(&owner, &id, &mut self.ledger),
                Some(owner) if owner != id => return Err(GroupRefused::FencedInstance { owner }),
                None if !is_first => return Err(GroupRefused::unknown_member(&id)),
                Some(_) | None => {}
            },
        }
        let old = self
            .ledger
            .durable
            .consumer
            .members()
            .get(&id)
            .cloned()
            .unwrap_or_default();
        let new = Arc::new(updated(&old, request, &subscription));
        consumer::heartbeat::check_bytes(&old, &new, cx, &self.ledger)?;
        let owned = owned_partitions(&subscription, cx);

        let Kind::Consumer(soft) = &mut self.kind else {
            return Err(GroupRefused::UnknownGroup);
        };
        let has_changed = soft.update_member(&id, &old, new, cx, &mut self.ledger)?;
        soft.update_target(cx, &mut self.ledger);
        let current =
            consumer::reconcile::advance(&id, Some(&owned), has_changed, cx, &mut self.ledger);
        // Kafka waits for the next member to leave where a dynamic one changes its protocol.
        if is_static_back && self.maybe_downgrade(Some((&id, token)), cx) {
            return Ok(None);
        }
        let (rebalance_ms, _) = timeouts_ms(request);
        self.ledger.timers.cancel(&TimerKey::Join(id.clone()));
        let at_ms = cx.now.tick_ms + i64::from(rebalance_ms);
        self.ledger.timers.set(TimerKey::Sync(id.clone()), at_ms, 0);
        consumer::renew_session(&id, cx, &mut self.ledger);
        Ok(Some(JoinedGroup {
            member_id: id,
            generation: current.epoch,
            protocol_type: Some(Arc::from(CONSUMER_PROTOCOL)),
            protocol_name: request
                .protocols
                .first()
                .map(|protocol| protocol.name.clone()),
            leader: MemberId::default(),
            skip_assignment: false,
            members: Vec::new(),
        }))
    }

    /// A classic member asks what it may own.
    pub(in crate::state) fn bridge_sync(
        &mut self,
        request: &SyncGroup,
        cx: &Context<'_>,
    ) -> Result<SyncedGroup, GroupRefused> {
        let id = &request.member_id;
        let image = &self.ledger.durable.consumer;
        let (member, current) = find(image, id, request.instance_id.as_ref())?;
        check_epoch(&current, request.generation)?;
        check_protocol(&member, request)?;
        if image.target_epoch() > current.epoch && current.state != MemberState::UnrevokedPartitions
        {
            await_join(id, &member, cx, &mut self.ledger);
            return Err(GroupRefused::RebalanceInProgress);
        }
        self.ledger.timers.cancel(&TimerKey::Sync(id.clone()));
        consumer::renew_session(id, cx, &mut self.ledger);
        Ok(SyncedGroup {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment: assignment_bytes(&member, &current.assigned.to_partitions(), cx.topics),
        })
    }

    /// A classic member lives; it is told to join again when there is something to give up or to get.
    pub(in crate::state) fn bridge_heartbeat(
        &mut self,
        request: &Heartbeat,
        cx: &Context<'_>,
    ) -> Result<(), GroupRefused> {
        let id = &request.member_id;
        let image = &self.ledger.durable.consumer;
        let (member, current) = find(image, id, request.instance_id.as_ref())?;
        check_epoch(&current, request.generation)?;
        // Not the group's epoch: until there is a target for it, joining again would bring nothing.
        let must_join = current.epoch < image.target_epoch()
            || current.state == MemberState::UnrevokedPartitions
            || (current.state == MemberState::UnreleasedPartitions && !waits(image, id, &current));
        consumer::renew_session(id, cx, &mut self.ledger);
        if must_join {
            await_join(id, &member, cx, &mut self.ledger);
            return Err(GroupRefused::RebalanceInProgress);
        }
        Ok(())
    }

    /// Classic members go.
    pub(in crate::state) fn bridge_leave(
        &mut self,
        request: &LeaveGroup,
        cx: &Context<'_>,
    ) -> Vec<LeftMember> {
        let mut gone = BTreeSet::new();
        let mut left = Vec::with_capacity(request.members.len());
        for member in &request.members {
            let found = self.find_leaving(member).map(|id| {
                gone.insert(id);
            });
            left.push(LeftMember {
                member_id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                result: found,
            });
        }
        let gone: Vec<MemberId> = gone.into_iter().collect();
        consumer::leave::fence(&gone, cx, &mut self.ledger);
        self.maybe_downgrade(None, cx);
        left
    }

    fn find_leaving(&self, leaving: &LeavingMember) -> Result<MemberId, GroupRefused> {
        let image = &self.ledger.durable.consumer;
        let mut id = leaving.member_id.clone();
        if id.is_empty()
            && let Some(instance) = &leaving.instance_id
            && let Some(owner) = image.static_member(instance)
        {
            id = owner.clone();
        }
        find(image, &id, leaving.instance_id.as_ref()).map(|_| id)
    }
}

/// Finds a classic member; one of the new protocol is unknown to these requests.
fn find(
    image: &ConsumerImage,
    id: &MemberId,
    instance: Option<&InstanceId>,
) -> Result<(Arc<MemberValue>, Arc<CurrentValue>), GroupRefused> {
    if let Some(instance) = instance {
        match image.static_member(instance) {
            None => return Err(GroupRefused::unknown_member(id)),
            Some(owner) if owner != id => {
                let owner = owner.clone();
                return Err(GroupRefused::FencedInstance { owner });
            }
            Some(_) => {}
        }
    }
    match image.members().get(id) {
        Some(member) if member.classic.is_some() => Ok((member.clone(), image.current(id))),
        _ => Err(GroupRefused::unknown_member(id)),
    }
}

fn check_join(request: &JoinGroup, image: &ConsumerImage) -> Result<Subscription, GroupRefused> {
    let is_common = request
        .protocols
        .iter()
        .any(|protocol| image.is_common_protocol(&protocol.name));
    let first = request.protocols.first();
    let subscription = first.and_then(|first| embedded::read_subscription(&first.metadata));
    match subscription {
        Some(subscription) if is_common && *request.protocol_type == *CONSUMER_PROTOCOL => {
            Ok(subscription)
        }
        _ => Err(GroupRefused::InconsistentProtocol),
    }
}

fn check_epoch(current: &CurrentValue, sent: i32) -> Result<(), GroupRefused> {
    match sent == current.epoch {
        true => Ok(()),
        false => Err(GroupRefused::IllegalGeneration {
            sent,
            current: current.epoch,
        }),
    }
}

fn check_protocol(member: &MemberValue, request: &SyncGroup) -> Result<(), GroupRefused> {
    let protocols = member.classic.as_ref().map(|classic| &classic.protocols);
    let name = protocols
        .and_then(|protocols| protocols.first())
        .map(|first| &first.name);
    let is_type_other = request
        .protocol_type
        .as_deref()
        .is_some_and(|sent| sent != CONSUMER_PROTOCOL);
    let is_name_other = request.protocol_name.is_some() && request.protocol_name.as_ref() != name;
    match is_type_other || is_name_other {
        true => Err(GroupRefused::InconsistentProtocol),
        false => Ok(()),
    }
}

/// Gives a classic member that must join again its rebalance timeout to do so, once.
fn await_join(id: &MemberId, member: &MemberValue, cx: &Context<'_>, ledger: &mut Ledger) {
    let at_ms = cx.now.tick_ms + i64::from(member.rebalance_timeout_ms.max(0));
    ledger
        .timers
        .set_if_absent(TimerKey::Join(id.clone()), at_ms, 0);
}

/// True while a partition of the member's target is still another's.
fn waits(image: &ConsumerImage, id: &MemberId, current: &CurrentValue) -> bool {
    image.target(id).iter().any(|(topic, partition)| {
        !current.assigned.contains(topic, partition) && image.owner(topic, partition).is_some()
    })
}

/// The member as it is after the join.
fn updated(old: &MemberValue, request: &JoinGroup, subscription: &Subscription) -> MemberValue {
    let (rebalance_timeout_ms, session_timeout_ms) = timeouts_ms(request);
    MemberValue {
        instance_id: request
            .instance_id
            .clone()
            .or_else(|| old.instance_id.clone()),
        rack_id: subscription.rack_id.clone().or_else(|| old.rack_id.clone()),
        client_id: request.client.id.clone(),
        client_host: request.client.host.clone(),
        topic_names: subscription.topics.clone(),
        topic_regex: None,
        rebalance_timeout_ms,
        server_assignor: old.server_assignor.clone(),
        classic: Some(ClassicProtocols {
            session_timeout_ms,
            protocols: copied(&request.protocols),
        }),
    }
}

/// What the member says it owns, in ids.
fn owned_partitions(subscription: &Subscription, cx: &Context<'_>) -> TopicPartitions {
    subscription
        .owned
        .iter()
        .filter_map(|(name, partition)| Some((cx.topics.by_name(name)?.id, *partition)))
        .collect()
}
