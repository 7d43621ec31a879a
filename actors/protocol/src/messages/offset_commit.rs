//! OffsetCommit (key 8): stores how far a group has come in its partitions.
//!
//! | version | change |
//! |---|---|
//! | 2 | how long the offsets are kept |
//! | 3 | throttle time (KIP-124) |
//! | 4 | the client holds back for the throttle time (KIP-219) |
//! | 5 | the broker decides how long the offsets are kept (KIP-211) |
//! | 6 | leader epoch of the last record consumed (KIP-320) |
//! | 7 | group instance id (KIP-345) |
//! | 8 | flexible (KIP-482) |
//! | 9 | members of groups of the new protocol too, errors 69 and 113 may be answered (KIP-848) |
//! | 10 | topics by id (KIP-848) |

use super::exchange;
use crate::codec::Message;
use crate::ids::TopicId;

/// Offsets to store.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitRequest {
    /// The group.
    pub group_id: String,
    /// Generation of a classic group, epoch of a member of the new protocol; -1 from outside a group.
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub generation_id_or_member_epoch: i32,
    /// The member; empty from outside a group.
    #[kafka(versions = "1+", ignorable)]
    pub member_id: String,
    /// Name that the member keeps over restarts, if it is static.
    #[kafka(versions = "7+")]
    pub group_instance_id: Option<String>,
    /// How long to keep the offsets, in milliseconds; -1 for as long as the broker keeps them.
    #[kafka(versions = "2-4", default = -1, ignorable)]
    pub retention_time_ms: i64,
    /// The partitions by topic.
    pub topics: Vec<OffsetCommitRequestTopic>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitRequestTopic {
    /// Name of the topic, up to version 9.
    #[kafka(versions = "0-9", ignorable)]
    pub name: String,
    /// Id of the topic, from version 10 on.
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

/// Offset of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitRequestPartition {
    /// Number of the partition.
    pub partition_index: i32,
    /// Offset of the next record to consume.
    pub committed_offset: i64,
    /// Leader epoch of the last record consumed; -1 where unknown.
    #[kafka(versions = "6+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// Text that the client keeps beside the offset; null is stored as empty.
    pub committed_metadata: Option<String>,
}

/// What became of each offset.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The partitions by topic.
    pub topics: Vec<OffsetCommitResponseTopic>,
}

/// What became of one topic's offsets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitResponseTopic {
    /// Name of the topic, up to version 9.
    #[kafka(versions = "0-9", ignorable)]
    pub name: String,
    /// Id of the topic, from version 10 on.
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// What became of one offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
pub struct OffsetCommitResponsePartition {
    /// Number of the partition.
    pub partition_index: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
}

exchange!(OffsetCommit: OffsetCommitRequest => OffsetCommitResponse);
