//! Reads and verifies the files of a partition's directory, for `kabuki log dump`. Changes nothing.

mod indexes;
mod segment;
mod state_files;

use std::fmt;
use std::path::Path;

use thiserror::Error;

use crate::epochs::EPOCH_FILE;
use crate::file_system::FileSystem;
use crate::log::{LogFault, SegmentFile, base_in_name};
use crate::partition_metadata::PARTITION_METADATA;
use segment::SegmentBatches;

/// What to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpOptions {
    /// Print a line for each batch, index entry and producer, not only for each file.
    pub batches: bool,
    /// Print a line for each record; implies `batches`.
    pub records: bool,
}

/// What a dump found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpSummary {
    /// Files read.
    pub file_count: usize,
    /// Batches read.
    pub batch_count: u64,
    /// Records in them, as their headers say.
    pub record_count: u64,
    /// One line for each thing that is wrong: file, position, what. Empty for a healthy directory.
    pub errors: Vec<String>,
}

/// Why a dump could not go on.
#[derive(Debug, Error)]
pub enum DumpFault {
    /// The file system failed.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// The output could not be written.
    #[error("output failed")]
    Output(#[from] fmt::Error),
}

/// Dumps the directory of one partition, or a single file of one, as text to `out`.
///
/// Verifies each batch's checksum and the order of offsets; that each entry of an index names a batch
/// with that last offset, and each of a time index one with that timestamp; checksums and syntax of
/// snapshots, the epoch file and `partition.metadata`.
///
/// # Errors
/// Those of the file system and of `out`; wrong content is in the summary.
pub fn dump(
    fs: &dyn FileSystem,
    path: &Path,
    options: DumpOptions,
    out: &mut dyn fmt::Write,
) -> Result<DumpSummary, DumpFault> {
    let options = DumpOptions {
        batches: options.batches || options.records,
        ..options
    };
    let mut dump = Dump {
        fs,
        options,
        out,
        summary: DumpSummary::default(),
    };
    let is_file = path.extension().is_some() && fs.open(path, crate::OpenMode::Read).is_ok();
    let is_named = path.file_name().and_then(|name| name.to_str());
    if is_file && let Some(name) = is_named {
        let dir = path.parent().unwrap_or(Path::new("."));
        dump.file(dir, name, None)?;
    } else {
        dump.directory(path)?;
    }
    Ok(dump.summary)
}

struct Dump<'a> {
    fs: &'a dyn FileSystem,
    options: DumpOptions,
    out: &'a mut dyn fmt::Write,
    summary: DumpSummary,
}

impl Dump<'_> {
    fn directory(&mut self, dir: &Path) -> Result<(), DumpFault> {
        let entries = self.fs.list(dir).map_err(LogFault::io("dump", dir))?;
        let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        // A segment's log comes before the indexes that are held against it.
        names.sort_by_key(|name| {
            let stem = name.split('.').next().unwrap_or_default().to_owned();
            (
                stem,
                !name.ends_with(SegmentFile::Log.suffix()),
                name.clone(),
            )
        });
        let mut batches: Option<SegmentBatches> = None;
        let mut end = None;
        for name in names {
            if let Some(read) = self.file(dir, &name, batches.as_ref())? {
                if let (Some(end), Some(first)) = (end, read.first_offset())
                    && first < end
                {
                    self.wrong(&name, format_args!("starts at {first}, before {end}"));
                }
                end = read.end().or(end);
                batches = Some(read);
            }
        }
        Ok(())
    }

    /// Dumps one file; `read` are the batches of the newest `.log`, for the indexes beside it.
    fn file(
        &mut self,
        dir: &Path,
        name: &str,
        read: Option<&SegmentBatches>,
    ) -> Result<Option<SegmentBatches>, DumpFault> {
        let path = dir.join(name);
        let base_of = |kind: SegmentFile| base_in_name(name, kind.suffix());
        if let Some(base) = base_of(SegmentFile::Log) {
            return self.log_file(&path, name, base).map(Some);
        }
        let index = [SegmentFile::OffsetIndex, SegmentFile::TimeIndex]
            .into_iter()
            .find_map(|kind| base_of(kind).map(|base| (kind, base)));
        if let Some((kind, base)) = index {
            let beside;
            let batches = match read {
                Some(read) if read.base == base => read,
                _ => {
                    let log = SegmentFile::Log.path(dir, base);
                    if !self.fs.exists(&log).map_err(LogFault::io("dump", &log))? {
                        self.wrong(name, format_args!("no log beside it"));
                        return Ok(None);
                    }
                    beside = segment::read_batches(self.fs, &log, base)?;
                    &beside
                }
            };
            self.index_file(&path, name, kind, batches)?;
        } else if base_in_name(name, ".snapshot").is_some() {
            self.snapshot(&path, name)?;
        } else if name == EPOCH_FILE {
            self.epochs(&path, name)?;
        } else if name == PARTITION_METADATA {
            self.metadata(&path, name)?;
        } else {
            writeln!(self.out, "{name}: not read")?;
            return Ok(None);
        }
        Ok(None)
    }

    /// Notes that something is wrong, and prints it.
    fn wrong(&mut self, name: &str, what: fmt::Arguments<'_>) {
        let line = format!("{name}: {what}");
        // Output that fails is told by the next line that is not an error.
        let _ = writeln!(self.out, "WRONG {line}");
        self.summary.errors.push(line);
    }

    fn whole(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, DumpFault> {
        Ok(self
            .fs
            .read_whole(path, bytes_max)
            .map_err(LogFault::io("dump", path))?)
    }
}
