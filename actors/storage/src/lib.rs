//! Kafka's log files, indexes and checkpoints on real and simulated disks.
//!
//! # Duty
//! Performs what the owner of a log decided, on files in Kafka's own formats, and tells faults apart.
//!
//! # Messages
//! None: this crate has no mailbox. Actors call it, or hand a job to [`Disk::run`] and mail
//! themselves the result.
//!
//! # Restart
//! Nothing in memory outlives its owner. A log is opened again from its directory, its recovery point
//! and its producer snapshot; a job that was under way when its owner crashed still runs to its end
//! in the directory's pool, so the owner holds its restart until then.
//!
//! # Invariants
//! 1. A file that is replaced is replaced whole: after a crash the old or the new content is there.
//! 2. What was reported as synced survives a crash of the machine.
//! 3. A job that panics ends alone: its pool thread serves the next job.
//! 4. No job waits behind an unbounded queue; past the bound it is refused at once.
//! 5. An append is in the log whole or not at all; offsets in a log only rise.
//! 6. Opening a log never gives up a valid batch that was synced, nor one behind which another valid
//!    one stands, unless pages before it were lost with the machine.
//! 7. Indexes are hints: a damaged one costs time and is written again, it never gives a wrong answer.
//! 8. Producers and epochs after an opening are those that the same batches gave when they were
//!    appended.
//!
//! # Source
//! Kafka's file formats (`storage/internals/log`, `server.common` checkpoints), KIP-112 (failed log
//! directories), KIP-858 (directory ids).

pub mod checkpoint;
pub mod clean_shutdown;
mod dir_fault;
pub mod dir_lock;
pub mod dir_scan;
pub mod disk;
pub mod epochs;
pub mod fault;
pub mod file_system;
mod index;
pub mod log;
pub mod log_dump;
pub mod meta_properties;
mod partition_metadata;
pub mod producers;
pub mod real_fs;
mod recovery;
pub mod sim_fs;

pub use clean_shutdown::CleanShutdown;
pub use dir_fault::{DirFault, REPLACEMENT_SUFFIX, replace_file};
pub use dir_lock::DirLock;
pub use dir_scan::{DirKind, DirScan, ScannedDir};
pub use disk::{Disk, DiskFuture, DiskHealth, DiskOptions, RefusedMark};
pub use epochs::{EpochCache, EpochStart};
pub use fault::{DiskFault, FaultClass, classify};
pub use file_system::{DirEntry, File, FileSystem, LockGuard, OpenMode, Space};
pub use log::{
    BatchSpan, BatchWrite, FlushedLog, Log, LogConfig, LogFault, OpenLog, PageCache, ReadPlan,
    Recovered, RecoveryReport, SegmentSpan, TimestampOffset,
};
pub use meta_properties::MetaProperties;
pub use producers::{
    KnownProducer, ProducerBatch, ProducerLimits, ProducerRefused, ProducerTable, ProducerVerdict,
};
pub use real_fs::RealFs;
pub use sim_fs::SimFs;
