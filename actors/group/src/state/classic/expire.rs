//! Deadlines of a classic group that have come.

use super::{ClassicGroup, ClassicState};
use crate::names::MemberId;
use crate::state::{Context, Ledger, TimerKey};

impl ClassicGroup {
    /// Does what a deadline is for. One that belongs to a group of the other protocol has no effect.
    pub(crate) fn timer_due(
        &mut self,
        key: &TimerKey,
        mark: i32,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) {
        match key {
            TimerKey::JoinPhase => self.join_phase_due(cx, ledger),
            TimerKey::SyncPhase => self.sync_phase_due(mark, cx, ledger),
            TimerKey::Session(id) => self.session_due(id, cx, ledger),
            TimerKey::Rebalance(_) | TimerKey::Join(_) | TimerKey::Sync(_) => {}
        }
    }

    /// Members that joined and did not sync hold the others up.
    fn sync_phase_due(&mut self, generation: i32, cx: &Context<'_>, ledger: &mut Ledger) {
        let is_running = matches!(
            self.state,
            ClassicState::CompletingRebalance | ClassicState::Stable
        );
        if generation != self.generation || !is_running || self.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_sync) {
            self.dismiss_member(&id, ledger);
        }
        self.prepare_rebalance(cx, ledger);
    }

    fn session_due(&mut self, id: &MemberId, cx: &Context<'_>, ledger: &mut Ledger) {
        if self.pending_ids.remove(id) {
            self.maybe_complete_join(cx, ledger);
            return;
        }
        let Some(member) = self.members.get(id) else {
            return;
        };
        // Who waits for the group is alive; its session starts anew with the answer. A member that has never
        // been answered may be a client that gave up.
        let is_waiting = member.join.is_some() || member.sync.is_some();
        if is_waiting && !member.is_new {
            return;
        }
        self.dismiss_member(id, ledger);
        match self.state {
            ClassicState::Stable | ClassicState::CompletingRebalance => {
                self.prepare_rebalance(cx, ledger)
            }
            ClassicState::PreparingRebalance => self.maybe_complete_join(cx, ledger),
            ClassicState::Empty => {}
        }
    }
}
