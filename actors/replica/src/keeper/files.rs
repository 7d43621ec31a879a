//! The file work of the keeper, as jobs for the pool of a log directory.

use std::path::{Path, PathBuf};

use kabuki_protocol::ids::{PartitionId, TopicId};
use kabuki_storage::dir_scan::{self, DirKind};
use kabuki_storage::{Disk, FileSystem};

use crate::messages::ScannedDirectory;

/// Looks through a log directory. Blocks.
pub(super) fn scan(fs: &dyn FileSystem, root: &Path) -> Result<ScannedDirectory, String> {
    let scan = dir_scan::scan(fs, root).map_err(|fault| fault.to_string())?;
    let mut scanned = ScannedDirectory::default();
    for dir in scan.dirs {
        match dir.kind {
            DirKind::Partition {
                partition,
                topic_id,
            } => {
                scanned.partitions.push((partition, topic_id.ok()));
            }
            DirKind::Deleted => scanned.deleted.push(root.join(dir.name)),
            _ => {}
        }
    }
    Ok(scanned)
}

/// Renames a directory, durably. Blocks.
pub(super) fn rename(fs: &dyn FileSystem, from: &Path, to: &Path) -> Result<(), String> {
    let parent = from.parent().unwrap_or(from);
    let renamed = fs.rename(from, to).and_then(|()| fs.sync_dir(parent));
    renamed.map_err(|error| format!("{}: {error}", from.display()))
}

/// Renames the directory of a partition whose actor cannot do it itself.
pub(super) async fn rename_for_delete(disk: &Disk, partition: &PartitionId) -> Option<PathBuf> {
    let from = disk.root().join(partition.to_string());
    let to = disk
        .root()
        .join(format!("{partition}.{}-delete", TopicId::random()));
    let renamed_to = to.clone();
    let renamed = disk
        .run("rename for delete", move |fs| rename(fs, &from, &to))
        .await;
    matches!(renamed, Ok(Ok(()))).then_some(renamed_to)
}
