//! DescribeTopicPartitions (key 75): names the partitions of topics, a page at a time (KIP-966).
//!
//! | version | change |
//! |---|---|
//! | 0 | first, flexible |

use super::{OPERATIONS_NOT_ASKED, exchange};
use crate::codec::Message;
use crate::ids::TopicId;

/// Which topics, and from where on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsRequest {
    /// The topics; none stands for all.
    pub topics: Vec<TopicRequest>,
    /// Most partitions in the answer.
    #[kafka(default = 2000)]
    pub response_partition_limit: i32,
    /// Where the answer before ended.
    pub cursor: Option<Cursor>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicRequest {
    /// Name of the topic.
    pub name: String,
}

/// First partition of a page.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Cursor {
    /// Name of its topic.
    pub topic_name: String,
    /// Number of the partition.
    pub partition_index: i32,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// The topics, by name.
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next page starts; none after the last one.
    pub next_cursor: Option<Cursor>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeTopicPartitionsResponseTopic {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Name of the topic.
    pub name: Option<String>,
    /// Id of the topic.
    pub topic_id: TopicId,
    /// Whether it belongs to the broker itself.
    pub is_internal: bool,
    /// Those of its partitions that lie on this page.
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// What the client may do with the topic, one bit an operation.
    #[kafka(default = OPERATIONS_NOT_ASKED)]
    pub topic_authorized_operations: i32,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Number of the partition.
    pub partition_index: i32,
    /// Broker that leads; -1 for none.
    pub leader_id: i32,
    /// Epoch of the leader.
    #[kafka(default = -1)]
    pub leader_epoch: i32,
    /// All replicas.
    pub replica_nodes: Vec<i32>,
    /// Those that are in sync.
    pub isr_nodes: Vec<i32>,
    /// Those that left the others in good order and may lead without loss.
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// The last ones of those, should none be left.
    pub last_known_elr: Option<Vec<i32>>,
    /// Replicas that are not there.
    pub offline_replicas: Vec<i32>,
}

exchange!(DescribeTopicPartitions: DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse);
