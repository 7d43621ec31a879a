//! ConsumerGroupHeartbeat: join, stay, acknowledge.

use std::sync::Arc;

use super::{
    ConsumerSoft, Context, Ledger, TimerKey, leave, reconcile, renew_session, subscription,
};
use crate::assignors::Assignor;
use crate::messages::{ConsumerHeartbeat, HeartbeatAnswer};
use crate::names::MemberId;
use crate::partitions::TopicPartitions;
use crate::records::{Change, CurrentValue, MemberState, MemberValue};
use crate::refusal::GroupRefused;

/// `member_epoch` of a static member that will be back; -1 leaves for good.
pub(crate) const LEAVE_STATIC: i32 = -2;

/// Checks what needs no state.
pub(crate) fn validate(request: &ConsumerHeartbeat) -> Result<(), GroupRefused> {
    let invalid = |cause| Err(GroupRefused::InvalidRequest { cause });
    let epoch = request.member_epoch;
    if request.member_id.is_empty() && epoch != 0 {
        return invalid("MemberId can't be empty.");
    }
    if request.instance_id.as_ref().is_some_and(|id| id.is_empty()) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_ref().is_some_and(|id| id.is_empty()) {
        return invalid("RackId can't be empty.");
    }
    if epoch == 0 {
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if !request
            .owned
            .as_ref()
            .is_some_and(TopicPartitions::is_empty)
        {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.topic_names.is_none() && request.topic_regex.is_none() {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
    } else if epoch == LEAVE_STATIC && request.instance_id.is_none() {
        return invalid("InstanceId can't be null.");
    } else if epoch < LEAVE_STATIC {
        return invalid("MemberEpoch is invalid.");
    }
    match &request.server_assignor {
        Some(name) if Assignor::by_name(name).is_none() => {
            Err(GroupRefused::UnsupportedAssignor { name: name.clone() })
        }
        _ => Ok(()),
    }
}

impl ConsumerSoft {
    /// Takes one heartbeat of a member of the new protocol; the request is validated.
    pub(crate) fn heartbeat(
        &mut self,
        request: &ConsumerHeartbeat,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Result<HeartbeatAnswer, GroupRefused> {
        if request.member_epoch < 0 {
            return self.leave(request, cx, ledger);
        }
        let is_join = request.member_epoch == 0;
        check_room(&request.member_id, cx, ledger)?;
        let id = match request.member_id.is_empty() {
            // Version 0 lets the broker name its members.
            true => MemberId::new(&kabuki_protocol::ids::TopicId(cx.fresh_id).to_string()),
            false => request.member_id.clone(),
        };
        self.find_or_replace(&id, request, ledger)?;
        let image = &ledger.durable.consumer;
        let old = image.members().get(&id).cloned().unwrap_or_default();
        let before = image.current(&id);
        if !is_join {
            check_epoch(&before, request)?;
        }

        let new = updated(&old, request);
        if !Arc::ptr_eq(&old, &new) {
            check_bytes(&old, &new, cx, ledger)?;
        }
        let has_changed = self.update_member(&id, &old, new, cx, ledger)?;
        self.update_target(cx, ledger);
        let after = reconcile::advance(&id, request.owned.as_ref(), has_changed, cx, ledger);
        if old.classic.is_some() {
            // It has changed its protocol in place: nobody waits for its next join or sync.
            ledger.timers.cancel(&TimerKey::Join(id.clone()));
            ledger.timers.cancel(&TimerKey::Sync(id.clone()));
        }
        renew_session(&id, cx, ledger);

        let has_said_all = request.rebalance_timeout_ms != -1
            && (request.topic_names.is_some() || request.topic_regex.is_some())
            && request.owned.is_some();
        let is_news = !after.assigned.is_same_set(&before.assigned);
        Ok(HeartbeatAnswer {
            member_id: id,
            member_epoch: after.epoch,
            heartbeat_interval_ms: cx.config.consumer_heartbeat_interval_ms,
            assignment: (is_join || has_said_all || is_news)
                .then(|| after.assigned.to_partitions()),
        })
    }

    /// Makes sure that the member is there, or may come.
    fn find_or_replace(
        &mut self,
        id: &MemberId,
        request: &ConsumerHeartbeat,
        ledger: &mut Ledger,
    ) -> Result<(), GroupRefused> {
        let image = &ledger.durable.consumer;
        let Some(instance) = &request.instance_id else {
            return match request.member_epoch == 0 || image.members().contains_key(id) {
                true => Ok(()),
                false => Err(GroupRefused::unknown_member(id)),
            };
        };
        let owner = image.static_member(instance).cloned();
        match owner {
            None if request.member_epoch == 0 => Ok(()),
            None => Err(GroupRefused::unknown_member(id)),
            Some(owner) if request.member_epoch != 0 && owner != *id => {
                Err(GroupRefused::FencedInstance { owner })
            }
            Some(owner) if request.member_epoch == 0 => {
                let is_classic = image.members()[&owner].classic.is_some();
                if !is_classic && image.current(&owner).epoch != LEAVE_STATIC {
                    return Err(GroupRefused::UnreleasedInstance { owner });
                }
                leave::replace(&owner, id, ledger);
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    /// Writes what the member says of itself, and raises the group epoch if that asks for another assignment.
    /// True when its subscription has changed.
    pub(crate) fn update_member(
        &mut self,
        id: &MemberId,
        old: &Arc<MemberValue>,
        new: Arc<MemberValue>,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Result<bool, GroupRefused> {
        // What a member reads may be long: it is not compared when nothing was said of it.
        let is_same = Arc::ptr_eq(old, &new);
        let have_names_changed = !is_same && old.topic_names != new.topic_names;
        let regex = subscription::prepare_regex(old, &new, cx, ledger)?;
        let is_known = ledger.durable.consumer.members().contains_key(id);
        if !is_known || !is_same && *old != new {
            ledger.write(Change::Member(id.clone(), Some(new)));
        }
        self.search_regexes(regex, cx, ledger);
        let asks_for_target = have_names_changed || regex.is_resolved;
        if asks_for_target || self.is_metadata_stale {
            subscription::update_epoch(asks_for_target, cx, ledger);
            self.is_metadata_stale = false;
        }
        Ok(have_names_changed || regex.has_changed)
    }
}

/// No more members than the group may have. A static member that comes back under another id counts as
/// another one, as in Kafka, though it would take its own place.
pub(crate) fn check_room(
    id: &MemberId,
    cx: &Context<'_>,
    ledger: &Ledger,
) -> Result<(), GroupRefused> {
    let members = ledger.durable.consumer.members();
    let limit = cx.config.consumer_size_max;
    match !members.contains_key(id) && members.len() >= limit {
        true => Err(GroupRefused::GroupFull { limit }),
        false => Ok(()),
    }
}

/// Bounds what one member, and all together, can hold of the node's memory.
pub(crate) fn check_bytes(
    old: &MemberValue,
    new: &MemberValue,
    cx: &Context<'_>,
    ledger: &Ledger,
) -> Result<(), GroupRefused> {
    let (bytes, bytes_max) = (new.bytes(), cx.config.member_bytes_max);
    if bytes > bytes_max {
        return Err(GroupRefused::MemberTooLarge { bytes, bytes_max });
    }
    let others = ledger
        .durable
        .consumer
        .member_bytes()
        .saturating_sub(old.bytes());
    let limit = cx.config.group_bytes_max;
    match others + bytes > limit {
        true => Err(GroupRefused::GroupFull { limit }),
        false => Ok(()),
    }
}

/// A member that lost the last answer may come with the epoch before, if it owns no more than it
/// should.
fn check_epoch(current: &CurrentValue, request: &ConsumerHeartbeat) -> Result<(), GroupRefused> {
    let sent = request.member_epoch;
    // A later release wrote this state: the member starts again without partitions.
    let is_readable = current.state != MemberState::Unknown;
    let fenced = GroupRefused::FencedMemberEpoch {
        sent,
        current: current.epoch,
    };
    if sent == current.epoch && is_readable {
        return Ok(());
    }
    let owns_no_more = request.owned.as_ref().is_some_and(|owned| {
        owned
            .iter()
            .all(|(topic, partition)| current.assigned.contains(topic, partition))
    });
    match is_readable && sent < current.epoch && sent == current.previous_epoch && owns_no_more {
        true => Ok(()),
        false => Err(fenced),
    }
}

/// The member as it is after the request: `None` leaves a field as it was. The same value when the request says
/// nothing of the member, as most heartbeats.
fn updated(old: &Arc<MemberValue>, request: &ConsumerHeartbeat) -> Arc<MemberValue> {
    let says_nothing = request.topic_names.is_none()
        && request.topic_regex.is_none()
        && request.server_assignor.is_none()
        && request.rack_id.is_none()
        && request.rebalance_timeout_ms == -1
        && (request.instance_id.is_none() || request.instance_id == old.instance_id)
        && request.client.id == old.client_id
        && request.client.host == old.client_host
        && old.classic.is_none();
    if says_nothing {
        return old.clone();
    }
    let keep = |new: &Option<Arc<str>>, old: &Option<Arc<str>>| new.clone().or_else(|| old.clone());
    Arc::new(MemberValue {
        instance_id: request
            .instance_id
            .clone()
            .or_else(|| old.instance_id.clone()),
        rack_id: keep(&request.rack_id, &old.rack_id),
        client_id: request.client.id.clone(),
        client_host: request.client.host.clone(),
        topic_names: match &request.topic_names {
            Some(names) => names.clone(),
            None => old.topic_names.clone(),
        },
        topic_regex: keep(&request.topic_regex, &old.topic_regex),
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => old.rebalance_timeout_ms,
            given_ms => given_ms,
        },
        server_assignor: keep(&request.server_assignor, &old.server_assignor),
        classic: None,
    })
}
