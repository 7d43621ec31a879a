//! ListOffsets (key 2): finds offsets by timestamp, and the ends of logs.
//!
//! | version | change |
//! |---|---|
//! | 1 | one offset and its timestamp instead of a list (KIP-79) |
//! | 2 | isolation level (KIP-98) |
//! | 3 | the client holds back for the throttle time (KIP-219) |
//! | 4 | leader epochs both ways (KIP-320) |
//! | 5 | error 78 may be answered (KIP-207) |
//! | 6 | flexible (KIP-482) |
//! | 7 | timestamp -3: the record with the largest timestamp (KIP-734) |
//! | 8 | timestamp -4: the first offset in the local log (KIP-405) |
//! | 9 | timestamp -5: the last offset in tiered storage (KIP-1005) |
//! | 10 | time limit for offsets in tiered storage (KIP-1075) |
//! | 11 | timestamp -6: the first offset not yet in tiered storage (KIP-1023) |

use super::exchange;
use crate::codec::Message;

/// Timestamp that asks for the offset after the last record.
pub const TIMESTAMP_LATEST: i64 = -1;
/// Timestamp that asks for the first offset.
pub const TIMESTAMP_EARLIEST: i64 = -2;
/// Timestamp that asks for the record with the largest timestamp; from version 7 on.
pub const TIMESTAMP_MAX: i64 = -3;
/// Timestamp that asks for the first offset in the local log; from version 8 on.
pub const TIMESTAMP_EARLIEST_LOCAL: i64 = -4;
/// Timestamp that asks for the last offset in tiered storage; from version 9 on.
pub const TIMESTAMP_LATEST_TIERED: i64 = -5;
/// Timestamp that asks for the first offset not yet in tiered storage; from version 11 on.
pub const TIMESTAMP_EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Timestamps to find.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsRequest {
    /// Node id of a follower, -1 for a consumer, -2 for a debugging one.
    pub replica_id: i32,
    /// 0 counts up to the high watermark, 1 up to the last stable offset.
    #[kafka(versions = "2+")]
    pub isolation_level: i8,
    /// Partitions by topic.
    pub topics: Vec<ListOffsetsTopic>,
    /// Longest wait for tiered storage, in milliseconds.
    #[kafka(versions = "10+", ignorable)]
    pub timeout_ms: i32,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsTopic {
    /// Name of the topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<ListOffsetsPartition>,
}

/// What to find in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsPartition {
    /// Number of the partition.
    pub partition_index: i32,
    /// Leader epoch that the client knows; -1 asks for no check.
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// Milliseconds since 1970, or one of the negative constants of this file.
    pub timestamp: i64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// Partitions by topic.
    pub topics: Vec<ListOffsetsTopicResponse>,
}

/// What was found in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsTopicResponse {
    /// Name of the topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// What was found in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsPartitionResponse {
    /// Number of the partition.
    pub partition_index: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Timestamp of the record found; -1 for none and for the ends of the log.
    #[kafka(default = -1)]
    pub timestamp: i64,
    /// Offset found; -1 for none.
    #[kafka(default = -1)]
    pub offset: i64,
    /// Leader epoch of the record at that offset; -1 where unknown.
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub leader_epoch: i32,
}

exchange!(ListOffsets: ListOffsetsRequest => ListOffsetsResponse);
