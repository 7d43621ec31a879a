//! Metadata (key 3): names brokers, topics, partitions and leaders.
//!
//! | version | change |
//! |---|---|
//! | 1 | null asks for all topics, empty for none (in 0 empty is all); rack, controller, internal topics |
//! | 2 | cluster id (KIP-78) |
//! | 3 | throttle time (KIP-124) |
//! | 4 | the client may forbid automatic creation (KIP-204) |
//! | 5 | offline replicas (KIP-112) |
//! | 6 | the client holds back for the throttle time (KIP-219) |
//! | 7 | leader epoch (KIP-320) |
//! | 8 | authorized operations (KIP-430) |
//! | 9 | flexible (KIP-482) |
//! | 10 | topic ids, not yet usable to ask with (KIP-516) |
//! | 11 | operations of the cluster move to DescribeCluster (KIP-700) |
//! | 12 | topics may be asked for by id (KIP-516) |
//! | 13 | error of the whole request (KIP-1102) |

use super::{OPERATIONS_NOT_ASKED, exchange};
use crate::codec::Message;
use crate::ids::TopicId;

/// Topics to describe.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-13", flexible = "9+")]
pub struct MetadataRequest {
    /// Null for all topics; version 0 says it with an empty array.
    #[kafka(nullable = "1+")]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Whether missing topics may be created, if the broker does that at all.
    #[kafka(versions = "4+", default = true)]
    pub allow_auto_topic_creation: bool,
    /// Whether to tell what the client may do with the cluster.
    #[kafka(versions = "8-10")]
    pub include_cluster_authorized_operations: bool,
    /// Whether to tell what the client may do with each topic.
    #[kafka(versions = "8+")]
    pub include_topic_authorized_operations: bool,
}

/// One topic to describe, by name or by id.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataRequestTopic {
    /// Its id, zero for none.
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Its name.
    #[kafka(nullable = "10+")]
    pub name: Option<String>,
}

/// The cluster, and the topics asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-13", flexible = "9+")]
pub struct MetadataResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// Live brokers, with the endpoint of the listener that the request came in on.
    pub brokers: Vec<MetadataResponseBroker>,
    /// Id of the cluster.
    #[kafka(versions = "2+", ignorable)]
    pub cluster_id: Option<String>,
    /// Broker that takes admin requests; under KRaft any live one. -1 for none.
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub controller_id: i32,
    /// The topics.
    pub topics: Vec<MetadataResponseTopic>,
    /// What the client may do with the cluster, one bit an operation.
    #[kafka(versions = "8-10", default = OPERATIONS_NOT_ASKED)]
    pub cluster_authorized_operations: i32,
    /// Error of the whole request.
    #[kafka(versions = "13+", ignorable)]
    pub error_code: i16,
}

/// One live broker.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataResponseBroker {
    /// Node id.
    pub node_id: i32,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: i32,
    /// Rack, if the broker has one.
    #[kafka(versions = "1+", ignorable)]
    pub rack: Option<String>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataResponseTopic {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Its name; null when an unknown id was asked for.
    #[kafka(nullable = "12+")]
    pub name: Option<String>,
    /// Its id.
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Whether it belongs to the broker's own doings.
    #[kafka(versions = "1+", ignorable)]
    pub is_internal: bool,
    /// Its partitions.
    pub partitions: Vec<MetadataResponsePartition>,
    /// What the client may do with the topic, one bit an operation.
    #[kafka(versions = "8+", default = OPERATIONS_NOT_ASKED)]
    pub topic_authorized_operations: i32,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataResponsePartition {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Number of the partition.
    pub partition_index: i32,
    /// Node id of the leader, -1 for none.
    #[kafka(default = -1)]
    pub leader_id: i32,
    /// Epoch of the leader, -1 where unknown.
    #[kafka(versions = "7+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// Node ids of all replicas, the preferred leader first.
    pub replica_nodes: Vec<i32>,
    /// Node ids of the replicas in sync.
    pub isr_nodes: Vec<i32>,
    /// Node ids of the replicas that are down.
    #[kafka(versions = "5+", ignorable)]
    pub offline_replicas: Vec<i32>,
}

exchange!(Metadata: MetadataRequest => MetadataResponse);
