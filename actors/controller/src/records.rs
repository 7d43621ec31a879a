//! What the metadata log holds. State decides records, the log makes them durable, `apply` makes
//! them visible; the same records make up a snapshot.
//!
//! Encoded by postcard: the variant's number, then its fields in order, integers as varints. So a
//! variant is never moved, removed or changed; what must hold more becomes a new variant at the end.
//! The golden bytes in the tests hold this.

use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, NodeId, ProducerId, TopicId, TopicName};
use serde::{Deserialize, Serialize};

use crate::image::{BrokerImage, DirectoryId, PartitionImage};

/// One change of the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MetadataRecord {
    /// 0: the first record of every log.
    ClusterFormatted { cluster_id: String },
    /// 1: a broker came, or came back. Replaces what was known of it.
    BrokerRegistered(BrokerImage),
    /// 2: a topic without partitions; they follow in the same batch.
    TopicCreated { name: TopicName, id: TopicId },
    /// 3: the next partition of a topic.
    PartitionCreated {
        topic: TopicId,
        partition: i32,
        image: PartitionImage,
    },
    /// 4: another leader, or the same in a new epoch.
    LeaderChanged {
        topic: TopicId,
        partition: i32,
        leader: NodeId,
        leader_epoch: LeaderEpoch,
    },
    /// 5: where the replica of `node` lies.
    DirectoryAssigned {
        topic: TopicId,
        partition: i32,
        node: NodeId,
        directory: DirectoryId,
    },
    /// 6: a topic with all its partitions and overrides is gone.
    TopicDeleted { id: TopicId },
    /// 7: one override; no value removes it.
    ConfigChanged {
        resource: RecordResource,
        key: String,
        value: Option<String>,
    },
    /// 8: ids below `next` may be in use.
    ProducerIdsReserved { next: ProducerId },
}

/// What a [`MetadataRecord::ConfigChanged`] belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecordResource {
    /// 0.
    Topic(TopicId),
    /// 1.
    Broker(NodeId),
    /// 2.
    DefaultBroker,
}

/// Records of one proposal: applied all or not at all.
pub(crate) type Records = Vec<MetadataRecord>;

/// A replica list; lists that are equal within one command share their memory.
pub(crate) type NodeList = Arc<[NodeId]>;
