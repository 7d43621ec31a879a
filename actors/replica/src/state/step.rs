//! What the cast wants done: orders to the shell of the keeper, each performed once.

use std::time::Duration;

use kabuki_controller::image::DirectoryId;
use kabuki_controller::messages::PartitionRef;
use kabuki_protocol::ids::{LeaderEpoch, PartitionId, TopicId};

/// Something the shell is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Look what lies in a log directory; the answer is `scanned`.
    Scan { directory: usize },
    /// Make the directory of a new partition, durably; the answer is `created` or `create_failed`.
    Create {
        partition: PartitionId,
        topic_id: TopicId,
        directory: usize,
    },
    /// Put the partition on stage; if it is there already, ask it how it is.
    Start {
        partition: PartitionId,
        topic_id: TopicId,
        directory: usize,
    },
    /// Tell the controller where the replica lies.
    Assign {
        partition: PartitionRef,
        directory: DirectoryId,
    },
    /// Tell the partition that it leads.
    Lead {
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
    },
    /// Tell the partition that it does not lead any more.
    Resign {
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
    },
    /// Give the partition its new configuration.
    Reconfigure { partition: PartitionId },
    /// Take the partition off for good and rename its directory; without a directory there are no
    /// files that could be told to be its own. The answer is `left`.
    Remove {
        partition: PartitionId,
        topic_id: TopicId,
        directory: Option<usize>,
    },
    /// Rename a directory that belongs to no partition of this node; the answer is `set_aside`.
    SetAside {
        partition: PartitionId,
        directory: usize,
    },
    /// Ask the controller for a change; the answer is `answered`.
    Ask {
        partition: PartitionId,
        topic_id: TopicId,
        what: Ask,
        /// Why, for the supervision log; empty where that is told elsewhere.
        cause: String,
    },
    /// Come back with `ask_again_due`.
    AskAgainLater {
        partition: PartitionId,
        pause: Duration,
    },
    /// Come back with `probe_due`.
    ProbeLater {
        partition: PartitionId,
        pause: Duration,
    },
    /// Come back with `degraded_due` after `kabuki.degraded.leader.ms`.
    JudgeDegradedLater {
        partition: PartitionId,
        trouble: u64,
    },
    /// Come back with `stable_due`.
    TrustLater {
        partition: PartitionId,
        trouble: u64,
        pause: Duration,
    },
    /// Come back with `rescan_due`.
    RescanLater { pause: Duration },
    /// Try a parked partition again.
    Revive {
        partition: PartitionId,
        topic_id: TopicId,
        directory: usize,
    },
}

/// What the controller is asked to do with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The replica serves: it shall lead.
    MarkOnline,
    /// The replica cannot serve: it shall not lead.
    MarkOffline,
    /// The replica lost records that were seen in this epoch: it shall lead in a greater one.
    RaiseEpoch,
}
