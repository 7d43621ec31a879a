//! Where the last record of every key lies, so that one group can be rebuilt without reading its whole
//! partition. The shard actor keeps it beside its groups; it survives a crash of any of them.

use std::collections::BTreeMap;

use kabuki_protocol::ids::Offset;

use crate::names::MemberId;
use crate::records::{Change, RecordKey};

/// Last offset of each key of one group.
///
/// Compaction keeps the last record of a key at its offset, so an index entry stays true for as long as the
/// key is not written again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyIndex {
    offsets: BTreeMap<RecordKey, Offset>,
}

impl KeyIndex {
    /// Notes a record that is committed, or was read at load. A tombstone ends the key.
    ///
    /// Records are noted in the order of the log. A range may be noted once more from its start to its end:
    /// what an append left behind whose answer got lost is only known by reading.
    pub fn note(&mut self, change: &Change, offset: Offset) {
        let key = change.key();
        match change.is_tombstone() {
            true => self.offsets.remove(&key),
            false => self.offsets.insert(key, offset),
        };
    }

    /// Keys that have a record.
    pub fn keys(&self) -> impl Iterator<Item = &RecordKey> {
        self.offsets.keys()
    }

    /// True when the key has a record.
    pub fn contains(&self, key: &RecordKey) -> bool {
        self.offsets.contains_key(key)
    }

    /// True when a member of a consumer group has a record.
    pub fn has_member(&self) -> bool {
        let from = RecordKey::Member(MemberId::default());
        let mut keys = self.offsets.range(from..);
        matches!(keys.next(), Some((RecordKey::Member(_), _)))
    }

    /// Offsets to read, ascending; replaying exactly these records rebuilds the group.
    pub fn offsets(&self) -> Vec<Offset> {
        let mut offsets: Vec<Offset> = self.offsets.values().copied().collect();
        offsets.sort_unstable();
        offsets
    }

    /// True when the group has no record left.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Number of keys: records to read at a rebuild.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }
}
