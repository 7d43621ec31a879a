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
    /// 9: another level of a feature.
    FeatureLevelChanged { name: String, level: i16 },
    /// 10: the voter that leads the metadata log from here on.
    QuorumLeaderChanged {
        leader: NodeId,
        leader_epoch: LeaderEpoch,
    },
}

/// What a [`MetadataRecord::ConfigChanged`] belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecordResource {
    /// 0.
    Topic(TopicId),
    /// 1.
    Broker(NodeId),
    /// 2.
    DefaultBroker,
    /// 3: a group, whether it exists or not.
    Group(String),
}

/// Records of one proposal: applied all or not at all.
pub(crate) type Records = Vec<MetadataRecord>;

/// A replica list; lists that are equal within one command share their memory.
pub(crate) type NodeList = Arc<[NodeId]>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Endpoint;

    fn hex(record: &MetadataRecord) -> String {
        let bytes = postcard::to_allocvec(record).unwrap();
        let read: MetadataRecord = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(&read, record);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A log written by an older version must be read: these bytes never change.
    #[test]
    fn records_keep_their_golden_bytes() {
        let topic = TopicId([0xaa; 16]);
        let aa = "aa".repeat(16);
        let bb = "bb".repeat(16);
        let directory = DirectoryId([0xbb; 16]);
        let golden = [
            (
                MetadataRecord::ClusterFormatted {
                    cluster_id: "c1".into(),
                },
                "00026331".to_owned(),
            ),
            (
                MetadataRecord::BrokerRegistered(BrokerImage {
                    id: NodeId(1),
                    epoch: 7,
                    incarnation: [0xbb; 16],
                    endpoints: vec![Endpoint {
                        listener: "L".into(),
                        host: "h".into(),
                        port: 9092,
                    }],
                    rack: Some("r".into()),
                    is_fenced: false,
                    directories: vec![directory],
                }),
                format!("01020e{bb}01014c01688447010172{}01{bb}", "00"),
            ),
            (
                MetadataRecord::TopicCreated {
                    name: TopicName::new("ab").unwrap(),
                    id: topic,
                },
                format!("02026162{aa}"),
            ),
            (
                MetadataRecord::PartitionCreated {
                    topic,
                    partition: 3,
                    image: PartitionImage {
                        leader: NodeId::NONE,
                        leader_epoch: LeaderEpoch(2),
                        partition_epoch: 5,
                        replicas: [NodeId(1)].into(),
                        isr: [NodeId(1)].into(),
                        directories: [directory].into(),
                    },
                },
                format!("03{aa}0601040a0102010201{bb}"),
            ),
            (
                MetadataRecord::LeaderChanged {
                    topic,
                    partition: 0,
                    leader: NodeId(1),
                    leader_epoch: LeaderEpoch(300),
                },
                format!("04{aa}0002d804"),
            ),
            (
                MetadataRecord::DirectoryAssigned {
                    topic,
                    partition: 1,
                    node: NodeId(2),
                    directory,
                },
                format!("05{aa}0204{bb}"),
            ),
            (
                MetadataRecord::TopicDeleted { id: topic },
                format!("06{aa}"),
            ),
            (
                MetadataRecord::ConfigChanged {
                    resource: RecordResource::Topic(topic),
                    key: "k".into(),
                    value: Some("v".into()),
                },
                format!("0700{aa}016b010176"),
            ),
            (
                MetadataRecord::ConfigChanged {
                    resource: RecordResource::Broker(NodeId(1)),
                    key: "k".into(),
                    value: None,
                },
                "070102016b00".to_owned(),
            ),
            (
                MetadataRecord::ConfigChanged {
                    resource: RecordResource::DefaultBroker,
                    key: "k".into(),
                    value: None,
                },
                "0702016b00".to_owned(),
            ),
            (
                MetadataRecord::ConfigChanged {
                    resource: RecordResource::Group("g".into()),
                    key: "k".into(),
                    value: Some("v".into()),
                },
                "07030167016b010176".to_owned(),
            ),
            (
                MetadataRecord::ProducerIdsReserved {
                    next: ProducerId(1000),
                },
                "08d00f".to_owned(),
            ),
            (
                MetadataRecord::FeatureLevelChanged {
                    name: "f".into(),
                    level: 1,
                },
                "09016602".to_owned(),
            ),
            (
                MetadataRecord::QuorumLeaderChanged {
                    leader: NodeId(1),
                    leader_epoch: LeaderEpoch(3),
                },
                "0a0206".to_owned(),
            ),
        ];
        for (record, expected) in golden {
            assert_eq!(hex(&record), expected, "{record:?}");
        }
    }
}
