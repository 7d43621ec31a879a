//! The directory of a partition: how it comes to be, whose it is, and how it goes.

use std::path::{Path, PathBuf};

use kabuki_protocol::ids::{Offset, TopicId};

use super::Log;
use super::fault::LogFault;
use super::replace::replace_file;
use super::roll::create_segment_files;
use super::segment::base_in_name;
use crate::epochs::{EPOCH_FILE, EpochCache};
use crate::file_system::FileSystem;
use crate::partition_metadata::{self, PARTITION_METADATA};

/// Name of a file that the owner of a log makes to try whether the directory takes writes. It is no
/// part of the log; an opening removes one that a crash left.
pub const PROBE_FILE: &str = "kabuki.probe";
/// Longest name of a directory entry on Linux, in bytes.
const NAME_BYTES_MAX: usize = 255;

impl Log {
    /// Makes the directory of a new partition: the first segment, an empty epoch file and
    /// `partition.metadata`, all synced, and the parent directory too. Blocks.
    ///
    /// What an interrupted creation left is completed. A directory that holds records is an error
    /// ([`LogFault::Malformed`]), one that is complete and empty is left as it is.
    pub fn create(fs: &dyn FileSystem, dir: &Path, topic_id: TopicId) -> Result<(), LogFault> {
        fs.create_dir_all(dir)
            .map_err(LogFault::io("create", dir))?;
        let entries = fs.list(dir).map_err(LogFault::io("create", dir))?;
        let is_log = |name: &str| base_in_name(name, ".log").is_some();
        if entries
            .iter()
            .any(|entry| is_log(&entry.name) && entry.bytes > 0)
        {
            let reason = "holds records, a new partition was to be made";
            return Err(LogFault::Malformed {
                path: dir.to_path_buf(),
                reason,
            });
        }
        create_segment_files(fs, dir, Offset::ZERO)?;
        replace_file(
            fs,
            dir,
            EPOCH_FILE,
            EpochCache::default().encode().as_bytes(),
        )?;
        // Written last: its presence says that the creation came to its end.
        write_metadata(fs, dir, topic_id)?;
        fs.sync_dir(dir).map_err(LogFault::io("create", dir))?;
        if let Some(parent) = dir.parent() {
            fs.sync_dir(parent)
                .map_err(LogFault::io("create", parent))?;
        }
        Ok(())
    }
}

/// Writes `partition.metadata`; the directory is not synced.
pub(crate) fn write_metadata(
    fs: &dyn FileSystem,
    dir: &Path,
    topic_id: TopicId,
) -> Result<(), LogFault> {
    let text = partition_metadata::text_of(topic_id);
    replace_file(fs, dir, PARTITION_METADATA, text.as_bytes())
}

/// Renames the directory of a deleted partition to `<topic>-<partition>.<unique hex>-delete` and
/// syncs the parent, so that the name is free at once. Blocks. The new path goes to
/// [`remove_deleted`].
pub fn rename_for_delete(
    fs: &dyn FileSystem,
    dir: &Path,
    unique: u128,
) -> Result<PathBuf, LogFault> {
    let name = dir
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("partition");
    let suffix = format!(".{unique:032x}-delete");
    // Topic names are ASCII, and short enough unless the partition number is long.
    let kept = name.get(..NAME_BYTES_MAX - suffix.len()).unwrap_or(name);
    let renamed = dir.with_file_name(format!("{kept}{suffix}"));
    fs.rename(dir, &renamed)
        .map_err(LogFault::io("rename for deletion", dir))?;
    if let Some(parent) = dir.parent() {
        fs.sync_dir(parent)
            .map_err(LogFault::io("rename for deletion", parent))?;
    }
    Ok(renamed)
}

/// Removes a directory that [`rename_for_delete`] left, also after a restart. Blocks. One that is
/// gone already is no error.
pub fn remove_deleted(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogFault> {
    match fs.remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LogFault::io("delete", dir)(error))
        }
        _ => Ok(()),
    }
}
