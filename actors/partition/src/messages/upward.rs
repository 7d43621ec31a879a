//! What a partition tells the replica keeper and its log directory. Sent through recipients that
//! its spec names, so that this crate does not know who hears them.

use std::fmt;

use kabuki_protocol::ids::{LeaderEpoch, Offset, PartitionId, TopicId};
use kabuki_runtime::{Lane, Message, ReplyPort, Undelivered};

/// Something about a partition that its keeper, and through it the controller, should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionEvent {
    /// Which partition.
    pub partition: PartitionId,
    /// Id of its topic, so that news of a deleted topic's partition is not taken for its heir's.
    pub topic_id: TopicId,
    /// What happened.
    pub fact: PartitionFact,
}

impl Message for PartitionEvent {
    type Reply = ();
    const LANE: Lane = Lane::Control;
}

/// What happened to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionFact {
    /// The log is open and its tail verified. Leadership may still be missing.
    LogRecovered {
        /// First offset of the log.
        log_start: Offset,
        /// Offset of the next append.
        log_end: Offset,
        /// Bytes that had to be read.
        scanned_bytes: u64,
        /// Bytes of a torn tail that were cut.
        cut_bytes: u64,
    },
    /// Records that this or an earlier incarnation may have shown or acknowledged are gone: the
    /// controller is to raise the leader epoch, and the partition does not serve before.
    TailCut {
        /// Where the log ends now.
        log_end: Offset,
        /// Last epoch this replica knows of; serving goes on in a greater one only.
        leader_epoch: LeaderEpoch,
    },
    /// This replica leads and serves.
    LeadershipTaken {
        /// Epoch it leads in.
        leader_epoch: LeaderEpoch,
    },
    /// Writes are refused, reads go on, the disk is probed.
    Degraded {
        /// What the disk said.
        cause: String,
    },
    /// Writes go on.
    Healed,
    /// A batch crashes the partition again and again while no other succeeds: the state is bad.
    StateSuspect,
    /// The instance ends because the disk failed it; the supervisor starts another.
    Failed {
        /// What the disk said.
        cause: String,
        /// True when the directory is missing, empty or another topic's: restarts do not help and
        /// nothing is created in its place.
        is_missing: bool,
    },
}

/// Makes two numbers of a partition durable in the checkpoint files of its log directory.
///
/// Both only rise, except that the recovery point falls when a log is truncated. Heard by the log
/// directory, which may write several partitions' numbers together.
pub struct CheckpointPartition {
    /// Which partition.
    pub partition: PartitionId,
    /// Offset up to which the log is on the medium (`recovery-point-offset-checkpoint`).
    pub recovery_point: Offset,
    /// First offset of the log (`log-start-offset-checkpoint`).
    pub log_start: Offset,
    /// Gets the answer once both files are on the medium.
    pub reply: ReplyPort<Result<PartitionCheckpointed, CheckpointFailed>>,
}

impl fmt::Debug for CheckpointPartition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CheckpointPartition")
            .field("partition", &self.partition)
            .field("recovery_point", &self.recovery_point)
            .field("log_start", &self.log_start)
            .finish_non_exhaustive()
    }
}

impl Message for CheckpointPartition {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// The checkpoint files hold the numbers sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionCheckpointed;

/// The checkpoint files could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint files cannot be written: {cause}")]
pub struct CheckpointFailed {
    /// What the disk said.
    pub cause: String,
}
