//! Records of committed offsets.

use crate::codec::Message;
use crate::ids::TopicId;

/// Names one partition of one group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Message)]
#[kafka(versions = "0")]
pub struct OffsetCommitKey {
    /// The group.
    pub group: String,
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: i32,
}

/// How far the group has come.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-4", flexible = "4+")]
pub struct OffsetCommitValue {
    /// Offset of the next record to consume.
    pub offset: i64,
    /// Leader epoch of the last record consumed; -1 where unknown.
    #[kafka(versions = "3+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// Text that the client keeps beside the offset.
    pub metadata: String,
    /// When it was committed, in milliseconds since 1970.
    pub commit_timestamp: i64,
    /// When it is to be forgotten, if the client said so (versions 2 to 4 of OffsetCommit); else -1.
    #[kafka(versions = "1", default = -1, ignorable)]
    pub expire_timestamp: i64,
    /// Id of the topic, zero where unknown.
    #[kafka(versions = "4+", tag = 0, ignorable)]
    pub topic_id: TopicId,
}

impl OffsetCommitValue {
    /// Only version 1 has the time of expiry; it lacks leader epoch and topic id, which then are lost.
    pub(super) fn version_by_expiry(&self) -> i16 {
        if self.expire_timestamp == -1 { 4 } else { 1 }
    }
}
