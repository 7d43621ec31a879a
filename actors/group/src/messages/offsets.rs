//! Committed offsets: OffsetCommit, OffsetFetch, OffsetDelete.

use std::sync::Arc;

use kabuki_protocol::ids::TopicId;

use crate::names::{InstanceId, MemberId};
use crate::records::{CommittedOffset, OffsetKey};
use crate::refusal::CommitRefused;

/// OffsetCommit, all versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOffsets {
    /// Generation, or member epoch; negative from consumers that are no members.
    pub generation: i32,
    /// Empty from consumers that are no members.
    pub member_id: MemberId,
    /// Instance id of a static member.
    pub instance_id: Option<InstanceId>,
    /// Version of the request: members of the new protocol need 9.
    pub version: i16,
    /// Milliseconds (v2 to v4); -1 leaves it to the broker.
    pub retention_ms: i64,
    /// What to store.
    pub offsets: Vec<OffsetToCommit>,
}

/// One partition of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// Topic (by name; the session resolves ids) and partition.
    pub key: OffsetKey,
    /// Id of the topic at the moment of the request, zero when it is named only.
    pub topic_id: TopicId,
    /// Next offset to read.
    pub offset: i64,
    /// Leader epoch of the last record read, -1 unknown.
    pub leader_epoch: i32,
    /// Free text; `None` is stored as "".
    pub metadata: Option<Arc<str>>,
}

/// What became of one [`OffsetToCommit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedPartition {
    /// Topic and partition.
    pub key: OffsetKey,
    /// Stored, or why not.
    pub result: Result<(), CommitRefused>,
}

/// OffsetFetch of one group, all versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOffsets {
    /// Set by members of the new protocol (v9).
    pub member_id: Option<MemberId>,
    /// Negative when no member asks.
    pub member_epoch: i32,
    /// `None` asks for all.
    pub keys: Option<Vec<OffsetKey>>,
}

/// One partition of an OffsetFetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    /// Topic and partition.
    pub key: OffsetKey,
    /// `None` when nothing is stored (offset -1, error 0).
    pub offset: Option<CommittedOffset>,
}

/// OffsetDelete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOffsets {
    /// What to forget.
    pub keys: Vec<OffsetKey>,
}
