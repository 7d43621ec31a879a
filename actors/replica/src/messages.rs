//! What the replica keeper and the log directories are told. Everything else that they hear belongs
//! to others: partition events and checkpoints to `kabuki_partition`, child events to the runtime.

use std::path::PathBuf;

use kabuki_controller::messages::PartitionRef;
use kabuki_partition::CheckpointFailed;
use kabuki_protocol::ids::{PartitionId, TopicId};
use kabuki_runtime::{Lane, Message, ReplyPort, Undelivered};

/// Takes a partition out of the checkpoint files of its log directory: what they say of it belongs
/// to files that are gone, and must not be believed of new files of the same name.
pub(crate) struct ForgetPartition {
    /// Which partition.
    pub(crate) partition: PartitionId,
    /// Gets the answer once the files do not name it.
    pub(crate) reply: ReplyPort<Result<PartitionForgotten, CheckpointFailed>>,
}

impl Message for ForgetPartition {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// The checkpoint files do not name the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionForgotten;

/// Writes the checkpoint files of a log directory for the last time and marks it as cleanly shut
/// down. Sent by the node after all partitions of the directory have stopped.
#[derive(Debug)]
pub struct CloseDirectory {
    /// Gets the answer once everything is on the medium.
    pub reply: ReplyPort<Result<DirectoryClosed, DirectoryNotClosed>>,
}

impl Message for CloseDirectory {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// The directory holds its checkpoints and the marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryClosed;

/// The directory could not be closed; the next start recovers from the last checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log directory cannot be closed: {cause}")]
pub struct DirectoryNotClosed {
    /// What the disk said.
    pub cause: String,
}

/// A newer metadata image is there.
pub(crate) struct ImageChanged;

/// A log directory was looked at.
pub(crate) struct DirectoryScanned {
    /// Index of the directory.
    pub(crate) directory: usize,
    /// Partition directories with the topic id of their metadata file, and directories of deleted
    /// partitions whose removal was not finished; or what the disk said.
    pub(crate) outcome: Result<ScannedDirectory, String>,
}

/// Content of one log directory.
#[derive(Debug, Default)]
pub(crate) struct ScannedDirectory {
    /// Partition directories.
    pub(crate) partitions: Vec<(PartitionId, Option<TopicId>)>,
    /// Directories that were renamed for deletion.
    pub(crate) deleted: Vec<PathBuf>,
}

/// The directory of a new partition was made, or not.
pub(crate) struct DirectoryMade {
    /// Which partition.
    pub(crate) partition: PartitionId,
    /// What the disk said, if it failed.
    pub(crate) outcome: Result<(), String>,
}

/// A partition has left the stage for good.
pub(crate) struct PartitionLeft {
    /// Which partition.
    pub(crate) partition: PartitionId,
    /// Index of its log directory.
    pub(crate) directory: usize,
    /// Where its files are now.
    pub(crate) renamed_to: Option<PathBuf>,
}

/// `file.delete.delay.ms` are over for a renamed directory.
pub(crate) struct DeleteDirectoryDue {
    /// Index of the log directory.
    pub(crate) directory: usize,
    /// What to delete.
    pub(crate) path: PathBuf,
}

/// The pause before a parked partition is tried again is over.
pub(crate) struct ProbeDue {
    /// Which partition.
    pub(crate) partition: PartitionId,
}

/// `kabuki.degraded.leader.ms` are over for a partition that refused writes.
pub(crate) struct DegradedJudgementDue {
    /// Which partition.
    pub(crate) partition: PartitionId,
}

/// The controller answered a request about one partition.
pub(crate) struct ControllerAnswered {
    /// Which partition.
    pub(crate) partition: PartitionRef,
    /// Why the request was not carried out; `None` if it was.
    pub(crate) refusal: Option<String>,
}

/// The controller answered a batch of directory assignments.
pub(crate) struct DirectoriesAssigned {
    /// Why not, if it refused: they are sent again with the next change.
    pub(crate) refusal: Option<String>,
}

/// A job whose outcome is only logged has ended.
pub(crate) struct JobDone {
    /// What it was, as constant text.
    pub(crate) job: &'static str,
    /// What the disk said, if it failed.
    pub(crate) outcome: Result<(), String>,
}

/// The checkpoint files of a log directory were written, or not.
pub(crate) struct CheckpointsWritten {
    /// What the disk said, if it failed.
    pub(crate) outcome: Result<(), String>,
}

/// The disk of a log directory became slow or well again.
pub(crate) struct DiskHealthChanged;

macro_rules! to_self {
    ($($message:ty),+ $(,)?) => {$(
        impl Message for $message {
            type Reply = ();
            const LANE: Lane = Lane::Control;
        }
    )+};
}

to_self!(
    ImageChanged,
    DirectoryScanned,
    DirectoryMade,
    PartitionLeft,
    DeleteDirectoryDue,
    ProbeDue,
    DegradedJudgementDue,
    ControllerAnswered,
    DirectoriesAssigned,
    JobDone,
    CheckpointsWritten,
    DiskHealthChanged,
);
