//! What was decided and is not durable yet: changes, the answers that wait for them, and how to go back.
//!
//! A decision is visible at once to the next decisions of the same group; its answers are not given before
//! its records are committed. One append is under way at a time, the next one collects meanwhile, so a failed
//! append never leaves a record in the log that was decided upon one that is not there.
//!
//! * **Committed:** the answers of that append go out, then the next append.
//! * **Refused for certain** (no space, too few replicas before the write): everything that was decided since
//!   is undone, youngest first, and all waiting answers become refusals. The inverse of a change is the old
//!   value of its key, so undoing is applying.
//! * **Outcome unknown** (the partition restarted, or timed out): nothing in memory can be trusted to match
//!   the log. The group ends and a new instance is built from its records.
//!
//! An answer that needs no record waits for what it was decided upon: all that is pending at that moment.

use std::collections::VecDeque;

use super::classic::{ClassicGroup, LeaderSync, StaticReplacement};
use super::durable::Durable;
use super::timers::Timers;
use crate::messages::{Answer, Token};
use crate::records::Change;

/// What happens in memory when an append ends, beside its answers.
#[derive(Debug)]
pub(crate) enum Continuation {
    /// The leader's assignment: the group is stable once it is committed, else it rebalances.
    LeaderSynced(LeaderSync),
    /// A static member came back under a new id: when not committed the old id returns.
    StaticReplaced(StaticReplacement),
    /// The group left the classic protocol: when not committed it returns. The other way needs no
    /// continuation, because a consumer group is all in its records.
    LeftClassic(Box<ClassicGroup>),
}

/// Changes and answers of one event, or of several that are appended together.
#[derive(Debug, Default)]
struct Unit {
    changes: Vec<Change>,
    inverses: Vec<Change>,
    answers: Vec<(Token, Answer)>,
    continuations: Vec<Continuation>,
    bytes: usize,
    /// Where the classic group's record is among the changes, and its bytes. It holds all members, so that of
    /// many that wait only the last is written, and only the first is gone back to.
    classic: Option<(usize, usize)>,
}

impl Unit {
    /// Bytes of both together.
    fn bytes_with(&self, other: &Unit) -> usize {
        match (self.classic, other.classic) {
            (Some((_, bytes)), Some(_)) => self.bytes - bytes + other.bytes,
            _ => self.bytes + other.bytes,
        }
    }

    fn absorb(&mut self, mut other: Unit) {
        self.bytes = self.bytes_with(&other);
        match (&mut self.classic, other.classic) {
            (Some((at, bytes)), Some((later_at, later_bytes))) => {
                self.changes[*at] = other.changes.remove(later_at);
                other.inverses.remove(later_at);
                *bytes = later_bytes;
            }
            (own @ None, Some((at, bytes))) => *own = Some((self.changes.len() + at, bytes)),
            (_, None) => {}
        }
        self.changes.extend(other.changes);
        self.inverses.extend(other.inverses);
        self.answers.extend(other.answers);
        self.continuations.extend(other.continuations);
    }
}

/// Records to append in one atomic batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Comes back with the outcome; one that is not awaited is ignored.
    pub sequence: u64,
    /// In order.
    pub changes: Vec<Change>,
}

/// What failed appends leave behind, youngest first.
#[derive(Debug)]
pub(crate) struct Undone {
    pub(crate) answers: Vec<(Token, Answer)>,
    pub(crate) continuations: Vec<Continuation>,
}

/// The state that records describe, the deadlines, and what is on its way.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) durable: Durable,
    pub(crate) timers: Timers,
    /// Of the event in hand.
    unit: Unit,
    /// The first is with the log when `is_in_flight`.
    queue: VecDeque<Unit>,
    is_in_flight: bool,
    sequence: u64,
    released: Vec<(Token, Answer)>,
}

impl Ledger {
    /// Decides one change.
    pub(crate) fn write(&mut self, change: Change) {
        let bytes = change.size_estimate();
        if matches!(change, Change::ClassicGroup(_)) {
            self.unit.classic = Some((self.unit.changes.len(), bytes));
        }
        self.unit.bytes += bytes;
        self.unit.changes.push(change.clone());
        let inverse = self.durable.apply(change);
        self.unit.inverses.push(inverse);
    }

    /// Answers once everything that was decided so far is committed.
    pub(crate) fn answer(&mut self, token: Token, answer: Answer) {
        self.unit.answers.push((token, answer));
    }

    /// Answers at once: for what the commit itself made true.
    pub(crate) fn answer_now(&mut self, token: Token, answer: Answer) {
        self.released.push((token, answer));
    }

    /// Says what the append of this event is to cause. The event must have written something.
    pub(crate) fn then(&mut self, continuation: Continuation) {
        self.unit.continuations.push(continuation);
    }

    /// Takes back all that the event in hand has decided; its answers stay.
    pub(crate) fn rollback(&mut self) {
        while let Some(inverse) = self.unit.inverses.pop() {
            self.durable.apply(inverse);
        }
        self.unit.changes.clear();
        self.unit.continuations.clear();
        self.unit.bytes = 0;
        self.unit.classic = None;
    }

    /// True when the event in hand has decided any change.
    pub(crate) fn has_written(&self) -> bool {
        !self.unit.changes.is_empty()
    }

    /// True while anything waits for the log.
    pub(crate) fn is_pending(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Ends an event: its changes join the queue, or its answers go out when they wait for nothing.
    /// Returns the next append when the log is free.
    pub(crate) fn conclude(&mut self, append_bytes_max: usize) -> Option<Append> {
        let unit = std::mem::take(&mut self.unit);
        assert!(
            unit.continuations.is_empty() || !unit.changes.is_empty(),
            "a continuation waits for records"
        );
        let waiting_count = self.queue.len() - usize::from(self.is_in_flight);
        if unit.changes.is_empty() {
            match self.queue.back_mut() {
                Some(last) => last.absorb(unit),
                None => self.released.extend(unit.answers),
            }
        } else {
            match self.queue.back_mut() {
                Some(last) if waiting_count > 0 && last.bytes_with(&unit) <= append_bytes_max => {
                    last.absorb(unit);
                }
                _ => self.queue.push_back(unit),
            }
        }
        if self.is_in_flight {
            return None;
        }
        let next = self.queue.front_mut()?;
        self.is_in_flight = true;
        self.sequence += 1;
        Some(Append {
            sequence: self.sequence,
            changes: std::mem::take(&mut next.changes),
        })
    }

    /// Answers that may go out.
    pub(crate) fn take_released(&mut self) -> Vec<(Token, Answer)> {
        std::mem::take(&mut self.released)
    }

    /// The append under way is committed. Returns what it causes; `None` for one that is not awaited.
    pub(crate) fn committed(&mut self, sequence: u64) -> Option<Vec<Continuation>> {
        if !self.is_awaited(sequence) {
            return None;
        }
        self.is_in_flight = false;
        let unit = self.queue.pop_front()?;
        self.released.extend(unit.answers);
        Some(unit.continuations)
    }

    /// The append under way was refused for certain: undoes it and all that was decided since.
    pub(crate) fn failed(&mut self, sequence: u64) -> Option<Undone> {
        if !self.is_awaited(sequence) {
            return None;
        }
        Some(self.undo_all())
    }

    fn undo_all(&mut self) -> Undone {
        self.is_in_flight = false;
        let mut undone = Undone {
            answers: Vec::new(),
            continuations: Vec::new(),
        };
        while let Some(unit) = self.queue.pop_back() {
            for inverse in unit.inverses.into_iter().rev() {
                self.durable.apply(inverse);
            }
            undone
                .continuations
                .extend(unit.continuations.into_iter().rev());
            undone.answers.extend(unit.answers);
        }
        // Tokens rise, so this is the order in which the requests came.
        undone.answers.sort_by_key(|(token, _)| *token);
        undone
    }

    /// Takes all answers that wait, leaving the state as it is: the group is about to end.
    pub(crate) fn abandon(&mut self) -> Vec<(Token, Answer)> {
        let mut answers: Vec<_> = self.queue.drain(..).flat_map(|unit| unit.answers).collect();
        answers.extend(std::mem::take(&mut self.unit).answers);
        self.is_in_flight = false;
        answers
    }

    pub(crate) fn is_awaited(&self, sequence: u64) -> bool {
        self.is_in_flight && sequence == self.sequence
    }
}
