//! A classic group becomes a consumer group.

use std::collections::HashSet;
use std::sync::Arc;

use kabuki_protocol::ids::TopicId;

use super::{Context, Group, Kind, Ledger};
use crate::embedded;
use crate::messages::{ConsumerHeartbeat, HeartbeatAnswer};
use crate::partitions::{OwnedPartitions, TopicPartitions};
use crate::records::{
    Change, ClassicProtocols, CurrentValue, GroupEpochValue, MemberState, MemberValue,
    TargetEpochValue,
};
use crate::refusal::GroupRefused;
use crate::state::classic::{ClassicGroup, ClassicMember};
use crate::state::consumer::{self, ConsumerSoft};
use crate::state::ledger::Continuation;

impl Group {
    /// A heartbeat of the new protocol, to a group of either.
    pub(in crate::state) fn consumer_heartbeat(
        &mut self,
        request: &ConsumerHeartbeat,
        cx: &Context<'_>,
    ) -> Result<HeartbeatAnswer, GroupRefused> {
        consumer::validate(request)?;
        if request.member_epoch != 0 && !self.exists() {
            return Err(GroupRefused::UnknownGroup);
        }
        let answer = match &mut self.kind {
            Kind::Consumer(soft) => soft.heartbeat(request, cx, &mut self.ledger)?,
            Kind::Classic(_) if request.member_epoch == 0 => self.upgrade(request, cx)?,
            Kind::Classic(_) => return Err(GroupRefused::UnknownGroup),
        };
        self.maybe_downgrade(None, cx);
        Ok(answer)
    }

    /// Turns the group over and lets the member in. Nothing has changed when it is refused.
    fn upgrade(
        &mut self,
        request: &ConsumerHeartbeat,
        cx: &Context<'_>,
    ) -> Result<HeartbeatAnswer, GroupRefused> {
        let Kind::Classic(classic) = &self.kind else {
            return Err(GroupRefused::UnknownGroup);
        };
        if !classic.members.is_empty() {
            check_convertible(classic, cx)?;
            convert(classic, cx, &mut self.ledger)?;
        } else if self.ledger.durable.classic.is_some() {
            self.ledger.write(Change::ClassicGroup(None));
        }
        let timers = std::mem::take(&mut self.ledger.timers);
        consumer::resume(cx, &mut self.ledger);
        let mut soft = ConsumerSoft::default();
        let answer = match soft.heartbeat(request, cx, &mut self.ledger) {
            Ok(answer) => answer,
            Err(refused) => {
                self.ledger.timers = timers;
                return Err(refused);
            }
        };
        let old = std::mem::replace(&mut self.kind, Kind::Consumer(soft));
        if let Kind::Classic(mut classic) = old {
            for (token, answer) in classic.dismiss(&GroupRefused::RebalanceInProgress) {
                self.ledger.answer(token, answer);
            }
            if self.ledger.has_written() {
                self.ledger.then(Continuation::LeftClassic(classic));
            }
        }
        Ok(answer)
    }
}

fn check_convertible(group: &ClassicGroup, cx: &Context<'_>) -> Result<(), GroupRefused> {
    let refuse = |cause| Err(GroupRefused::NotConvertible { cause });
    if !cx.config.migration_policy.allows_upgrade() {
        refuse("online upgrades are disabled")
    } else if !group.is_of_consumers() {
        refuse("its members are no consumers")
    } else if group.members.len() > cx.config.consumer_size_max {
        refuse("it has more members than a consumer group may have")
    } else {
        Ok(())
    }
}

/// Writes the group as a consumer group, at the generation it has.
fn convert(
    group: &ClassicGroup,
    cx: &Context<'_>,
    ledger: &mut Ledger,
) -> Result<(), GroupRefused> {
    let epoch = group.generation;
    let mut members = Vec::with_capacity(group.members.len());
    // A leader may have given a partition to two members. The broker may not: the first one has it, the other
    // learns so when it joins again.
    let mut taken = HashSet::new();
    for member in group.members.values() {
        members.push((member.id.clone(), translate(member, group, &mut taken, cx)?));
    }
    ledger.write(Change::ClassicGroup(None));
    for (id, (value, _)) in &members {
        ledger.write(Change::Member(id.clone(), Some(Arc::new(value.clone()))));
    }
    // The topics are as the classic members know them: only another subscription raises the epoch.
    let metadata_hash = ledger.durable.consumer.topics_hash(cx.topics);
    ledger.write(Change::GroupEpoch(Some(GroupEpochValue {
        epoch,
        metadata_hash,
    })));
    for (id, (_, assigned)) in &members {
        let target = Arc::new(assigned.clone());
        ledger.write(Change::Target(id.clone(), Some(target)));
    }
    // No time of computation: the join that caused the upgrade may compute at once.
    ledger.write(Change::TargetEpoch(Some(TargetEpochValue {
        epoch,
        computed_ms: 0,
    })));
    for (id, (_, assigned)) in members {
        let assigned: OwnedPartitions = assigned
            .iter()
            .map(|(topic, partition)| (topic, partition, epoch))
            .collect();
        let current = CurrentValue {
            epoch,
            previous_epoch: epoch,
            state: MemberState::Stable,
            assigned,
            revoking: OwnedPartitions::new(),
        };
        ledger.write(Change::Current(id, Some(Arc::new(current))));
    }
    Ok(())
}

fn translate(
    member: &ClassicMember,
    group: &ClassicGroup,
    taken: &mut HashSet<(TopicId, i32)>,
    cx: &Context<'_>,
) -> Result<(MemberValue, TopicPartitions), GroupRefused> {
    let malformed = GroupRefused::NotConvertible {
        cause: "the subscription or assignment of a member is malformed",
    };
    let metadata = match &group.protocol {
        Some(protocol) => member.metadata(Some(protocol)),
        // In its first rebalance; all protocols of a consumer carry the same subscription.
        None => member
            .protocols
            .first()
            .map_or_else(Default::default, |first| first.metadata.clone()),
    };
    let subscription = embedded::read_subscription(&metadata).ok_or_else(|| malformed.clone())?;
    let assignment = embedded::read_assignment(&member.assignment).ok_or(malformed)?;
    let value = MemberValue {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topic_names: subscription.topics,
        topic_regex: None,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: None,
        classic: Some(ClassicProtocols {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    };
    let assigned = assignment
        .into_iter()
        .filter_map(|(name, partition)| {
            let topic = cx.topics.by_name(&name)?;
            (0..topic.partition_count)
                .contains(&partition)
                .then_some((topic.id, partition))
        })
        .filter(|partition| taken.insert(*partition))
        .collect();
    Ok((value, assigned))
}
