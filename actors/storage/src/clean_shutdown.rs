//! `.kafka_cleanshutdown`: the word of the last process that the logs of a directory were closed, and
//! which were not.

use std::collections::BTreeSet;
use std::path::Path;

use kabuki_protocol::ids::PartitionId;
use serde::{Deserialize, Serialize};

use crate::dir_fault::{DirFault, read_text, replace_file, sync_parent};
use crate::file_system::FileSystem;

/// Name of the file.
pub const FILE_NAME: &str = ".kafka_cleanshutdown";

/// Version of the content.
const VERSION: i32 = 0;

/// As for a checkpoint: room for 50,000 partitions.
const BYTES_MAX: u64 = 16 << 20;

/// What a process that ended in order leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanShutdown {
    /// Epoch of the broker's registration, -1 if it had none.
    pub broker_epoch: i64,
    /// Partitions that were not closed in order, most of them because they were never opened since
    /// the last crash: they need recovery all the same.
    pub unrecovered: BTreeSet<PartitionId>,
}

/// The file as JSON: Kafka's two keys, and ours only where it says something.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    version: i32,
    broker_epoch: i64,
    /// As `<topic>-<partition>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unrecovered: Vec<String>,
}

impl CleanShutdown {
    /// Writes the marker into the log directory `dir`; durable when this returns.
    ///
    /// Call it after the last write of the last log.
    pub fn write(&self, fs: &dyn FileSystem, dir: &Path) -> Result<(), DirFault> {
        let content = Content {
            version: VERSION,
            broker_epoch: self.broker_epoch,
            unrecovered: self
                .unrecovered
                .iter()
                .map(PartitionId::to_string)
                .collect(),
        };
        let json = serde_json::to_vec(&content).expect("numbers and names are always JSON");
        replace_file(fs, &dir.join(FILE_NAME), &json)
    }

    /// Takes the marker out of the log directory `dir`: reads it, and removes it durably, so that a
    /// crash from now on is seen as one. `None` without a marker, and with one that cannot be read:
    /// then everything needs recovery.
    ///
    /// Call it before the first write to any log.
    pub fn take(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Self>, DirFault> {
        let path = dir.join(FILE_NAME);
        let text = match read_text(fs, &path, BYTES_MAX) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(DirFault::Malformed { .. }) => String::new(),
            Err(fault) => return Err(fault),
        };
        fs.remove_file(&path)
            .map_err(DirFault::io("remove", &path))?;
        sync_parent(fs, &path)?;

        Ok(parse(&text))
    }
}

fn parse(text: &str) -> Option<CleanShutdown> {
    let Content {
        version,
        broker_epoch,
        unrecovered,
    } = serde_json::from_str(text).ok()?;
    if version != VERSION {
        return None;
    }
    let unrecovered = unrecovered
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, _>>()
        .ok()?;
    Some(CleanShutdown {
        broker_epoch,
        unrecovered,
    })
}
