//! Finds the byte position of an offset in one segment: index first, then a short walk.

use std::io;
use std::path::Path;

use kabuki_protocol::ids::Offset;

use super::fault::LogFault;
use super::segment::{SealedSegment, SegmentFile};
use super::walk::{HeaderWalk, PlacedBatch, WalkFault, find_batch};
use crate::file_system::{File, FileSystem, OpenMode};
use crate::index::{floor_by_offset, relative};

/// The first batch of `segment` whose last offset is at or above `offset`, or `None` if all lie below.
///
/// `floor` is a position at which a batch starts that is not past the one looked for; 0 where none is
/// known.
pub(crate) fn locate(
    fs: &dyn FileSystem,
    dir: &Path,
    segment: SealedSegment,
    log: &dyn File,
    floor: u64,
    offset: Offset,
) -> Result<Option<PlacedBatch>, LogFault> {
    let start = floor.max(indexed_floor(fs, dir, segment, offset)?);
    let found = search_from(log, segment, start, offset);
    let path = || SegmentFile::Log.path(dir, segment.base);
    match found {
        Ok(Some(batch)) if start == floor || batch.position > start => Ok(Some(batch)),
        Ok(Some(batch)) if batch.header.base_offset <= offset => Ok(Some(batch)),
        Ok(None) => Ok(None),
        // The index led past the batch or into the middle of one: it is damaged, the log decides.
        _ if start > 0 => search_from(log, segment, 0, offset).map_err(|fault| fault.of(path())),
        found => found.map_err(|fault| fault.of(path())),
    }
}

fn search_from(
    log: &dyn File,
    segment: SealedSegment,
    start: u64,
    offset: Offset,
) -> Result<Option<PlacedBatch>, WalkFault> {
    find_batch(
        &mut HeaderWalk::new(log, start, segment.bytes, segment.base),
        offset,
    )
}

/// What the index file says: a position at or before the batch that holds `offset`.
fn indexed_floor(
    fs: &dyn FileSystem,
    dir: &Path,
    segment: SealedSegment,
    offset: Offset,
) -> Result<u64, LogFault> {
    let Some(target) = relative(segment.base, offset) else {
        return Ok(0);
    };
    let path = SegmentFile::OffsetIndex.path(dir, segment.base);
    let searched = fs
        .open(&path, OpenMode::Read)
        .and_then(|index| floor_by_offset(index.as_ref(), target));
    match searched {
        Ok(entry) => {
            let position = entry.map_or(0, |entry| u64::from(entry.position));
            Ok(if position < segment.bytes {
                position
            } else {
                0
            })
        }
        // Without an index the whole segment is walked.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(LogFault::io("search index", &path)(error)),
    }
}
