//! A group of the consumer protocol (KIP-848): the broker assigns, each member walks to the target on its own.
//!
//! Nearly everything is in the records (`image`); what is memory only is in [`ConsumerSoft`]. Three epochs
//! rule the walk: the group's rises with every change that asks for another assignment, the target's says
//! which group epoch it was computed for, a member's says which target it has reached.

pub(crate) mod expire;
pub(crate) mod heartbeat;
mod image;
pub(crate) mod leave;
mod name_hashes;
pub(crate) mod reconcile;
mod subscription;
pub(crate) mod target;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use heartbeat::validate;
pub(crate) use image::ConsumerImage;
pub use target::AssignmentJob;
pub(crate) use target::ComputedTargets;

use super::{Context, Ledger, TimerKey};
use crate::messages::GroupState;
use crate::names::MemberId;
use crate::records::{CurrentValue, MemberState};

/// What a consumer group knows beside its records. Lost at a crash without harm.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerSoft {
    /// A topic of the group may have changed; the next heartbeat looks.
    pub(crate) is_metadata_stale: bool,
    /// Regular expressions that are being searched.
    pub(crate) resolving: Option<BTreeSet<Arc<str>>>,
    /// Expressions to search, for the shell to take.
    pub(crate) to_resolve: Option<BTreeSet<Arc<str>>>,
    /// Wall clock of the end of the last search; 0 for none.
    searched_ms: i64,
    /// The target that is being computed.
    pub(crate) assigning: Option<Arc<AssignmentJob>>,
    /// A target to compute, for the shell to take.
    pub(crate) to_assign: Option<Arc<AssignmentJob>>,
}

impl Default for ConsumerSoft {
    fn default() -> Self {
        Self {
            is_metadata_stale: true,
            resolving: None,
            to_resolve: None,
            searched_ms: 0,
            assigning: None,
            to_assign: None,
        }
    }
}

/// State of the group as Kafka names it.
pub(crate) fn group_state(image: &ConsumerImage) -> GroupState {
    let target_epoch = image.target_epoch();
    if image.members().is_empty() {
        GroupState::Empty
    } else if image.group_epoch() > target_epoch {
        GroupState::Assigning
    } else if image.are_all_stable(target_epoch) {
        GroupState::Stable
    } else {
        GroupState::Reconciling
    }
}

/// True when the member owns exactly what the target of this epoch gives it.
pub(crate) fn is_reconciled(current: &CurrentValue, target_epoch: i32) -> bool {
    current.state == MemberState::Stable && current.epoch == target_epoch
}

/// Starts a member's session anew.
pub(crate) fn renew_session(id: &MemberId, cx: &Context<'_>, ledger: &mut Ledger) {
    let member = ledger.durable.consumer.members().get(id);
    let classic = member.and_then(|member| member.classic.as_ref());
    let timeout_ms = classic.map_or(cx.config.consumer_session_timeout_ms, |classic| {
        classic.session_timeout_ms
    });
    let at_ms = cx.now.tick_ms + i64::from(timeout_ms);
    ledger.timers.set(TimerKey::Session(id.clone()), at_ms, 0);
}

/// Gives a member the time it asked for to let partitions go. Source: KIP-848, rebalance timeout.
pub(crate) fn await_revocation(id: &MemberId, epoch: i32, cx: &Context<'_>, ledger: &mut Ledger) {
    let member = ledger.durable.consumer.members().get(id);
    let timeout_ms = member.map_or(0, |member| member.rebalance_timeout_ms.max(0));
    let at_ms = cx.now.tick_ms + i64::from(timeout_ms);
    ledger
        .timers
        .set(TimerKey::Rebalance(id.clone()), at_ms, epoch);
}

/// Sets the timers that belong to the records: after a load, or when changes were undone.
pub(crate) fn resume(cx: &Context<'_>, ledger: &mut Ledger) {
    let ids: Vec<MemberId> = ledger.durable.consumer.members().keys().cloned().collect();
    for id in ids {
        renew_session(&id, cx, ledger);
        let image = &ledger.durable.consumer;
        let current = image.current(&id);
        let is_classic = image.members()[&id].classic.is_some();
        if current.state == MemberState::UnrevokedPartitions && !is_classic {
            await_revocation(&id, current.epoch, cx, ledger);
        }
    }
}
