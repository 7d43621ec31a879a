//! SyncGroup: the leader brings the assignment, it goes to the log, then everybody gets its part.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{ClassicGroup, ClassicState};
use crate::messages::{Answer, SyncGroup, SyncedGroup, Token};
use crate::names::MemberId;
use crate::refusal::GroupRefused;
use crate::state::ledger::Continuation;
use crate::state::{Context, Ledger, TimerKey};

/// What the leader brought, on its way to the log.
#[derive(Debug)]
pub(crate) struct LeaderSync {
    generation: i32,
    assignments: BTreeMap<MemberId, Bytes>,
}

impl ClassicGroup {
    /// Answers a member's sync, or parks it until the leader's is committed.
    pub(crate) fn sync(
        &mut self,
        token: Token,
        request: &SyncGroup,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Result<Option<SyncedGroup>, GroupRefused> {
        let id = &request.member_id;
        self.check_member(id, request.instance_id.as_ref())?;
        self.check_generation(request.generation)?;
        let differs =
            |sent: &Option<Arc<str>>, own: &Option<Arc<str>>| sent.is_some() && sent != own;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(GroupRefused::InconsistentProtocol);
        }
        match self.state {
            ClassicState::Empty => Err(GroupRefused::unknown_member(id)),
            ClassicState::PreparingRebalance => Err(GroupRefused::RebalanceInProgress),
            ClassicState::CompletingRebalance => {
                if let Some(member) = self.members.get_mut(id)
                    && let Some(old) = member.sync.replace(token)
                {
                    ledger.answer(old, Answer::Sync(Err(GroupRefused::RebalanceInProgress)));
                }
                self.has_synced(id, ledger);
                if self.is_leader(id) && !self.is_storing_assignment {
                    self.check_assignment_bytes(request, cx)?;
                    self.store(request, ledger);
                }
                Ok(None)
            }
            ClassicState::Stable => {
                self.has_synced(id, ledger);
                Ok(Some(self.synced(id)))
            }
        }
    }

    /// One sync less to wait for.
    fn has_synced(&mut self, id: &MemberId, ledger: &mut Ledger) {
        self.pending_sync.remove(id);
        if self.pending_sync.is_empty() {
            ledger.timers.cancel(&TimerKey::SyncPhase);
        }
    }

    fn check_assignment_bytes(
        &mut self,
        request: &SyncGroup,
        cx: &Context<'_>,
    ) -> Result<(), GroupRefused> {
        let bytes: usize = request
            .assignments
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum();
        let limit = cx.config.group_bytes_max;
        if self.member_bytes + bytes <= limit {
            return Ok(());
        }
        if let Some(member) = self.members.get_mut(&request.member_id) {
            member.sync = None;
        }
        Err(GroupRefused::GroupFull { limit })
    }

    fn store(&mut self, request: &SyncGroup, ledger: &mut Ledger) {
        // What is assigned to members that are not there is dropped; who got nothing gets an empty assignment.
        let assignments: BTreeMap<MemberId, Bytes> = request
            .assignments
            .iter()
            .filter(|(id, _)| self.members.contains_key(id))
            .map(|(id, bytes)| (id.clone(), Bytes::copy_from_slice(bytes)))
            .collect();
        self.is_storing_assignment = true;
        self.write_value(ledger, |member| {
            assignments.get(&member.id).cloned().unwrap_or_default()
        });
        let generation = self.generation;
        ledger.then(Continuation::LeaderSynced(LeaderSync {
            generation,
            assignments,
        }));
    }

    fn synced(&self, id: &MemberId) -> SyncedGroup {
        let member = self.members.get(id);
        SyncedGroup {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: member.map_or_else(Bytes::new, |member| member.assignment.clone()),
        }
    }

    /// True when the group still waits for this assignment: another rebalance may have begun meanwhile.
    fn awaits(&self, sync: &LeaderSync) -> bool {
        self.state == ClassicState::CompletingRebalance && self.generation == sync.generation
    }

    /// The assignment is committed: the group is stable, all parked syncs are answered.
    pub(crate) fn assignment_committed(
        &mut self,
        sync: LeaderSync,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) {
        if !self.awaits(&sync) {
            return;
        }
        let mut assignments = sync.assignments;
        self.is_storing_assignment = false;
        self.enter(ClassicState::Stable, cx);
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            self.set_assignment(&id, assignments.remove(&id).unwrap_or_default());
            if let Some(token) = self.take_sync(&id) {
                // Its session may have come due while it was parked, without effect.
                self.renew_session(&id, cx, ledger);
                ledger.answer_now(token, Answer::Sync(Ok(self.synced(&id))));
            }
        }
    }

    /// The assignment was not written: everybody is told, and joins again.
    pub(crate) fn assignment_lost(
        &mut self,
        sync: &LeaderSync,
        refused: &GroupRefused,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) {
        if self.awaits(sync) {
            self.is_storing_assignment = false;
            self.refuse_syncs(refused, ledger);
            self.prepare_rebalance(cx, ledger);
        }
    }
}
