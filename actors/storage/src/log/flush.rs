//! Making a log durable: syncs of the records alone that answers wait for, flushes that move the
//! recovery point, checkpoints with a producer snapshot, and the clean end.

use std::path::Path;
use std::sync::Arc;

use kabuki_protocol::ids::Offset;

use super::fault::LogFault;
use super::open_files::SegmentHandles;
use super::replace::replace_file;
use super::reserve::Reserve;
use super::rewrite::Rewrite;
use super::{Busy, Log};
use crate::epochs::{EPOCH_FILE, EpochCache};
use crate::file_system::FileSystem;
use crate::index::PendingEntries;
use crate::producers::{ProducerTable, snapshot_file_name};

/// A flush; see [`Log::sync_records_job`], [`Log::flush_job`] and [`Log::checkpoint_job`].
#[derive(Debug)]
pub struct FlushJob {
    dir: Arc<Path>,
    end: Offset,
    /// Segments with unsynced bytes, in order; the active one last, if it is among them.
    dirty: Vec<(Offset, SegmentHandles)>,
    active: Offset,
    /// Entries that wait, to be written and synced with the indexes; `None` syncs records alone.
    entries: Option<PendingEntries>,
    snapshot: Option<Snapshot>,
    /// Content for the epoch file.
    epochs: Option<String>,
    rewrite: Option<Rewrite>,
}

/// A producer snapshot to write.
#[derive(Debug)]
struct Snapshot {
    offset: Offset,
    content: Vec<u8>,
    /// Older snapshot inside the same segment, which this one replaces.
    replaces: Option<Offset>,
}

/// All up to an offset is durable; goes to [`Log::flushed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushedLog {
    /// First offset that is not known to be durable.
    pub end: Offset,
    /// True if the indexes are durable up to there too, so that `end` is a recovery point.
    has_indexes: bool,
    /// Base of the segment that was active: those before it are synced to their last byte.
    active: Offset,
    snapshot: Option<Offset>,
}

impl FlushJob {
    /// Syncs all that was dirty when the job was made. Blocks. After an error whose class
    /// [ends the handle](crate::fault::FaultClass::ends_handle) the owner gives the log up: a second
    /// try could report success for bytes that are lost.
    pub fn run(self, fs: &dyn FileSystem) -> Result<FlushedLog, LogFault> {
        let Self {
            dir,
            end,
            dirty,
            active,
            entries,
            snapshot,
            epochs,
            rewrite,
        } = self;
        let has_indexes = entries.is_some();
        if let Some(rewrite) = rewrite {
            rewrite.run(fs, &dir)?;
        }
        for (base, mut handles) in dirty {
            let synced = match &entries {
                None => handles.sync_records(fs, &dir, base),
                Some(entries) => {
                    if base == active {
                        handles.write_entries(fs, &dir, base, entries)?;
                    }
                    handles.sync(fs, &dir, base)
                }
            };
            match synced {
                // A trim that came in between took the segment away: nothing is left to sync.
                Err(fault) if base != active && fault.is_gone() => {}
                done => done?,
            }
        }
        let snapshot_at = snapshot.as_ref().map(|snapshot| snapshot.offset);
        if snapshot.is_some() || epochs.is_some() {
            replace_files(fs, &dir, snapshot, epochs)?;
        }
        Ok(FlushedLog {
            active,
            end,
            has_indexes,
            snapshot: snapshot_at,
        })
    }
}

/// Writes what is kept beside the log, with one sync of the directory for all.
fn replace_files(
    fs: &dyn FileSystem,
    dir: &Path,
    snapshot: Option<Snapshot>,
    epochs: Option<String>,
) -> Result<(), LogFault> {
    if let Some(Snapshot {
        offset, content, ..
    }) = &snapshot
    {
        replace_file(fs, dir, &snapshot_file_name(*offset), content)?;
    }
    if let Some(epochs) = epochs {
        replace_file(fs, dir, EPOCH_FILE, epochs.as_bytes())?;
    }
    fs.sync_dir(dir).map_err(LogFault::io("checkpoint", dir))?;
    if let Some(replaced) = snapshot.and_then(|snapshot| snapshot.replaces) {
        // Left behind it is harmless: the newest snapshot is the one that is used.
        let _ = fs.remove_file(&dir.join(snapshot_file_name(replaced)));
    }
    Ok(())
}

/// The end of a log's use; see [`Log::close_job`].
#[derive(Debug)]
pub struct CloseJob {
    flush: FlushJob,
    reserve: Option<Reserve>,
}

impl CloseJob {
    /// Finishes the indexes, writes producer snapshot and epoch file and syncs all. Blocks. The recovery point
    /// to store is the returned end.
    pub fn run(self, fs: &dyn FileSystem) -> Result<FlushedLog, LogFault> {
        let flushed = self.flush.run(fs)?;
        if let Some(reserve) = self.reserve {
            reserve.end();
        }
        Ok(flushed)
    }
}

/// A write of `leader-epoch-checkpoint`; see [`Log::epochs_job`].
#[derive(Debug)]
pub struct EpochsJob {
    dir: Arc<Path>,
    content: String,
}

impl EpochsJob {
    /// Replaces the file in one step, synced. Blocks.
    pub fn run(self, fs: &dyn FileSystem) -> Result<(), LogFault> {
        replace_file(fs, &self.dir, EPOCH_FILE, self.content.as_bytes())?;
        fs.sync_dir(&self.dir)
            .map_err(LogFault::io("write epochs", &self.dir))
    }
}

impl Log {
    /// Bytes appended, or found past the recovery point, that no flush that has begun covers.
    pub fn unflushed_bytes(&self) -> u64 {
        self.unflushed_bytes
    }

    /// Offsets whose records are not known to be durable.
    pub fn unflushed_records(&self) -> i64 {
        self.log_end.since(self.synced_end)
    }

    /// True if `flush.messages` or `flush.ms` asks for a flush now.
    pub fn must_flush(&self, now_ms: i64) -> bool {
        let unflushed = self.unflushed_records();
        let waited_ms = now_ms.saturating_sub(self.flushed_ms);
        unflushed >= self.config.flush_messages
            || (unflushed > 0 && waited_ms >= self.config.flush_ms)
    }

    /// Makes the records that are appended so far durable, but not their index entries: one sync of one
    /// file, where [`Log::flush_job`] has three of each segment. The recovery point stays where it is,
    /// so that an opening after a crash does not rely on what the indexes hold behind it.
    pub fn sync_records_job(&mut self, now_ms: i64) -> FlushJob {
        self.unflushed_bytes = 0;
        self.flushed_ms = now_ms;
        FlushJob {
            dir: self.dir.clone(),
            end: self.log_end,
            dirty: self.segments_from(self.synced_end),
            active: self.active.base,
            entries: None,
            snapshot: None,
            epochs: None,
            rewrite: self.rewrite(),
        }
    }

    /// Makes all that is appended so far durable; appends may go on meanwhile.
    pub fn flush_job(&mut self, now_ms: i64) -> FlushJob {
        self.unflushed_bytes = 0;
        self.flushed_ms = now_ms;
        FlushJob {
            dir: self.dir.clone(),
            end: self.log_end,
            dirty: self.dirty_segments(),
            active: self.active.base,
            entries: Some(self.active.index.pending()),
            snapshot: None,
            epochs: None,
            rewrite: self.rewrite(),
        }
    }

    /// As [`Log::flush_job`], and writes a producer snapshot, so that recovery replays only what
    /// comes later. Called every 64 MiB. `producers` are those after the last batch in the log.
    pub fn checkpoint_job(&mut self, producers: &ProducerTable, now_ms: i64) -> FlushJob {
        let snapshot = self.snapshot_of(producers);
        FlushJob {
            snapshot,
            ..self.flush_job(now_ms)
        }
    }

    /// Takes note of a flush: the recovery point moves if the indexes were part of it, never back.
    pub fn flushed(&mut self, flushed: FlushedLog) {
        let FlushedLog {
            end,
            has_indexes,
            active,
            snapshot,
        } = flushed;
        assert!(
            end <= self.log_end,
            "flushed to {end} past the log end {}",
            self.log_end
        );
        self.synced_end = self.synced_end.max(end);
        // What was to be written again was, with its indexes, whatever this flush was for.
        self.doubtful_from = None;
        if !has_indexes {
            return;
        }
        self.recovery_point = self.recovery_point.max(end);
        self.snapshot = self.snapshot.max(snapshot);
        self.files.synced_before(active);
    }

    /// Ends the use of the log cleanly: indexes get their last entry, and a snapshot at the log end
    /// saves the next opening the replay. A log that was not touched since it was opened or flushed
    /// costs nothing. `epochs` go into their file, if given.
    ///
    /// # Panics
    /// Panics while a job is out.
    pub fn close_job(
        &mut self,
        producers: &ProducerTable,
        epochs: Option<&EpochCache>,
    ) -> CloseJob {
        assert_eq!(self.busy, None, "close while a job is out");
        self.busy = Some(Busy::Close);
        if self.log_end > self.recovery_point {
            self.active.index.finish();
        }
        let snapshot = self.snapshot_of(producers);
        let flushed_ms = self.flushed_ms;
        CloseJob {
            flush: FlushJob {
                snapshot,
                epochs: epochs.map(EpochCache::encode),
                ..self.flush_job(flushed_ms)
            },
            reserve: self.active.reserve.take(),
        }
    }

    /// Writes the epoch file.
    pub fn epochs_job(&self, epochs: &EpochCache) -> EpochsJob {
        EpochsJob {
            dir: self.dir.clone(),
            content: epochs.encode(),
        }
    }

    /// A snapshot at the log end, unless there is one.
    fn snapshot_of(&self, producers: &ProducerTable) -> Option<Snapshot> {
        if self.snapshot == Some(self.log_end) {
            return None;
        }
        // Snapshots at the start of a segment stay as long as the segment does.
        let replaces = self.snapshot.filter(|offset| *offset > self.active.base);
        Some(Snapshot {
            offset: self.log_end,
            content: producers.encode_snapshot(),
            replaces,
        })
    }

    /// True if no file holds anything that is not synced.
    pub(super) fn is_clean(&self) -> bool {
        self.recovery_point == self.log_end
            && !self.active.index.has_pending()
            && self.files.first_unsynced().is_none()
    }

    /// The segments that hold offsets from the recovery point on, or got the last entries of their
    /// indexes since they were synced, with their open handles.
    fn dirty_segments(&self) -> Vec<(Offset, SegmentHandles)> {
        if self.is_clean() {
            return Vec::new();
        }
        let unsynced = self.files.first_unsynced().unwrap_or(self.recovery_point);
        self.segments_from(self.recovery_point.min(unsynced))
    }

    /// The segment that holds `offset` and those behind it, with their open handles.
    fn segments_from(&self, offset: Offset) -> Vec<(Offset, SegmentHandles)> {
        let first = self.segment_of(offset);
        let sealed = self.sealed.iter().skip(first);
        let mut segments: Vec<_> = sealed
            .map(|segment| (segment.base, self.files.unsynced(segment.base)))
            .collect();
        segments.push((self.active.base, self.files.active.clone()));
        segments
    }
}
