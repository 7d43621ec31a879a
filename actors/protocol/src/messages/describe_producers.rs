//! DescribeProducers (key 61): names the producers whose state partitions keep (KIP-664).
//!
//! | version | change |
//! |---|---|
//! | 0 | first, flexible |

use super::exchange;
use crate::codec::Message;

/// Which partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeProducersRequest {
    /// Partitions by topic.
    pub topics: Vec<TopicRequest>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicRequest {
    /// Name of the topic.
    pub name: String,
    /// Numbers of the partitions.
    pub partition_indexes: Vec<i32>,
}

/// The producers.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct DescribeProducersResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// Partitions by topic.
    pub topics: Vec<TopicResponse>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicResponse {
    /// Name of the topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<PartitionResponse>,
}

/// Producers of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionResponse {
    /// Number of the partition.
    pub partition_index: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person.
    pub error_message: Option<String>,
    /// The producers.
    pub active_producers: Vec<ProducerState>,
}

/// One producer.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ProducerState {
    /// Its id.
    pub producer_id: i64,
    /// Its newest epoch.
    pub producer_epoch: i32,
    /// Its last sequence; -1 for none.
    #[kafka(default = -1)]
    pub last_sequence: i32,
    /// Largest timestamp of its last batch, in milliseconds; -1 for none.
    #[kafka(default = -1)]
    pub last_timestamp: i64,
    /// Epoch of the coordinator that ended its last transaction; -1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction; -1 for none.
    #[kafka(default = -1)]
    pub current_txn_start_offset: i64,
}

exchange!(DescribeProducers: DescribeProducersRequest => DescribeProducersResponse);
