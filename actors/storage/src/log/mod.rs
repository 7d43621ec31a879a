//! The files of one partition. A log performs: it appends where it is told, reads, rolls, trims and
//! syncs; which offsets, epochs and moments those are is decided by the partition that owns it.

mod config;
mod fault;

pub use config::{LogConfig, OpenLog, PageCache, Recovered, RecoveryReport};
pub use fault::{BadBatch, LogFault};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::ids::{Offset, TopicId};

use crate::epochs::EpochCache;
use crate::file_system::FileSystem;
use crate::producers::ProducerTable;

/// The log of one partition: an ordered list of segments, the last of which is appended to.
///
/// Lives on the arbiter of its owner. Methods without `job` in their name work on the page cache at
/// once; each `…_job` method gives a job for the directory's pool (`disk.run(name, move |fs| job.run(fs))`)
/// whose result is handed back to the method named next to it.
#[derive(Debug)]
pub struct Log {
    dir: Arc<Path>,
}

/// One batch to append.
#[derive(Debug, Clone)]
pub struct BatchWrite {
    /// Patched header and the rest, written one after the other.
    pub chunks: [Bytes; 2],
    /// First offset of the batch; at or after the log end.
    pub base_offset: Offset,
    /// Last offset of the batch.
    pub last_offset: Offset,
    /// Largest timestamp of its records in milliseconds, -1 for none.
    pub max_timestamp: i64,
}

/// What decides about a roll: the batches that would be appended next, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSpan {
    /// Bytes of the batches.
    pub bytes: u64,
    /// Last offset they will have.
    pub last_offset: Offset,
    /// Largest timestamp in milliseconds, -1 for none.
    pub max_timestamp: i64,
}

/// A write that goes through the pool; see [`Log::write_job`].
#[derive(Debug)]
pub struct WriteJob {
    _private: (),
}

impl WriteJob {
    /// Writes. Blocks.
    pub fn run(self, _fs: &dyn FileSystem) -> Result<Wrote, LogFault> {
        todo!()
    }
}

/// A write that is in the file; goes to [`Log::wrote`].
#[derive(Debug)]
pub struct Wrote {
    _private: (),
}

/// A roll; see [`Log::roll_job`].
#[derive(Debug)]
pub struct RollJob {
    _private: (),
}

impl RollJob {
    /// Finishes the active segment's indexes, writes the producer snapshot, creates the files of the
    /// next segment and syncs the directory. Blocks. After an error the log is as it was.
    pub fn run(self, _fs: &dyn FileSystem) -> Result<RolledSegment, LogFault> {
        todo!()
    }
}

/// A segment that is ready to be appended to; goes to [`Log::install`].
#[derive(Debug)]
pub struct RolledSegment {
    _private: (),
}

/// Answer to [`Log::read`].
#[derive(Debug)]
pub enum ReadPlan {
    /// Whole batches from the page cache; never empty.
    Ready(Bytes),
    /// The bytes are not cached, or their place is not known yet: run this in the pool.
    Pool(ReadJob),
    /// There is nothing to return in the asked range.
    Empty,
}

/// A read that may wait for the device.
#[derive(Debug)]
pub struct ReadJob {
    _private: (),
}

impl ReadJob {
    /// Reads. Blocks.
    pub fn run(self, _fs: &dyn FileSystem) -> Result<ReadDone, LogFault> {
        todo!()
    }
}

/// Bytes read in the pool; [`Log::finish_read`] unwraps them and remembers where the reader stands.
#[derive(Debug)]
pub struct ReadDone {
    /// Whole batches, possibly none.
    pub bytes: Bytes,
}

/// A record found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Offset of the record.
    pub offset: Offset,
    /// Its timestamp in milliseconds since 1970.
    pub timestamp: i64,
}

/// A search by timestamp; see [`Log::offset_for_timestamp_job`] and [`Log::max_timestamp_job`].
#[derive(Debug)]
pub struct TimestampJob {
    _private: (),
}

impl TimestampJob {
    /// Searches. Blocks. `None` if no record qualifies.
    pub fn run(self, _fs: &dyn FileSystem) -> Result<Option<TimestampOffset>, LogFault> {
        todo!()
    }
}

/// A flush; see [`Log::flush_job`] and [`Log::checkpoint_job`].
#[derive(Debug)]
pub struct FlushJob {
    _private: (),
}

impl FlushJob {
    /// Syncs all that was dirty when the job was made. Blocks. After an error the handle is spoilt:
    /// the owner gives the log up.
    pub fn run(self, _fs: &dyn FileSystem) -> Result<FlushedLog, LogFault> {
        todo!()
    }
}

/// All up to an offset is durable; goes to [`Log::flushed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushedLog {
    /// First offset that is not known to be durable.
    pub end: Offset,
}

/// Removal of segments that left the log; see [`Log::trim_job`].
#[derive(Debug)]
pub struct TrimJob {
    _private: (),
}

impl TrimJob {
    /// Renames the files, removes them and syncs the directory. Blocks.
    pub fn run(self, _fs: &dyn FileSystem) -> Result<SegmentsRemoved, LogFault> {
        todo!()
    }
}

/// What a trim freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentsRemoved {
    /// Segments removed.
    pub segment_count: usize,
    /// Bytes of their `.log` files.
    pub freed_bytes: u64,
}

/// A truncation; see [`Log::truncate_job`].
#[derive(Debug)]
pub struct TruncateJob {
    _private: (),
}

impl TruncateJob {
    /// Cuts the log and opens it again. Blocks. The result replaces log, epochs and producers.
    pub fn run(self, _fs: &dyn FileSystem) -> Result<Recovered, LogFault> {
        todo!()
    }
}

/// The end of a log's use; see [`Log::close_job`].
#[derive(Debug)]
pub struct CloseJob {
    _private: (),
}

impl CloseJob {
    /// Finishes the indexes, writes the producer snapshot and syncs all. Blocks. The recovery point
    /// to store is the returned end.
    pub fn run(self, _fs: &dyn FileSystem) -> Result<FlushedLog, LogFault> {
        todo!()
    }
}

/// A write of `leader-epoch-checkpoint`; see [`Log::epochs_job`].
#[derive(Debug)]
pub struct EpochsJob {
    _private: (),
}

impl EpochsJob {
    /// Replaces the file in one step, synced. Blocks.
    pub fn run(self, _fs: &dyn FileSystem) -> Result<(), LogFault> {
        todo!()
    }
}

/// One segment, as [`Log::segments`] lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSpan {
    /// First offset the segment may hold; its file name.
    pub base: Offset,
    /// First offset of the next segment, or the log end.
    pub end: Offset,
    /// Size of the `.log` file.
    pub bytes: u64,
}

impl Log {
    /// Makes the directory of a new partition: `partition.metadata`, an empty epoch file and the
    /// first segment, all synced, the parent directory too. Blocks.
    ///
    /// A directory left by an unfinished creation is completed; one that holds records is an error.
    pub fn create(_fs: &dyn FileSystem, _dir: &Path, _topic_id: TopicId) -> Result<(), LogFault> {
        todo!()
    }

    /// Opens the log in a directory and recovers what lies past the recovery point. Blocks.
    pub fn open(_fs: &dyn FileSystem, _open: OpenLog) -> Result<Recovered, LogFault> {
        todo!()
    }

    /// Directory of the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// First offset that may be read.
    pub fn log_start(&self) -> Offset {
        todo!()
    }

    /// Offset of the next record.
    pub fn log_end(&self) -> Offset {
        todo!()
    }

    /// First offset that is not known to be durable.
    pub fn recovery_point(&self) -> Offset {
        todo!()
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }

    /// The segments in order; the last is the active one.
    pub fn segments(&self) -> impl Iterator<Item = SegmentSpan> + '_ {
        std::iter::empty()
    }

    /// Bytes appended since the last flush began.
    pub fn unflushed_bytes(&self) -> u64 {
        todo!()
    }

    /// Records between the recovery point and the log end.
    pub fn unflushed_records(&self) -> i64 {
        todo!()
    }

    /// True if `flush.messages` or `flush.ms` asks for a flush now.
    pub fn must_flush(&self, _now_ms: i64) -> bool {
        todo!()
    }

    /// True while a write, a roll or a close is out: appends must wait.
    pub fn is_busy(&self) -> bool {
        todo!()
    }

    /// The configuration in force.
    pub fn config(&self) -> &LogConfig {
        todo!()
    }

    /// Changes the configuration; segments that exist keep their shape.
    pub fn set_config(&mut self, _config: LogConfig) {
        todo!()
    }

    /// Moves the first offset that may be read forward; no file changes. Never past the log end.
    pub fn set_log_start(&mut self, _log_start: Offset) {
        todo!()
    }

    /// True if the active segment must be rolled before `span` is appended (rule V14).
    pub fn must_roll(&self, _span: &BatchSpan, _now_ms: i64) -> bool {
        todo!()
    }

    /// Begins a roll: the next segment starts at the log end. Until [`Log::install`] or
    /// [`Log::roll_failed`] there are no appends; reads go on.
    pub fn roll_job(&mut self, _producers: &ProducerTable, _now_ms: i64) -> RollJob {
        todo!()
    }

    /// Makes a rolled segment the active one.
    pub fn install(&mut self, _rolled: RolledSegment) {
        todo!()
    }

    /// Takes note that a roll failed or was lost: the old segment stays the active one.
    pub fn roll_failed(&mut self) {
        todo!()
    }

    /// Appends batches with as few writes as possible, all or none. Page cache only.
    ///
    /// # Errors
    /// After [`LogFault::Io`] the log is as it was; after [`LogFault::TornAppend`] too, but its file
    /// has a tail that the next append must cut first.
    ///
    /// # Panics
    /// Panics if the offsets do not rise from the log end on, or while a job is out.
    pub fn append(
        &mut self,
        _fs: &dyn FileSystem,
        _batches: &[BatchWrite],
    ) -> Result<(), LogFault> {
        todo!()
    }

    /// Same as [`Log::append`] for the pool; ends with [`Log::wrote`] or [`Log::write_failed`].
    pub fn write_job(&mut self, _batches: Vec<BatchWrite>) -> WriteJob {
        todo!()
    }

    /// Takes note of a write that the pool has done.
    pub fn wrote(&mut self, _wrote: Wrote) -> Result<(), LogFault> {
        todo!()
    }

    /// Takes note of a write that failed, or whose job was lost (`None`).
    pub fn write_failed(&mut self, _fault: Option<&LogFault>) {
        todo!()
    }

    /// Plans a read of whole batches of one segment, from the batch that contains `from` (rule E4)
    /// to the last one that ends before `up_to`.
    ///
    /// At most `bytes_max` bytes; with `must_return_one` the first batch comes even if it is larger
    /// (rule E3).
    pub fn read(
        &mut self,
        _fs: &dyn FileSystem,
        _from: Offset,
        _up_to: Offset,
        _bytes_max: usize,
        _must_return_one: bool,
    ) -> Result<ReadPlan, LogFault> {
        todo!()
    }

    /// Takes note of a read that the pool has done and gives its bytes.
    pub fn finish_read(&mut self, _done: ReadDone) -> Bytes {
        todo!()
    }

    /// Finds the first record at or after `from` and before `up_to` with a timestamp of at least
    /// `timestamp` (rule L2).
    pub fn offset_for_timestamp_job(&mut self, _timestamp: i64, _up_to: Offset) -> TimestampJob {
        todo!()
    }

    /// Finds the first record with the largest timestamp before `up_to` (rule L1).
    pub fn max_timestamp_job(&mut self, _up_to: Offset) -> TimestampJob {
        todo!()
    }

    /// Makes all that is appended so far durable; appends may go on meanwhile.
    pub fn flush_job(&mut self, _now_ms: i64) -> FlushJob {
        todo!()
    }

    /// As [`Log::flush_job`], and writes a producer snapshot, so that recovery replays only what
    /// comes later. Called every 64 MiB.
    pub fn checkpoint_job(&mut self, _producers: &ProducerTable, _now_ms: i64) -> FlushJob {
        todo!()
    }

    /// Takes note of a flush: the recovery point moves.
    pub fn flushed(&mut self, _flushed: FlushedLog) {
        todo!()
    }

    /// Moves the log start to `before` and takes all segments that end at or before it out of the
    /// log; the active one stays. `None` if no file has to go.
    pub fn trim_job(&mut self, _before: Offset) -> Option<TrimJob> {
        todo!()
    }

    /// Cuts the log so that it ends at or before `to`. Until the result is there nothing else is asked
    /// of this log; the result replaces it.
    pub fn truncate_job(&mut self, _to: Offset, _now_ms: i64) -> TruncateJob {
        todo!()
    }

    /// Ends the use of the log cleanly.
    pub fn close_job(&mut self, _producers: &ProducerTable) -> CloseJob {
        todo!()
    }

    /// Writes the epoch file.
    pub fn epochs_job(&self, _epochs: &EpochCache) -> EpochsJob {
        todo!()
    }

    /// Lets go of all file handles that hold nothing unsynced; called when the log is idle.
    pub fn release_files(&mut self) {
        todo!()
    }
}

/// Renames the directory of a deleted partition to `<topic>-<partition>.<unique hex>-delete` and
/// syncs the parent, so that the name is free at once. Blocks. The new path goes to
/// [`remove_deleted`].
pub fn rename_for_delete(
    _fs: &dyn FileSystem,
    _dir: &Path,
    _unique: u128,
) -> Result<PathBuf, LogFault> {
    todo!()
}

/// Removes a directory that [`rename_for_delete`] left, also after a restart. Blocks.
pub fn remove_deleted(_fs: &dyn FileSystem, _dir: &Path) -> Result<(), LogFault> {
    todo!()
}
