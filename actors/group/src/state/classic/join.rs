//! JoinGroup: who may come in, under which id, and whether that means a rebalance.

use bytes::Bytes;

use super::{ClassicGroup, ClassicMember, ClassicState, protocol_bytes};
use crate::messages::{Answer, JoinGroup, JoinedGroup, Token};
use crate::names::{InstanceId, MemberId, dashed};
use crate::records::JoinProtocol;
use crate::refusal::GroupRefused;
use crate::state::ledger::Continuation;
use crate::state::{Context, Ledger, TimerKey};

/// Ids that may be handed out and not used: each holds the join phase open and some memory for a session
/// timeout. Kafka has no bound; a burst of that many first joins within one round trip is no client's doing.
const PENDING_IDS_MAX: usize = 10_000;

/// Protocols that one member may name. Clients have up to four.
const PROTOCOLS_MAX: usize = 100;

/// How to undo the return of a static member under a new id.
#[derive(Debug)]
pub(crate) struct StaticReplacement {
    old_id: MemberId,
    new_id: MemberId,
    protocols: Vec<JoinProtocol>,
    timeouts_ms: (i32, i32),
}

/// `None` where the join is parked.
type Joined = Result<Option<JoinedGroup>, GroupRefused>;

impl ClassicGroup {
    /// Lets a member join.
    pub(crate) fn join(
        &mut self,
        token: Token,
        request: &JoinGroup,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Joined {
        check_session_timeout(request, cx)?;
        let id = &request.member_id;
        if !self.has_room(id, request.instance_id.as_ref(), cx.config.classic_size_max) {
            // A member that rejoins last, after the limit was lowered, has to go.
            if let Some(member) = self.remove(id) {
                self.release(member, ledger);
                self.maybe_complete_join(cx, ledger);
            }
            let limit = cx.config.classic_size_max;
            return Err(GroupRefused::GroupFull { limit });
        }
        self.check_bytes(request, cx)?;
        if !self.supports(&request.protocol_type, &request.protocols) {
            return Err(GroupRefused::InconsistentProtocol);
        }
        if id.is_empty() {
            self.join_new(token, request, cx, ledger)
        } else if self.pending_ids.contains(id) {
            if request.instance_id.is_some() {
                // Ids are handed out to dynamic members only.
                return Err(GroupRefused::unknown_member(id));
            }
            self.add(id, token, request, cx, ledger);
            Ok(None)
        } else {
            self.join_again(token, request, cx, ledger)
        }
    }

    fn has_room(&self, id: &MemberId, instance: Option<&InstanceId>, size_max: usize) -> bool {
        // A static member that comes back takes its own place, not another.
        let is_known = self.members.contains_key(id)
            || instance.is_some_and(|instance| self.static_ids.contains_key(instance));
        match self.state {
            ClassicState::Empty => true,
            ClassicState::PreparingRebalance => {
                let is_waiting = self
                    .members
                    .get(id)
                    .is_some_and(|member| member.join.is_some());
                is_waiting || self.joining_count < size_max
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                is_known || self.members.len() < size_max
            }
        }
    }

    /// Bounds what one member, and all members together, can hold of the node's memory.
    fn check_bytes(&self, request: &JoinGroup, cx: &Context<'_>) -> Result<(), GroupRefused> {
        if request.protocols.len() > PROTOCOLS_MAX {
            let cause = "a member names more than 100 protocols";
            return Err(GroupRefused::InvalidRequest { cause });
        }
        let bytes = protocol_bytes(&request.protocols);
        let bytes_max = cx.config.member_bytes_max;
        if bytes > bytes_max {
            return Err(GroupRefused::MemberTooLarge { bytes, bytes_max });
        }
        let own = self
            .members
            .get(&request.member_id)
            .map_or(0, ClassicMember::bytes);
        let limit = cx.config.group_bytes_max;
        match self.member_bytes - own + bytes > limit {
            true => Err(GroupRefused::GroupFull { limit }),
            false => Ok(()),
        }
    }

    fn join_new(
        &mut self,
        token: Token,
        request: &JoinGroup,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Joined {
        let prefix = match &request.instance_id {
            Some(instance) => instance.as_str(),
            None => &request.client.id,
        };
        let new_id = MemberId::new(&format!("{prefix}-{}", dashed(cx.fresh_id)));
        if let Some(instance) = &request.instance_id {
            return match self.static_ids.get(instance).cloned() {
                Some(old_id) => self.replace_static(&old_id, &new_id, token, request, cx, ledger),
                None => {
                    self.add(&new_id, token, request, cx, ledger);
                    Ok(None)
                }
            };
        }
        if !request.needs_member_id {
            self.add(&new_id, token, request, cx, ledger);
            return Ok(None);
        }
        if self.pending_ids.len() >= PENDING_IDS_MAX {
            let limit = PENDING_IDS_MAX;
            return Err(GroupRefused::GroupFull { limit });
        }
        self.pending_ids.insert(new_id.clone());
        let at_ms = cx.now.tick_ms + i64::from(request.session_timeout_ms);
        ledger
            .timers
            .set(TimerKey::Session(new_id.clone()), at_ms, 0);
        Err(GroupRefused::MemberIdRequired { member_id: new_id })
    }

    /// Adds a member and parks its join.
    fn add(
        &mut self,
        id: &MemberId,
        token: Token,
        request: &JoinGroup,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) {
        if let Some(delay) = &mut self.initial_delay {
            delay.has_grown = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        let (rebalance_timeout_ms, session_timeout_ms) = timeouts_ms(request);
        self.insert(ClassicMember {
            id: id.clone(),
            instance_id: request.instance_id.clone(),
            client_id: request.client.id.clone(),
            client_host: request.client.host.clone(),
            rebalance_timeout_ms,
            session_timeout_ms,
            protocols: copied(&request.protocols),
            assignment: Bytes::new(),
            order: 0,
            is_new: true,
            join: Some(token),
            sync: None,
        });
        // It cannot send heartbeats while its join is parked, and a client that gave up is not noticed: a
        // limit of its own ends the wait.
        let at_ms = cx.now.tick_ms + i64::from(cx.config.new_member_join_timeout_ms);
        ledger.timers.set(TimerKey::Session(id.clone()), at_ms, 0);
        self.rebalance_or_complete(cx, ledger);
    }

    fn join_again(
        &mut self,
        token: Token,
        request: &JoinGroup,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Joined {
        let id = &request.member_id;
        self.check_member(id, request.instance_id.as_ref())?;
        let member = &self.members[id];
        let has_changed = member.protocols != request.protocols;
        let needs_rebalance = match self.state {
            ClassicState::Empty => return Err(GroupRefused::unknown_member(id)),
            ClassicState::PreparingRebalance => true,
            // The first answer may have been lost: the same one again, unless the member says other things.
            ClassicState::CompletingRebalance => has_changed,
            // A leader that joins asks for a rebalance: it has seen something that metadata does not show.
            ClassicState::Stable => has_changed || self.is_leader(id),
        };
        if !needs_rebalance {
            return Ok(Some(self.joined(id)));
        }
        self.update(id, &copied(&request.protocols), timeouts_ms(request));
        self.park(id, token, ledger);
        self.rebalance_or_complete(cx, ledger);
        Ok(None)
    }

    fn park(&mut self, id: &MemberId, token: Token, ledger: &mut Ledger) {
        if let Some(old) = self.park_join(id, token) {
            // The client asked again; nobody reads this answer, but a port is never dropped in silence.
            ledger.answer(old, Answer::Join(Err(GroupRefused::RebalanceInProgress)));
        }
    }

    /// A static member is back under a new id; the old one is fenced.
    fn replace_static(
        &mut self,
        old_id: &MemberId,
        new_id: &MemberId,
        token: Token,
        request: &JoinGroup,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) -> Joined {
        let old_leader = self.leader.clone().unwrap_or_default();
        let owner = new_id.clone();
        let fenced = GroupRefused::FencedInstance { owner };
        if let Some(join) = self.take_join(old_id) {
            ledger.answer(join, Answer::Join(Err(fenced.clone())));
        }
        if let Some(sync) = self
            .members
            .get_mut(old_id)
            .and_then(|member| member.sync.take())
        {
            ledger.answer(sync, Answer::Sync(Err(fenced)));
        }
        ledger.timers.cancel(&TimerKey::Session(old_id.clone()));
        let old = &self.members[old_id];
        let undo = StaticReplacement {
            old_id: old_id.clone(),
            new_id: new_id.clone(),
            protocols: old.protocols.clone(),
            timeouts_ms: (old.rebalance_timeout_ms, old.session_timeout_ms),
        };
        self.rename(old_id, new_id);
        self.update(new_id, &copied(&request.protocols), timeouts_ms(request));
        self.renew_session(new_id, cx, ledger);

        match self.state {
            ClassicState::Stable if self.select_protocol() == self.protocol => {
                self.write_value(ledger, |member| member.assignment.clone());
                ledger.then(Continuation::StaticReplaced(undo));
                let mut joined = self.joined(new_id);
                if request.can_skip_assignment {
                    joined.skip_assignment = self.is_leader(new_id);
                } else {
                    // An older leader must not compute an assignment for a group that does not rebalance:
                    // it is told that its old id leads.
                    joined.members = Vec::new();
                    joined.leader = old_leader;
                }
                Ok(Some(joined))
            }
            ClassicState::Stable | ClassicState::CompletingRebalance => {
                // The leader may have been told of the old id: what it assigns would reach nobody.
                self.park(new_id, token, ledger);
                self.prepare_rebalance(cx, ledger);
                Ok(None)
            }
            ClassicState::PreparingRebalance | ClassicState::Empty => {
                self.park(new_id, token, ledger);
                self.maybe_complete_join(cx, ledger);
                Ok(None)
            }
        }
    }

    /// The record of a static member's return was not written: the old id is the true one.
    pub(crate) fn undo_replacement(
        &mut self,
        undo: &StaticReplacement,
        cx: &Context<'_>,
        ledger: &mut Ledger,
    ) {
        if self.members.contains_key(&undo.new_id) {
            self.update(&undo.new_id, &undo.protocols, undo.timeouts_ms);
            self.rename(&undo.new_id, &undo.old_id);
            ledger
                .timers
                .cancel(&TimerKey::Session(undo.new_id.clone()));
            self.renew_session(&undo.old_id, cx, ledger);
        }
    }
}

/// Checks the one time that a client asks for and the broker bounds.
pub(crate) fn check_session_timeout(
    request: &JoinGroup,
    cx: &Context<'_>,
) -> Result<(), GroupRefused> {
    let (min_ms, max_ms) = (
        cx.config.session_timeout_ms_min,
        cx.config.session_timeout_ms_max,
    );
    let sent_ms = request.session_timeout_ms;
    match (min_ms..=max_ms).contains(&sent_ms) {
        true => Ok(()),
        false => Err(GroupRefused::InvalidSessionTimeout {
            sent_ms,
            min_ms,
            max_ms,
        }),
    }
}

/// Rebalance and session timeout; version 0 has one for both.
pub(crate) fn timeouts_ms(request: &JoinGroup) -> (i32, i32) {
    let rebalance_ms = match request.rebalance_timeout_ms {
        negative if negative < 0 => request.session_timeout_ms,
        given => given,
    };
    (rebalance_ms, request.session_timeout_ms)
}

/// Protocols that do not keep the request's buffer alive.
pub(crate) fn copied(protocols: &[JoinProtocol]) -> Vec<JoinProtocol> {
    let copy = |protocol: &JoinProtocol| JoinProtocol {
        name: protocol.name.clone(),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    };
    protocols.iter().map(copy).collect()
}
