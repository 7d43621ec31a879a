//! The replicas of one node: its log directories and the partitions in them.
//!
//! # Duty
//! Keeps every partition that the metadata image gives this node on stage, in the directory it
//! belongs to and in the role it has.
//!
//! # Messages
//! | message | from | what happens |
//! |---|---|---|
//! | [`kabuki_partition::PartitionEvent`] | partition | the controller hears what concerns it |
//! | [`kabuki_partition::CheckpointPartition`] | partition | durable with others' in one write |
//! | [`DescribeLogDir`] | session | the disk is asked how much room it has |
//! | [`CloseDirectory`] | node, at its stop | last checkpoint and the marker of a clean shutdown |
//! | [`kabuki_runtime::ChildEvent`] | supervisor | a parked partition is taken offline and probed |
//!
//! The keeper follows the metadata image by itself.
//!
//! # Restart
//! The keeper rebuilds its cast from the image, a scan of the directories and what stands on stage; it
//! asks each partition how it is, since what they told meanwhile was not heard. They play on and notice
//! nothing. A log directory reads its checkpoint files; what waited for a write ends as `Lost`. Both are
//! brought back for as long as the node runs.
//!
//! # Invariants
//! 1. A directory that was assigned and is missing or empty is never made again; it is
//!    looked for until it is back.
//! 2. A partition is offered to clients only while its replica serves: what the controller shows and
//!    what the replica says are compared at every news of either, and a request that was refused is
//!    made again.
//! 3. A parked partition is tried again for as long as the node runs, ever more rarely if it falls each
//!    time.
//! 4. The checkpoint files never name a partition whose files are gone when new ones are made.
//! 5. A directory is marked as cleanly shut down only if every partition in it was closed in order.
//! 6. One name is one thing at a time: nothing is made under it while a directory of that name is being
//!    made, renamed or left.
//!
//! # Source
//! `ReplicaManager`, `LogManager` and `AssignmentsManager` of Kafka; KIP-112, KIP-113, KIP-858.

mod checkpoints;
mod config;
mod keeper;
mod log_dir;
mod messages;
mod spec;
mod state;

pub use keeper::ReplicaKeeper;
pub use log_dir::{LogDir, LogDirSpec};
pub use messages::{
    CloseDirectory, DescribeLogDir, DirectoryClosed, DirectoryNotClosed, LogDirDescription,
    LogDirUnusable,
};
pub use spec::{ReplicaSpec, Replicas, start};
