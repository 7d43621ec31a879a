//! What lies in a log directory: partitions, what is left of deleted ones, and what is not ours.
//! Names and topic ids only; no log is opened.

use std::path::Path;

use kabuki_protocol::ids::{PartitionId, TopicId};

use crate::dir_fault::{DirFault, read_text};
use crate::file_system::FileSystem;
use crate::partition_metadata::{self, PARTITION_METADATA, PARTITION_METADATA_BYTES_MAX};

/// Name of the directory that holds the metadata log, ours or Kafka's.
pub const METADATA_LOG_PREFIX: &str = "__cluster_metadata";

/// What a directory below the log directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirKind {
    /// `<topic>-<partition>`.
    Partition {
        /// From the name.
        partition: PartitionId,
        /// From `partition.metadata`; `Err` says why there is none to be had.
        topic_id: Result<TopicId, String>,
    },
    /// `<topic>-<partition>.<uuid>-delete`: renamed and not yet gone; to be removed.
    Deleted,
    /// `<topic>-<partition>.<uuid>-stray`, or `-stray` alone: put aside because nobody knew its topic.
    Stray,
    /// `<topic>-<partition>.<uuid>-future`: a copy for a move between directories that did not end.
    Future,
    /// The metadata log.
    MetadataLog,
    /// Anything else. Never touched.
    Foreign,
}

/// One directory below the log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedDir {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: DirKind,
}

/// All that a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirScan {
    /// The directories, by name.
    pub dirs: Vec<ScannedDir>,
    /// Plain files, by name; those that start with a dot are hidden ones and count as well.
    pub files: Vec<String>,
}

impl DirScan {
    /// True if nothing is in the directory but what a start that failed half-way, or a new file
    /// system, leaves: then a new cluster may be formatted here.
    pub fn is_empty(&self) -> bool {
        let is_harmless = |name: &String| {
            name == crate::dir_lock::FILE_NAME || name.ends_with(crate::REPLACEMENT_SUFFIX)
        };
        self.files.iter().all(is_harmless) && self.dirs.iter().all(|dir| dir.name == "lost+found")
    }
}

/// Looks through the log directory `dir`.
///
/// # Errors
/// Only those of listing `dir` itself. A partition whose own directory fails is told as such in
/// [`DirKind::Partition`], so that one bad directory does not hide the others.
pub fn scan(fs: &dyn FileSystem, dir: &Path) -> Result<DirScan, DirFault> {
    let mut found = DirScan::default();
    for entry in fs.list(dir).map_err(DirFault::io("list", dir))? {
        if entry.is_dir {
            let kind = kind_of(fs, dir, &entry.name);
            found.dirs.push(ScannedDir {
                name: entry.name,
                kind,
            });
        } else {
            found.files.push(entry.name);
        }
    }
    Ok(found)
}

fn kind_of(fs: &dyn FileSystem, dir: &Path, name: &str) -> DirKind {
    let is_metadata_log = name
        .strip_prefix(METADATA_LOG_PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if is_metadata_log {
        return DirKind::MetadataLog;
    }
    for (suffix, kind) in [
        ("-delete", DirKind::Deleted),
        ("-stray", DirKind::Stray),
        ("-future", DirKind::Future),
    ] {
        if let Some(stem) = name.strip_suffix(suffix) {
            // A topic may itself be called `x-delete`; its partition then ends in a number.
            let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
            return match stem.parse::<PartitionId>() {
                Ok(_) => kind,
                Err(_) => DirKind::Foreign,
            };
        }
    }
    match name.parse() {
        Ok(partition) => {
            let topic_id = read_topic_id(fs, &dir.join(name)).map_err(|fault| fault.to_string());
            DirKind::Partition {
                partition,
                topic_id,
            }
        }
        Err(_) => DirKind::Foreign,
    }
}

/// Reads the topic id from a partition's directory.
///
/// # Errors
/// Malformed also where the file is missing: a directory without an id belongs to no topic.
pub fn read_topic_id(fs: &dyn FileSystem, partition_dir: &Path) -> Result<TopicId, DirFault> {
    let path = partition_dir.join(PARTITION_METADATA);
    let malformed = |reason: &str| DirFault::malformed(&path, 0, reason);
    let text = read_text(fs, &path, PARTITION_METADATA_BYTES_MAX)?;
    let text = text.ok_or_else(|| malformed("the file is missing"))?;
    partition_metadata::parse(&text).map_err(malformed)
}
