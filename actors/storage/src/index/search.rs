//! Binary searches in index files, a few small reads each. What an index says is a hint: entries are
//! checked by the caller against the log, so a damaged index costs time and never a wrong answer.

use std::io;

use super::{OFFSET_ENTRY_BYTES, OffsetEntry, TIME_ENTRY_BYTES, TimeEntry};
use crate::file_system::File;

/// Entry number `at` of an offset index.
pub(crate) fn offset_entry_at(file: &dyn File, at: u64) -> io::Result<Option<OffsetEntry>> {
    let mut bytes = [0; OFFSET_ENTRY_BYTES as usize];
    let read = file.read_at(at * OFFSET_ENTRY_BYTES, &mut bytes)?;
    Ok((read == bytes.len()).then(|| OffsetEntry::decode(bytes)))
}

/// Entry number `at` of a time index.
pub(crate) fn time_entry_at(file: &dyn File, at: u64) -> io::Result<Option<TimeEntry>> {
    let mut bytes = [0; TIME_ENTRY_BYTES as usize];
    let read = file.read_at(at * TIME_ENTRY_BYTES, &mut bytes)?;
    Ok((read == bytes.len()).then(|| TimeEntry::decode(bytes)))
}

/// Number of leading entries for which `holds` is true, in an index of `count` entries.
fn partition_point<T: Copy>(
    count: u64,
    entry_at: impl Fn(u64) -> io::Result<Option<T>>,
    holds: impl Fn(T) -> bool,
) -> io::Result<u64> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match entry_at(middle)? {
            Some(entry) if holds(entry) => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The last entry at or below `relative_offset`.
pub(crate) fn floor_by_offset(
    file: &dyn File,
    relative_offset: u32,
) -> io::Result<Option<OffsetEntry>> {
    let count = file.len()? / OFFSET_ENTRY_BYTES;
    let entry_at = |at| offset_entry_at(file, at);
    // A zero after the first entry is the unused end of a preallocated file.
    let above = partition_point(count, entry_at, |entry| {
        entry.relative_offset <= relative_offset && entry.position != 0
    })?;
    match above.checked_sub(1) {
        Some(at) => offset_entry_at(file, at),
        None => Ok(None),
    }
}

/// True for the zeros at the end of a preallocated time index.
fn is_unused(entry: TimeEntry) -> bool {
    entry.timestamp == 0 && entry.relative_offset == 0
}

/// The last entry at or below `timestamp`.
pub(crate) fn floor_by_timestamp(file: &dyn File, timestamp: i64) -> io::Result<Option<TimeEntry>> {
    let count = file.len()? / TIME_ENTRY_BYTES;
    let above = partition_point(
        count,
        |at| time_entry_at(file, at),
        |entry| entry.timestamp <= timestamp && !is_unused(entry),
    )?;
    match above.checked_sub(1) {
        Some(at) => time_entry_at(file, at),
        None => Ok(None),
    }
}

/// The newest entry of a time index.
pub(crate) fn last_time_entry(file: &dyn File) -> io::Result<Option<TimeEntry>> {
    floor_by_timestamp(file, i64::MAX)
}

/// Number of entries of an offset index whose batch ends before `relative_offset`, and the last of them.
pub(crate) fn offset_entries_before(
    file: &dyn File,
    relative_offset: u32,
) -> io::Result<(u64, Option<OffsetEntry>)> {
    let count = file.len()? / OFFSET_ENTRY_BYTES;
    let kept = partition_point(
        count,
        |at| offset_entry_at(file, at),
        |entry| entry.position != 0 && entry.relative_offset < relative_offset,
    )?;
    match kept.checked_sub(1) {
        Some(at) => Ok((kept, offset_entry_at(file, at)?)),
        None => Ok((0, None)),
    }
}

/// Number of entries of a time index whose batch ends before `relative_offset`, and the last of them.
pub(crate) fn time_entries_before(
    file: &dyn File,
    relative_offset: u32,
) -> io::Result<(u64, Option<TimeEntry>)> {
    let count = file.len()? / TIME_ENTRY_BYTES;
    let kept = partition_point(
        count,
        |at| time_entry_at(file, at),
        |entry| entry.relative_offset < relative_offset && !is_unused(entry),
    )?;
    match kept.checked_sub(1) {
        Some(at) => Ok((kept, time_entry_at(file, at)?)),
        None => Ok((0, None)),
    }
}
