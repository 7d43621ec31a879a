//! One hosted replica of a topic partition, as a supervised actor.
//!
//! # Duty
//! Gives every record of one partition its place, once, and shows it when it is safe to.
//!
//! # Messages
//! | message | kind | from | answered |
//! |---|---|---|---|
//! | [`AppendRecords`] | command | session | when the high watermark has passed the batch |
//! | [`ReadRecords`] | query | session | at once, or after the disk was asked |
//! | [`WatchPartition`], [`UnwatchPartition`] | query | session | when there is more to read |
//! | [`FindOffset`], [`FindEpochEnd`] | query | session | at once, or after a search |
//! | [`DescribeProducers`] | query | session | at once |
//! | [`TrimLog`] | command | session, retention | when the log start is durable |
//! | [`BecomeLeader`], [`ResignLeadership`] | command | keeper | when it leads, or no longer does |
//! | [`AwaitLeadership`] | query | session | when it leads |
//! | [`ReconfigureLog`] | command | keeper | at once |
//! | [`DescribePartition`] | query | keeper, session | at once |
//! | [`StopPartition`] | command | keeper | when the files are closed or renamed |
//! | [`PartitionEvent`], [`CheckpointPartition`] | event, command | sent upwards | |
//!
//! # Restart
//! All is rebuilt from the partition's directory: the log from its last recovery point (at most
//! 64 MiB are scanned), producers from their newest snapshot and the batches after it, epochs from
//! their file and the batches past the recovery point; leadership and configuration are asked of the
//! keeper's sources. Lost are watchers and pool reads. Callers see: what was in hand is `Lost` (an
//! append may be written), what was queued waits for the next instance. A producer that resends gets
//! the original offset. The log is not opened while a write of the old instance is still out. After a
//! failed sync the next instance cuts what was lost with it, writes the rest again and, until that
//! succeeds, refuses writes.
//!
//! # Invariants
//! 1. An offset is given once: what was shown is never replaced in the same leader epoch.
//! 2. log start <= high watermark <= log end; none of them falls in an incarnation.
//! 3. A refusal means that no byte of the batch is in the log.
//! 4. With `flush.messages` neither an answer nor a reader sees what is not on the medium.
//! 5. A recovery point is stored only when the epoch file holds the epochs of all records below it.
//! 6. A directory that is missing or empty is never filled again.
//! 7. A batch that crashed two incarnations is refused without being looked at.
//!
//! # Checksums
//! A batch is checked where it enters, by the session, and where a crash may have torn it, by the
//! recovery. A read hands out what the file holds without checking it again, as Kafka does: clients
//! check every batch, and a pass over all that is read would cost as much as reading it. A range
//! that the medium refuses (EIO) is refused to its reader alone; a bad checksum is found by its
//! reader, by `kabuki log dump`, and by the next recovery that scans it.
//!
//! # Source
//! KIP-98 (idempotence), KIP-101 and KIP-279 (leader epochs), KIP-107 (DeleteRecords), KIP-207 (offsets
//! after an election), KIP-320 (fencing), and the rules P, I, E, L and V of the protocol notes.

mod actor;
mod messages;
mod spec;
mod state;

pub use actor::Partition;
pub use messages::*;
pub use spec::{
    ConfigSource, LeadershipSource, MarksSource, PartitionConfig, PartitionSpec, StoredMarks,
    WallClock, spec,
};
