//! What a shard knows of its groups without asking them: where their records lie, and what the records say
//! of a group that nobody plays. No I/O, clock or mailbox in here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kabuki_protocol::ids::Offset;
use kabuki_runtime::Addr;

use super::messages::AskGroup;
use crate::coordinator::GroupCoordinator;
use crate::embedded::CONSUMER_PROTOCOL;
use crate::messages::{GroupListing, GroupState};
use crate::names::GroupId;
use crate::records::{Change, RecordKey};
use crate::state::KeyIndex;

/// Who plays a group.
pub(super) enum Place {
    /// It has no members, or nobody asked yet: its records are all there is of it.
    Nobody,
    /// Its child, and the stamp of the last request that was sent there.
    OnStage {
        addr: Addr<GroupCoordinator>,
        stamp: u64,
    },
    /// Its child ends; requests wait for the next one.
    Leaving { waiting: Vec<AskGroup> },
}

/// One group.
pub(super) struct Entry {
    pub(super) index: KeyIndex,
    pub(super) place: Place,
    /// As its child said last.
    pub(super) told: Option<GroupListing>,
    /// Appends whose outcome is not known yet.
    pub(super) unsettled: usize,
    protocol_type: Arc<str>,
    has_classic_members: bool,
    /// Nothing of the group is past its retention before.
    expires_ms: i64,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            index: KeyIndex::default(),
            place: Place::Nobody,
            told: None,
            unsettled: 0,
            protocol_type: Arc::default(),
            has_classic_members: false,
            expires_ms: i64::MAX,
        }
    }
}

impl Entry {
    /// Takes a committed record in. Records come in the order of the log, but a range may be read twice.
    fn note(&mut self, change: &Change, offset: Offset, retention_ms: i64) {
        self.index.note(change, offset);
        match change {
            Change::ClassicGroup(Some(value)) => {
                self.has_classic_members = !value.members.is_empty();
                self.protocol_type = value.protocol_type.clone();
                self.expires_at(value.state_ms.saturating_add(retention_ms));
            }
            Change::ClassicGroup(None) => {
                self.has_classic_members = false;
                self.protocol_type = Arc::default();
            }
            Change::Offset(_, Some(value)) => self.expires_at(match value.expire_ms {
                negative if negative < 0 => value.commit_ms.saturating_add(retention_ms),
                given_ms => given_ms,
            }),
            _ => {}
        }
    }

    fn expires_at(&mut self, at_ms: i64) {
        self.expires_ms = self.expires_ms.min(at_ms);
    }

    /// True when some member must be watched, so that the group needs its child.
    pub(super) fn has_members(&self) -> bool {
        self.has_classic_members || self.index.has_member()
    }

    /// True when nothing keeps the entry.
    pub(super) fn is_void(&self) -> bool {
        self.index.is_empty() && self.unsettled == 0 && matches!(self.place, Place::Nobody)
    }

    /// The group as ListGroups shows it; `None` when it does not exist.
    pub(super) fn listing(&self) -> Option<GroupListing> {
        if let (Place::OnStage { .. }, Some(told)) = (&self.place, &self.told) {
            return Some(told.clone());
        }
        let is_consumer = self.index.contains(&RecordKey::GroupEpoch);
        let protocol_type = match is_consumer {
            true => Arc::from(CONSUMER_PROTOCOL),
            false => self.protocol_type.clone(),
        };
        (!self.index.is_empty()).then_some(GroupListing {
            protocol_type,
            state: GroupState::Empty,
            is_consumer,
        })
    }
}

/// All groups of a shard.
#[derive(Default)]
pub(super) struct Book {
    groups: HashMap<GroupId, Entry>,
}

impl Book {
    pub(super) fn get(&self, group: &GroupId) -> Option<&Entry> {
        self.groups.get(group)
    }

    pub(super) fn get_mut(&mut self, group: &GroupId) -> Option<&mut Entry> {
        self.groups.get_mut(group)
    }

    pub(super) fn entry(&mut self, group: &GroupId) -> &mut Entry {
        self.groups.entry(group.clone()).or_default()
    }

    pub(super) fn note(
        &mut self,
        group: &GroupId,
        change: &Change,
        offset: Offset,
        retention_ms: i64,
    ) {
        self.entry(group).note(change, offset, retention_ms);
    }

    /// Drops the entry if nothing keeps it.
    pub(super) fn tidy(&mut self, group: &GroupId) {
        if self.groups.get(group).is_some_and(Entry::is_void) {
            self.groups.remove(group);
        }
    }

    /// Drops all entries that nothing keeps: groups whose last record is a tombstone.
    pub(super) fn tidy_all(&mut self) {
        self.groups.retain(|_, entry| !entry.is_void());
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&GroupId, &Entry)> {
        self.groups.iter()
    }

    /// Groups that must be on stage: somebody has to notice when their members stay away.
    pub(super) fn with_members(&self) -> Vec<GroupId> {
        let groups = self.groups.iter().filter(|(_, entry)| entry.has_members());
        groups.map(|(group, _)| group.clone()).collect()
    }

    /// Children to end.
    pub(super) fn played(&self) -> Vec<GroupId> {
        let groups = self.groups.iter();
        let played = groups.filter(|(_, entry)| !matches!(entry.place, Place::Nobody));
        played.map(|(group, _)| group.clone()).collect()
    }

    /// Groups that may hold something past its retention; each is named again after `again_ms` at the
    /// earliest, as what is left of it is not looked at here.
    pub(super) fn take_due(&mut self, now_ms: i64, again_ms: i64) -> Vec<GroupId> {
        let mut due = Vec::new();
        for (group, entry) in &mut self.groups {
            if entry.expires_ms <= now_ms {
                entry.expires_ms = now_ms.saturating_add(again_ms);
                due.push(group.clone());
            }
        }
        due
    }

    /// Groups that hold an offset of one of these topics.
    pub(super) fn with_offsets_of(&self, topics: &BTreeSet<Arc<str>>) -> Vec<GroupId> {
        let holds = |entry: &Entry| {
            entry.index.keys().any(|key| match key {
                RecordKey::Offset(key) => topics.contains(&key.topic),
                _ => false,
            })
        };
        let groups = self.groups.iter().filter(|(_, entry)| holds(entry));
        groups.map(|(group, _)| group.clone()).collect()
    }
}
