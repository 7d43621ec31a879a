//! The assignors of the new protocol: who should own which partition. Pure functions of a [`GroupSpec`];
//! the same spec gives the same target on every node. Client-side assignors of the classic protocol are none
//! of the broker's business.

mod balance;
mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kabuki_protocol::ids::TopicId;

use crate::names::{InstanceId, MemberId};
use crate::partitions::TopicPartitions;

/// Which rule assigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Assignor {
    /// As even as subscriptions allow, and moves as little as that allows. Kafka's default.
    #[default]
    Uniform,
    /// Neighbouring partitions, and the same numbers of every topic to the same member.
    Range,
}

impl Assignor {
    /// Finds an assignor by Kafka's name for it.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// Gives every partition of every subscribed topic to exactly one subscribed member.
    ///
    /// The answer has an entry for every member of the spec, empty for those that get nothing.
    pub fn assign(self, spec: &GroupSpec) -> Targets {
        let targets = match self {
            Self::Range => range::assign(spec),
            Self::Uniform if spec.is_homogeneous() => uniform::assign(spec),
            Self::Uniform => balance::assign(spec),
        };
        assert_eq!(
            targets.len(),
            spec.members.len(),
            "every member has a target"
        );
        targets
    }
}

/// What each member should own.
pub type Targets = BTreeMap<MemberId, TopicPartitions>;

/// What an assignor goes by.
#[derive(Debug, Clone, Default)]
pub struct GroupSpec {
    /// The members.
    pub members: BTreeMap<MemberId, MemberSpec>,
    /// Partition count of every topic that a member is subscribed to; topics that do not exist are left out.
    pub partition_counts: BTreeMap<TopicId, i32>,
}

/// One member in a [`GroupSpec`].
#[derive(Debug, Clone, Default)]
pub struct MemberSpec {
    /// Instance id of a static member: its place in the order survives a restart.
    pub instance_id: Option<InstanceId>,
    /// Topics it wants, by names and regular expression together.
    pub topics: Arc<BTreeSet<TopicId>>,
    /// What it should own now.
    pub target: Arc<TopicPartitions>,
}

impl GroupSpec {
    /// True when all members want the same topics.
    fn is_homogeneous(&self) -> bool {
        let mut members = self.members.values();
        let first = members.next();
        members.all(|member| {
            first.is_some_and(|first| {
                Arc::ptr_eq(&first.topics, &member.topics) || first.topics == member.topics
            })
        })
    }

    /// Members by subscription: for each member in order the number of its class, and what each class wants.
    fn classes(&self) -> (Vec<usize>, Vec<&BTreeSet<TopicId>>) {
        let mut numbers = HashMap::new();
        let mut classes = Vec::new();
        let mut class_of = Vec::with_capacity(self.members.len());
        for member in self.members.values() {
            let number = numbers
                .entry(Arc::as_ptr(&member.topics))
                .or_insert(classes.len());
            if *number == classes.len() {
                classes.push(&*member.topics);
            }
            class_of.push(*number);
        }
        (class_of, classes)
    }

    /// Partitions of the topic, 0 when it does not exist.
    fn partition_count(&self, topic: TopicId) -> i32 {
        self.partition_counts.get(&topic).copied().unwrap_or(0)
    }

    /// True when the member may own the partition.
    fn may_own(&self, member: &MemberSpec, topic: TopicId, partition: i32) -> bool {
        (0..self.partition_count(topic)).contains(&partition) && member.topics.contains(&topic)
    }
}

#[cfg(test)]
mod tests;
