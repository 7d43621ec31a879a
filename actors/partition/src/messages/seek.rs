//! Finding offsets by time or epoch, and moving the log start.

use std::fmt;

use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};
use kabuki_runtime::{Message, ReplyPort, Undelivered};

use super::not_served::NotServed;

use super::Isolation;

/// Which offset `FindOffset` looks for. The numbers are those of ListOffsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OffsetTarget {
    /// -1: the high watermark, or the last stable offset for `Isolation::ReadCommitted`.
    Latest,
    /// -2: the log start.
    Earliest,
    /// -3: the first record that has the largest timestamp.
    MaxTimestamp,
    /// -4: the first offset on local disk; the log start without tiering.
    EarliestLocal,
    /// -5: the last tiered offset; none without tiering.
    LatestTiered,
    /// -6: the first offset waiting for upload; none without tiering.
    EarliestPendingUpload,
    /// 0 and above: the first record whose timestamp in milliseconds is at least this.
    Timestamp(i64),
}

/// Looks up one offset. Sent by the session.
pub struct FindOffset {
    /// The topic the sender means; a partition of another topic with the same name refuses.
    pub topic_id: TopicId,
    /// What to look for.
    pub target: OffsetTarget,
    /// Which records may be seen.
    pub isolation: Isolation,
    /// Leader epoch the asker knows, -1 for no check.
    pub current_leader_epoch: LeaderEpoch,
    /// Gets the answer.
    pub reply: ReplyPort<Result<OffsetFound, FindRefused>>,
}

impl fmt::Debug for FindOffset {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FindOffset")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Message for FindOffset {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// An offset that was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetFound {
    /// The offset; -1 when no record matches.
    pub offset: Offset,
    /// Timestamp of that record in milliseconds; -1 for targets that are no record.
    pub timestamp: i64,
    /// Epoch in which that offset was written, or the current one; -1 when no record matches.
    pub leader_epoch: LeaderEpoch,
}

impl OffsetFound {
    /// The answer when no record matches: -1 in all fields, no error.
    pub const NONE: Self = Self {
        offset: Offset::NONE,
        timestamp: -1,
        leader_epoch: LeaderEpoch::NONE,
    };
}

/// Why a look-up was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindRefused {
    /// This replica does not serve the request.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// The high watermark has not yet reached the start of this epoch. Kafka: 78, 5
    /// before version 5.
    #[error("high watermark {high_watermark} is below the epoch start {epoch_start}")]
    OffsetNotAvailable {
        /// First offset that is not yet known to be replicated.
        high_watermark: Offset,
        /// First offset of the current epoch.
        epoch_start: Offset,
    },
    /// The disk could not be searched. Kafka: 56.
    #[error("the log cannot be searched: {cause}")]
    Storage {
        /// What the disk said.
        cause: String,
    },
}

/// Finds the end of an epoch. Sent by the session.
pub struct FindEpochEnd {
    /// The topic the sender means; a partition of another topic with the same name refuses.
    pub topic_id: TopicId,
    /// Leader epoch the asker knows, -1 for no check.
    pub current_leader_epoch: LeaderEpoch,
    /// Epoch whose end is wanted.
    pub leader_epoch: LeaderEpoch,
    /// Gets the answer.
    pub reply: ReplyPort<Result<EpochEnd, FindRefused>>,
}

impl fmt::Debug for FindEpochEnd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FindEpochEnd")
            .field("leader_epoch", &self.leader_epoch)
            .finish_non_exhaustive()
    }
}

impl Message for FindEpochEnd {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// The largest epoch at or below the one asked for, and the offset after its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// That epoch; -1 when it is not known.
    pub leader_epoch: LeaderEpoch,
    /// Offset after its last record; -1 when it is not known.
    pub end_offset: Offset,
}

/// Moves the log start up to `before`; answered once the new log start is durable.
///
/// Records below it are never served again; whole segments below it are deleted in the background.
/// Whether the topic allows it at all (compact only: 44, internal: 17) is the session's to check.
/// Source: KIP-107. Sent by the session and by retention.
pub struct TrimLog {
    /// The topic the sender means; a partition of another topic with the same name refuses.
    pub topic_id: TopicId,
    /// First offset to keep; -1 stands for the high watermark.
    pub before: Offset,
    /// Gets the answer.
    pub reply: ReplyPort<Result<LogTrimmed, TrimRefused>>,
}

impl fmt::Debug for TrimLog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TrimLog")
            .field("before", &self.before)
            .finish_non_exhaustive()
    }
}

impl Message for TrimLog {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// The log start is durable at or above the offset asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTrimmed {
    /// First offset of the log now.
    pub low_watermark: Offset,
}

/// Why the log was not trimmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrimRefused {
    /// The partition of this name belongs to another topic: the one that was meant is deleted, or
    /// not on stage yet. Kafka: 3 where topics are named, 100 or 103 where their ids are used.
    #[error("topic {asked} was meant, this is a partition of topic {hosted}")]
    ForeignTopic {
        /// Id of the topic that was meant.
        asked: TopicId,
        /// Id of the topic whose partition this is.
        hosted: TopicId,
    },
    /// This replica does not lead. Kafka: 6.
    #[error("this replica does not lead, its last known epoch is {leader_epoch}")]
    NotLeader {
        /// Last epoch this replica knows of, -1 if none.
        leader_epoch: LeaderEpoch,
    },
    /// Negative, or past the high watermark. Kafka: 1.
    #[error("cannot trim to {before}, the high watermark is {high_watermark}")]
    OffsetOutOfRange {
        /// Offset asked for.
        before: Offset,
        /// First offset that may not be trimmed.
        high_watermark: Offset,
    },
    /// The new log start could not be made durable. Kafka: 56.
    #[error("the log start cannot be stored: {cause}")]
    Storage {
        /// What the disk said.
        cause: String,
    },
}
