//! The records of a consumer group, and the indexes over them. [`ConsumerImage::apply`] keeps the indexes
//! true for any order of changes, because replay of a compacted log, and undo, bring any order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kabuki_protocol::ids::TopicId;

use super::name_hashes::NameHashes;
use crate::names::{InstanceId, MemberId};
use crate::partitions::TopicPartitions;
use crate::records::{
    Change, CurrentValue, GroupEpochValue, MemberState, MemberValue, RegexValue, TargetEpochValue,
};
use crate::topics::TopicCatalog;

/// Epoch of a group, and of its target, before the first change; the first member is at 2, as in Kafka.
const FIRST_EPOCH: i32 = 1;

/// All consumer-group records of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConsumerImage {
    epoch: Option<GroupEpochValue>,
    target_epoch: Option<TargetEpochValue>,
    members: BTreeMap<MemberId, Arc<MemberValue>>,
    targets: BTreeMap<MemberId, Arc<TopicPartitions>>,
    current: BTreeMap<MemberId, Arc<CurrentValue>>,
    regexes: BTreeMap<Arc<str>, Arc<RegexValue>>,

    /// Who owns a partition, or has not let it go yet.
    owners: HashMap<(TopicId, i32), MemberId>,
    static_ids: HashMap<InstanceId, MemberId>,
    /// How many members name a topic.
    name_counts: BTreeMap<Arc<str>, usize>,
    /// How many members bring an expression.
    regex_counts: BTreeMap<Arc<str>, usize>,
    /// How many classic members support each protocol.
    protocol_counts: BTreeMap<Arc<str>, usize>,
    classic_count: usize,
    member_bytes: usize,
    /// How many members are stable at an epoch: each event asks whether all are.
    stable_counts: BTreeMap<i32, usize>,
    name_hashes: NameHashes,
}

impl ConsumerImage {
    /// True when no record is there.
    pub(crate) fn is_void(&self) -> bool {
        self.epoch.is_none()
            && self.target_epoch.is_none()
            && self.members.is_empty()
            && self.targets.is_empty()
            && self.current.is_empty()
            && self.regexes.is_empty()
    }

    pub(crate) fn group_epoch(&self) -> i32 {
        self.epoch.map_or(FIRST_EPOCH, |value| value.epoch)
    }

    pub(crate) fn metadata_hash(&self) -> i64 {
        self.epoch.map_or(0, |value| value.metadata_hash)
    }

    pub(crate) fn target_epoch(&self) -> i32 {
        self.target_epoch.map_or(FIRST_EPOCH, |value| value.epoch)
    }

    /// Wall clock of the last target; 0 when there was none.
    pub(crate) fn target_computed_ms(&self) -> i64 {
        self.target_epoch.map_or(0, |value| value.computed_ms)
    }

    pub(crate) const fn members(&self) -> &BTreeMap<MemberId, Arc<MemberValue>> {
        &self.members
    }

    /// What the member should own; nothing when it has no record.
    pub(crate) fn target(&self, id: &MemberId) -> Arc<TopicPartitions> {
        self.targets.get(id).cloned().unwrap_or_default()
    }

    pub(crate) const fn targets(&self) -> &BTreeMap<MemberId, Arc<TopicPartitions>> {
        &self.targets
    }

    /// Where the member is; epoch 0 with nothing when it has no record.
    pub(crate) fn current(&self, id: &MemberId) -> Arc<CurrentValue> {
        self.current.get(id).cloned().unwrap_or_default()
    }

    pub(crate) const fn currents(&self) -> &BTreeMap<MemberId, Arc<CurrentValue>> {
        &self.current
    }

    pub(crate) const fn regexes(&self) -> &BTreeMap<Arc<str>, Arc<RegexValue>> {
        &self.regexes
    }

    /// Expressions that members bring, with their number.
    pub(crate) const fn regex_counts(&self) -> &BTreeMap<Arc<str>, usize> {
        &self.regex_counts
    }

    /// Who owns the partition or has not let it go.
    pub(crate) fn owner(&self, topic: TopicId, partition: i32) -> Option<&MemberId> {
        self.owners.get(&(topic, partition))
    }

    pub(crate) fn static_member(&self, instance: &InstanceId) -> Option<&MemberId> {
        self.static_ids.get(instance)
    }

    pub(crate) const fn classic_count(&self) -> usize {
        self.classic_count
    }

    pub(crate) const fn member_bytes(&self) -> usize {
        self.member_bytes
    }

    /// True when all classic members support the protocol.
    pub(crate) fn is_common_protocol(&self, protocol: &str) -> bool {
        self.protocol_counts.get(protocol).copied().unwrap_or(0) == self.classic_count
    }

    /// True when a member reads the topic, by name or by expression.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.name_counts.contains_key(topic)
            || self
                .live_regexes()
                .any(|value| value.topics.contains(topic))
    }

    /// True when the member reads the topic, by name or by expression.
    pub(crate) fn is_read_by(&self, id: &MemberId, topic: &str) -> bool {
        let Some(member) = self.members.get(id) else {
            return false;
        };
        let found = member.regex().and_then(|regex| self.regexes.get(regex));
        member.topic_names.contains(topic)
            || found.is_some_and(|value| value.topics.contains(topic))
    }

    /// Every topic name that members read, some more than once.
    fn subscribed_names(&self) -> impl Iterator<Item = &Arc<str>> {
        let by_regex = self.live_regexes().flat_map(|value| value.topics.iter());
        self.name_counts.keys().chain(by_regex)
    }

    /// Hash of the topics that members read, as they are now. Looks only at names that came or went since it
    /// was asked for last, unless topics have changed.
    pub(crate) fn topics_hash(&mut self, topics: &dyn TopicCatalog) -> i64 {
        let mut hashes = std::mem::take(&mut self.name_hashes);
        match hashes.take_touched(topics.version()) {
            Some(touched) => {
                for name in touched {
                    hashes.set(&name, self.is_subscribed(&name), topics);
                }
            }
            None => {
                for name in self.subscribed_names() {
                    hashes.set(name, true, topics);
                }
            }
        }
        self.name_hashes = hashes;
        self.name_hashes.sum()
    }

    /// True when every member owns exactly what the target of this epoch gives it.
    pub(crate) fn are_all_stable(&self, epoch: i32) -> bool {
        self.stable_counts.get(&epoch).copied().unwrap_or(0) >= self.members.len()
    }

    /// Results of expressions that some member brings.
    fn live_regexes(&self) -> impl Iterator<Item = &Arc<RegexValue>> {
        self.regexes
            .iter()
            .filter(|(regex, _)| self.regex_counts.contains_key(*regex))
            .map(|(_, value)| value)
    }

    /// Makes one record true and returns its inverse.
    ///
    /// # Panics
    /// Panics on a record of another kind: the caller sorts them.
    pub(crate) fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::GroupEpoch(value) => {
                Change::GroupEpoch(std::mem::replace(&mut self.epoch, value))
            }
            Change::TargetEpoch(value) => {
                Change::TargetEpoch(std::mem::replace(&mut self.target_epoch, value))
            }
            Change::Member(id, value) => {
                let old = self.set_member(&id, value);
                Change::Member(id, old)
            }
            Change::Target(id, value) => {
                let old = set(&mut self.targets, &id, value);
                Change::Target(id, old)
            }
            Change::Current(id, value) => {
                let old = self.set_current(&id, value);
                Change::Current(id, old)
            }
            Change::Regex(regex, value) => {
                let old = set(&mut self.regexes, &regex, value);
                self.name_hashes.touch_all(&old);
                self.name_hashes
                    .touch_all(&self.regexes.get(&regex).cloned());
                Change::Regex(regex, old)
            }
            Change::Offset(..) | Change::ClassicGroup(_) => {
                unreachable!("offsets and classic groups are kept beside this image")
            }
        }
    }

    fn set_member(
        &mut self,
        id: &MemberId,
        value: Option<Arc<MemberValue>>,
    ) -> Option<Arc<MemberValue>> {
        if let Some(value) = &value {
            self.count_member(value, true);
            if let Some(instance) = &value.instance_id {
                self.static_ids.insert(instance.clone(), id.clone());
            }
        }
        let kept_instance = value.as_ref().and_then(|value| value.instance_id.clone());
        let old = set(&mut self.members, id, value);
        if let Some(old) = &old {
            self.count_member(old, false);
            if let Some(instance) = &old.instance_id
                && kept_instance.as_ref() != Some(instance)
                && self.static_ids.get(instance) == Some(id)
            {
                self.static_ids.remove(instance);
            }
        }
        old
    }

    fn count_member(&mut self, member: &MemberValue, is_added: bool) {
        for name in &member.topic_names {
            if count(&mut self.name_counts, name, is_added) {
                self.name_hashes.touch(name);
            }
        }
        if let Some(regex) = member.regex()
            && count(&mut self.regex_counts, regex, is_added)
        {
            self.name_hashes
                .touch_all(&self.regexes.get(regex).cloned());
        }
        let bytes = member.bytes();
        if is_added {
            self.member_bytes += bytes;
        } else {
            self.member_bytes -= bytes;
        }
        if let Some(classic) = &member.classic {
            let names: std::collections::BTreeSet<_> = classic
                .protocols
                .iter()
                .map(|protocol| &protocol.name)
                .collect();
            for name in names {
                count(&mut self.protocol_counts, name, is_added);
            }
            if is_added {
                self.classic_count += 1;
            } else {
                self.classic_count -= 1;
            }
        }
    }

    fn set_current(
        &mut self,
        id: &MemberId,
        value: Option<Arc<CurrentValue>>,
    ) -> Option<Arc<CurrentValue>> {
        let old = set(&mut self.current, id, value.clone());
        let stable_at = |value: &Option<Arc<CurrentValue>>| {
            let value = value.as_ref()?;
            (value.state == MemberState::Stable).then_some(value.epoch)
        };
        if let Some(epoch) = stable_at(&value) {
            count(&mut self.stable_counts, &epoch, true);
        }
        if let Some(epoch) = stable_at(&old) {
            count(&mut self.stable_counts, &epoch, false);
        }
        // A partition of another owner is not touched: its record came later and is the valid one.
        for (topic, partition, _) in old.iter().flat_map(|old| held(old)) {
            if self.owners.get(&(topic, partition)) == Some(id) {
                self.owners.remove(&(topic, partition));
            }
        }
        for (topic, partition, _) in value.iter().flat_map(|value| held(value)) {
            self.owners.insert((topic, partition), id.clone());
        }
        old
    }
}

/// What a member owns or has not let go.
fn held(current: &CurrentValue) -> impl Iterator<Item = (TopicId, i32, i32)> + '_ {
    current.assigned.iter().chain(current.revoking.iter())
}

fn set<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    }
}

/// True when the key is new, or gone.
fn count<K: Ord + Clone>(counts: &mut BTreeMap<K, usize>, key: &K, is_added: bool) -> bool {
    let number = counts.entry(key.clone()).or_insert(0);
    if is_added {
        *number += 1;
        return *number == 1;
    }
    *number -= 1;
    if *number == 0 {
        counts.remove(key);
        return true;
    }
    false
}
