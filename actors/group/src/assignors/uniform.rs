//! The uniform assignor where all members want the same topics: loads differ by one partition at most.
//!
//! Each member keeps what it has up to its quota; what is left over goes to members below theirs. Source:
//! Kafka's `UniformHomogeneousAssignmentBuilder`. One difference: the quotas that are one higher go first to
//! members that have that many already, so fewer partitions move.

use std::collections::{BTreeMap, HashSet};

use kabuki_protocol::ids::TopicId;

use super::{GroupSpec, Targets};
use crate::names::MemberId;
use crate::partitions::TopicPartitions;

pub(super) fn assign(spec: &GroupSpec) -> Targets {
    let Some(first) = spec.members.values().next() else {
        return Targets::new();
    };
    let topics: Vec<TopicId> = first.topics.iter().copied().collect();
    let partition_count: usize = topics
        .iter()
        .map(|topic| usize::try_from(spec.partition_count(*topic)).unwrap_or(0))
        .sum();
    let member_count = spec.members.len();
    let quota = partition_count / member_count;
    let mut extra_count = partition_count % member_count;

    // A partition that two targets name (a leader of the classic protocol may say so) stays with the first.
    let mut taken: HashSet<(TopicId, i32)> = HashSet::with_capacity(partition_count);
    let mut kept: BTreeMap<&MemberId, Vec<(TopicId, i32)>> = BTreeMap::new();
    for (id, member) in &spec.members {
        let own = member
            .target
            .iter()
            .filter(|(topic, partition)| spec.may_own(member, *topic, *partition))
            .filter(|partition| taken.insert(*partition))
            .collect();
        kept.insert(id, own);
    }

    let mut quotas: BTreeMap<&MemberId, usize> = BTreeMap::new();
    for has_more in [true, false] {
        for (id, own) in &kept {
            if (own.len() > quota) == has_more {
                let extra = usize::from(extra_count > 0);
                extra_count -= extra;
                quotas.insert(*id, quota + extra);
            }
        }
    }
    for (id, own) in &mut kept {
        for partition in own.drain(quotas[id].min(own.len())..) {
            taken.remove(&partition);
        }
    }

    let mut free = topics
        .iter()
        .flat_map(|topic| {
            (0..spec.partition_count(*topic)).map(move |partition| (*topic, partition))
        })
        .filter(|partition| !taken.contains(partition));
    let mut targets = Targets::new();
    for (id, own) in &kept {
        let missing_count = quotas[id] - own.len();
        let target: TopicPartitions = own
            .iter()
            .copied()
            .chain(free.by_ref().take(missing_count))
            .collect();
        targets.insert((*id).clone(), target);
    }
    assert!(free.next().is_none(), "quotas add up to all partitions");
    targets
}
