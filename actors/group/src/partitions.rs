//! Sets of partitions by topic id: what a member owns, should own, or must give up.

use std::collections::{BTreeMap, BTreeSet};

use kabuki_protocol::ids::TopicId;

/// Partition numbers by topic. A topic without partitions is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicPartitions(BTreeMap<TopicId, BTreeSet<i32>>);

impl TopicPartitions {
    /// No partition.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds one partition; false when it was there.
    pub fn insert(&mut self, topic: TopicId, partition: i32) -> bool {
        self.0.entry(topic).or_default().insert(partition)
    }

    /// Takes one partition out; false when it was not there.
    pub fn remove(&mut self, topic: TopicId, partition: i32) -> bool {
        let Some(partitions) = self.0.get_mut(&topic) else {
            return false;
        };
        let removed = partitions.remove(&partition);
        if partitions.is_empty() {
            self.0.remove(&topic);
        }
        removed
    }

    /// Replaces all partitions of a topic.
    pub fn set_topic(&mut self, topic: TopicId, partitions: BTreeSet<i32>) {
        if partitions.is_empty() {
            self.0.remove(&topic);
        } else {
            self.0.insert(topic, partitions);
        }
    }

    /// True when the partition is in the set.
    pub fn contains(&self, topic: TopicId, partition: i32) -> bool {
        self.0
            .get(&topic)
            .is_some_and(|partitions| partitions.contains(&partition))
    }

    /// True without any partition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of partitions.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Topics in order of their ids, each with its partitions.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &BTreeSet<i32>)> {
        self.0
            .iter()
            .map(|(topic, partitions)| (*topic, partitions))
    }

    /// Every partition, ordered by topic id and number.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32)> + '_ {
        self.topics().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |partition| (topic, *partition))
        })
    }
}

impl FromIterator<(TopicId, i32)> for TopicPartitions {
    fn from_iter<I: IntoIterator<Item = (TopicId, i32)>>(partitions: I) -> Self {
        let mut set = Self::new();
        for (topic, partition) in partitions {
            set.insert(topic, partition);
        }
        set
    }
}

/// Partitions by topic, each with the member epoch at which the member got it.
///
/// The epoch decides which older commits are still accepted for the partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedPartitions(BTreeMap<TopicId, BTreeMap<i32, i32>>);

impl OwnedPartitions {
    /// No partition.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds or replaces one partition.
    pub fn insert(&mut self, topic: TopicId, partition: i32, assignment_epoch: i32) {
        self.0
            .entry(topic)
            .or_default()
            .insert(partition, assignment_epoch);
    }

    /// Epoch at which the partition was given to the member, `None` when it does not own it.
    pub fn assignment_epoch(&self, topic: TopicId, partition: i32) -> Option<i32> {
        self.0.get(&topic)?.get(&partition).copied()
    }

    /// True when the partition is in the set.
    pub fn contains(&self, topic: TopicId, partition: i32) -> bool {
        self.assignment_epoch(topic, partition).is_some()
    }

    /// True without any partition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of partitions.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Topics in order of their ids, each with its partitions and their epochs.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &BTreeMap<i32, i32>)> {
        self.0
            .iter()
            .map(|(topic, partitions)| (*topic, partitions))
    }

    /// Every partition with its epoch, ordered by topic id and number.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32, i32)> + '_ {
        self.topics().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, epoch)| (topic, *partition, *epoch))
        })
    }

    /// The same partitions without their epochs.
    pub fn to_partitions(&self) -> TopicPartitions {
        self.iter()
            .map(|(topic, partition, _)| (topic, partition))
            .collect()
    }

    /// True when both hold the same partitions, whatever their epochs.
    pub fn is_same_set(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .zip(&other.0)
                .all(|((topic, own), (theirs, partitions))| {
                    topic == theirs
                        && own.len() == partitions.len()
                        && own.keys().eq(partitions.keys())
                })
    }
}

impl FromIterator<(TopicId, i32, i32)> for OwnedPartitions {
    fn from_iter<I: IntoIterator<Item = (TopicId, i32, i32)>>(partitions: I) -> Self {
        let mut owned = Self::new();
        for (topic, partition, epoch) in partitions {
            owned.insert(topic, partition, epoch);
        }
        owned
    }
}
