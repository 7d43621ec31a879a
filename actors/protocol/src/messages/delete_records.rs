//! DeleteRecords (key 21): deletes records below an offset (KIP-107).
//!
//! | version | change |
//! |---|---|
//! | 1 | the client holds back for the throttle time (KIP-219) |
//! | 2 | flexible (KIP-482) |

use super::exchange;
use crate::codec::Message;

/// Offset that stands for the high watermark.
pub const UP_TO_HIGH_WATERMARK: i64 = -1;

/// What to delete.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsRequest {
    /// Partitions by topic.
    pub topics: Vec<DeleteRecordsTopic>,
    /// Longest wait for the other replicas, in milliseconds.
    pub timeout_ms: i32,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsTopic {
    /// Name of the topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// What to delete in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsPartition {
    /// Number of the partition.
    pub partition_index: i32,
    /// First offset to keep, or [`UP_TO_HIGH_WATERMARK`].
    pub offset: i64,
}

/// What is left.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// Partitions by topic.
    pub topics: Vec<DeleteRecordsTopicResult>,
}

/// What is left of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsTopicResult {
    /// Name of the topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// What is left of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsPartitionResult {
    /// Number of the partition.
    pub partition_index: i32,
    /// Smallest first offset of all live replicas; -1 on an error.
    #[kafka(default = -1)]
    pub low_watermark: i64,
    /// Error code, 0 for none.
    pub error_code: i16,
}

exchange!(DeleteRecords: DeleteRecordsRequest => DeleteRecordsResponse);
