//! What one group decides. Events go in with the time, the topics and the settings; effects come out: answers,
//! records to append, the next deadline. No clock, randomness, I/O or mailbox in here.
//!
//! An event is decided upon all decisions before it, committed or not, and its answer waits until all of them
//! are committed; `ledger` tells how that is undone when the log refuses.

mod classic;
mod consumer;
mod durable;
mod key_index;
mod ledger;
mod migration;
mod offsets;
mod timers;
mod views;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use classic::{ClassicGroup, ClassicState, check_session_timeout};
pub use consumer::AssignmentJob;
pub(crate) use consumer::ComputedTargets;
use consumer::ConsumerSoft;
pub use key_index::KeyIndex;
pub use ledger::Append;
use ledger::{Continuation, Ledger};
use timers::TimerKey;

use crate::config::GroupConfig;
use crate::messages::{
    Answer, JoinGroup, JoinedGroup, LeaveGroup, LeftMember, Now, Request, Token,
};
use crate::names::GroupId;
use crate::records::Change;
use crate::refusal::GroupRefused;
use crate::topics::TopicCatalog;

/// What an event is judged by.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time of the event.
    pub now: Now,
    /// Settings of this group.
    pub config: &'a GroupConfig,
    /// The cluster's topics.
    pub topics: &'a dyn TopicCatalog,
    /// Random bytes for an id that the event may have to make; fresh for every event.
    pub fresh_id: [u8; 16],
    /// What was found of the expression that a heartbeat brings; without it the event checks by itself.
    pub checked_regex: Option<&'a CheckedRegex>,
}

/// An expression that was checked beside the group's thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRegex {
    /// As the member sent it.
    pub expression: Arc<str>,
    /// What [`crate::regex::check`] says of it.
    pub verdict: Result<(), GroupRefused>,
}

/// What the shell has to do after an event, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Answers that may go out.
    pub answers: Vec<(Token, Answer)>,
    /// One atomic batch. The next one comes after [`Group::committed`] or [`Group::append_refused`].
    pub append: Option<Append>,
    /// Expressions to search with [`crate::regex::resolve`]; the result goes to [`Group::regexes_resolved`].
    pub resolve: Option<BTreeSet<Arc<str>>>,
    /// A target to compute beside the group's thread; the result goes to `target_computed`.
    pub assign: Option<Arc<AssignmentJob>>,
    /// When [`Group::tick`] is due next, on the clock of [`Now::tick_ms`]. It replaces what was said before.
    pub wake_ms: Option<i64>,
    /// The instance is of no more use.
    pub end: Option<End>,
}

/// Why an instance of a group ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing is left of the group, in memory or in the log.
    Void,
    /// Memory may differ from the log: build a new instance from the group's records.
    Rebuild,
}

/// The protocol that a group speaks.
#[derive(Debug)]
enum Kind {
    /// Also a group that only stores offsets, and one that does not exist yet.
    Classic(Box<ClassicGroup>),
    /// Its records are in the ledger.
    Consumer(ConsumerSoft),
}

/// One group, existing or not.
#[derive(Debug)]
pub struct Group {
    id: GroupId,
    kind: Kind,
    ledger: Ledger,
    /// It existed, and was not deleted: Kafka keeps such a group, empty, until its next look for old offsets.
    /// Memory only, so it ends with the instance at the latest.
    lingers: bool,
}

impl Group {
    /// A group of which nothing is known yet.
    pub fn new(id: GroupId) -> Self {
        Self {
            id,
            kind: Kind::Classic(Box::default()),
            ledger: Ledger::default(),
            lingers: false,
        }
    }

    /// The group's id.
    pub const fn id(&self) -> &GroupId {
        &self.id
    }

    /// Takes one record from the log, in order. Call [`Group::loaded`] after the last one.
    pub fn replay(&mut self, change: Change) {
        self.ledger.durable.apply(change);
    }

    /// Begins to work with what was replayed: sessions of all members start anew.
    pub fn loaded(&mut self, cx: &Context<'_>) -> Effects {
        // Both at once is no state that a group writes; the newer protocol is the later one.
        if self.ledger.durable.consumer.is_void() {
            let value = self.ledger.durable.classic.clone();
            let mut classic = value.map_or_else(ClassicGroup::default, |value| {
                ClassicGroup::from_value(&value)
            });
            classic.resume(cx, &mut self.ledger);
            self.kind = Kind::Classic(Box::new(classic));
        } else {
            self.kind = Kind::Consumer(ConsumerSoft::default());
            consumer::resume(cx, &mut self.ledger);
        }
        self.conclude(cx)
    }

    /// Takes one request. Its answer is among the effects of this event or of a later one, exactly once.
    pub fn handle(&mut self, token: Token, request: &Request, cx: &Context<'_>) -> Effects {
        let answer = match request {
            Request::Join(request) => self.join(token, request, cx).transpose().map(Answer::Join),
            Request::Sync(request) => {
                let synced = match &mut self.kind {
                    Kind::Classic(classic) => classic.sync(token, request, cx, &mut self.ledger),
                    Kind::Consumer(_) => self.bridge_sync(request, cx).map(Some),
                };
                synced.transpose().map(Answer::Sync)
            }
            Request::Heartbeat(request) => Some(Answer::Heartbeat(match &mut self.kind {
                Kind::Classic(classic) => classic.heartbeat(request, cx, &mut self.ledger),
                Kind::Consumer(_) => self.bridge_heartbeat(request, cx),
            })),
            Request::Leave(request) => Some(Answer::Leave(Ok(self.leave(request, cx)))),
            Request::ConsumerHeartbeat(request) => Some(Answer::ConsumerHeartbeat(
                self.consumer_heartbeat(request, cx),
            )),
            Request::CommitOffsets(request) => {
                Some(Answer::CommitOffsets(self.commit_offsets(request, cx)))
            }
            Request::FetchOffsets(request) => {
                Some(Answer::FetchOffsets(self.fetch_offsets(request)))
            }
            Request::DeleteOffsets(request) => {
                Some(Answer::DeleteOffsets(self.delete_offsets(request, cx)))
            }
            Request::DeleteGroup => Some(Answer::DeleteGroup(self.delete())),
            Request::DescribeClassic => Some(Answer::DescribeClassic(self.describe_classic())),
            Request::DescribeConsumer => Some(Answer::DescribeConsumer(self.describe_consumer())),
            Request::List => Some(Answer::List(self.listing())),
        };
        if let Some(answer) = answer {
            if is_refused(&answer) {
                // A refused request changes nothing, however far it came.
                self.ledger.rollback();
            }
            self.ledger.answer(token, answer);
        }
        self.conclude(cx)
    }

    fn join(
        &mut self,
        token: Token,
        request: &JoinGroup,
        cx: &Context<'_>,
    ) -> Result<Option<JoinedGroup>, GroupRefused> {
        let exists = self.exists();
        if let Kind::Classic(classic) = &mut self.kind {
            if !exists && !request.member_id.is_empty() {
                // Before the protocols are looked at: a group that is not there has no members.
                check_session_timeout(request, cx)?;
                return Err(GroupRefused::unknown_member(&request.member_id));
            }
            let joined = classic.join(token, request, cx, &mut self.ledger);
            // Kafka makes the group of a first join before it looks at the protocols.
            let is_too_early = matches!(joined, Err(GroupRefused::InvalidSessionTimeout { .. }));
            self.lingers |= request.member_id.is_empty() && !is_too_early;
            return joined;
        }
        if self.has_members() {
            return self.bridge_join(token, request, cx);
        }
        // An empty consumer group becomes a classic group at once; its offsets stay.
        let mut classic = ClassicGroup::default();
        let joined = classic.join(token, request, cx, &mut self.ledger);
        if joined.is_err() && !matches!(joined, Err(GroupRefused::MemberIdRequired { .. })) {
            return joined;
        }
        self.kind = Kind::Classic(Box::new(classic));
        if !self.ledger.durable.consumer.is_void() {
            consumer::leave::erase_all(&mut self.ledger);
        }
        joined
    }

    fn leave(&mut self, request: &LeaveGroup, cx: &Context<'_>) -> Vec<LeftMember> {
        match &mut self.kind {
            Kind::Classic(classic) => classic.leave(request, cx, &mut self.ledger),
            Kind::Consumer(_) => self.bridge_leave(request, cx),
        }
    }

    /// The append with this sequence is committed.
    pub fn committed(&mut self, sequence: u64, cx: &Context<'_>) -> Effects {
        for continuation in self.ledger.committed(sequence).unwrap_or_default() {
            if let (Continuation::LeaderSynced(sync), Kind::Classic(classic)) =
                (continuation, &mut self.kind)
            {
                classic.assignment_committed(sync, cx, &mut self.ledger);
            }
        }
        self.conclude(cx)
    }

    /// The append with this sequence was refused, and nothing of it is in the log. All that was decided since
    /// is undone, and whoever waits is told.
    pub fn append_refused(&mut self, sequence: u64, cause: &str, cx: &Context<'_>) -> Effects {
        let Some(undone) = self.ledger.failed(sequence) else {
            return self.conclude(cx);
        };
        let refused = GroupRefused::NotCommitted {
            cause: Arc::from(cause),
        };
        for (token, answer) in undone.answers {
            self.ledger
                .answer_now(token, answer.refused(refused.clone()));
        }
        let mut is_restored = false;
        for continuation in undone.continuations {
            match continuation {
                Continuation::LeaderSynced(sync) => {
                    if let Kind::Classic(classic) = &mut self.kind {
                        classic.assignment_lost(&sync, &refused, cx, &mut self.ledger);
                    }
                }
                Continuation::StaticReplaced(undo) => {
                    if let Kind::Classic(classic) = &mut self.kind {
                        classic.undo_replacement(&undo, cx, &mut self.ledger);
                    }
                }
                Continuation::LeftClassic(classic) => {
                    // The group may have come back to the classic protocol since, by another way.
                    self.dismiss_parked(&refused);
                    self.kind = Kind::Classic(classic);
                    is_restored = true;
                }
            }
        }
        if matches!(self.kind, Kind::Classic(_)) && !self.ledger.durable.consumer.is_void() {
            // It was a consumer group, whose records are all there is to know of it.
            self.dismiss_parked(&refused);
            self.kind = Kind::Consumer(ConsumerSoft::default());
        }
        // Members that were taken out are there again, without a timer that would take them out once more.
        match &mut self.kind {
            Kind::Consumer(soft) => {
                // A target that is being computed may be for members that are not there any more.
                soft.assigning = None;
                self.ledger.timers.clear();
                consumer::resume(cx, &mut self.ledger);
            }
            Kind::Classic(classic) if is_restored => {
                self.ledger.timers.clear();
                classic.resume(cx, &mut self.ledger);
            }
            Kind::Classic(_) => {}
        }
        self.conclude(cx)
    }

    /// Nobody knows whether the append with this sequence is in the log: the instance ends, and all that wait
    /// are told to ask again.
    pub fn append_lost(&mut self, sequence: u64) -> Effects {
        match self.ledger.is_awaited(sequence) {
            true => self.end(Some(End::Rebuild)),
            false => Effects {
                wake_ms: self.ledger.timers.next_ms(),
                ..Effects::default()
            },
        }
    }

    /// The shard moves away: all that wait are told to ask again, and may find the group elsewhere.
    pub fn unload(&mut self) -> Effects {
        self.end(None)
    }

    fn end(&mut self, end: Option<End>) -> Effects {
        let mut answers: Vec<_> = self
            .ledger
            .abandon()
            .into_iter()
            .map(|(token, answer)| (token, answer.refused(GroupRefused::Unloaded)))
            .collect();
        if let Kind::Classic(classic) = &mut self.kind {
            answers.extend(classic.dismiss(&GroupRefused::Unloaded));
        }
        self.ledger.timers.clear();
        Effects {
            answers,
            end,
            ..Effects::default()
        }
    }

    fn dismiss_parked(&mut self, refused: &GroupRefused) {
        if let Kind::Classic(classic) = &mut self.kind {
            for (token, answer) in classic.dismiss(refused) {
                self.ledger.answer_now(token, answer);
            }
        }
    }

    /// Does what has come due.
    pub fn tick(&mut self, cx: &Context<'_>) -> Effects {
        while let Some((key, mark)) = self.ledger.timers.pop_due(cx.now.tick_ms) {
            match &mut self.kind {
                Kind::Classic(classic) => classic.timer_due(&key, mark, cx, &mut self.ledger),
                Kind::Consumer(_) => {
                    if consumer::expire::timer_due(&key, mark, cx, &mut self.ledger) {
                        self.maybe_downgrade(None, cx);
                    }
                }
            }
        }
        self.conclude(cx)
    }

    /// Some topic appeared, changed or went. Offsets of topics that `deleted` names are forgotten.
    pub fn topics_changed(&mut self, deleted: &BTreeSet<Arc<str>>, cx: &Context<'_>) -> Effects {
        if let Kind::Consumer(soft) = &mut self.kind {
            soft.is_metadata_stale = true;
        }
        self.delete_topics(deleted);
        self.conclude(cx)
    }

    /// Takes what a search found that [`Effects::resolve`] asked for, in metadata of this version.
    pub fn regexes_resolved(
        &mut self,
        found: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
        version: i64,
        cx: &Context<'_>,
    ) -> Effects {
        if let Kind::Consumer(soft) = &mut self.kind {
            soft.regexes_resolved(found, version, cx, &mut self.ledger);
        }
        self.conclude(cx)
    }

    /// Takes the target that [`Effects::assign`] asked for; `None` when computing it failed.
    pub(crate) fn target_computed(
        &mut self,
        job: &Arc<AssignmentJob>,
        targets: Option<ComputedTargets>,
        cx: &Context<'_>,
    ) -> Effects {
        if let Kind::Consumer(soft) = &mut self.kind {
            soft.target_computed(job, targets, cx, &mut self.ledger);
        }
        self.conclude(cx)
    }

    /// The expression that a request brings and no member of the group has brought before: to compile it may
    /// take long, so [`Context::checked_regex`] should know it.
    pub(crate) fn unchecked_regex(&self, request: &Request) -> Option<Arc<str>> {
        let Request::ConsumerHeartbeat(heartbeat) = request else {
            return None;
        };
        let known = match &self.kind {
            Kind::Consumer(_) => self.ledger.durable.consumer.regex_counts(),
            Kind::Classic(_) => &BTreeMap::new(),
        };
        let brought = heartbeat.topic_regex.as_ref();
        brought
            .filter(|regex| !regex.is_empty() && !known.contains_key(*regex))
            .cloned()
    }

    /// Forgets offsets past their retention, and the group when nothing is left of it.
    pub fn expire_offsets(&mut self, cx: &Context<'_>) -> Effects {
        self.expire(cx);
        self.conclude(cx)
    }

    /// Ends an event.
    fn conclude(&mut self, cx: &Context<'_>) -> Effects {
        let append = self.ledger.conclude(cx.config.append_bytes_max);
        let (resolve, assign) = match &mut self.kind {
            Kind::Consumer(soft) => {
                if self.ledger.durable.consumer.is_void() {
                    // Another group by the same name may follow, and count its epochs from the first.
                    soft.assigning = None;
                }
                (soft.to_resolve.take(), soft.to_assign.take())
            }
            Kind::Classic(_) => (None, None),
        };
        self.lingers = self.exists();
        let is_void = !self.exists() && !self.ledger.is_pending();
        if is_void {
            self.kind = Kind::Classic(Box::default());
            self.ledger.timers.clear();
        }
        Effects {
            answers: self.ledger.take_released(),
            append,
            resolve,
            assign,
            wake_ms: self.ledger.timers.next_ms(),
            end: is_void.then_some(End::Void),
        }
    }

    /// True when anything is known of the group.
    pub(crate) fn exists(&self) -> bool {
        let is_deserted = match &self.kind {
            Kind::Classic(classic) => classic.is_deserted() && classic.state == ClassicState::Empty,
            Kind::Consumer(_) => true,
        };
        self.lingers || !is_deserted || !self.ledger.durable.is_void()
    }

    /// True when nobody would miss the instance: no member, none on its way, and nothing waits.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.has_members() && !self.ledger.is_pending() && self.ledger.timers.next_ms().is_none()
    }

    /// True while there is any member.
    pub(crate) fn has_members(&self) -> bool {
        match &self.kind {
            Kind::Classic(classic) => !classic.members.is_empty(),
            Kind::Consumer(_) => !self.ledger.durable.consumer.members().is_empty(),
        }
    }
}

/// True for a refusal of the whole request, but the one that hands an id out.
fn is_refused(answer: &Answer) -> bool {
    match answer {
        Answer::Join(Err(GroupRefused::MemberIdRequired { .. })) => false,
        Answer::Join(result) => result.is_err(),
        Answer::Sync(result) => result.is_err(),
        Answer::Heartbeat(result) => result.is_err(),
        Answer::Leave(result) => result.is_err(),
        Answer::ConsumerHeartbeat(result) => result.is_err(),
        Answer::CommitOffsets(result) => result.is_err(),
        Answer::FetchOffsets(result) => result.is_err(),
        Answer::DeleteOffsets(result) => result.is_err(),
        Answer::DeleteGroup(result) => result.is_err(),
        Answer::DescribeClassic(result) => result.is_err(),
        Answer::DescribeConsumer(result) => result.is_err(),
        Answer::List(_) => false,
    }
}
