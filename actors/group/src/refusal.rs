//! Why a group refuses. The session maps each to the Kafka code that is named here.

use std::sync::Arc;

use thiserror::Error;

use crate::names::MemberId;

/// Why a request to a group was not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GroupRefused {
    /// Code 25.
    #[error("the group has no member {member_id:?}")]
    UnknownMember {
        /// As sent; empty when only an instance id was.
        member_id: MemberId,
    },
    /// Code 22.
    #[error("generation {sent} is not the group's generation {current}")]
    IllegalGeneration {
        /// As sent.
        sent: i32,
        /// What the group, or the member, is at.
        current: i32,
    },
    /// Code 82: another incarnation took the instance id over.
    #[error("the instance id belongs to member {owner:?} now")]
    FencedInstance {
        /// Member that holds it.
        owner: MemberId,
    },
    /// Code 27.
    #[error("the group rebalances, join again")]
    RebalanceInProgress,
    /// Code 23.
    #[error("the member shares no protocol with the group")]
    InconsistentProtocol,
    /// Code 26.
    #[error("a session timeout of {sent_ms} ms is outside {min_ms} to {max_ms} ms")]
    InvalidSessionTimeout {
        /// As sent.
        sent_ms: i32,
        /// Lower bound, inclusive.
        min_ms: i32,
        /// Upper bound, inclusive.
        max_ms: i32,
    },
    /// Code 79: join again with this id. Source: KIP-394.
    #[error("join again as member {member_id:?}")]
    MemberIdRequired {
        /// The id made for the member.
        member_id: MemberId,
    },
    /// Code 81.
    #[error("the group has no room for another member ({limit} at most)")]
    GroupFull {
        /// Members, or bytes of their metadata.
        limit: usize,
    },
    /// Code 69.
    #[error("there is no such group")]
    UnknownGroup,
    /// Code 69: the group speaks the other protocol, and may not or cannot change.
    #[error("the group can not change its protocol: {cause}")]
    NotConvertible {
        /// Which rule forbids it.
        cause: &'static str,
    },
    /// Code 68.
    #[error("the group is not empty")]
    NotEmpty,
    /// Code 110.
    #[error(
        "member epoch {sent} is not the member's epoch {current}, leave all partitions and join again"
    )]
    FencedMemberEpoch {
        /// As sent.
        sent: i32,
        /// What the group knows.
        current: i32,
    },
    /// Code 113; 22 when the member speaks the classic protocol.
    #[error("member epoch {sent} is stale, the member is at {current}")]
    StaleMemberEpoch {
        /// As sent.
        sent: i32,
        /// What the group knows, or the epoch in which the partition was assigned.
        current: i32,
        /// Answer 22 in place of 113.
        is_classic: bool,
    },
    /// Code 111.
    #[error("the instance id is held by member {owner:?}, which has not left")]
    UnreleasedInstance {
        /// Member that holds it.
        owner: MemberId,
    },
    /// Code 112.
    #[error("there is no assignor {name:?}, there are uniform and range")]
    UnsupportedAssignor {
        /// As sent.
        name: Arc<str>,
    },
    /// Code 42.
    #[error("{cause}")]
    InvalidRequest {
        /// Which rule the request breaks.
        cause: &'static str,
    },
    /// Code 128.
    #[error("{expression:?} is no regular expression: {cause}")]
    InvalidRegex {
        /// Its beginning, as sent.
        expression: Arc<str>,
        /// What is wrong, or the beginning of that.
        cause: String,
    },
    /// Code 35: a member of the new protocol commits with OffsetCommit v9 or later.
    #[error("members of a consumer group commit with version 9 or later")]
    UnsupportedVersion,
    /// Code 42: more bytes than one member may bring.
    #[error("{bytes} bytes of metadata are more than the {bytes_max} that one member may bring")]
    MemberTooLarge {
        /// As sent.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A classic join in a group with members of the new protocol: the answer names no member, as Kafka's.
    #[error("{cause}")]
    OfNobody {
        /// Why it was refused.
        cause: Box<GroupRefused>,
    },
    /// The answer was made, but its record could not be written; nothing of it is there.
    ///
    /// Codes: OffsetCommit and a KIP-848 heartbeat 16, Join, Sync and classic Heartbeat 16, the others 15.
    #[error("the change could not be written: {cause}")]
    NotCommitted {
        /// What the log said.
        cause: Arc<str>,
    },
    /// The group restarts or moves away. What was asked may have happened. Codes as for `NotCommitted`.
    #[error("the group is being rebuilt, ask again")]
    Unloaded,
}

impl GroupRefused {
    /// The same refusal without the member's id, but where it hands one out.
    pub(crate) fn of_nobody(self) -> Self {
        match self {
            Self::MemberIdRequired { .. } => self,
            _ => Self::OfNobody {
                cause: Box::new(self),
            },
        }
    }

    pub(crate) fn unknown_member(member_id: &MemberId) -> Self {
        Self::UnknownMember {
            member_id: member_id.clone(),
        }
    }
}

/// Why one partition of an offset commit was refused; the others of the request are judged on their own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitRefused {
    /// Code 12.
    #[error("{bytes} bytes of metadata are more than {bytes_max}")]
    MetadataTooLarge {
        /// As sent.
        bytes: usize,
        /// `offset.metadata.max.bytes`.
        bytes_max: usize,
    },
    /// Code 3, or 100 where the request names topics by id.
    #[error("there is no such topic or partition")]
    UnknownPartition,
}

/// Why one partition of an OffsetDelete was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeleteOffsetRefused {
    /// Code 86.
    #[error("the group is subscribed to the topic")]
    Subscribed,
    /// Code 3.
    #[error("there is no such topic or partition")]
    UnknownPartition,
}
