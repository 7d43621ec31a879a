//! OffsetForLeaderEpoch (key 23): finds where a leader epoch ended, so that a consumer or follower
//! can tell whether its log has parted from the leader's.
//!
//! | version | change |
//! |---|---|
//! | 2 | the sender states the current leader epoch it knows; throttle time (KIP-320) |
//! | 3 | replica id, so that followers and consumers can be told apart (KIP-392) |
//! | 4 | flexible (KIP-482) |

use super::exchange;
use crate::codec::Message;

/// Replica id of a consumer.
pub const REPLICA_CONSUMER: i32 = -1;
/// Replica id of a debugging consumer, and of senders below version 3.
pub const REPLICA_DEBUGGING: i32 = -2;

/// Epochs to look up.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochRequest {
    /// Node id of a follower, or one of the constants of this file.
    #[kafka(versions = "3+", default = REPLICA_DEBUGGING, ignorable)]
    pub replica_id: i32,
    /// Partitions by topic.
    pub topics: Vec<OffsetForLeaderTopic>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetForLeaderTopic {
    /// Name of the topic.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// The epoch to look up in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetForLeaderPartition {
    /// Number of the partition.
    pub partition: i32,
    /// Leader epoch that the sender knows; -1 asks for no check.
    #[kafka(versions = "2+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The epoch whose end is wanted.
    pub leader_epoch: i32,
}

/// Where the epochs ended.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// Partitions by topic.
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

/// Where epochs ended in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetForLeaderTopicResult {
    /// Name of the topic.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<EpochEndOffset>,
}

/// Where the epoch ended in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct EpochEndOffset {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Number of the partition.
    pub partition: i32,
    /// Largest epoch up to the one asked for; -1 for none.
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// Offset after the last record of that epoch; -1 for none.
    #[kafka(default = -1)]
    pub end_offset: i64,
}

exchange!(OffsetForLeaderEpoch: OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse);
