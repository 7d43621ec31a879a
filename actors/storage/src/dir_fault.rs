//! What can go wrong with the small files of a log directory, and how such a file is replaced so that
//! no crash leaves half of it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::fault::{FaultClass, classify};
use crate::file_system::{FileSystem, OpenMode};

/// Suffix of a file that is being written and will take the place of another.
pub const REPLACEMENT_SUFFIX: &str = ".tmp";

/// A fault of a log directory or of one of its small files.
#[derive(Debug, Error)]
pub enum DirFault {
    /// The file system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// With which path.
        path: PathBuf,
        /// The error, with its number.
        #[source]
        source: io::Error,
    },
    /// The content is not what this sort of file holds.
    #[error("{} is malformed{}: {reason}", path.display(), at_line(*line))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Another process uses the directory.
    #[error("{} is held by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

impl DirFault {
    /// Class of the error by the table of disk faults; malformed content counts as a broken disk.
    pub fn class(&self) -> FaultClass {
        match self {
            Self::Io { source, .. } => classify(source),
            Self::Malformed { .. } => FaultClass::Io,
            Self::Locked { .. } => FaultClass::Denied,
        }
    }

    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn malformed(path: &Path, line: usize, reason: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            line,
            reason: reason.into(),
        }
    }
}

fn at_line(line: usize) -> String {
    match line {
        0 => String::new(),
        line => format!(" at line {line}"),
    }
}

/// Replaces the file at `path`, or makes it: after a crash either the old or the new content is there,
/// and once this has returned it is the new one.
pub fn replace_file(fs: &dyn FileSystem, path: &Path, content: &[u8]) -> Result<(), DirFault> {
    let mut replacement = path.as_os_str().to_owned();
    replacement.push(REPLACEMENT_SUFFIX);
    let replacement = PathBuf::from(replacement);

    let file = fs
        .open(&replacement, OpenMode::Create)
        .map_err(DirFault::io("open", &replacement))?;
    // One from an earlier crash may be longer.
    file.set_len(0)
        .map_err(DirFault::io("truncate", &replacement))?;
    let slices = [IoSlice::new(content)];
    file.write_at(0, &slices)
        .map_err(DirFault::io("write", &replacement))?;
    // Before the rename, or the name could reach the device ahead of the bytes.
    file.sync_data()
        .map_err(DirFault::io("sync", &replacement))?;
    fs.rename(&replacement, path)
        .map_err(DirFault::io("rename", &replacement))?;
    sync_parent(fs, path)
}

/// Makes the entry of `path` in its directory durable.
pub(crate) fn sync_parent(fs: &dyn FileSystem, path: &Path) -> Result<(), DirFault> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs.sync_dir(parent).map_err(DirFault::io("sync", parent))
}

/// Reads a small text file, `None` where it is missing.
///
/// # Errors
/// Malformed where it is longer than `bytes_max` or not UTF-8.
pub(crate) fn read_text(
    fs: &dyn FileSystem,
    path: &Path,
    bytes_max: u64,
) -> Result<Option<String>, DirFault> {
    let bytes = match fs.read_whole(path, bytes_max) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(DirFault::malformed(
                path,
                0,
                format!("longer than {bytes_max} bytes"),
            ));
        }
        Err(error) => return Err(DirFault::io("read", path)(error)),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(DirFault::malformed(path, 0, "not UTF-8")),
    }
}
