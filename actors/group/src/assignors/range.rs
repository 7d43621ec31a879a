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
    let mut members: Vec<(&MemberId, &MemberSpec)> = spec.members.iter().collect();
    // Static members first, by instance id: a restart under a new member id does not move partitions.
    members.sort_by_key(|(id, member)| {
        (
            member.instance_id.is_none(),
            member.instance_id.clone(),
            (*id).clone(),
        )
    });

    let mut topics: BTreeMap<TopicId, Topic> = BTreeMap::new();
    let mut subscriber_counts: BTreeMap<TopicId, i32> = BTreeMap::new();
    for member in spec.members.values() {
        for topic in member.topics.iter() {
            *subscriber_counts.entry(*topic).or_default() += 1;
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

    let mut targets = Targets::new();
    for (id, member) in members {
        let mut target = TopicPartitions::new();
        for topic_id in member.topics.iter() {
            let Some(topic) = topics.get_mut(topic_id) else {
                continue;
            };
            let mut length = topic.quota;
            if topic.extra_count > 0 {
                topic.extra_count -= 1;
                length += 1;
            }
            let end = (topic.next + length).min(topic.partition_count);
            target.set_topic(*topic_id, (topic.next..end).collect());
            topic.next = end;
        }
        targets.insert(id.clone(), target);
    }
    targets
}
