//! Deadlines of a consumer group that have come.

use super::{Context, Ledger, TimerKey, leave};
use crate::names::MemberId;

/// Takes out the member whose time is over; true when one was taken out.
pub(crate) fn timer_due(key: &TimerKey, mark: i32, cx: &Context<'_>, ledger: &mut Ledger) -> bool {
    let image = &ledger.durable.consumer;
    let id: &MemberId = match key {
        TimerKey::Session(id) | TimerKey::Join(id) | TimerKey::Sync(id) => id,
        // It has moved on since: the timer was for another epoch.
        TimerKey::Rebalance(id) if image.current(id).epoch == mark => id,
        TimerKey::Rebalance(_) | TimerKey::JoinPhase | TimerKey::SyncPhase => return false,
    };
    if !image.members().contains_key(id) {
        return false;
    }
    leave::fence(std::slice::from_ref(id), cx, ledger);
    true
}
