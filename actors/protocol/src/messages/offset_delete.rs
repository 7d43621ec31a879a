//! OffsetDelete (key 47): deletes offsets of a group that does not consume the topic (KIP-496).
//! Version 0 is the only one, and not flexible.

use super::exchange;
use crate::codec::Message;

/// Offsets to delete.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0")]
pub struct OffsetDeleteRequest {
    /// The group.
    pub group_id: String,
    /// The partitions by topic.
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteRequestTopic {
    /// Name of the topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
pub struct OffsetDeleteRequestPartition {
    /// Number of the partition.
    pub partition_index: i32,
}

/// What became of each offset.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0")]
pub struct OffsetDeleteResponse {
    /// Error of the whole request, 0 for none.
    pub error_code: i16,
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// The partitions by topic.
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

/// What became of one topic's offsets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteResponseTopic {
    /// Name of the topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// What became of one offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
pub struct OffsetDeleteResponsePartition {
    /// Number of the partition.
    pub partition_index: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
}

exchange!(OffsetDelete: OffsetDeleteRequest => OffsetDeleteResponse);
