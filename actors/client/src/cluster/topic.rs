//! Brokers, topics and partitions as a client sees them.

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, TopicId};
use kabuki_protocol::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use crate::error::ClientError;

/// A live broker and where it is reached.
///
/// ```
/// use kabuki_client::Broker;
/// use kabuki_protocol::ids::NodeId;
///
/// let broker = Broker { id: NodeId(1), host: "::1".into(), port: 9092, rack: None };
/// assert_eq!(broker.address(), "[::1]:9092");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Node id.
    pub id: NodeId,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: i32,
    /// Rack, if it has one.
    pub rack: Option<String>,
}

impl Broker {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl From<&MetadataResponseBroker> for Broker {
    fn from(broker: &MetadataResponseBroker) -> Self {
        let MetadataResponseBroker {
            node_id,
            host,
            port,
            rack,
        } = broker.clone();
        Self {
            id: NodeId(node_id),
            host,
            port,
            rack,
        }
    }
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name; empty only where a broker keeps it from this client.
    pub name: String,
    /// Its id; zero from brokers that have none.
    pub id: TopicId,
    /// Whether it belongs to the brokers' own doings.
    pub is_internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
    /// Why the rest is missing.
    pub error: Option<ErrorCode>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub index: i32,
    /// Its leader, `None` while it has none.
    pub leader: Option<NodeId>,
    /// Epoch of the leader, -1 from brokers that do not tell.
    pub leader_epoch: LeaderEpoch,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Replicas in sync.
    pub isr: Vec<NodeId>,
    /// Replicas that are down.
    pub offline_replicas: Vec<NodeId>,
}

impl Topic {
    /// One partition.
    pub fn partition(&self, index: i32) -> Result<&Partition, ClientError> {
        let found = self
            .partitions
            .iter()
            .find(|partition| partition.index == index);
        found.ok_or_else(|| ClientError::NoSuchPartition {
            topic: self.name.clone(),
            partition: index,
            count: self.partitions.len(),
        })
    }

    /// Leader of a partition.
    pub(crate) fn leader(&self, index: i32) -> Result<(NodeId, LeaderEpoch), ClientError> {
        let partition = self.partition(index)?;
        let leader = partition.leader.ok_or_else(|| ClientError::NoLeader {
            topic: self.name.clone(),
            partition: index,
        })?;
        Ok((leader, partition.leader_epoch))
    }
}

impl From<MetadataResponseTopic> for Topic {
    fn from(topic: MetadataResponseTopic) -> Self {
        let mut partitions: Vec<_> = topic.partitions.iter().map(Partition::from).collect();
        partitions.sort_by_key(|partition| partition.index);
        let error = (topic.error_code != 0).then(|| {
            ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError)
        });
        Self {
            name: topic.name.unwrap_or_default(),
            id: topic.topic_id,
            is_internal: topic.is_internal,
            partitions,
            error,
        }
    }
}

impl From<&MetadataResponsePartition> for Partition {
    fn from(partition: &MetadataResponsePartition) -> Self {
        let nodes = |ids: &[i32]| ids.iter().map(|id| NodeId(*id)).collect();
        Self {
            index: partition.partition_index,
            leader: (partition.leader_id >= 0).then_some(NodeId(partition.leader_id)),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            replicas: nodes(&partition.replica_nodes),
            isr: nodes(&partition.isr_nodes),
            offline_replicas: nodes(&partition.offline_replicas),
        }
    }
}
