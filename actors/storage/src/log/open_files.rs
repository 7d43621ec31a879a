//! The open files of one log. Handles are opened when first used and given back when the log is idle,
//! so that thousands of idle partitions cost none.

use std::io;
use std::path::Path;
use std::sync::Arc;

use kabuki_protocol::ids::Offset;

use super::fault::LogFault;
use super::segment::SegmentFile;
use crate::file_system::{File, FileSystem, OpenMode};
use crate::index::PendingEntries;

/// Sealed segments whose `.log` stays open for readers.
const READERS_MAX: usize = 4;

/// Handles of the files of one segment, as far as they are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct SegmentHandles {
    pub(crate) log: Option<Arc<dyn File>>,
    pub(crate) offset_index: Option<Arc<dyn File>>,
    pub(crate) time_index: Option<Arc<dyn File>>,
}

impl SegmentHandles {
    /// Opens the `.log` file if it is not open yet.
    pub(crate) fn log(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        base: Offset,
    ) -> io::Result<&Arc<dyn File>> {
        let file = match self.log.take() {
            Some(file) => file,
            None => fs.open(&SegmentFile::Log.path(dir, base), OpenMode::ReadWrite)?,
        };
        Ok(self.log.insert(file))
    }

    /// Writes index entries at their places; the files are opened, or made, where needed.
    pub(crate) fn write_entries(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        base: Offset,
        entries: &PendingEntries,
    ) -> Result<(), LogFault> {
        let index = SegmentFile::OffsetIndex.path(dir, base);
        let times = SegmentFile::TimeIndex.path(dir, base);
        let write = |slot: &mut Option<Arc<dyn File>>, path: &Path, at: u64, bytes: &[u8]| {
            if bytes.is_empty() {
                return Ok(());
            }
            open_into(slot, fs, path, OpenMode::Create)
                .and_then(|file| file.write_at(at, &[io::IoSlice::new(bytes)]))
                .map_err(LogFault::io("append to index", path))
        };
        let PendingEntries {
            offsets_position,
            times_position,
            offsets,
            times: time_bytes,
        } = entries;
        write(&mut self.offset_index, &index, *offsets_position, offsets)?;
        write(&mut self.time_index, &times, *times_position, time_bytes)
    }

    /// Makes log and indexes durable. Files that are not open are opened for it.
    pub(crate) fn sync(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        base: Offset,
    ) -> Result<(), LogFault> {
        self.sync_records(fs, dir, base)?;
        let index = SegmentFile::OffsetIndex.path(dir, base);
        sync_file(&mut self.offset_index, fs, &index)?;
        let times = SegmentFile::TimeIndex.path(dir, base);
        sync_file(&mut self.time_index, fs, &times)
    }

    /// Makes the log alone durable.
    pub(crate) fn sync_records(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        base: Offset,
    ) -> Result<(), LogFault> {
        sync_file(&mut self.log, fs, &SegmentFile::Log.path(dir, base))
    }
}

fn sync_file(
    slot: &mut Option<Arc<dyn File>>,
    fs: &dyn FileSystem,
    path: &Path,
) -> Result<(), LogFault> {
    open_into(slot, fs, path, OpenMode::ReadWrite)
        .and_then(|file| file.sync_data())
        .map_err(LogFault::io("flush", path))
}

fn open_into<'a>(
    slot: &'a mut Option<Arc<dyn File>>,
    fs: &dyn FileSystem,
    path: &Path,
    mode: OpenMode,
) -> io::Result<&'a Arc<dyn File>> {
    let file = match slot.take() {
        Some(file) => file,
        None => fs.open(path, mode)?,
    };
    Ok(slot.insert(file))
}

/// All open files of a log.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    pub(crate) active: SegmentHandles,
    /// Sealed segments that are not flushed: the handles that wrote hear of write-back errors.
    unsynced: Vec<(Offset, SegmentHandles)>,
    /// Sealed segments that are read, least recently used first.
    readers: Vec<(Offset, Arc<dyn File>)>,
}

impl OpenFiles {
    /// The open `.log` of the sealed segment at `base`.
    pub(crate) fn reader(&mut self, base: Offset) -> Option<Arc<dyn File>> {
        let at = self
            .readers
            .iter()
            .rposition(|(reader, _)| *reader == base)?;
        let reader = self.readers.remove(at);
        let file = reader.1.clone();
        self.readers.push(reader);
        Some(file)
    }

    /// Keeps the `.log` of a sealed segment open for the next read.
    pub(crate) fn keep_reader(&mut self, base: Offset, file: Arc<dyn File>) {
        self.readers.retain(|(reader, _)| *reader != base);
        if self.readers.len() == READERS_MAX {
            self.readers.remove(0);
        }
        self.readers.push((base, file));
    }

    /// The active segment at `base` was sealed and another takes its place.
    pub(crate) fn roll(&mut self, base: Offset, next: SegmentHandles) {
        let sealed = std::mem::replace(&mut self.active, next);
        if let Some(log) = &sealed.log {
            self.keep_reader(base, log.clone());
        }
        self.unsynced.push((base, sealed));
    }

    /// Handles that wrote to the sealed segment at `base` and have not been synced.
    pub(crate) fn unsynced(&self, base: Offset) -> SegmentHandles {
        let found = self.unsynced.iter().find(|(unsynced, _)| *unsynced == base);
        found
            .map(|(_, handles)| handles.clone())
            .unwrap_or_default()
    }

    /// The first sealed segment that has not been synced since it was sealed.
    pub(crate) fn first_unsynced(&self) -> Option<Offset> {
        self.unsynced.first().map(|(base, _)| *base)
    }

    /// Sealed segments before `base` are durable.
    pub(crate) fn synced_before(&mut self, base: Offset) {
        self.unsynced.retain(|(unsynced, _)| *unsynced >= base);
    }

    /// Segments before `base` are gone.
    pub(crate) fn forget_before(&mut self, base: Offset) {
        self.synced_before(base);
        self.readers.retain(|(reader, _)| *reader >= base);
    }

    /// Closes what is open for readers, and all else too if nothing is unsynced.
    pub(crate) fn release(&mut self, is_clean: bool) {
        self.readers.clear();
        if is_clean {
            self.unsynced.clear();
            self.active = SegmentHandles::default();
        }
    }
}
