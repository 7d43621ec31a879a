//! Reads and verifies the files of a partition's directory, for `kabuki log dump`. Changes nothing.

use std::fmt;
use std::path::Path;

use crate::file_system::FileSystem;

/// What to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpOptions {
    /// Print a line for each batch and index entry, not only for each file.
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

/// Dumps the directory of one partition, or a single file of one, as text to `out`.
///
/// # Errors
/// Those of the file system and of `out`; wrong content is in the summary.
pub fn dump(
    _fs: &dyn FileSystem,
    _path: &Path,
    _options: DumpOptions,
    _out: &mut dyn fmt::Write,
) -> Result<DumpSummary, DumpFault> {
    todo!()
}

/// Why a dump could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DumpFault {
    /// The file system failed.
    #[error(transparent)]
    Log(#[from] crate::log::LogFault),
    /// The output could not be written.
    #[error("output failed")]
    Output(#[from] fmt::Error),
}
