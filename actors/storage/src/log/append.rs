//! Appends: one vectored write for all batches of a turn, all or none of them.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::ids::Offset;

use super::cursors::Cursor;
use super::fault::LogFault;
use super::segment::{SEGMENT_BYTES_MAX, SegmentFile};
use super::{Busy, Log};
use crate::file_system::{File, FileSystem, OpenMode};
use crate::index::relative;

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

impl BatchWrite {
    /// Bytes of the batch.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
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
    dir: Arc<Path>,
    base: Offset,
    log_end: Offset,
    position: u64,
    is_torn: bool,
    file: Option<Arc<dyn File>>,
    batches: Vec<BatchWrite>,
}

impl WriteJob {
    /// Writes. Blocks.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn run(self, fs: &dyn FileSystem) -> Result<Wrote, LogFault> {
        let Self {
            dir,
            base,
            log_end,
            position,
            is_torn,
            file,
            batches,
        } = self;
        let path = SegmentFile::Log.path(&dir, base);
        let file = match file {
            Some(file) => file,
            None => fs
                .open(&path, OpenMode::ReadWrite)
                .map_err(LogFault::io("append", &path))?,
        };
        write_batches(file.as_ref(), position, is_torn, &batches)
            .map_err(|failed| failed.of(&path, log_end))?;
        Ok(Wrote {
            base,
            position,
            file,
            batches,
        })
    }
}

/// A write that is in the file; goes to [`Log::wrote`].
#[derive(Debug)]
pub struct Wrote {
    base: Offset,
    position: u64,
    file: Arc<dyn File>,
    batches: Vec<BatchWrite>,
}

impl Log {
    /// Appends batches with as few writes as possible, all or none. Page cache only.
    ///
    /// # Errors
    /// After [`LogFault::Io`] the log is as it was; after [`LogFault::TornAppend`] too, but its file
    /// has a tail that the next append must cut first.
    ///
    /// # Panics
    /// Panics if the offsets do not rise from the log end on, if they are out of the segment's reach
    /// ([`Log::must_roll`]), or while a job is out.
    pub fn append(&mut self, fs: &dyn FileSystem, batches: &[BatchWrite]) -> Result<(), LogFault> {
        self.assert_appendable(batches);
        let path = || SegmentFile::Log.path(&self.dir, self.active.base);
        let file = self.files.active.log(fs, &self.dir, self.active.base);
        let file = file.map_err(|error| LogFault::io("append", &path())(error))?;
        let written = write_batches(
            file.as_ref(),
            self.active.bytes,
            self.active.is_torn,
            batches,
        );
        if let Err(failed) = written {
            self.active.is_torn = failed.is_torn;
            return Err(failed.of(&path(), self.log_end));
        }
        self.note_appended(batches);
        self.write_index_entries(fs);
        Ok(())
    }

    /// Same as [`Log::append`] for the pool; ends with [`Log::wrote`] or [`Log::write_failed`].
    pub fn write_job(&mut self, batches: Vec<BatchWrite>) -> WriteJob {
        self.assert_appendable(&batches);
        self.busy = Some(Busy::Write);
        WriteJob {
            dir: self.dir.clone(),
            base: self.active.base,
            log_end: self.log_end,
            position: self.active.bytes,
            is_torn: self.active.is_torn,
            file: self.files.active.log.clone(),
            batches,
        }
    }

    /// Takes note of a write that the pool has done.
    pub fn wrote(&mut self, wrote: Wrote) {
        let Wrote {
            base,
            position,
            file,
            batches,
        } = wrote;
        assert_eq!(self.busy, Some(Busy::Write), "no write is out");
        assert_eq!(
            (base, position),
            (self.active.base, self.active.bytes),
            "written elsewhere"
        );
        self.busy = None;
        self.files.active.log = Some(file);
        self.note_appended(&batches);
    }

    /// Takes note of a write that failed, or whose job was lost (`None`): the file may then hold a
    /// part of it, which the next append cuts first.
    pub fn write_failed(&mut self, fault: Option<&LogFault>) {
        assert_eq!(self.busy, Some(Busy::Write), "no write is out");
        self.busy = None;
        self.active.is_torn |= matches!(fault, None | Some(LogFault::TornAppend { .. }));
    }

    fn assert_appendable(&self, batches: &[BatchWrite]) {
        assert_eq!(self.busy, None, "append while a job is out");
        let mut expected = self.log_end;
        let mut bytes = self.active.bytes;
        for batch in batches {
            let BatchWrite {
                base_offset,
                last_offset,
                ..
            } = *batch;
            assert!(
                base_offset >= expected,
                "batch at {base_offset} where {expected} is due"
            );
            assert!(
                last_offset >= base_offset,
                "batch ends at {last_offset} before {base_offset}"
            );
            let reach = relative(self.active.base, last_offset);
            assert!(
                reach.is_some(),
                "{last_offset} is out of reach of {}",
                self.active.base
            );
            expected = last_offset.next();
            bytes += batch.bytes();
        }
        assert!(
            bytes <= SEGMENT_BYTES_MAX,
            "segment would grow to {bytes} bytes"
        );
    }

    fn note_appended(&mut self, batches: &[BatchWrite]) {
        let Some(first) = batches.first() else {
            return;
        };
        let base = self.active.base;
        let offset = self.log_end;
        self.cursors.appended(Cursor {
            offset,
            base,
            position: self.active.bytes,
        });
        self.active.is_torn = false;
        self.active
            .first_timestamp
            .get_or_insert(first.max_timestamp);
        for batch in batches {
            let position = self.active.bytes;
            self.active
                .index
                .note(position, batch.last_offset, batch.max_timestamp);
            self.active.bytes += batch.bytes();
            self.unflushed_bytes += batch.bytes();
            self.log_end = batch.last_offset.next();
        }
    }

    /// Writes index entries that wait, once they are worth a write.
    ///
    /// A failure is not the append's: the records are in the log, the entries go on waiting, and the
    /// next roll or flush tells.
    fn write_index_entries(&mut self, fs: &dyn FileSystem) {
        if !self.active.index.has_many_pending() {
            return;
        }
        let entries = self.active.index.pending();
        let written = self
            .files
            .active
            .write_entries(fs, &self.dir, self.active.base, &entries);
        if written.is_ok() {
            self.active.index.written();
        }
    }
}

/// A write that did not succeed.
struct FailedWrite {
    is_torn: bool,
    source: io::Error,
}

impl FailedWrite {
    fn of(self, path: &Path, log_end: Offset) -> LogFault {
        let (path, source) = (path.to_path_buf(), self.source);
        if self.is_torn {
            LogFault::TornAppend {
                path,
                log_end,
                source,
            }
        } else {
            LogFault::Io {
                operation: "append",
                path,
                source,
            }
        }
    }
}

/// Slices in one write: the kernel takes 1,024 at once (IOV_MAX).
const SLICES_MAX: usize = 1024;

/// Writes `batches` at `position`, which is the end of the file but for a torn tail. After a failure
/// the file is cut back to `position`.
fn write_batches(
    file: &dyn File,
    position: u64,
    is_torn: bool,
    batches: &[BatchWrite],
) -> Result<(), FailedWrite> {
    if is_torn {
        // Left standing, the old tail could show up as valid batches behind a shorter new one.
        file.set_len(position).map_err(|source| FailedWrite {
            is_torn: true,
            source,
        })?;
    }
    let mut at = position;
    for group in batches.chunks(SLICES_MAX / 2) {
        let chunks = group.iter().flat_map(|batch| &batch.chunks);
        let slices: Vec<IoSlice<'_>> = chunks
            .filter(|chunk| !chunk.is_empty())
            .map(|chunk| IoSlice::new(chunk))
            .collect();
        if let Err(source) = file.write_at(at, &slices) {
            let is_torn = file.set_len(position).is_err();
            return Err(FailedWrite { is_torn, source });
        }
        at += group.iter().map(BatchWrite::bytes).sum::<u64>();
    }
    Ok(())
}
