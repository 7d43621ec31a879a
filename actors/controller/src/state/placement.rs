//! Which brokers get the replicas of new partitions.

use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, NodeId};

use crate::image::{DirectoryId, MetadataImage, PartitionImage};
use crate::records::NodeList;
use crate::refusal::AssignmentRefused;

/// Brokers that are offered to clients, in the order of their ids.
pub(super) fn usable_brokers(image: &MetadataImage) -> Vec<NodeId> {
    let usable = image.brokers().filter(|broker| !broker.is_fenced);
    usable.map(|broker| broker.id).collect()
}

/// Replicas of `count` partitions from the `first` on: leaders go round the brokers, and followers
/// move on by one more place each round, so that the load of a lost broker spreads over all others.
///
/// # Panics
/// When there are fewer brokers than replicas; the caller refuses that before.
pub(super) fn place(
    brokers: &[NodeId],
    replication_factor: usize,
    first: usize,
    count: usize,
) -> Vec<NodeList> {
    assert!(
        brokers.len() >= replication_factor,
        "the caller counts the brokers first"
    );
    let broker_count = brokers.len();
    (first..first + count)
        .map(|partition| {
            let others = broker_count.saturating_sub(1).max(1);
            let round = partition / broker_count;
            (0..replication_factor)
                .map(|replica| match replica {
                    0 => brokers[partition % broker_count],
                    _ => brokers[(partition + 1 + (round + replica - 1) % others) % broker_count],
                })
                .collect()
        })
        .collect()
}

/// A partition nobody has written to yet. Led by the first replica that is offered to clients.
pub(super) fn new_partition(image: &MetadataImage, replicas: NodeList) -> PartitionImage {
    let is_usable = |node: &NodeId| image.broker(*node).is_some_and(|broker| !broker.is_fenced);
    let in_sync: NodeList = replicas.iter().copied().filter(is_usable).collect();
    // Without a live replica all count as in sync: there is nothing yet that one could lack.
    let isr = if in_sync.is_empty() {
        replicas.clone()
    } else {
        in_sync
    };
    let leader = isr.iter().copied().find(is_usable).unwrap_or(NodeId::NONE);
    PartitionImage {
        leader,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
        directories: replicas.iter().map(|_| DirectoryId::UNASSIGNED).collect(),
        isr: if isr.len() == replicas.len() {
            replicas.clone()
        } else {
            isr
        },
        replicas,
    }
}

/// Checks replicas given by hand for one partition; `expected` is the length of the others' lists.
pub(super) fn check_assignment(
    image: &MetadataImage,
    partition: i32,
    replicas: &[NodeId],
    expected: Option<usize>,
) -> Result<NodeList, AssignmentRefused> {
    if replicas.is_empty() {
        return Err(AssignmentRefused::NoReplicas { partition });
    }
    for (at, node) in replicas.iter().copied().enumerate() {
        if replicas[..at].contains(&node) {
            return Err(AssignmentRefused::DuplicateReplica { partition, node });
        }
        if image.broker(node).is_none() {
            return Err(AssignmentRefused::UnknownBroker { partition, node });
        }
    }
    let count = replicas.len();
    match expected {
        Some(expected) if expected != count => Err(AssignmentRefused::UnequalSizes {
            partition,
            count,
            expected,
        }),
        _ => Ok(Arc::from(replicas)),
    }
}
