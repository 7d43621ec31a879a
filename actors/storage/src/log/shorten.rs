//! Making a log shorter: whole segments leave at the start (trim), records leave at the end (truncate).

use std::io;
use std::path::Path;
use std::sync::Arc;

use kabuki_protocol::ids::Offset;

use super::config::{OpenLog, PageCache, Recovered};
use super::fault::LogFault;
use super::segment::{SealedSegment, SegmentFile, base_in_name};
use super::walk::{HeaderWalk, find_batch};
use super::{Busy, Log};
use crate::file_system::{FileSystem, OpenMode};
use crate::producers::snapshot_file_name;

/// Suffix of files that are about to be removed.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";

/// Removal of segments that left the log; see [`Log::trim_job`].
#[derive(Debug)]
pub struct TrimJob {
    dir: Arc<Path>,
    segments: Vec<SealedSegment>,
}

/// What a trim freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentsRemoved {
    /// Segments removed.
    pub segment_count: usize,
    /// Bytes of their `.log` files.
    pub freed_bytes: u64,
}

impl TrimJob {
    /// Renames the files, removes them and syncs the directory. Blocks. What is left after a failure
    /// is removed when the log is next opened with its log start.
    pub fn run(self, fs: &dyn FileSystem) -> Result<SegmentsRemoved, LogFault> {
        let Self { dir, segments } = self;
        for segment in &segments {
            remove_segment(fs, &dir, segment.base)?;
        }
        fs.sync_dir(&dir).map_err(LogFault::io("trim", &dir))?;
        Ok(SegmentsRemoved {
            segment_count: segments.len(),
            freed_bytes: segments.iter().map(|segment| segment.bytes).sum(),
        })
    }
}

/// Removes the files of a segment and its snapshot. They are renamed first, so that a crash in between
/// never leaves a `.log` without knowing that it was to go.
pub(crate) fn remove_segment(
    fs: &dyn FileSystem,
    dir: &Path,
    base: Offset,
) -> Result<(), LogFault> {
    let mut paths: Vec<_> = SegmentFile::ALL
        .iter()
        .map(|kind| kind.path(dir, base))
        .collect();
    paths.push(dir.join(snapshot_file_name(base)));
    let mut renamed = Vec::new();
    for path in paths {
        let mut to = path.clone().into_os_string();
        to.push(DELETED_SUFFIX);
        match fs.rename(&path, Path::new(&to)) {
            Ok(()) => renamed.push(to),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LogFault::io("trim", &path)(error)),
        }
    }
    for path in renamed {
        let path = Path::new(&path);
        fs.remove_file(path).map_err(LogFault::io("trim", path))?;
    }
    Ok(())
}

/// A truncation; see [`Log::truncate_job`].
#[derive(Debug)]
pub struct TruncateJob {
    to: Offset,
    open: OpenLog,
}

impl TruncateJob {
    /// Cuts the log and opens it again. Blocks. The result replaces log, epochs and producers.
    pub fn run(self, fs: &dyn FileSystem) -> Result<Recovered, LogFault> {
        let Self { to, open } = self;
        cut_segments(fs, &open.dir, to)?;
        let recovered = Log::open(fs, open)?;
        assert!(
            recovered.log.log_end() <= to,
            "log ends past {to} after its truncation"
        );
        Ok(recovered)
    }
}

/// Removes what lies at or past `to`: later segments first, so that a crash in between leaves a log
/// without holes.
fn cut_segments(fs: &dyn FileSystem, dir: &Path, to: Offset) -> Result<(), LogFault> {
    let entries = fs.list(dir).map_err(LogFault::io("truncate", dir))?;
    let bases = |suffix: &str| {
        let mut found: Vec<_> = entries
            .iter()
            .filter_map(|entry| Some((base_in_name(&entry.name, suffix)?, entry.bytes)))
            .collect();
        found.sort_unstable();
        found
    };
    for (offset, _) in bases(".snapshot") {
        if offset > to {
            let path = dir.join(snapshot_file_name(offset));
            fs.remove_file(&path)
                .map_err(LogFault::io("truncate", &path))?;
        }
    }
    let mut logs = bases(".log");
    while let Some((base, _)) = logs.pop_if(|(base, _)| *base > to) {
        remove_segment(fs, dir, base)?;
    }
    fs.sync_dir(dir).map_err(LogFault::io("truncate", dir))?;
    let Some((base, bytes)) = logs.pop() else {
        super::roll::create_segment_files(fs, dir, to)?;
        return fs.sync_dir(dir).map_err(LogFault::io("truncate", dir));
    };
    let path = SegmentFile::Log.path(dir, base);
    let log = fs
        .open(&path, OpenMode::ReadWrite)
        .map_err(LogFault::io("truncate", &path))?;
    let mut walk = HeaderWalk::new(log.as_ref(), 0, bytes, base);
    let first_cut = find_batch(&mut walk, to).map_err(|fault| fault.of(path.clone()))?;
    if let Some(batch) = first_cut {
        let cut = log.set_len(batch.position).and_then(|()| log.sync_data());
        cut.map_err(LogFault::io("truncate", &path))?;
    }
    Ok(())
}

impl Log {
    /// Moves the log start to `before` and takes all segments that end at or before it out of the
    /// log; the active one stays. `None` if no file has to go.
    ///
    /// The job only frees space. That the log start is durable first is the caller's business.
    pub fn trim_job(&mut self, before: Offset) -> Option<TrimJob> {
        self.set_log_start(before);
        let due = (0..self.sealed.len())
            .take_while(|index| self.segment_at(index + 1).base <= self.log_start)
            .count();
        if due == 0 {
            return None;
        }
        let segments: Vec<_> = self.sealed.drain(..due).collect();
        let first = self.segment_at(0).base;
        assert!(
            first <= self.log_start,
            "trim to {before} would leave a hole before {first}"
        );
        // What is gone needs no flush.
        self.recovery_point = self.recovery_point.max(first);
        self.synced_end = self.synced_end.max(first);
        self.files.forget_before(first);
        self.cursors.forget_before(first);
        Some(TrimJob {
            dir: self.dir.clone(),
            segments,
        })
    }

    /// Cuts the log so that it ends at or before `to`: a batch that spans `to` goes as a whole. Until
    /// the result is there nothing else is asked of this log; the result replaces it.
    ///
    /// # Panics
    /// Panics while a job is out.
    pub fn truncate_job(&mut self, to: Offset, now_ms: i64) -> TruncateJob {
        assert_eq!(self.busy, None, "truncate while a job is out");
        self.busy = Some(Busy::Close);
        let open = OpenLog {
            dir: self.dir.to_path_buf(),
            topic_id: self.topic_id,
            config: self.config,
            producers: self.limits,
            recovery_point: self.recovery_point.min(to),
            log_start: self.log_start.min(to),
            page_cache: PageCache::Kept,
            now_ms,
        };
        TruncateJob { to, open }
    }
}
