//! The file work of the keeper, as jobs for the pool of a log directory. All of it blocks.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kabuki_protocol::ids::{PartitionId, TopicId};
use kabuki_storage::dir_scan::{self, DirKind};
use kabuki_storage::log::rename_for_delete;
use kabuki_storage::{CleanShutdown, DirFault, FileSystem, Log, LogFault};

use crate::messages::ScannedDirectory;
use crate::state::{CreateFault, Owner};

/// Takes the marker of a clean shutdown away, before the first write to any log of the directory, and
/// looks what lies in it.
pub(super) fn scan(fs: &dyn FileSystem, root: &Path) -> Result<ScannedDirectory, String> {
    // One that cannot be removed belongs to a disk that takes no writes; if it does later and the
    // node crashes then, this node still scans its logs: only a Kafka broker would believe it.
    let marker = CleanShutdown::take(fs, root).map_err(|fault| fault.to_string());
    let scan = dir_scan::scan(fs, root).map_err(|fault| fault.to_string())?;
    let mut scanned = ScannedDirectory {
        marker_fault: marker.err(),
        ..ScannedDirectory::default()
    };
    for dir in scan.dirs {
        match dir.kind {
            DirKind::Partition {
                partition,
                topic_id,
            } => {
                let owner = match topic_id {
                    Ok(topic_id) => Owner::Topic(topic_id),
                    Err(_) => owner_of(fs, &root.join(dir.name)),
                };
                scanned.partitions.push((partition, owner));
            }
            DirKind::Deleted => scanned.deleted.push(root.join(dir.name)),
            _ => {}
        }
    }
    Ok(scanned)
}

/// Tells a directory without a topic id from one whose file the disk does not give.
fn owner_of(fs: &dyn FileSystem, dir: &Path) -> Owner {
    match dir_scan::read_topic_id(fs, dir) {
        Ok(topic_id) => Owner::Topic(topic_id),
        Err(DirFault::Malformed { .. }) => Owner::Nobody,
        Err(DirFault::Io { .. } | DirFault::Locked { .. }) => Owner::Unreadable,
    }
}

/// Makes the directory of a new partition, durably.
pub(super) fn create(
    fs: &dyn FileSystem,
    dir: &Path,
    topic_id: TopicId,
) -> Result<(), CreateFault> {
    let was_there = fs.exists(dir).unwrap_or(true);
    let Err(fault) = Log::create(fs, dir, topic_id) else {
        return Ok(());
    };
    let cause = fault.to_string();
    if matches!(fault, LogFault::Malformed { .. }) {
        return Err(CreateFault::Occupied(cause));
    }
    // What was made just now holds nothing; without it the partition can be made elsewhere.
    let is_gone = !was_there
        && match fs.remove_dir_all(dir) {
            Ok(()) => dir.parent().is_none_or(|root| fs.sync_dir(root).is_ok()),
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
    Err(if is_gone {
        CreateFault::NotMade(cause)
    } else {
        CreateFault::HalfMade(cause)
    })
}

/// Renames a stray directory, durably. One that is gone is out of the way.
pub(super) fn set_aside(fs: &dyn FileSystem, from: &Path, to: &Path) -> Result<(), String> {
    let parent = from.parent().unwrap_or(from);
    match fs.rename(from, to).and_then(|()| fs.sync_dir(parent)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{}: {error}", from.display()))
        }
        _ => Ok(()),
    }
}

/// Renames the directory of a partition whose actor did not do it, and says where its files are. The
/// name is the one that the actor would have given, so a rename that the actor did is found.
pub(super) fn rename_deleted(
    fs: &dyn FileSystem,
    root: &Path,
    partition: &PartitionId,
    topic_id: TopicId,
) -> Result<Option<PathBuf>, String> {
    let dir = root.join(partition.to_string());
    let unique = u128::from_be_bytes(topic_id.0);
    match rename_for_delete(fs, &dir, unique) {
        Ok(renamed) => Ok(Some(renamed)),
        Err(LogFault::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Removes a renamed directory. One that is gone already is no error.
pub(super) fn remove_deleted(fs: &dyn FileSystem, path: &Path) -> Result<(), String> {
    kabuki_storage::log::remove_deleted(fs, path).map_err(|fault| fault.to_string())
}
