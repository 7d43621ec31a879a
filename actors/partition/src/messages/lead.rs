//! Orders of the replica keeper: leadership, configuration, stop; and the description it can ask
//! for. All travel in the control lane, ahead of appends and reads that wait.

use std::fmt;
use std::path::PathBuf;

use kabuki_protocol::ids::{LeaderEpoch, Offset, PartitionId, TopicId};
use kabuki_runtime::{Lane, Message, ReplyPort, Undelivered};

use crate::PartitionConfig;

/// Makes this replica the leader in `leader_epoch`.
///
/// The metadata log holds the epoch before it is ordered; the partition's epoch file gets
/// it with the next recovery point. The epoch this replica leads in already is answered at once.
/// Sent by the replica keeper when the metadata image says so; a restarted partition takes up
/// its leadership itself, from `PartitionSpec::leadership`.
pub struct BecomeLeader {
    /// Epoch to lead in.
    pub leader_epoch: LeaderEpoch,
    /// Gets the answer.
    pub reply: ReplyPort<Result<LeadershipTaken, BecomeLeaderRefused>>,
}

impl fmt::Debug for BecomeLeader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BecomeLeader")
            .field("leader_epoch", &self.leader_epoch)
            .finish_non_exhaustive()
    }
}

impl Message for BecomeLeader {
    type Reply = ();
    const LANE: Lane = Lane::Control;

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// This replica leads and serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeadershipTaken {
    /// Epoch it leads in.
    pub leader_epoch: LeaderEpoch,
    /// First offset of that epoch.
    pub epoch_start: Offset,
}

/// Why leadership was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BecomeLeaderRefused {
    /// The order is older than what this replica knows.
    #[error("leader epoch {sent} is older than {current}")]
    StaleEpoch {
        /// Epoch of the order.
        sent: LeaderEpoch,
        /// Epoch of this replica.
        current: LeaderEpoch,
    },
}

/// Ends leadership: appends, reads and look-ups are refused as `NotLeader` until `BecomeLeader`.
///
/// What was accepted before is still written and answered. Sent by the replica keeper when the
/// metadata image names another leader or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResignLeadership {
    /// Epoch of the image that says so; an older one than the one led in is ignored.
    pub leader_epoch: LeaderEpoch,
}

impl Message for ResignLeadership {
    type Reply = ();
    const LANE: Lane = Lane::Control;
}

/// Answered once this replica leads and takes appends and reads, at once if it does already.
///
/// Waits through recovery. `NoReply::Lost` after a crash: the next instance is to be asked again. Sent
/// by the session that has created the topic, so that its client's first request is served.
pub struct AwaitLeadership {
    /// The topic the sender means.
    pub topic_id: TopicId,
    /// Gets the answer.
    pub reply: ReplyPort<Result<LeadershipHeld, AwaitRefused>>,
}

impl fmt::Debug for AwaitLeadership {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AwaitLeadership")
            .field("topic_id", &self.topic_id)
            .finish_non_exhaustive()
    }
}

impl Message for AwaitLeadership {
    type Reply = ();
    const LANE: Lane = Lane::Control;

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// This replica leads and serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeadershipHeld {
    /// Epoch it leads in.
    pub leader_epoch: LeaderEpoch,
}

/// Why leadership is not waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwaitRefused {
    /// The partition of this name belongs to another topic.
    #[error("topic {asked} was meant, this is a partition of topic {hosted}")]
    ForeignTopic {
        /// Id of the topic that was meant.
        asked: TopicId,
        /// Id of the topic whose partition this is.
        hosted: TopicId,
    },
}

/// Gives the partition another configuration, from the next append on. The reply comes at once.
#[derive(Debug, Clone)]
pub struct ReconfigureLog {
    /// The whole new configuration.
    pub config: PartitionConfig,
}

impl Message for ReconfigureLog {
    type Reply = LogReconfigured;
    const LANE: Lane = Lane::Control;
}

/// The configuration is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogReconfigured;

/// Ends the partition for good: flushes, closes the log cleanly, or renames it for deletion.
///
/// Watchers are told `Removed`; messages that still wait are refused as `Stopped`. With `delete`
/// the directory is renamed first (`<topic>-<partition>.<id>-delete`) and left to the sender, who
/// deletes it after `file.delete.delay.ms`. Sent by the replica keeper; its `stop_child` without
/// this message closes cleanly too.
pub struct StopPartition {
    /// Rename the directory for deletion instead of closing it for the next start.
    pub delete: bool,
    /// Gets the answer, before the actor is gone.
    pub reply: ReplyPort<Result<PartitionStopped, StopRefused>>,
}

impl fmt::Debug for StopPartition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StopPartition")
            .field("delete", &self.delete)
            .finish_non_exhaustive()
    }
}

impl Message for StopPartition {
    type Reply = ();
    const LANE: Lane = Lane::Control;

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// The partition has let go of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStopped {
    /// Where the files are now, when they were renamed for deletion.
    pub renamed_to: Option<PathBuf>,
}

/// Why the files were not left in good order. The actor stops all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopRefused {
    /// The disk failed; the next start recovers from the last recovery point.
    #[error("the log could not be closed: {cause}")]
    Storage {
        /// What the disk said.
        cause: String,
    },
}

/// Asks for numbers about the partition; also answered while it recovers. Changes nothing. Sent by the
/// replica keeper, and by the session for DescribeLogDirs.
pub struct DescribePartition {
    /// Gets the answer.
    pub reply: ReplyPort<PartitionDescription>,
}

impl fmt::Debug for DescribePartition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DescribePartition")
            .finish_non_exhaustive()
    }
}

impl Message for DescribePartition {
    type Reply = ();
    const LANE: Lane = Lane::Control;

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// Where a partition is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionPhase {
    /// The log is being opened and its tail verified; appends and reads wait.
    Recovering,
    /// It leads and serves.
    Leading,
    /// It holds its log and serves nobody.
    Following,
    /// Reads are served; writes are refused until the disk takes them again.
    Degraded {
        /// What the disk said.
        cause: String,
    },
    /// It is letting go of its files.
    Stopping,
}

/// Numbers about a partition. While it recovers, offsets are -1 and counts 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Which partition.
    pub partition: PartitionId,
    /// Id of its topic.
    pub topic_id: TopicId,
    /// Where its files are.
    pub dir: PathBuf,
    /// Where it is in its life.
    pub phase: PartitionPhase,
    /// Last epoch it knows of.
    pub leader_epoch: LeaderEpoch,
    /// First offset of the log.
    pub log_start: Offset,
    /// First offset that readers may not see.
    pub high_watermark: Offset,
    /// First offset that readers of committed records may not see.
    pub last_stable_offset: Offset,
    /// Offset of the next append.
    pub log_end: Offset,
    /// Offset up to which the log is known to be on the medium.
    pub recovery_point: Offset,
    /// Bytes of all segments.
    pub size_bytes: u64,
    /// Number of segments.
    pub segment_count: usize,
    /// Number of producers whose sequences are remembered.
    pub producer_count: usize,
    /// Number of parked fetches.
    pub watcher_count: usize,
}
