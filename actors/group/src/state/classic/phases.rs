//! The rebalance of a classic group: gather joins, name a leader, gather syncs.

use super::{ClassicGroup, ClassicState, InitialDelay};
use crate::messages::{Answer, Token};
use crate::names::MemberId;
use crate::refusal::GroupRefused;
use crate::state::{Context, Ledger, TimerKey};

impl ClassicGroup {
    /// Something changed that members must know of.
    pub(super) fn rebalance_or_complete(&mut self, cx: &Context<'_>, ledger: &mut Ledger) {
        match self.state {
            ClassicState::PreparingRebalance => self.maybe_complete_join(cx, ledger),
            _ => self.prepare_rebalance(cx, ledger),
        }
    }

    /// Begins a rebalance.
    pub(crate) fn prepare_rebalance(&mut self, cx: &Context<'_>, ledger: &mut Ledger) {
        if self.state == ClassicState::CompletingRebalance {
            self.refuse_syncs(&GroupRefused::RebalanceInProgress, ledger);
        }
        self.pending_sync.clear();
        ledger.timers.cancel(&TimerKey::SyncPhase);

        let is_first = self.state == ClassicState::Empty;
        self.enter(ClassicState::PreparingRebalance, cx);
        if is_first {
            let delay_ms = i64::from(cx.config.initial_rebalance_delay_ms);
            self.initial_delay = Some(InitialDelay {
                delay_ms,
                remaining_ms: (self.rebalance_timeout_ms() - delay_ms).max(0),
                has_grown: false,
            });
            ledger
                .timers
                .set(TimerKey::JoinPhase, cx.now.tick_ms + delay_ms, 0);
        } else if self.has_all_joined() {
            self.complete_join(cx, ledger);
        } else {
            self.await_joins(cx, ledger);
        }
    }

    pub(super) fn await_joins(&self, cx: &Context<'_>, ledger: &mut Ledger) {
        let at_ms = cx.now.tick_ms + self.rebalance_timeout_ms();
        ledger.timers.set(TimerKey::JoinPhase, at_ms, 0);
    }

    pub(super) fn await_syncs(&self, cx: &Context<'_>, ledger: &mut Ledger) {
        let at_ms = cx.now.tick_ms + self.rebalance_timeout_ms();
        ledger
            .timers
            .set(TimerKey::SyncPhase, at_ms, self.generation);
    }

    /// Ends the join phase when nobody is missing. The initial delay is waited for in any case.
    pub(super) fn maybe_complete_join(&mut self, cx: &Context<'_>, ledger: &mut Ledger) {
        let is_gathering =
            self.state == ClassicState::PreparingRebalance && self.initial_delay.is_none();
        if is_gathering && self.has_all_joined() {
            self.complete_join(cx, ledger);
        }
    }

    /// The time for joins is over, or one step of the initial delay is.
    pub(super) fn join_phase_due(&mut self, cx: &Context<'_>, ledger: &mut Ledger) {
        if self.state != ClassicState::PreparingRebalance {
            return;
        }
        if let Some(delay) = &mut self.initial_delay
            && delay.has_grown
            && delay.remaining_ms > 0
        {
            // Members keep coming: another step, as long as the rebalance timeout lasts.
            delay.has_grown = false;
            let step_ms = i64::from(cx.config.initial_rebalance_delay_ms).min(delay.remaining_ms);
            delay.remaining_ms = (delay.remaining_ms - delay.delay_ms).max(0);
            delay.delay_ms = step_ms;
            ledger
                .timers
                .set(TimerKey::JoinPhase, cx.now.tick_ms + step_ms, 0);
            return;
        }
        self.complete_join(cx, ledger);
    }

    /// Removes who has not joined, and starts the next generation.
    fn complete_join(&mut self, cx: &Context<'_>, ledger: &mut Ledger) {
        ledger.timers.cancel(&TimerKey::JoinPhase);
        self.initial_delay = None;
        // Static members stay: they are expected back within their session.
        let missing: Vec<MemberId> = self
            .members
            .values()
            .filter(|member| member.join.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in &missing {
            self.remove(id);
            ledger.timers.cancel(&TimerKey::Session(id.clone()));
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // Only static members are left and none is back: wait until their sessions decide.
            self.await_joins(cx, ledger);
            return;
        }

        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.is_storing_assignment = false;
        self.pending_sync.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.learn_subscriptions();
            self.enter(ClassicState::Empty, cx);
            self.write_value(ledger, |member| member.assignment.clone());
            return;
        }
        self.protocol = self.select_protocol();
        assert!(
            self.protocol.is_some(),
            "members were let in because they share a protocol"
        );
        self.learn_subscriptions();
        self.enter(ClassicState::CompletingRebalance, cx);
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(token) = self.take_join(&id) {
                ledger.answer(token, Answer::Join(Ok(self.joined(&id))));
            }
            self.renew_session(&id, cx, ledger);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.pending_sync.insert(id);
        }
        self.await_syncs(cx, ledger);
    }

    /// Keeps the leader if it has joined, else the member that joined the group first among those that have.
    /// False when none has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &MemberId| {
            self.members
                .get(id)
                .is_some_and(|member| member.join.is_some())
        };
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        match self.oldest(|member| member.join.is_some()) {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    /// Refuses all parked syncs and forgets assignments that were never given.
    pub(super) fn refuse_syncs(&mut self, refused: &GroupRefused, ledger: &mut Ledger) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            self.set_assignment(&id, bytes::Bytes::new());
            if let Some(token) = self.take_sync(&id) {
                ledger.answer(token, Answer::Sync(Err(refused.clone())));
            }
        }
    }

    pub(super) fn take_sync(&mut self, id: &MemberId) -> Option<Token> {
        self.members.get_mut(id)?.sync.take()
    }
}
