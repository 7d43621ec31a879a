//! What lies in a partition's directory before anything of its log is read: its segments, and whose it is.

use std::collections::HashMap;
use std::io;

use kabuki_protocol::ids::Offset;

use super::indexes::IndexLengths;
use crate::file_system::{DirEntry, FileSystem};
use crate::log::{LogFault, OpenLog, SealedSegment, SegmentFile, base_in_name, write_metadata};
use crate::partition_metadata::{self, PARTITION_METADATA, PARTITION_METADATA_BYTES_MAX};

/// A segment as the directory lists it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) segment: SealedSegment,
    pub(super) lengths: IndexLengths,
}

/// The entries of the directory.
pub(super) fn list(fs: &dyn FileSystem, open: &OpenLog) -> Result<Vec<DirEntry>, LogFault> {
    fs.list(&open.dir).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => LogFault::NoLog {
            dir: open.dir.clone(),
        },
        _ => LogFault::io("open log", &open.dir)(error),
    })
}

/// The segments of the directory in order. Index files without a log are removed.
pub(super) fn find_segments(
    fs: &dyn FileSystem,
    open: &OpenLog,
    entries: &[DirEntry],
) -> Result<Vec<Found>, LogFault> {
    let lengths: HashMap<&str, u64> = entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.bytes))
        .collect();
    let length_of =
        |base: Offset, kind: SegmentFile| lengths.get(kind.name(base).as_str()).copied();
    let mut found: Vec<Found> = Vec::new();
    for entry in entries {
        if let Some(base) = base_in_name(&entry.name, SegmentFile::Log.suffix()) {
            let offsets = length_of(base, SegmentFile::OffsetIndex);
            let times = length_of(base, SegmentFile::TimeIndex);
            let segment = SealedSegment {
                base,
                bytes: entry.bytes,
            };
            found.push(Found {
                segment,
                lengths: IndexLengths { offsets, times },
            });
        }
    }
    found.sort_unstable_by_key(|found| found.segment.base);
    for entry in entries {
        let indexes = [
            SegmentFile::OffsetIndex,
            SegmentFile::TimeIndex,
            SegmentFile::TxnIndex,
        ];
        let base = indexes
            .iter()
            .find_map(|kind| base_in_name(&entry.name, kind.suffix()));
        let is_orphan = base.is_some_and(|base| {
            found
                .binary_search_by_key(&base, |found| found.segment.base)
                .is_err()
        });
        if is_orphan {
            let path = open.dir.join(&entry.name);
            let removed = fs
                .remove_file(&path)
                .map_err(LogFault::io("remove orphan index", &path));
            LogFault::unless_refused(removed)?;
        }
    }
    Ok(found)
}

/// Checks whose directory it is, and that it is a log at all.
pub(super) fn check_metadata(
    fs: &dyn FileSystem,
    open: &OpenLog,
    found: &[Found],
) -> Result<(), LogFault> {
    let no_log = || LogFault::NoLog {
        dir: open.dir.clone(),
    };
    let path = open.dir.join(PARTITION_METADATA);
    let malformed = |reason| LogFault::Malformed {
        path: path.clone(),
        reason,
    };
    let content = match fs.read_whole(&path, PARTITION_METADATA_BYTES_MAX) {
        Ok(content) => content,
        // Directories of old brokers have none; one that holds records is taken for what it is.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match found.iter().any(|found| found.segment.bytes > 0) {
                true => write_metadata(fs, &open.dir, open.topic_id),
                false => Err(no_log()),
            };
        }
        Err(error) => return Err(LogFault::io("open log", &path)(error)),
    };
    let text = std::str::from_utf8(&content).map_err(|_| malformed("not UTF-8"))?;
    let topic_id = partition_metadata::parse(text).map_err(malformed)?;
    if topic_id != open.topic_id {
        let (dir, expected) = (open.dir.clone(), open.topic_id);
        return Err(LogFault::ForeignTopic {
            dir,
            found: topic_id,
            expected,
        });
    }
    if found.is_empty() {
        Err(no_log())
    } else {
        Ok(())
    }
}
