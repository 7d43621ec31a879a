//! Heartbeat and LeaveGroup.

use super::{ClassicGroup, ClassicMember, ClassicState};
use crate::messages::{Answer, Heartbeat, LeaveGroup, LeavingMember, LeftMember};
use crate::names::MemberId;
use crate::refusal::GroupRefused;
use crate::state::{Context, Ledger, TimerKey};

impl ClassicGroup {
    /// Notes that a member lives, and tells it whether to join again.
    pub(crate) fn heartbeat(
        &mut self,
        request: &Heartbeat,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Result<(), GroupRefused> {
        let id = &request.member_id;
        self.check_member(id, request.instance_id.as_ref())?;
        self.check_generation(request.generation)?;
        self.renew_session(id, cx, ledger);
        match self.state {
            ClassicState::Empty => Err(GroupRefused::unknown_member(id)),
            ClassicState::PreparingRebalance => Err(GroupRefused::RebalanceInProgress),
            ClassicState::CompletingRebalance | ClassicState::Stable => Ok(()),
        }
    }

    /// Lets members go, each judged on its own.
    pub(crate) fn leave(
        &mut self,
        request: &LeaveGroup,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Vec<LeftMember> {
        let mut left = Vec::with_capacity(request.members.len());
        for member in &request.members {
            left.push(LeftMember {
                member_id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                result: self.leave_one(member, ledger),
            });
        }
        if left.iter().any(|member| member.result.is_ok()) {
            match self.state {
                ClassicState::Empty => {}
                _ => self.rebalance_or_complete(cx, ledger),
            }
        }
        left
    }

    fn leave_one(
        &mut self,
        leaving: &LeavingMember,
        ledger: &mut Ledger,
    ) -> Result<(), GroupRefused> {
        let sent = &leaving.member_id;
        let id = if sent.is_empty() {
            // An administrator removes a static member whose id it does not know.
            let instance = leaving.instance_id.as_ref();
            let found = instance.and_then(|instance| self.static_member(instance));
            found
                .cloned()
                .ok_or_else(|| GroupRefused::unknown_member(sent))?
        } else if self.pending_ids.contains(sent) {
            sent.clone()
        } else {
            self.check_member(sent, leaving.instance_id.as_ref())?;
            sent.clone()
        };
        self.dismiss_member(&id, ledger);
        Ok(())
    }

    /// Takes a member, or an id that was handed out, off the list.
    pub(super) fn dismiss_member(&mut self, id: &MemberId, ledger: &mut Ledger) {
        ledger.timers.cancel(&TimerKey::Session(id.clone()));
        if let Some(member) = self.remove(id) {
            self.release(member, ledger);
        }
    }

    /// Answers what a removed member has parked: its client, if it lives, joins anew.
    pub(super) fn release(&mut self, member: ClassicMember, ledger: &mut Ledger) {
        let refused = GroupRefused::unknown_member(&member.id);
        if let Some(token) = member.join {
            ledger.answer(token, Answer::Join(Err(refused.clone().of_nobody())));
        }
        if let Some(token) = member.sync {
            ledger.answer(token, Answer::Sync(Err(refused)));
        }
    }
}
