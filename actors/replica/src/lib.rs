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
//! | [`CloseDirectory`] | node, at its stop | last checkpoint and the marker of a clean shutdown |
//! | [`kabuki_runtime::ChildEvent`] | supervisor | a parked partition is taken offline and probed |
//!
//! The keeper follows the metadata image by itself.
//!
//! # Restart
//! The keeper rebuilds its cast from the image, a scan of the directories and the registry; the
//! partitions play on meanwhile and notice nothing. A log directory reads its checkpoint files; what
//! waited for a write ends as `Lost`, and its partitions send their numbers again.
//!
//! # Invariants
//! 1. A directory that was assigned and is missing or empty is never made again (rule V12).
//! 2. A partition is offered to clients only while its replica serves: what the controller shows and
//!    what the replica says are compared at every news of either.
//! 3. A parked partition is tried again for as long as the node runs.
//! 4. The checkpoint files never name a partition whose files are gone when new ones are made.
//! 5. A directory is marked as cleanly shut down only after every partition was closed in order.
//!
//! # Source
//! `ReplicaManager`, `LogManager` and `AssignmentsManager` of Kafka; KIP-112, KIP-113, KIP-858.

mod config;
mod keeper;
mod log_dir;
mod messages;
mod spec;
mod state;

pub use keeper::ReplicaKeeper;
pub use log_dir::{LogDir, LogDirSpec};
pub use messages::{CloseDirectory, DirectoryClosed, DirectoryNotClosed};
pub use spec::{ReplicaSpec, Replicas, start};
