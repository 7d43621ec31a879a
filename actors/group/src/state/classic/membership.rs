//! The member list of a classic group and the numbers that are kept beside it. No phase, timer or answer is
//! decided here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ClassicGroup, ClassicMember};
use crate::messages::{JoinedGroup, JoinedMember, Token};
use crate::names::{InstanceId, MemberId};
use crate::records::JoinProtocol;
use crate::refusal::GroupRefused;

impl ClassicGroup {
    /// Adds a member. The first one leads and gives the group its type.
    pub(crate) fn insert(&mut self, mut member: ClassicMember) {
        self.next_order += 1;
        member.order = self.next_order;
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if let Some(instance) = &member.instance_id {
            self.static_ids.insert(instance.clone(), member.id.clone());
        }
        self.count(&member.protocols, true);
        self.member_bytes += member.bytes();
        self.joining_count += usize::from(member.join.is_some());
        self.pending_ids.remove(&member.id);
        self.by_order.insert(member.order, member.id.clone());
        let old = self.members.insert(member.id.clone(), member);
        assert!(old.is_none(), "a member is added once");
    }

    /// Takes a member out, or an id that was handed out. Its parked requests come back in the member.
    pub(super) fn remove(&mut self, id: &MemberId) -> Option<ClassicMember> {
        self.pending_ids.remove(id);
        self.pending_sync.remove(id);
        let member = self.members.remove(id)?;
        self.by_order.remove(&member.order);
        self.count(&member.protocols, false);
        self.member_bytes -= member.bytes();
        self.joining_count -= usize::from(member.join.is_some());
        if let Some(instance) = &member.instance_id
            && self.static_ids.get(instance) == Some(id)
        {
            self.static_ids.remove(instance);
        }
        if self.leader.as_ref() == Some(id) {
            self.leader = self.oldest(|_| true);
        }
        Some(member)
    }

    /// The member that joined first among those that qualify.
    pub(super) fn oldest(&self, qualifies: impl Fn(&ClassicMember) -> bool) -> Option<MemberId> {
        let is_fit = |id: &&MemberId| self.members.get(*id).is_some_and(&qualifies);
        self.by_order.values().find(is_fit).cloned()
    }

    /// Takes over what a member says of itself in a new join.
    pub(super) fn update(
        &mut self,
        id: &MemberId,
        protocols: &[JoinProtocol],
        timeouts_ms: (i32, i32),
    ) {
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        self.count(&member.protocols, false);
        self.member_bytes -= member.bytes();
        member.protocols = protocols.to_vec();
        (member.rebalance_timeout_ms, member.session_timeout_ms) = timeouts_ms;
        self.count(&member.protocols, true);
        self.member_bytes += member.bytes();
        self.members.insert(id.clone(), member);
    }

    /// Gives a static member another id in place. Source: KIP-345.
    pub(super) fn rename(&mut self, old: &MemberId, new: &MemberId) {
        let Some(mut member) = self.members.remove(old) else {
            return;
        };
        if let Some(instance) = &member.instance_id {
            self.static_ids.insert(instance.clone(), new.clone());
        }
        if self.leader.as_ref() == Some(old) {
            self.leader = Some(new.clone());
        }
        if self.pending_sync.remove(old) {
            self.pending_sync.insert(new.clone());
        }
        self.by_order.insert(member.order, new.clone());
        member.id = new.clone();
        self.members.insert(new.clone(), member);
    }

    /// Parks a join. Returns the token of an older one that nobody waits for any more.
    pub(super) fn park_join(&mut self, id: &MemberId, token: Token) -> Option<Token> {
        let old = self.members.get_mut(id)?.join.replace(token);
        self.joining_count += usize::from(old.is_none());
        old
    }

    /// Takes a parked join.
    pub(super) fn take_join(&mut self, id: &MemberId) -> Option<Token> {
        let token = self.members.get_mut(id)?.join.take()?;
        self.joining_count -= 1;
        Some(token)
    }

    /// Parks the join of a member that came while the group changed its protocol.
    pub(crate) fn await_rebalance(&mut self, id: &MemberId, token: Token) {
        self.park_join(id, token);
    }

    /// Gives members the protocols that their last record does not hold.
    pub(crate) fn set_protocols(&mut self, protocols: BTreeMap<MemberId, Vec<JoinProtocol>>) {
        for (id, protocols) in protocols {
            if let Some(member) = self.members.get(&id) {
                let timeouts_ms = (member.rebalance_timeout_ms, member.session_timeout_ms);
                self.update(&id, &protocols, timeouts_ms);
            }
        }
    }

    pub(super) fn set_assignment(&mut self, id: &MemberId, assignment: bytes::Bytes) {
        if let Some(member) = self.members.get_mut(id) {
            self.member_bytes = self.member_bytes - member.assignment.len() + assignment.len();
            member.assignment = assignment;
        }
    }

    /// Member of an instance id.
    pub(crate) fn static_member(&self, instance: &InstanceId) -> Option<&MemberId> {
        self.static_ids.get(instance)
    }

    pub(super) fn is_leader(&self, id: &MemberId) -> bool {
        self.leader.as_ref() == Some(id)
    }

    /// Checks that the ids belong together and to a member.
    pub(crate) fn check_member(
        &self,
        id: &MemberId,
        instance: Option<&InstanceId>,
    ) -> Result<(), GroupRefused> {
        if let Some(instance) = instance {
            match self.static_ids.get(instance) {
                None => return Err(GroupRefused::unknown_member(id)),
                Some(owner) if owner != id => {
                    return Err(GroupRefused::FencedInstance {
                        owner: owner.clone(),
                    });
                }
                Some(_) => {}
            }
        }
        match self.members.contains_key(id) {
            true => Ok(()),
            false => Err(GroupRefused::unknown_member(id)),
        }
    }

    /// Checks the generation that a member believes in.
    pub(crate) fn check_generation(&self, sent: i32) -> Result<(), GroupRefused> {
        let current = self.generation;
        match sent == current {
            true => Ok(()),
            false => Err(GroupRefused::IllegalGeneration { sent, current }),
        }
    }

    /// What a member is told when its join completes, or is answered anew.
    pub(super) fn joined(&self, id: &MemberId) -> JoinedGroup {
        let members = match self.is_leader(id) {
            true => self.joined_members(),
            false => Vec::new(),
        };
        JoinedGroup {
            member_id: id.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            members,
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let member = |member: &ClassicMember| JoinedMember {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(self.protocol.as_ref()),
        };
        self.members.values().map(member).collect()
    }

    /// True when the group could take a member of this type with these protocols.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[JoinProtocol]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let is_common = |protocol: &JoinProtocol| {
            self.protocol_counts.get(&protocol.name) == Some(&self.members.len())
        };
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(is_common)
    }

    /// The protocol of the next generation: each member votes for the first of its own that all support.
    /// Equal votes go to the name that sorts first (Kafka leaves it to the order of a hash map).
    pub(crate) fn select_protocol(&self) -> Option<Arc<str>> {
        let mut votes = BTreeMap::new();
        for member in self.members.values() {
            let vote = member.protocols.iter().find(|protocol| {
                self.protocol_counts.get(&protocol.name) == Some(&self.members.len())
            });
            if let Some(vote) = vote {
                *votes.entry(&vote.name).or_insert(0usize) += 1;
            }
        }
        let winner = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        winner.map(|(name, _)| name.clone())
    }

    /// Counts each protocol once per member, however often it names it.
    fn count(&mut self, protocols: &[JoinProtocol], is_added: bool) {
        for (at, protocol) in protocols.iter().enumerate() {
            if protocols[..at]
                .iter()
                .any(|before| before.name == protocol.name)
            {
                continue;
            }
            let count = self
                .protocol_counts
                .entry(protocol.name.clone())
                .or_insert(0);
            if is_added {
                *count += 1;
            } else {
                *count -= 1;
                if *count == 0 {
                    self.protocol_counts.remove(&protocol.name);
                }
            }
        }
    }
}
