//! The files of one partition. A log performs: it appends where it is told, reads, rolls, trims and
//! syncs; which offsets, epochs and moments those are is decided by the partition that owns it.

mod append;
mod config;
mod cursors;
mod directory;
mod fault;
mod flush;
mod lookup;
mod open_files;
mod read;
mod replace;
mod reserve;
mod rewrite;
mod roll;
mod segment;
mod shorten;
mod timestamps;
mod walk;

pub use append::{BatchSpan, BatchWrite, WriteJob, Wrote};
pub use config::{LogConfig, OpenLog, PageCache, Recovered, RecoveryReport};
pub use directory::{PROBE_FILE, remove_deleted, rename_for_delete};
pub use fault::{BadBatch, LogFault};
pub use flush::{CloseJob, EpochsJob, FlushJob, FlushedLog};
pub use read::{ReadDone, ReadJob, ReadPlan};
pub use reserve::ReserveJob;
pub use roll::{RollJob, RolledSegment};
pub use shorten::{SegmentsRemoved, TrimJob, TruncateJob};
pub use timestamps::{TimestampJob, TimestampOffset};

pub(crate) use directory::write_metadata;
pub(crate) use lookup::locate;
pub(crate) use replace::replace_file;
pub(crate) use roll::create_segment_files;
pub(crate) use segment::{ActiveSegment, SealedSegment, SegmentFile, base_in_name};
pub(crate) use shorten::remove_segment;
pub(crate) use walk::{HeaderWalk, PlacedBatch, WalkFault, judge_header};

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use kabuki_protocol::ids::{Offset, TopicId};

use crate::file_system::FileSystem;
use crate::producers::ProducerLimits;
use cursors::Cursors;
use open_files::OpenFiles;

/// The log of one partition: an ordered list of segments, the last of which is appended to.
///
/// Lives on the arbiter of its owner. Methods without `job` in their name work on the page cache at
/// once; each `…_job` method gives a job for the directory's pool (`disk.run(name, move |fs| job.run(fs))`)
/// whose result is handed back to the method named next to it.
#[derive(Debug)]
pub struct Log {
    dir: Arc<Path>,
    topic_id: TopicId,
    config: LogConfig,
    limits: ProducerLimits,
    log_start: Offset,
    log_end: Offset,
    recovery_point: Offset,
    /// First offset whose records are not known to be durable; at or after the recovery point.
    synced_end: Offset,
    sealed: VecDeque<SealedSegment>,
    active: ActiveSegment,
    files: OpenFiles,
    cursors: Cursors,
    /// What the pool is doing to the active segment.
    busy: Option<Busy>,
    /// Bytes appended and not covered by a flush that has begun.
    unflushed_bytes: u64,
    /// When the last flush began, in milliseconds.
    flushed_ms: i64,
    /// Offset of the newest producer snapshot on disk.
    snapshot: Option<Offset>,
    /// A sync has failed in this process, of records from this offset on.
    doubtful_from: Option<Offset>,
}

/// What keeps appends waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Busy {
    Write,
    Roll,
    Close,
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

/// What recovery found; the pieces a log is made of.
#[derive(Debug)]
pub(crate) struct LogParts {
    pub(crate) open: OpenLog,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    pub(crate) recovery_point: Offset,
    pub(crate) sealed: VecDeque<SealedSegment>,
    pub(crate) active: ActiveSegment,
    pub(crate) unflushed_bytes: u64,
    pub(crate) snapshot: Option<Offset>,
}

impl Log {
    /// Opens the log in a directory and recovers what lies past the recovery point. Blocks.
    ///
    /// Reads file sizes, the end of the active segment and what lies past the recovery point; cuts a
    /// torn tail; writes indexes again that are missing or do not fit; brings epochs and producers
    /// into agreement with the log.
    pub fn open(fs: &dyn FileSystem, open: OpenLog) -> Result<Recovered, LogFault> {
        crate::recovery::recover(fs, open)
    }

    /// Puts a log together from what recovery found.
    pub(crate) fn from_parts(parts: LogParts) -> Self {
        let LogParts {
            open,
            log_start,
            log_end,
            recovery_point,
            sealed,
            active,
            ..
        } = parts;
        assert!(
            log_start <= log_end,
            "log start {log_start} is past the log end {log_end}"
        );
        assert!(
            recovery_point <= log_end,
            "recovery point {recovery_point} past {log_end}"
        );
        Self {
            dir: Arc::from(open.dir),
            topic_id: open.topic_id,
            config: open.config,
            limits: open.producers,
            log_start,
            log_end,
            recovery_point,
            synced_end: recovery_point,
            sealed,
            active,
            files: OpenFiles::default(),
            cursors: Cursors::default(),
            busy: None,
            unflushed_bytes: parts.unflushed_bytes,
            flushed_ms: open.now_ms,
            snapshot: parts.snapshot,
            doubtful_from: match open.page_cache {
                PageCache::Doubtful { synced_end } => Some(synced_end.max(recovery_point)),
                PageCache::Kept | PageCache::MayBeLost => None,
            },
        }
    }

    /// Directory of the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// First offset that may be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Offset of the next record.
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// First offset that is not known to be durable with its index entries.
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// First offset whose records are not known to be durable: at or after the recovery point.
    pub fn synced_end(&self) -> Offset {
        self.synced_end
    }

    /// Bytes of the `.log` files of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + self.active.bytes
    }

    /// The segments in order; the last is the active one.
    pub fn segments(&self) -> impl Iterator<Item = SegmentSpan> + '_ {
        (0..=self.sealed.len()).map(|index| {
            let SealedSegment { base, bytes } = self.segment_at(index);
            let end = match self.sealed.len() {
                last if index == last => self.log_end,
                _ => self.segment_at(index + 1).base,
            };
            SegmentSpan { base, end, bytes }
        })
    }

    /// The segment at `index`, the active one after all sealed ones.
    fn segment_at(&self, index: usize) -> SealedSegment {
        self.sealed
            .get(index)
            .copied()
            .unwrap_or_else(|| self.active.sealed())
    }

    /// Index of the segment that holds `offset`, or would.
    fn segment_of(&self, offset: Offset) -> usize {
        if offset >= self.active.base {
            return self.sealed.len();
        }
        self.sealed
            .partition_point(|segment| segment.base <= offset)
            .saturating_sub(1)
    }

    /// The configuration in force.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the configuration; segments that exist keep their shape.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// Moves the first offset that may be read forward; no file changes. Never back, and never past
    /// the log end.
    pub fn set_log_start(&mut self, log_start: Offset) {
        assert!(
            log_start <= self.log_end,
            "log start {log_start} would pass the log end {}",
            self.log_end
        );
        self.log_start = self.log_start.max(log_start);
    }

    /// True while a write, a roll or a close is out: appends must wait.
    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Lets go of file handles and read positions; called when the log is idle. Handles of files with
    /// unsynced bytes stay: an error of their write-back is told to them.
    pub fn release_files(&mut self) {
        self.cursors = Cursors::default();
        self.files.release(self.is_clean() && self.busy.is_none());
    }
}
