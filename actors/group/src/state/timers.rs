//! Deadlines of one group. A timer is a fact of the state: the shell only needs to know the earliest one, and
//! calls [`crate::Group::tick`] when it has come.

use std::collections::{BTreeSet, HashMap};

use crate::names::MemberId;

/// What a deadline is for; a group has at most one of each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimerKey {
    /// Classic: the join phase ends with whoever has joined.
    JoinPhase,
    /// Classic: members that have not synced are removed.
    SyncPhase,
    /// The member has not been heard of. Also for ids that were handed out and not used yet.
    Session(MemberId),
    /// Consumer: the member has not given up its partitions.
    Rebalance(MemberId),
    /// Consumer group, classic member: it has not joined again after it was told to.
    Join(MemberId),
    /// Consumer group, classic member: it has not synced after its join.
    Sync(MemberId),
}

/// All deadlines, findable by key and by time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    by_key: HashMap<TimerKey, (i64, i32)>,
    by_time: BTreeSet<(i64, TimerKey)>,
}

impl Timers {
    /// Sets or moves a deadline. `mark` comes back with it: a generation or an epoch that tells a late timer
    /// from a valid one.
    pub(crate) fn set(&mut self, key: TimerKey, at_ms: i64, mark: i32) {
        if let Some((old_ms, _)) = self.by_key.insert(key.clone(), (at_ms, mark)) {
            self.by_time.remove(&(old_ms, key.clone()));
        }
        self.by_time.insert((at_ms, key));
    }

    /// Sets a deadline unless there is one.
    pub(crate) fn set_if_absent(&mut self, key: TimerKey, at_ms: i64, mark: i32) {
        if !self.by_key.contains_key(&key) {
            self.set(key, at_ms, mark);
        }
    }

    /// Forgets a deadline, if there is one.
    pub(crate) fn cancel(&mut self, key: &TimerKey) {
        if let Some((at_ms, _)) = self.by_key.remove(key) {
            self.by_time.remove(&(at_ms, key.clone()));
        }
    }

    /// Forgets everything that waits for one member.
    pub(crate) fn cancel_member(&mut self, member: &MemberId) {
        for key in [
            TimerKey::Session(member.clone()),
            TimerKey::Rebalance(member.clone()),
            TimerKey::Join(member.clone()),
            TimerKey::Sync(member.clone()),
        ] {
            self.cancel(&key);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.by_key.clear();
        self.by_time.clear();
    }

    /// The earliest deadline.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// Takes one deadline that has come, earliest first, with its mark.
    pub(crate) fn pop_due(&mut self, now_ms: i64) -> Option<(TimerKey, i32)> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        let (_, mark) = self.by_key.remove(&key)?;
        Some((key, mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_once() {
        let mut timers = Timers::default();
        let session = |name: &str| TimerKey::Session(MemberId::new(name));
        timers.set(session("a"), 10, 1);
        timers.set(session("b"), 5, 2);
        timers.set(session("a"), 3, 3);
        timers.set_if_absent(session("a"), 1, 4);
        timers.set(TimerKey::JoinPhase, 7, 0);
        timers.cancel(&TimerKey::JoinPhase);
        assert_eq!(timers.next_ms(), Some(3));
        assert_eq!(timers.pop_due(2), None);
        assert_eq!(timers.pop_due(9), Some((session("a"), 3)));
        assert_eq!(timers.pop_due(9), Some((session("b"), 2)));
        assert_eq!(timers.pop_due(99), None);
        assert_eq!(timers.next_ms(), None);
    }
}
