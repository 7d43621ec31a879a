//! A group of the classic protocol: the broker gathers members, a client among them assigns.
//!
//! Most of it is memory only. The log learns of a group when its leader syncs, when it becomes empty, and
//! when a static member changes its id in between; `value` is what is written then. Source: KIP-62 (rebalance
//! timeout), KIP-134 (initial delay), KIP-345 (static members), KIP-394 (member ids first).

mod expire;
mod join;
mod leave;
mod membership;
mod phases;
mod sync;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use join::{StaticReplacement, check_session_timeout, copied, timeouts_ms};
pub(crate) use sync::LeaderSync;

use super::{Context, Ledger, TimerKey};
use crate::embedded::{self, CONSUMER_PROTOCOL};
use crate::messages::{Answer, GroupState, Token};
use crate::names::{InstanceId, MemberId};
use crate::records::{Change, ClassicGroupValue, ClassicMemberValue, JoinProtocol};
use crate::refusal::GroupRefused;

/// Where a classic group is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ClassicState {
    #[default]
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

/// One member of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassicMember {
    pub(crate) id: MemberId,
    pub(crate) instance_id: Option<InstanceId>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// In order of preference.
    pub(crate) protocols: Vec<JoinProtocol>,
    pub(crate) assignment: Bytes,
    /// Rises with every member that is added: the first to join leads.
    pub(super) order: u64,
    /// Has not completed a join phase yet, so it cannot send heartbeats.
    pub(super) is_new: bool,
    /// Parked JoinGroup.
    pub(super) join: Option<Token>,
    /// Parked SyncGroup.
    pub(super) sync: Option<Token>,
}

impl ClassicMember {
    /// Metadata for a protocol, empty when the member does not support it.
    pub(crate) fn metadata(&self, protocol: Option<&Arc<str>>) -> Bytes {
        let found = self
            .protocols
            .iter()
            .find(|supported| Some(&supported.name) == protocol);
        found.map_or_else(Bytes::new, |found| found.metadata.clone())
    }

    fn bytes(&self) -> usize {
        protocol_bytes(&self.protocols) + self.assignment.len()
    }
}

/// Bytes that a member's protocols hold.
pub(crate) fn protocol_bytes(protocols: &[JoinProtocol]) -> usize {
    protocols
        .iter()
        .map(|protocol| protocol.name.len() + protocol.metadata.len())
        .sum()
}

/// The delay before the first rebalance of an empty group ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InitialDelay {
    delay_ms: i64,
    remaining_ms: i64,
    /// Somebody joined since the delay began, so it is extended once more.
    has_grown: bool,
}

/// A classic group.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClassicGroup {
    pub(crate) state: ClassicState,
    /// Wall clock of the last change of state; -1 unknown.
    pub(crate) state_ms: i64,
    pub(crate) generation: i32,
    /// `None` for a group that only stores offsets.
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Option<MemberId>,
    pub(crate) members: BTreeMap<MemberId, ClassicMember>,
    /// Members in the order in which they were added: leaders may go one after the other.
    by_order: BTreeMap<u64, MemberId>,
    static_ids: HashMap<InstanceId, MemberId>,
    /// Ids that were handed out and not used yet.
    pending_ids: BTreeSet<MemberId>,
    /// Members that have joined and not synced.
    pending_sync: BTreeSet<MemberId>,
    /// Members with a parked join; kept as a number because every join asks.
    joining_count: usize,
    /// How many members support each protocol.
    protocol_counts: HashMap<Arc<str>, usize>,
    next_order: u64,
    initial_delay: Option<InitialDelay>,
    /// The leader's assignment is on its way to the log.
    is_storing_assignment: bool,
    /// Topics of all members; `None` when unknown or not of consumers.
    subscribed: Option<BTreeSet<Arc<str>>>,
    member_bytes: usize,
}

impl ClassicGroup {
    /// The group as its last record describes it: stable, or empty.
    pub(crate) fn from_value(value: &ClassicGroupValue) -> Self {
        let is_typed = !value.protocol_type.is_empty();
        let mut group = Self {
            state: match value.members.is_empty() {
                true => ClassicState::Empty,
                false => ClassicState::Stable,
            },
            state_ms: value.state_ms,
            generation: value.generation,
            protocol_type: is_typed.then(|| value.protocol_type.clone()),
            ..Self::default()
        };
        for member in &value.members {
            if group.members.contains_key(&member.member_id) {
                continue;
            }
            group.insert(ClassicMember {
                id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: match member.rebalance_timeout_ms {
                    -1 => member.session_timeout_ms,
                    known_ms => known_ms,
                },
                session_timeout_ms: member.session_timeout_ms,
                protocols: vec![JoinProtocol {
                    name: value.protocol.clone().unwrap_or_default(),
                    metadata: member.subscription.clone(),
                }],
                assignment: member.assignment.clone(),
                order: 0,
                is_new: false,
                join: None,
                sync: None,
            });
        }
        group.protocol_type = is_typed.then(|| value.protocol_type.clone());
        group.protocol = value.protocol.clone();
        group.leader = value.leader.clone().or(group.leader);
        group.learn_subscriptions();
        group
    }

    /// The group as the log is to know it.
    pub(crate) fn value(
        &self,
        assignment_of: impl Fn(&ClassicMember) -> Bytes,
    ) -> ClassicGroupValue {
        let member_value = |member: &ClassicMember| ClassicMemberValue {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(self.protocol.as_ref()),
            assignment: assignment_of(member),
        };
        ClassicGroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_ms: self.state_ms,
            members: self.members.values().map(member_value).collect(),
        }
    }

    fn write_value(&self, ledger: &mut Ledger, assignment_of: impl Fn(&ClassicMember) -> Bytes) {
        let value = self.value(assignment_of);
        ledger.write(Change::ClassicGroup(Some(Arc::new(value))));
    }

    /// True when nobody is there, and nobody was told to come.
    pub(crate) fn is_deserted(&self) -> bool {
        self.members.is_empty() && self.pending_ids.is_empty()
    }

    /// State as Kafka names it.
    pub(crate) fn group_state(&self) -> GroupState {
        match self.state {
            ClassicState::Empty => GroupState::Empty,
            ClassicState::PreparingRebalance => GroupState::PreparingRebalance,
            ClassicState::CompletingRebalance => GroupState::CompletingRebalance,
            ClassicState::Stable => GroupState::Stable,
        }
    }

    /// True for groups of consumers, whose bytes the broker can read.
    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL)
    }

    /// True when a member reads the topic, as far as the broker can know: consumers whose subscription it
    /// cannot read may read any.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// Forgets the ids that were handed out and not used: the group is deleted.
    pub(crate) fn forget_pending(&mut self, ledger: &mut Ledger) {
        for id in std::mem::take(&mut self.pending_ids) {
            ledger.timers.cancel(&TimerKey::Session(id));
        }
    }

    /// True when the topics of all members are known.
    pub(crate) fn knows_subscriptions(&self) -> bool {
        self.subscribed.is_some()
    }

    fn learn_subscriptions(&mut self) {
        self.subscribed = None;
        if !self.is_of_consumers() {
            return;
        }
        let mut topics = BTreeSet::new();
        if self.protocol.is_some() {
            for member in self.members.values() {
                let metadata = member.metadata(self.protocol.as_ref());
                match embedded::read_subscription(&metadata) {
                    Some(subscription) => topics.extend(subscription.topics),
                    None => return,
                }
            }
            self.subscribed = Some(topics);
        } else if self.members.is_empty() {
            self.subscribed = Some(topics);
        }
    }

    fn enter(&mut self, state: ClassicState, cx: &Context<'_>) {
        self.state = state;
        self.state_ms = cx.now.wall_ms;
    }

    /// Longest time that any member wants for a rebalance.
    fn rebalance_timeout_ms(&self) -> i64 {
        let timeouts = self
            .members
            .values()
            .map(|member| i64::from(member.rebalance_timeout_ms));
        timeouts.max().unwrap_or(0)
    }

    fn has_all_joined(&self) -> bool {
        self.joining_count == self.members.len() && self.pending_ids.is_empty()
    }

    /// Starts the session of a member anew.
    fn renew_session(&self, member: &MemberId, cx: &Context<'_>, ledger: &mut Ledger) {
        if let Some(member) = self.members.get(member) {
            let at_ms = cx.now.tick_ms + i64::from(member.session_timeout_ms);
            ledger
                .timers
                .set(TimerKey::Session(member.id.clone()), at_ms, 0);
        }
    }

    /// Sets the timers that belong to the state: after a load, or when a change of protocol was undone.
    pub(crate) fn resume(&mut self, cx: &Context<'_>, ledger: &mut Ledger) {
        let members: Vec<MemberId> = self.members.keys().cloned().collect();
        for member in &members {
            self.renew_session(member, cx, ledger);
        }
        for id in &self.pending_ids {
            let at_ms = cx.now.tick_ms + i64::from(cx.config.new_member_join_timeout_ms);
            ledger.timers.set(TimerKey::Session(id.clone()), at_ms, 0);
        }
        match self.state {
            ClassicState::Empty => {}
            ClassicState::PreparingRebalance => self.await_joins(cx, ledger),
            ClassicState::CompletingRebalance => self.await_syncs(cx, ledger),
            // The limit may have been lowered since: a rebalance lets members commit before some must go.
            ClassicState::Stable if members.len() > cx.config.classic_size_max => {
                self.prepare_rebalance(cx, ledger);
            }
            ClassicState::Stable => {}
        }
    }

    /// Refuses all parked requests: the group changes its protocol, or ends.
    pub(crate) fn dismiss(&mut self, refused: &GroupRefused) -> Vec<(Token, Answer)> {
        let mut answers = Vec::new();
        for member in self.members.values_mut() {
            if let Some(token) = member.join.take() {
                answers.push((token, Answer::Join(Err(refused.clone()))));
            }
            if let Some(token) = member.sync.take() {
                answers.push((token, Answer::Sync(Err(refused.clone()))));
            }
        }
        self.joining_count = 0;
        answers
    }
}
