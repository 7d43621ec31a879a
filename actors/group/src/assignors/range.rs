//! The range assignor: per topic, each member gets a run of neighbouring partitions.
//!
//! Where all topics have as many partitions and all members the same subscription, a member gets the same
//! numbers of every topic, so that streams can be joined. It does not look at what members own now.
//! Source: Kafka's `RangeAssignor` of KIP-848.

use std::collections::BTreeMap;

use kabuki_protocol::ids::TopicId;

use super::{GroupSpec, MemberSpec, Targets};
use crate::names::MemberId;
use crate::partitions::TopicPartitions;

/// Where the next member's run begins, and how long runs are.
struct Topic {
    partition_count: i32,
    next: i32,
    quota: i32,
    extra_count: i32,
}

pub(super) fn assign(spec: &GroupSpec) -> Targets {
    let (class_of, classes) = spec.classes();
    let mut members: Vec<(&MemberId, &MemberSpec, usize)> = spec
        .members
        .iter()
        .zip(&class_of)
        .map(|((id, member), class)| (id, member, *class))
        .collect();
    // Static members first, by instance id: a restart under a new member id does not move partitions.
    members.sort_by_key(|(id, member, _)| {
        (
            member.instance_id.is_none(),
            member.instance_id.clone(),
            (*id).clone(),
        )
    });

    let mut topics: BTreeMap<TopicId, Topic> = BTreeMap::new();
    let mut subscriber_counts: BTreeMap<TopicId, i32> = BTreeMap::new();
    let mut class_sizes = vec![0; classes.len()];
    class_of.iter().for_each(|class| class_sizes[*class] += 1);
    for (topics, size) in classes.iter().zip(&class_sizes) {
        for topic in topics.iter() {
            *subscriber_counts.entry(*topic).or_default() += size;
        }
    }
    for (topic, subscriber_count) in subscriber_counts {
        let partition_count = spec.partition_count(topic);
        topics.insert(
            topic,
            Topic {
                partition_count,
                next: 0,
                quota: partition_count / subscriber_count,
                extra_count: partition_count % subscriber_count,
            },
        );
    }

    // Topics that have a partition left, per class: what all its members together look at is no more than the
    // partitions and the topics.
    let mut open: Vec<Vec<TopicId>> = classes
        .iter()
        .map(|topics| topics.iter().copied().collect())
        .collect();
    let mut targets = Targets::new();
    for (id, _, class) in members {
        let mut target = TopicPartitions::new();
        open[class].retain(|topic_id| {
            let Some(topic) = topics.get_mut(topic_id) else {
                return false;
            };
            let mut length = topic.quota;
            if topic.extra_count > 0 {
                topic.extra_count -= 1;
                length += 1;
            }
            let end = (topic.next + length).min(topic.partition_count);
            target.set_topic(*topic_id, (topic.next..end).collect());
            topic.next = end;
            end < topic.partition_count
        });
        targets.insert(id.clone(), target);
    }
    targets
}
