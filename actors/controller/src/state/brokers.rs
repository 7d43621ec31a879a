//! Brokers, leaders and directories: what the nodes themselves report. Source: KIP-858.

use std::collections::HashSet;

use kabuki_protocol::ids::{LeaderEpoch, NodeId};

use super::{Decision, Metadata};
use crate::image::{BrokerImage, DirectoryId, MetadataImage, PartitionImage};
use crate::messages::{BrokerRegistered, PartitionRef, RegisterBroker};
use crate::records::{MetadataRecord, Records};
use crate::refusal::ChangeRefused;

impl Metadata {
    /// A new incarnation raises the epoch of all it leads and takes up what was offline with it;
    /// partitions in a directory that did not come back lose it as leader.
    pub(crate) fn register_broker(&self, command: &RegisterBroker) -> Decision<BrokerRegistered> {
        let known = self.image.broker(command.node);
        let is_repeated = known.is_some_and(|known| known.incarnation == command.incarnation);
        let offset = self.image.offset() + 1;
        let broker = BrokerImage {
            id: command.node,
            epoch: known
                .filter(|_| is_repeated)
                .map_or(offset, |known| known.epoch),
            incarnation: command.incarnation,
            endpoints: command.endpoints.clone(),
            rack: command.rack.clone(),
            is_fenced: false,
            directories: command.directories.clone(),
        };
        let broker_epoch = broker.epoch;
        let is_unchanged = known.is_some_and(|known| **known == broker);
        let mut records = Records::new();
        if !is_unchanged {
            records.push(MetadataRecord::BrokerRegistered(broker));
        }
        if !is_repeated {
            // The only voter is the node that it runs in, and only that one registers here.
            let (_, epoch) = self.image.quorum_leader();
            records.push(MetadataRecord::QuorumLeaderChanged {
                leader: command.node,
                leader_epoch: LeaderEpoch(epoch.get() + 1),
            });
            self.record_return(command.node, &command.directories, &mut records);
        }
        let image_offset = self.image.offset() + records.len() as i64;
        let answer = BrokerRegistered {
            broker_epoch,
            image_offset,
        };
        Decision { answer, records }
    }

    fn record_return(&self, node: NodeId, directories: &[DirectoryId], records: &mut Records) {
        let online: HashSet<DirectoryId> = directories.iter().copied().collect();
        for topic in self.image.topics_by_name() {
            for (partition, image) in (0..).zip(&topic.partitions) {
                let Some(directory) = image.directory_of(node) else {
                    continue;
                };
                let can_lead = !directory.is_assigned() || online.contains(&directory);
                let at = PartitionRef {
                    topic: topic.id,
                    partition,
                };
                let leads = image.leader == node;
                let waits = !image.is_online() && image.isr.contains(&node);
                if can_lead && (leads || waits) {
                    records.push(led_by(at, image, node));
                } else if leads {
                    records.push(led_by(at, image, self.successor(image, node)));
                }
            }
        }
    }

    /// Another in-sync replica on a broker that is offered to clients, or none.
    fn successor(&self, partition: &PartitionImage, lost: NodeId) -> NodeId {
        let is_usable = |node: &NodeId| {
            let broker = self.image.broker(*node);
            *node != lost && broker.is_some_and(|broker| !broker.is_fenced)
        };
        let candidates = partition
            .replicas
            .iter()
            .filter(|node| partition.isr.contains(node));
        candidates
            .copied()
            .find(|node| is_usable(node))
            .unwrap_or(NodeId::NONE)
    }

    /// Partitions that are not (or no longer) there, and directories that are known already, are
    /// passed over.
    pub(crate) fn assign_directories(
        &self,
        node: NodeId,
        assignments: &[(PartitionRef, DirectoryId)],
    ) -> Decision<Result<(), ChangeRefused>> {
        let mut records = Records::new();
        for (at, directory) in assignments {
            let known = find(&self.image, *at).and_then(|image| image.directory_of(node));
            if known.is_some_and(|known| known != *directory) {
                let PartitionRef { topic, partition } = *at;
                let directory = *directory;
                records.push(MetadataRecord::DirectoryAssigned {
                    topic,
                    partition,
                    node,
                    directory,
                });
            }
        }
        Decision {
            answer: Ok(()),
            records,
        }
    }

    /// The leader itself asks for a new epoch, because a restart cut its tail.
    pub(crate) fn raise_leader_epoch(
        &self,
        node: NodeId,
        at: PartitionRef,
    ) -> Decision<Result<LeaderEpoch, ChangeRefused>> {
        let image = match self.replica(node, at) {
            Ok(image) => image,
            Err(refused) => return Decision::unchanged(Err(refused)),
        };
        if image.leader != node {
            let leader = image.leader;
            return Decision::unchanged(Err(ChangeRefused::NotLeader { node, leader }));
        }
        new_epoch(led_by(at, image, node), image)
    }

    /// The replica of `node` can not serve: another in-sync one leads, or none.
    pub(crate) fn mark_offline(
        &self,
        node: NodeId,
        at: PartitionRef,
    ) -> Decision<Result<(), ChangeRefused>> {
        match self.replica(node, at) {
            Ok(image) if image.leader == node => {
                let records = vec![led_by(at, image, self.successor(image, node))];
                Decision {
                    answer: Ok(()),
                    records,
                }
            }
            found => Decision::unchanged(found.map(|_| ())),
        }
    }

    /// The replica of `node` serves again.
    pub(crate) fn mark_online(
        &self,
        node: NodeId,
        at: PartitionRef,
    ) -> Decision<Result<LeaderEpoch, ChangeRefused>> {
        let image = match self.replica(node, at) {
            Ok(image) => image,
            Err(refused) => return Decision::unchanged(Err(refused)),
        };
        if image.leader == node {
            return Decision::unchanged(Ok(image.leader_epoch));
        }
        if image.is_online() || !image.isr.contains(&node) {
            let leader = image.leader;
            return Decision::unchanged(Err(ChangeRefused::NotLeader { node, leader }));
        }
        new_epoch(led_by(at, image, node), image)
    }

    fn replica(&self, node: NodeId, at: PartitionRef) -> Result<&PartitionImage, ChangeRefused> {
        self.image
            .broker(node)
            .ok_or(ChangeRefused::UnknownBroker { node })?;
        let image = find(&self.image, at).ok_or(ChangeRefused::UnknownPartition)?;
        if image.replicas.contains(&node) {
            Ok(image)
        } else {
            Err(ChangeRefused::NotAReplica { node })
        }
    }
}

fn find(image: &MetadataImage, at: PartitionRef) -> Option<&PartitionImage> {
    image.topic_by_id(at.topic)?.partition(at.partition)
}

/// Every change of leadership, also one to nobody or to the same node, is a new epoch.
fn led_by(at: PartitionRef, image: &PartitionImage, leader: NodeId) -> MetadataRecord {
    MetadataRecord::LeaderChanged {
        topic: at.topic,
        partition: at.partition,
        leader,
        leader_epoch: LeaderEpoch(image.leader_epoch.get() + 1),
    }
}

fn new_epoch(
    record: MetadataRecord,
    image: &PartitionImage,
) -> Decision<Result<LeaderEpoch, ChangeRefused>> {
    let answer = Ok(LeaderEpoch(image.leader_epoch.get() + 1));
    Decision {
        answer,
        records: vec![record],
    }
}
