//! Members that go, by themselves or because they were not heard of.

use std::sync::Arc;

use super::heartbeat::LEAVE_STATIC;
use super::{ConsumerSoft, Context, Ledger, subscription};
use crate::messages::{ConsumerHeartbeat, HeartbeatAnswer};
use crate::names::MemberId;
use crate::partitions::OwnedPartitions;
use crate::records::Change;
use crate::refusal::GroupRefused;
use crate::state::migration::will_downgrade;

impl ConsumerSoft {
    /// A heartbeat with epoch -1 or -2.
    pub(super) fn leave(
        &mut self,
        request: &ConsumerHeartbeat,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Result<HeartbeatAnswer, GroupRefused> {
        let id = &request.member_id;
        let image = &ledger.durable.consumer;
        if let Some(instance) = &request.instance_id {
            match image.static_member(instance) {
                None => return Err(GroupRefused::unknown_member(id)),
                Some(owner) if owner != id => {
                    return Err(GroupRefused::FencedInstance {
                        owner: owner.clone(),
                    });
                }
                Some(_) => {}
            }
        } else if !image.members().contains_key(id) {
            return Err(GroupRefused::unknown_member(id));
        }
        if request.member_epoch == LEAVE_STATIC {
            // It keeps its partitions for as long as its session lasts, but for those it was asked to give up.
            let mut current = (*image.current(id)).clone();
            current.epoch = LEAVE_STATIC;
            current.revoking = OwnedPartitions::new();
            ledger.write(Change::Current(id.clone(), Some(Arc::new(current))));
        } else {
            fence(std::slice::from_ref(id), cx, ledger);
        }
        Ok(HeartbeatAnswer {
            member_id: id.clone(),
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }
}

/// Takes members out, with their partitions and timers, and raises the group epoch: but not where that
/// leaves classic members alone. Those are at the epoch of the classic group that follows then, so that
/// they hear 27 from it, commit and join again; 22 would take their partitions before they could.
pub(crate) fn fence(ids: &[MemberId], cx: &Context<'_>, ledger: &mut Ledger) {
    if ids.is_empty() {
        return;
    }
    for id in ids {
        let member = ledger.durable.consumer.members().get(id).cloned();
        erase(id, ledger);
        ledger.timers.cancel_member(id);
        if let Some(regex) = member.as_ref().and_then(|member| member.regex()) {
            let image = &ledger.durable.consumer;
            if !image.regex_counts().contains_key(regex) && image.regexes().contains_key(regex) {
                ledger.write(Change::Regex(regex.clone(), None));
            }
        }
    }
    if !will_downgrade(&ledger.durable.consumer, cx) {
        subscription::update_epoch(true, cx, ledger);
    }
}

/// Writes the tombstones of one member, in Kafka's order.
fn erase(id: &MemberId, ledger: &mut Ledger) {
    ledger.write(Change::Current(id.clone(), None));
    ledger.write(Change::Target(id.clone(), None));
    ledger.write(Change::Member(id.clone(), None));
}

/// A static member is back under another id: it takes over subscription, target and partitions at epoch 0.
///
/// Timers of the old id stay: the request may still be refused, and a timer of nobody does nothing.
pub(crate) fn replace(old: &MemberId, new: &MemberId, ledger: &mut Ledger) {
    let image = &ledger.durable.consumer;
    let member = image.members().get(old).cloned();
    let target = image.target(old);
    let mut current = (*image.current(old)).clone();
    current.epoch = 0;
    current.previous_epoch = 0;
    erase(old, ledger);
    ledger.write(Change::Member(new.clone(), member));
    ledger.write(Change::Target(new.clone(), Some(target)));
    ledger.write(Change::Current(new.clone(), Some(Arc::new(current))));
}

/// Tombstones for all there is of a consumer group.
pub(crate) fn erase_all(ledger: &mut Ledger) {
    let image = &ledger.durable.consumer;
    let mut changes: Vec<Change> = Vec::new();
    changes.extend(
        image
            .currents()
            .keys()
            .map(|id| Change::Current(id.clone(), None)),
    );
    changes.extend(
        image
            .targets()
            .keys()
            .map(|id| Change::Target(id.clone(), None)),
    );
    changes.push(Change::TargetEpoch(None));
    changes.extend(
        image
            .members()
            .keys()
            .map(|id| Change::Member(id.clone(), None)),
    );
    changes.extend(
        image
            .regexes()
            .keys()
            .map(|regex| Change::Regex(regex.clone(), None)),
    );
    changes.push(Change::GroupEpoch(None));
    for change in changes {
        ledger.write(change);
    }
}
