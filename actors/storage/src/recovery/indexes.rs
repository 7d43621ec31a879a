//! Index files at the opening of a log: those of settled segments are checked and written again where
//! they do not fit; those of scanned segments are compared with what the scan gives.

use std::io::{self, IoSlice};
use std::path::Path;

use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::HEADER_BYTES;

use crate::file_system::{File, FileSystem, OpenMode};
use crate::index::{
    IndexTail, OFFSET_ENTRY_BYTES, OffsetEntry, TIME_ENTRY_BYTES, offset_entries_before,
    offset_entry_at, relative, time_entries_before, time_entry_at,
};
use crate::log::{HeaderWalk, LogFault, PlacedBatch, SealedSegment, SegmentFile, WalkFault};

/// Lengths of the index files of a segment as the directory lists them; `None` for a missing one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IndexLengths {
    pub(crate) offsets: Option<u64>,
    pub(crate) times: Option<u64>,
}

/// The part of a segment that lies before the recovery point.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Indexes of that part.
    pub(crate) tail: IndexTail,
    /// Where it ends in the `.log` file.
    pub(crate) position: u64,
    /// Lowest offset that may follow.
    pub(crate) expected: Offset,
}

/// Finds where the part of a segment ends that lies before `until`, and resumes its indexes there.
///
/// The index files are believed as far as the batches behind their last entries bear them out; else
/// the headers are walked from the start of the segment. A bad header ends the part early: the scan
/// that follows judges it.
pub(crate) fn settle(
    fs: &dyn FileSystem,
    dir: &Path,
    segment: SealedSegment,
    lengths: IndexLengths,
    log: &dyn File,
    interval_bytes: u32,
    until: Offset,
) -> Result<Settled, LogFault> {
    let SealedSegment { base, bytes } = segment;
    let has_entries = until > base && (lengths.offsets != Some(0) || lengths.times != Some(0));
    if has_entries
        && let Some((tail, last)) = resume_tail(fs, dir, base, interval_bytes, until)?
        && let Some(settled) = follow(dir, segment, log, tail, last, until)?
    {
        return Ok(settled);
    }
    let tail = IndexTail::new(base, interval_bytes);
    let settled = follow(dir, SealedSegment { base, bytes }, log, tail, None, until)?;
    Ok(settled.expect("without entries there is nothing that the batches could contradict"))
}

/// The indexes as their files hold them for offsets before `until`, and the last offset entry. `None`
/// if a file is missing.
fn resume_tail(
    fs: &dyn FileSystem,
    dir: &Path,
    base: Offset,
    interval_bytes: u32,
    until: Offset,
) -> Result<Option<(IndexTail, Option<OffsetEntry>)>, LogFault> {
    let until = if until <= base {
        0
    } else {
        relative(base, until).unwrap_or(u32::MAX)
    };
    let offsets = SegmentFile::OffsetIndex.path(dir, base);
    let times = SegmentFile::TimeIndex.path(dir, base);
    let offset_part = fs
        .open(&offsets, OpenMode::Read)
        .and_then(|file| offset_entries_before(file.as_ref(), until));
    let time_part = fs
        .open(&times, OpenMode::Read)
        .and_then(|file| time_entries_before(file.as_ref(), until));
    match (offset_part, time_part) {
        (Ok((offset_count, last_offset)), Ok((time_count, last_time))) => {
            let counts = (offset_count, time_count);
            let tail = IndexTail::resume(base, interval_bytes, counts, last_offset, last_time);
            Ok(Some((tail, last_offset)))
        }
        (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        (Err(error), _) => Err(LogFault::io("recover index", &offsets)(error)),
        (_, Err(error)) => Err(LogFault::io("recover index", &times)(error)),
    }
}

/// Walks from the last index entry to `until`; `None` if the batches contradict the entries.
fn follow(
    dir: &Path,
    segment: SealedSegment,
    log: &dyn File,
    mut tail: IndexTail,
    last: Option<OffsetEntry>,
    until: Offset,
) -> Result<Option<Settled>, LogFault> {
    let SealedSegment { base, bytes } = segment;
    let mut position = last.map_or(0, |entry| u64::from(entry.position));
    let mut expected = base;
    let mut entry_offset = last.map(|entry| base.plus(i64::from(entry.relative_offset)));
    if last.is_some() && position >= bytes {
        return Ok(None);
    }
    let mut walk = HeaderWalk::new(log, position, bytes, base);
    loop {
        let batch = match walk.next_batch() {
            Ok(Some(batch)) => batch,
            Err(WalkFault::Bad { .. }) if entry_offset.is_some() => return Ok(None),
            Ok(None) | Err(WalkFault::Bad { .. }) => break,
            Err(fault) => return Err(fault.of(SegmentFile::Log.path(dir, base))),
        };
        let last_offset = batch.header.last_offset();
        let max_timestamp = batch.header.max_timestamp;
        match entry_offset.take() {
            // The time index got an entry with this one, if any batch so far had a timestamp.
            Some(_) if max_timestamp >= 0 && tail.max_timestamp().is_none() => return Ok(None),
            Some(indexed) if indexed != last_offset => return Ok(None),
            Some(_) => tail.note_indexed(last_offset, max_timestamp),
            None if last_offset >= until => break,
            None => tail.note(batch.position, last_offset, max_timestamp),
        }
        position = batch.end();
        expected = last_offset.next();
    }
    Ok(Some(Settled {
        tail,
        position,
        expected,
    }))
}

/// What becomes of entries that are taken out of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// They are gone for good.
    Synced,
    /// Somebody writes the file again and syncs it before anything relies on it. A sync now could tell
    /// of a write that failed in the past.
    ToBeSynced,
}

/// Makes the index files end with the entries that wait in `tail`. Returns true if that changed a file.
pub(crate) fn write_tail(
    fs: &dyn FileSystem,
    dir: &Path,
    base: Offset,
    lengths: IndexLengths,
    tail: &mut IndexTail,
    cut: Cut,
) -> Result<bool, LogFault> {
    let entries = tail.pending();
    let offsets = (
        SegmentFile::OffsetIndex,
        lengths.offsets,
        entries.offsets_position,
        &entries.offsets,
    );
    let times = (
        SegmentFile::TimeIndex,
        lengths.times,
        entries.times_position,
        &entries.times,
    );
    let mut is_changed = false;
    let mut is_written = true;
    for (kind, present_length, position, bytes) in [offsets, times] {
        if bytes.is_empty() && present_length == Some(position) {
            continue;
        }
        let path = kind.path(dir, base);
        let fault = LogFault::io("recover index", &path);
        if has_end(fs, &path, position, bytes, cut).map_err(fault)? {
            continue;
        }
        let added = fs
            .open(&path, OpenMode::Create)
            .and_then(|file| file.write_at(position, &[IoSlice::new(bytes)]))
            .map_err(LogFault::io("recover index", &path));
        is_changed = true;
        is_written &= LogFault::unless_refused(added)?;
    }
    // What could not be written goes on waiting for the next roll or flush.
    if is_written {
        tail.written();
    }
    Ok(is_changed)
}

/// True if the file at `path` ends with `bytes` at `position`. If not, what stands there in their
/// place is taken away.
///
/// The file is synced then, unless somebody else will: nothing else might do it before its segment
/// counts as settled, and a crash would bring entries back that name no batch. Entries that are only
/// added may be lost again; the next opening adds them again.
fn has_end(
    fs: &dyn FileSystem,
    path: &Path,
    position: u64,
    bytes: &[u8],
    cut: Cut,
) -> io::Result<bool> {
    let file = match fs.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let length = position + bytes.len() as u64;
    let present_length = file.len()?;
    let mut present = vec![0; bytes.len()];
    let read = file.read_at(position, &mut present)?;
    if present_length > length || !bytes.starts_with(&present[..read]) {
        let file = fs.open(path, OpenMode::ReadWrite)?;
        file.set_len(position)?;
        if cut == Cut::Synced {
            file.sync_data()?;
        }
        return Ok(bytes.is_empty());
    }
    Ok(present_length == length)
}

/// Checks the indexes of a sealed segment by their lengths, and with `thorough` also by their last
/// entries; writes them again, synced, if they do not fit. Returns true if they were written.
pub(crate) fn check_sealed(
    fs: &dyn FileSystem,
    dir: &Path,
    segment: SealedSegment,
    interval_bytes: u32,
    lengths: IndexLengths,
    thorough: bool,
) -> Result<bool, LogFault> {
    let fits = lengths_fit(segment, interval_bytes, lengths)
        && (!thorough || last_entries_fit(fs, dir, segment, interval_bytes)?);
    if fits {
        return Ok(false);
    }
    let SealedSegment { base, bytes } = segment;
    let path = SegmentFile::Log.path(dir, base);
    let log = fs
        .open(&path, OpenMode::Read)
        .map_err(LogFault::io("rebuild index", &path))?;
    let mut tail = IndexTail::new(base, interval_bytes);
    let mut walk = HeaderWalk::new(log.as_ref(), 0, bytes, base);
    loop {
        match walk.next_batch() {
            Ok(Some(PlacedBatch { position, header })) => {
                tail.note(position, header.last_offset(), header.max_timestamp);
            }
            // A damaged batch is for the reader who meets it: it does not keep the log from opening.
            Ok(None) | Err(WalkFault::Bad { .. }) => break,
            Err(fault) => return Err(fault.of(path)),
        }
    }
    tail.finish();
    if !write_tail(fs, dir, base, lengths, &mut tail, Cut::Synced)? {
        return Ok(false);
    }
    for kind in [SegmentFile::OffsetIndex, SegmentFile::TimeIndex] {
        let path = kind.path(dir, base);
        let synced = fs
            .open(&path, OpenMode::ReadWrite)
            .and_then(|file| file.sync_data());
        synced.map_err(LogFault::io("rebuild index", &path))?;
    }
    Ok(true)
}

fn lengths_fit(segment: SealedSegment, interval_bytes: u32, lengths: IndexLengths) -> bool {
    let (Some(offsets), Some(times)) = (lengths.offsets, lengths.times) else {
        return false;
    };
    // No batch has two entries. An unclean end of a preallocated index leaves more, all zeros.
    let entries_max = segment.bytes / HEADER_BYTES as u64;
    offsets % OFFSET_ENTRY_BYTES == 0
        && times % TIME_ENTRY_BYTES == 0
        && offsets / OFFSET_ENTRY_BYTES <= entries_max
        && times / TIME_ENTRY_BYTES <= entries_max
        && (offsets > 0 || segment.bytes <= u64::from(interval_bytes))
}

/// True if the last entries name batches that are there, and no entry is missing behind them.
fn last_entries_fit(
    fs: &dyn FileSystem,
    dir: &Path,
    segment: SealedSegment,
    interval_bytes: u32,
) -> Result<bool, LogFault> {
    let SealedSegment { base, bytes } = segment;
    let offsets = SegmentFile::OffsetIndex.path(dir, base);
    let last = fs.open(&offsets, OpenMode::Read).and_then(|file| {
        let count = file.len()? / OFFSET_ENTRY_BYTES;
        count
            .checked_sub(1)
            .map_or(Ok(None), |at| offset_entry_at(file.as_ref(), at))
    });
    let last = last.map_err(LogFault::io("check index", &offsets))?;
    let start = last.map_or(0, |entry| u64::from(entry.position));
    if start >= bytes {
        return Ok(bytes == 0 && last.is_none());
    }
    let path = SegmentFile::Log.path(dir, base);
    let log = fs
        .open(&path, OpenMode::Read)
        .map_err(LogFault::io("check index", &path))?;
    let mut walk = HeaderWalk::new(log.as_ref(), start, bytes, base);
    let mut entry_offset = last.map(|entry| base.plus(i64::from(entry.relative_offset)));
    let mut max_timestamp = -1;
    loop {
        let batch = match walk.next_batch() {
            Ok(Some(batch)) => batch,
            Err(WalkFault::Bad { .. }) if entry_offset.is_some() => return Ok(false),
            Ok(None) | Err(WalkFault::Bad { .. }) => break,
            Err(fault) => return Err(fault.of(path)),
        };
        let last_offset = batch.header.last_offset();
        let is_borne_out = entry_offset
            .take()
            .is_none_or(|offset| offset == last_offset);
        if !is_borne_out || batch.position - start > u64::from(interval_bytes) {
            return Ok(false);
        }
        max_timestamp = max_timestamp.max(batch.header.max_timestamp);
    }
    let times = SegmentFile::TimeIndex.path(dir, base);
    let last = fs.open(&times, OpenMode::Read).and_then(|file| {
        let count = file.len()? / TIME_ENTRY_BYTES;
        count
            .checked_sub(1)
            .map_or(Ok(None), |at| time_entry_at(file.as_ref(), at))
    });
    let last = last.map_err(LogFault::io("check index", &times))?;
    // A sealed segment's time index got its last entry when it was rolled.
    Ok(last.map_or(-1, |entry| entry.timestamp) >= max_timestamp)
}
