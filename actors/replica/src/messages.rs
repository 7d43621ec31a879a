//! What the replica keeper and the log directories are told. Everything else that they hear belongs
//! to others: partition events and checkpoints to `kabuki_partition`, child events to the runtime.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use kabuki_partition::{CheckpointFailed, PartitionDescription};
use kabuki_protocol::ids::{PartitionId, TopicId};
use kabuki_runtime::{Lane, Message, ReplyPort, Undelivered};

use kabuki_storage::DiskHealth;
use tokio::sync::watch;

use crate::checkpoints::Numbers;
use crate::state::{CreateFault, Found};

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
    /// Partitions of the node that were closed in order. A directory that holds another one is not
    /// marked: its log may end in a torn batch.
    pub closed: Arc<BTreeSet<PartitionId>>,
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
pub enum DirectoryNotClosed {
    /// The disk failed.
    #[error("the log directory cannot be closed: {cause}")]
    Storage {
        /// What it said.
        cause: String,
    },
    /// It holds partitions that were not closed in order. The checkpoints are written.
    #[error("{count} partitions of the log directory were not closed, {example} for one")]
    PartitionsNotClosed {
        /// How many.
        count: usize,
        /// The first of them.
        example: PartitionId,
    },
}

/// Asks how much room there is on the file system of a log directory. Sent by the session for
/// DescribeLogDirs.
pub struct DescribeLogDir {
    /// Gets the answer, which waits for the disk.
    pub reply: ReplyPort<Result<LogDirDescription, LogDirUnusable>>,
}

impl Message for DescribeLogDir {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// Room of a log directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDirDescription {
    /// Size of its file system.
    pub total_bytes: u64,
    /// Bytes that the node may still write to it.
    pub usable_bytes: u64,
}

/// Nothing can be said of a log directory: it stands still, or its disk failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log directory cannot be used: {cause}")]
pub struct LogDirUnusable {
    /// What is wrong.
    pub cause: String,
}

/// A newer metadata image is there.
pub(crate) struct ImageChanged;

/// A log directory was looked at.
pub(crate) struct DirectoryScanned {
    /// Index of the directory.
    pub(crate) directory: usize,
    /// What lies in it, or what the disk said.
    pub(crate) outcome: Result<ScannedDirectory, String>,
}

/// Content of one log directory.
#[derive(Debug, Default)]
pub(crate) struct ScannedDirectory {
    /// Partition directories with the topic id of their metadata file.
    pub(crate) partitions: Found,
    /// Directories of deleted partitions whose removal was not finished.
    pub(crate) deleted: Vec<PathBuf>,
    /// Why the marker of the last clean shutdown is still there, if it is.
    pub(crate) marker_fault: Option<String>,
}

/// The scan of a directory has been out for long.
pub(crate) struct ScanOverdue {
    /// Index of the directory.
    pub(crate) directory: usize,
}

/// The pause before missing partitions are looked for again is over.
pub(crate) struct RescanDue;

/// The directory of a new partition was made, or not.
pub(crate) struct DirectoryMade {
    /// Which partition.
    pub(crate) partition: PartitionId,
    /// Why not.
    pub(crate) outcome: Result<(), CreateFault>,
}

/// A stray directory was renamed, or not.
pub(crate) struct StraySetAside {
    /// Which partition it bears the name of.
    pub(crate) partition: PartitionId,
    /// Index of its log directory.
    pub(crate) directory: usize,
    /// What the disk said, if it failed.
    pub(crate) outcome: Result<(), String>,
}

/// A partition that was on stage already was asked how it is.
pub(crate) struct PartitionFound {
    /// Which partition.
    pub(crate) partition: PartitionId,
    /// What it said.
    pub(crate) outcome: Result<PartitionDescription, NotPlaying>,
}

/// Why a partition does not say how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotPlaying {
    /// Its budget is spent.
    Parked,
    /// It has ended for good.
    Gone,
}

/// A partition has left the stage for good, or could not be made to.
pub(crate) struct PartitionLeft {
    /// Which partition.
    pub(crate) partition: PartitionId,
    /// Index of its log directory; meaningless without files.
    pub(crate) directory: usize,
    /// Where its files are now, if it had any, or why they are still where they were.
    pub(crate) outcome: Result<Option<PathBuf>, String>,
}

/// `file.delete.delay.ms` are over for a renamed directory.
pub(crate) struct DeleteDirectoryDue {
    /// Index of the log directory.
    pub(crate) directory: usize,
    /// What to delete.
    pub(crate) path: PathBuf,
}

/// A renamed directory was deleted, or not.
pub(crate) struct DirectoryDeleted {
    /// Index of the log directory.
    pub(crate) directory: usize,
    /// Where it is or was.
    pub(crate) path: PathBuf,
    /// What the disk said, if it failed.
    pub(crate) outcome: Result<(), String>,
}

/// The pause before a partition is tried again is over.
pub(crate) struct ProbeDue {
    /// Which partition.
    pub(crate) partition: PartitionId,
}

/// `kabuki.degraded.leader.ms` are over for a partition that refused writes.
pub(crate) struct DegradedJudgementDue {
    /// Which partition.
    pub(crate) partition: PartitionId,
    /// Number of the trouble that is judged.
    pub(crate) trouble: u64,
}

/// A partition that had trouble has been left in peace for a while.
pub(crate) struct TrustDue {
    /// Which partition.
    pub(crate) partition: PartitionId,
    /// Number of its last trouble at that time.
    pub(crate) trouble: u64,
}

/// The controller answered a request about one partition.
pub(crate) struct ControllerAnswered {
    /// Which partition.
    pub(crate) partition: PartitionId,
    /// Id of its topic.
    pub(crate) topic_id: TopicId,
    /// Why the request was not carried out.
    pub(crate) outcome: Result<(), String>,
}

/// The pause before the controller is asked again about a partition is over.
pub(crate) struct AskAgainDue {
    /// Which partition.
    pub(crate) partition: PartitionId,
}

/// The controller answered a batch of directory assignments.
pub(crate) struct DirectoriesAssigned {
    /// Why not, if it refused: they are sent again.
    pub(crate) outcome: Result<(), String>,
}

/// The pause before directories are assigned again is over.
pub(crate) struct AssignAgainDue;

/// A job whose outcome is only logged has ended.
pub(crate) struct JobDone {
    /// What it was, as constant text.
    pub(crate) job: &'static str,
    /// What the disk said, if it failed.
    pub(crate) outcome: Result<(), String>,
}

/// The checkpoint files of a log directory were read, or not.
pub(crate) struct CheckpointsRead {
    /// What they hold, or what the disk said.
    pub(crate) outcome: Result<Arc<Numbers>, String>,
}

/// The checkpoint files of a log directory were written, or not.
pub(crate) struct CheckpointsWritten {
    /// Whether every partition was closed, where a close was asked for; or what the disk said.
    pub(crate) outcome: Result<Result<(), DirectoryNotClosed>, String>,
}

/// The disk said how much room it has, or what is wrong with it.
pub(crate) struct SpaceFound {
    /// The answer to all who wait for it.
    pub(crate) outcome: Result<LogDirDescription, LogDirUnusable>,
}

/// The disk of a log directory became slow or well again.
pub(crate) struct DiskHealthChanged(pub(crate) watch::Receiver<DiskHealth>);

/// The thread of a log directory stands still or moves again.
pub(crate) struct StandstillChanged(pub(crate) watch::Receiver<bool>);

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
    ScanOverdue,
    RescanDue,
    DirectoryMade,
    StraySetAside,
    PartitionFound,
    PartitionLeft,
    DeleteDirectoryDue,
    DirectoryDeleted,
    ProbeDue,
    DegradedJudgementDue,
    TrustDue,
    ControllerAnswered,
    AskAgainDue,
    DirectoriesAssigned,
    AssignAgainDue,
    JobDone,
    CheckpointsRead,
    CheckpointsWritten,
    SpaceFound,
    DiskHealthChanged,
    StandstillChanged,
);
