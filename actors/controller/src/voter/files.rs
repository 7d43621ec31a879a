//! The files of the local log: `<base offset>.log`, in which frames are appended, and
//! `<offset>.snapshot`. A snapshot holds all records before its offset.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kabuki_storage::{FaultClass, File, FileSystem, OpenMode, classify};

use super::CommitFault;
use super::frame::{self, Kind};
use crate::image::MetadataImage;
use crate::state::snapshot_records;

/// The end of the log.
#[derive(Debug)]
pub(super) struct LogFiles {
    pub(super) dir: PathBuf,
    /// The file that is appended to.
    pub(super) file: Arc<dyn File>,
    /// Offset in its name.
    pub(super) base: i64,
    /// End of the last committed frame in it.
    pub(super) end_bytes: u64,
    /// Offset of the next record.
    pub(super) next_offset: i64,
    /// Whether a failed append may have left bytes past the end, which must go before the next one.
    pub(super) has_remains: bool,
    /// Bytes of frames that no snapshot holds.
    pub(super) bytes_since_snapshot: u64,
}

impl LogFiles {
    /// Appends one frame and syncs it.
    pub(super) fn append(
        &mut self,
        fs: &dyn FileSystem,
        frame: &[u8],
        next_offset: i64,
    ) -> Result<(), CommitFault> {
        if self.has_remains {
            self.cut().map_err(|error| not_done(&error))?;
        }
        self.has_remains = true;
        if let Err(error) = self.file.write_at(self.end_bytes, &[IoSlice::new(frame)]) {
            return Err(self.failed("write", &error));
        }
        if let Err(error) = self.file.sync_data() {
            return Err(self.sync_failed(fs, &error));
        }
        self.has_remains = false;
        self.end_bytes += frame.len() as u64;
        self.bytes_since_snapshot += frame.len() as u64;
        self.next_offset = next_offset;
        Ok(())
    }

    /// A file system that finds space only when it syncs may say now that it is full. What of the frame
    /// is on disk is unknown, so it is cut off through a new handle, or else nothing is certain.
    fn sync_failed(&mut self, fs: &dyn FileSystem, error: &io::Error) -> CommitFault {
        let cause = format!("the metadata log's sync failed: {error}");
        if classify(error) != FaultClass::Full {
            return CommitFault::Uncertain(cause);
        }
        let path = log_path(&self.dir, self.base);
        let cut = fs.open(&path, OpenMode::ReadWrite).and_then(|file| {
            file.set_len(self.end_bytes)?;
            file.sync_data()?;
            Ok(file)
        });
        match cut {
            Ok(file) => {
                self.file = file;
                self.has_remains = false;
                not_done(error)
            }
            Err(_) => CommitFault::Uncertain(cause),
        }
    }

    /// A write failed. Where waiting can help, its bytes are cut off at once, or before the next append.
    fn failed(&mut self, operation: &str, error: &io::Error) -> CommitFault {
        if !classify(error).is_degrading() {
            return CommitFault::Uncertain(format!(
                "the metadata log's {operation} failed: {error}"
            ));
        }
        // A cut that fails too is tried again before the next append; the frame is not whole, so
        // recovery would cut it as well.
        self.has_remains = self.cut().is_err();
        not_done(error)
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.end_bytes)?;
        self.has_remains = false;
        Ok(())
    }

    /// Goes on in a new, empty file.
    pub(super) fn begin_next(&mut self, fs: &dyn FileSystem) -> io::Result<()> {
        if self.end_bytes == 0 {
            return Ok(());
        }
        // A tail in a file that is not the last would look like damage.
        self.cut()?;
        self.file.sync_data()?;
        let file = fs.open(&log_path(&self.dir, self.next_offset), OpenMode::Create)?;
        // A try before this one may have got as far as creating it.
        file.set_len(0)?;
        fs.sync_dir(&self.dir)?;
        self.file = file;
        self.base = self.next_offset;
        self.end_bytes = 0;
        self.has_remains = false;
        Ok(())
    }
}

fn not_done(error: &io::Error) -> CommitFault {
    CommitFault::NotDone {
        class: classify(error),
        cause: error.to_string(),
    }
}

/// Writes the snapshot of an image; it is there whole or not at all. Returns its offset.
pub(super) fn write_snapshot(
    fs: &dyn FileSystem,
    dir: &Path,
    image: &MetadataImage,
) -> io::Result<i64> {
    let offset = image.offset() + 1;
    let bytes = frame::encode(Kind::Snapshot, offset, &snapshot_records(image));
    let path = dir.join(format!("{offset:020}.snapshot"));
    let draft = path.with_extension("tmp");
    let file = fs.open(&draft, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_at(0, &[IoSlice::new(&bytes)])?;
    file.sync_data()?;
    fs.rename(&draft, &path)?;
    fs.sync_dir(dir)?;
    Ok(offset)
}

/// Removes snapshots before `snapshot`, and logs that end before it.
pub(super) fn drop_needless(fs: &dyn FileSystem, dir: &Path, snapshot: i64) -> io::Result<()> {
    let listed = Listed::read(fs, dir)?;
    for old in listed.snapshots.iter().filter(|old| **old < snapshot) {
        fs.remove_file(&snapshot_path(dir, *old))?;
    }
    for (base, next) in listed.logs.iter().zip(listed.logs.iter().skip(1)) {
        if *next <= snapshot {
            fs.remove_file(&log_path(dir, *base))?;
        }
    }
    fs.sync_dir(dir)
}

pub(super) fn log_path(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

pub(super) fn snapshot_path(dir: &Path, offset: i64) -> PathBuf {
    dir.join(format!("{offset:020}.snapshot"))
}

/// Offsets in the names of the files, rising.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) logs: Vec<i64>,
    pub(super) snapshots: Vec<i64>,
    /// Drafts of snapshots that were never finished.
    pub(super) drafts: Vec<PathBuf>,
}

impl Listed {
    pub(super) fn read(fs: &dyn FileSystem, dir: &Path) -> io::Result<Self> {
        let mut listed = Self::default();
        for entry in fs.list(dir)? {
            let Some((stem, extension)) = entry.name.rsplit_once('.') else {
                continue;
            };
            let offset = stem.parse::<i64>();
            match (offset, extension) {
                (Ok(offset), "log") => listed.logs.push(offset),
                (Ok(offset), "snapshot") => listed.snapshots.push(offset),
                (Ok(_), "tmp") => listed.drafts.push(dir.join(&entry.name)),
                _ => {}
            }
        }
        listed.logs.sort_unstable();
        listed.snapshots.sort_unstable();
        Ok(listed)
    }
}
