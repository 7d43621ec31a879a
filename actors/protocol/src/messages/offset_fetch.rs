//! OffsetFetch (key 9): reads how far groups have come.
//!
//! | version | change |
//! |---|---|
//! | 1 | offsets come from the internal topic |
//! | 2 | null asks for all topics; error of the whole request (KIP-88) |
//! | 3 | throttle time (KIP-124) |
//! | 4 | the client holds back for the throttle time (KIP-219) |
//! | 5 | leader epoch of the last record consumed (KIP-320) |
//! | 6 | flexible (KIP-482) |
//! | 7 | the client may demand that no transaction is open (KIP-447) |
//! | 8 | several groups at once (KIP-709) |
//! | 9 | member id and epoch, checked in groups of the new protocol (KIP-848) |
//! | 10 | topics by id (KIP-848) |

use super::exchange;
use crate::codec::Message;
use crate::ids::TopicId;

/// Offset of a partition that the group has never committed.
pub const OFFSET_NOT_COMMITTED: i64 = -1;

/// Offsets to read.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchRequest {
    /// The group, up to version 7.
    #[kafka(versions = "0-7")]
    pub group_id: String,
    /// Partitions by topic, up to version 7; null for all from version 2 on.
    #[kafka(versions = "0-7", nullable = "2-7", default = Some(Vec::new()))]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// The groups, from version 8 on.
    #[kafka(versions = "8+")]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Whether to answer error 88 for a partition with an offset in an open transaction.
    #[kafka(versions = "7+")]
    pub require_stable: bool,
}

/// Partitions of one topic, up to version 7.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchRequestTopic {
    /// Name of the topic.
    pub name: String,
    /// Numbers of the partitions.
    pub partition_indexes: Vec<i32>,
}

/// Offsets of one group, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchRequestGroup {
    /// The group.
    pub group_id: String,
    /// Member that asks, null or empty from outside the group.
    #[kafka(versions = "9+", ignorable)]
    pub member_id: Option<String>,
    /// Its epoch, -1 from outside the group.
    #[kafka(versions = "9+", default = -1, ignorable)]
    pub member_epoch: i32,
    /// Partitions by topic, null for all.
    #[kafka(default = Some(Vec::new()))]
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

/// Partitions of one topic, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchRequestTopics {
    /// Name of the topic, up to version 9.
    #[kafka(versions = "8-9", ignorable)]
    pub name: String,
    /// Id of the topic, from version 10 on.
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Numbers of the partitions.
    pub partition_indexes: Vec<i32>,
}

/// The offsets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// Partitions by topic, up to version 7.
    #[kafka(versions = "0-7")]
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// Error of the whole request, up to version 7; version 1 states it at each partition.
    #[kafka(versions = "2-7", ignorable)]
    pub error_code: i16,
    /// The groups, from version 8 on.
    #[kafka(versions = "8+")]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

/// Offsets of one topic, up to version 7.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponseTopic {
    /// Name of the topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

/// Offset of one partition, up to version 7.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponsePartition {
    /// Number of the partition.
    pub partition_index: i32,
    /// Offset of the next record to consume, or [`OFFSET_NOT_COMMITTED`].
    pub committed_offset: i64,
    /// Leader epoch of the last record consumed; -1 where unknown.
    #[kafka(versions = "5-7", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// Text that was stored beside the offset; Kafka answers empty, not null, where there is none.
    pub metadata: Option<String>,
    /// Error code, 0 for none.
    pub error_code: i16,
}

/// Offsets of one group, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponseGroup {
    /// The group.
    pub group_id: String,
    /// Partitions by topic.
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// Error of the whole group, 0 for none.
    pub error_code: i16,
}

/// Offsets of one topic, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponseTopics {
    /// Name of the topic, up to version 9.
    #[kafka(versions = "8-9", ignorable)]
    pub name: String,
    /// Id of the topic, from version 10 on.
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

/// Offset of one partition, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponsePartitions {
    /// Number of the partition.
    pub partition_index: i32,
    /// Offset of the next record to consume, or [`OFFSET_NOT_COMMITTED`].
    pub committed_offset: i64,
    /// Leader epoch of the last record consumed; -1 where unknown.
    #[kafka(default = -1)]
    pub committed_leader_epoch: i32,
    /// Text that was stored beside the offset; Kafka answers empty, not null, where there is none.
    pub metadata: Option<String>,
    /// Error code, 0 for none.
    pub error_code: i16,
}

exchange!(OffsetFetch: OffsetFetchRequest => OffsetFetchResponse);
