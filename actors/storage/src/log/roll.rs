//! Rolling: when the active segment is full, and how the next one comes to be.

use std::path::Path;
use std::sync::Arc;

use kabuki_protocol::crc::crc32c;
use kabuki_protocol::ids::Offset;

use super::append::BatchSpan;
use super::fault::LogFault;
use super::open_files::SegmentHandles;
use super::replace::replace_file;
use super::reserve::Reserve;
use super::segment::{ActiveSegment, SEGMENT_BYTES_MAX, SegmentFile};
use super::{Busy, Log};
use crate::file_system::{FileSystem, OpenMode};
use crate::index::{OFFSET_ENTRY_BYTES, PendingEntries, TIME_ENTRY_BYTES, relative};
use crate::producers::{ProducerTable, snapshot_file_name};

/// A roll; see [`Log::roll_job`].
#[derive(Debug)]
pub struct RollJob {
    dir: Arc<Path>,
    old_base: Offset,
    old_handles: SegmentHandles,
    reserve: Option<Reserve>,
    entries: PendingEntries,
    base: Offset,
    interval_bytes: u32,
    snapshot: Vec<u8>,
    now_ms: i64,
}

/// A segment that is ready to be appended to; goes to [`Log::install`].
#[derive(Debug)]
pub struct RolledSegment {
    segment: ActiveSegment,
    handles: SegmentHandles,
    old_base: Offset,
    old_handles: SegmentHandles,
}

impl RollJob {
    /// Finishes the active segment's indexes, writes the producer snapshot, creates the files of the
    /// next segment and syncs the directory. Blocks. After an error the log is as it was.
    pub fn run(self, fs: &dyn FileSystem) -> Result<RolledSegment, LogFault> {
        let Self {
            dir,
            old_base,
            mut old_handles,
            reserve,
            entries,
            base,
            ..
        } = self;
        old_handles.write_entries(fs, &dir, old_base, &entries)?;
        replace_file(fs, &dir, &snapshot_file_name(base), &self.snapshot)?;

        let created = create_segment_files(fs, &dir, base).and_then(|handles| {
            fs.sync_dir(&dir).map_err(LogFault::io("roll", &dir))?;
            Ok(handles)
        });
        let handles = created.inspect_err(|_| {
            // An empty segment would be taken for the active one at the next opening.
            for kind in SegmentFile::ALL {
                let _ = fs.remove_file(&kind.path(&dir, base));
            }
        })?;
        if let Some(reserve) = reserve {
            reserve.end();
        }
        let segment = ActiveSegment::new(base, self.interval_bytes, self.now_ms);
        Ok(RolledSegment {
            segment,
            handles,
            old_base,
            old_handles,
        })
    }
}

/// Creates the empty files of a segment; leftovers of a roll that failed are emptied.
pub(crate) fn create_segment_files(
    fs: &dyn FileSystem,
    dir: &Path,
    base: Offset,
) -> Result<SegmentHandles, LogFault> {
    let create = |kind: SegmentFile| {
        let path = kind.path(dir, base);
        let created = fs.open(&path, OpenMode::Create).and_then(|file| {
            if !file.is_empty()? {
                file.set_len(0)?;
            }
            Ok(file)
        });
        created.map_err(LogFault::io("create segment", &path))
    };
    Ok(SegmentHandles {
        offset_index: Some(create(SegmentFile::OffsetIndex)?),
        time_index: Some(create(SegmentFile::TimeIndex)?),
        log: Some(create(SegmentFile::Log)?),
    })
}

impl Log {
    /// True if the active segment must be rolled before `span` is appended: on size, on the
    /// span of record time, on a full index, or because offsets would be out of reach.
    pub fn must_roll(&self, span: &BatchSpan, now_ms: i64) -> bool {
        let active = &self.active;
        if relative(active.base, span.last_offset).is_none() {
            return true;
        }
        if active.bytes == 0 {
            return false;
        }
        let bytes_max = u64::from(self.config.segment_bytes).min(SEGMENT_BYTES_MAX);
        if active.bytes + span.bytes > bytes_max {
            return true;
        }
        let index_bytes = u64::from(self.config.segment_index_bytes);
        let offsets_max = (index_bytes / OFFSET_ENTRY_BYTES).max(1);
        // One entry is kept free for the roll.
        let times_max = (index_bytes / TIME_ENTRY_BYTES).saturating_sub(1).max(1);
        if active.index.offset_entry_count() >= offsets_max
            || active.index.time_entry_count() >= times_max
        {
            return true;
        }
        let waited_ms = match active.first_timestamp {
            Some(first) if first >= 0 && span.max_timestamp >= 0 => {
                span.max_timestamp.saturating_sub(first)
            }
            _ => now_ms.saturating_sub(active.created_ms),
        };
        waited_ms > self.config.segment_ms.saturating_sub(self.jitter_ms())
    }

    /// What is taken off `segment.ms` for the active segment: the same at every opening, and spread
    /// over partitions and segments.
    fn jitter_ms(&self) -> i64 {
        let jitter_max = self.config.segment_jitter_ms.min(self.config.segment_ms);
        if jitter_max <= 0 {
            return 0;
        }
        let seed = format!("{}{}", self.dir.display(), self.active.base);
        i64::from(crc32c(seed.as_bytes())) % jitter_max
    }

    /// Begins a roll: the next segment starts at the log end. Until [`Log::install`] or
    /// [`Log::roll_failed`] there are no appends; reads go on. `producers` are those after the last
    /// batch in the log.
    ///
    /// # Panics
    /// Panics if the active segment is empty, or while a job is out.
    pub fn roll_job(&mut self, producers: &ProducerTable, now_ms: i64) -> RollJob {
        assert_eq!(self.busy, None, "roll while a job is out");
        assert!(self.active.base < self.log_end, "roll of an empty segment");
        self.busy = Some(Busy::Roll);
        self.active.index.finish();
        RollJob {
            dir: self.dir.clone(),
            old_base: self.active.base,
            old_handles: self.files.active.clone(),
            reserve: self.active.reserve.take(),
            entries: self.active.index.pending(),
            base: self.log_end,
            interval_bytes: self.config.index_interval_bytes,
            snapshot: producers.encode_snapshot(),
            now_ms,
        }
    }

    /// Makes a rolled segment the active one.
    pub fn install(&mut self, rolled: RolledSegment) {
        let RolledSegment {
            segment,
            handles,
            old_base,
            old_handles,
        } = rolled;
        assert_eq!(self.busy, Some(Busy::Roll), "no roll is out");
        assert_eq!(
            (old_base, segment.base),
            (self.active.base, self.log_end),
            "rolled elsewhere"
        );
        self.busy = None;
        self.snapshot = Some(segment.base);
        let sealed = std::mem::replace(&mut self.active, segment).sealed();
        self.sealed.push_back(sealed);
        self.files.active = old_handles;
        self.files.roll(old_base, handles);
    }

    /// Takes note that a roll failed or was lost: the old segment stays the active one.
    pub fn roll_failed(&mut self) {
        assert_eq!(self.busy, Some(Busy::Roll), "no roll is out");
        self.busy = None;
    }
}
