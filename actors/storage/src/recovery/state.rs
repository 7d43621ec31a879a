//! Epochs and producers at the opening of a log: from their files as far as those agree with the log,
//! from the batches where they do not.

use std::path::Path;

use kabuki_protocol::ids::Offset;

use crate::epochs::{EPOCH_FILE, EpochCache};
use crate::file_system::{DirEntry, FileSystem, OpenMode};
use crate::log::{
    HeaderWalk, LogFault, OpenLog, PlacedBatch, SealedSegment, SegmentFile, base_in_name, locate,
    replace_file,
};
use crate::producers::{ProducerBatch, ProducerTable, snapshot_file_name};
use crate::recovery::note_epoch;

/// Largest epoch file that is read: more than a hundred thousand epochs.
const EPOCH_FILE_BYTES_MAX: u64 = 4 << 20;
/// Largest snapshot that is read: more than a million producers.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;

/// Producers brought up to the log end.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) producers: ProducerTable,
    /// Offset of the newest usable snapshot.
    pub(crate) snapshot: Option<Offset>,
    /// Batches read behind it.
    pub(crate) batches: u64,
}

/// The epochs as their file has them, and true; or, where there is none that can be read, those of the
/// batches before `until`, and false. Later batches are for the scan.
pub(crate) fn load_epochs(
    fs: &dyn FileSystem,
    dir: &Path,
    segments: &[SealedSegment],
    until: Offset,
) -> Result<(EpochCache, bool), LogFault> {
    let path = dir.join(EPOCH_FILE);
    match fs.read_whole(&path, EPOCH_FILE_BYTES_MAX) {
        Ok(content) => {
            let text = String::from_utf8(content).ok();
            if let Some(epochs) = text.and_then(|text| EpochCache::decode(&text).ok()) {
                return Ok((epochs, true));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {}
        Err(error) => return Err(LogFault::io("read epochs", &path)(error)),
    }
    let mut epochs = EpochCache::default();
    let settled = segments.iter().filter(|segment| segment.base < until);
    for segment in settled {
        // Damage is for the scan to judge, or for the reader who meets it.
        let _ = walk_segment(fs, dir, *segment, segment.base, |batch| {
            if batch.header.base_offset < until {
                note_epoch(
                    &mut epochs,
                    batch.header.partition_leader_epoch,
                    batch.header.base_offset,
                );
            }
        });
    }
    Ok((epochs, false))
}

/// Writes the epoch file.
pub(crate) fn store_epochs(
    fs: &dyn FileSystem,
    dir: &Path,
    epochs: &EpochCache,
) -> Result<(), LogFault> {
    replace_file(fs, dir, EPOCH_FILE, epochs.encode().as_bytes())?;
    fs.sync_dir(dir).map_err(LogFault::io("write epochs", dir))
}

/// The producers from the newest usable snapshot and the batches behind it. `entries` are
/// those of the directory. Snapshots that cannot be used are removed.
pub(crate) fn load_producers(
    fs: &dyn FileSystem,
    open: &OpenLog,
    entries: &[DirEntry],
    segments: &[SealedSegment],
    log_end: Offset,
) -> Result<Replayed, LogFault> {
    let dir = &open.dir;
    let mut offsets: Vec<Offset> = entries
        .iter()
        .filter_map(|entry| base_in_name(&entry.name, ".snapshot"))
        .collect();
    offsets.sort_unstable();
    let mut producers = ProducerTable::new(open.producers);
    let mut snapshot = None;
    while let Some(offset) = offsets.pop() {
        let path = dir.join(snapshot_file_name(offset));
        let content = fs.read_whole(&path, SNAPSHOT_BYTES_MAX);
        let decoded = match content {
            Ok(content) if offset <= log_end => {
                ProducerTable::decode_snapshot(&content, open.producers).ok()
            }
            Ok(_) => None,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => None,
            Err(error) => return Err(LogFault::io("read snapshot", &path)(error)),
        };
        if let Some(decoded) = decoded {
            producers = decoded;
            snapshot = Some(offset);
            break;
        }
        let removed = fs
            .remove_file(&path)
            .map_err(LogFault::io("remove snapshot", &path));
        if offset <= log_end {
            LogFault::unless_refused(removed)?;
        } else {
            // Were it to come back, it would speak for other batches once the log has grown past it.
            removed.and_then(|()| {
                fs.sync_dir(dir)
                    .map_err(LogFault::io("remove snapshot", dir))
            })?;
        }
    }
    // An older one inside a segment was to be replaced by the newest.
    let is_start = |offset: &Offset| {
        segments
            .binary_search_by_key(offset, |segment| segment.base)
            .is_ok()
    };
    for offset in offsets.into_iter().filter(|offset| !is_start(offset)) {
        let path = dir.join(snapshot_file_name(offset));
        let removed = fs
            .remove_file(&path)
            .map_err(LogFault::io("remove snapshot", &path));
        LogFault::unless_refused(removed)?;
    }
    let from = snapshot.unwrap_or(Offset::ZERO);
    let mut batches = 0;
    for (index, segment) in segments.iter().enumerate() {
        let end = segments.get(index + 1).map_or(log_end, |next| next.base);
        if end <= from || segment.bytes == 0 {
            continue;
        }
        walk_segment(fs, dir, *segment, from.max(segment.base), |batch| {
            // Expired ones are dropped below; the undo record is for live appends.
            drop(producers.apply(
                &ProducerBatch::from(&batch.header),
                batch.header.base_offset,
            ));
            batches += 1;
        })?;
    }
    producers.expire(open.now_ms);
    Ok(Replayed {
        producers,
        snapshot,
        batches,
    })
}

/// Hands the headers of a segment's batches to `visit`, from the one that holds `from` on.
fn walk_segment(
    fs: &dyn FileSystem,
    dir: &Path,
    segment: SealedSegment,
    from: Offset,
    mut visit: impl FnMut(&PlacedBatch),
) -> Result<(), LogFault> {
    let path = SegmentFile::Log.path(dir, segment.base);
    let log = fs
        .open(&path, OpenMode::Read)
        .map_err(LogFault::io("replay", &path))?;
    let (position, expected) = if from <= segment.base {
        // From the first batch on: no index is needed to find it.
        (0, segment.base)
    } else {
        let Some(first) = locate(fs, dir, segment, log.as_ref(), 0, from)? else {
            return Ok(());
        };
        (first.position, first.header.base_offset)
    };
    let mut walk = HeaderWalk::new(log.as_ref(), position, segment.bytes, expected);
    while let Some(batch) = walk.next_batch().map_err(|fault| fault.of(path.clone()))? {
        visit(&batch);
    }
    Ok(())
}
