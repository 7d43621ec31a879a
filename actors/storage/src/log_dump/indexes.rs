//! Dumps index files and holds each entry against the batches of the log beside it.

use std::path::Path;

use kabuki_protocol::ids::Offset;

use super::segment::{ReadBatch, SegmentBatches};
use super::{Dump, DumpFault};
use crate::index::{OFFSET_ENTRY_BYTES, OffsetEntry, TIME_ENTRY_BYTES, TimeEntry};
use crate::log::SegmentFile;

/// Largest index file that is read: `segment.index.bytes` is a 32-bit number.
const INDEX_BYTES_MAX: u64 = i32::MAX as u64;

impl Dump<'_> {
    pub(super) fn index_file(
        &mut self,
        path: &Path,
        name: &str,
        kind: SegmentFile,
        read: &SegmentBatches,
    ) -> Result<(), DumpFault> {
        self.summary.file_count += 1;
        let content = self.whole(path, INDEX_BYTES_MAX)?;
        match kind {
            SegmentFile::OffsetIndex => self.offset_index(name, &content, read),
            _ => self.time_index(name, &content, read),
        }
    }

    fn offset_index(
        &mut self,
        name: &str,
        content: &[u8],
        read: &SegmentBatches,
    ) -> Result<(), DumpFault> {
        let (entries, rest) = content.as_chunks::<{ OFFSET_ENTRY_BYTES as usize }>();
        // A preallocated file ends with zeros, which no entry is: the first batch never has one.
        let used = entries.iter().take_while(|entry| **entry != [0; 8]).count();
        writeln!(self.out, "{name}: {used} entries")?;
        self.check_end(name, &content[used * 8..], rest);
        let mut last: Option<OffsetEntry> = None;
        for entry in entries[..used]
            .iter()
            .map(|bytes| OffsetEntry::decode(*bytes))
        {
            let offset = read.base.plus(i64::from(entry.relative_offset));
            let OffsetEntry { position, .. } = entry;
            if self.options.batches {
                writeln!(self.out, "  offset {offset} position {position}")?;
            }
            let is_rising = last.is_none_or(|last| {
                last.relative_offset < entry.relative_offset && last.position < position
            });
            if !is_rising {
                self.wrong(name, format_args!("offset {offset} does not rise"));
            }
            last = Some(entry);
            match batch_at(read, u64::from(position)) {
                Some(batch) if batch.last_offset == offset => {}
                Some(batch) => self.wrong(
                    name,
                    format_args!(
                        "position {position} is a batch that ends at {}, not {offset}",
                        batch.last_offset
                    ),
                ),
                None => self.wrong(name, format_args!("no batch at position {position}")),
            }
        }
        Ok(())
    }

    fn time_index(
        &mut self,
        name: &str,
        content: &[u8],
        read: &SegmentBatches,
    ) -> Result<(), DumpFault> {
        let (entries, rest) = content.as_chunks::<{ TIME_ENTRY_BYTES as usize }>();
        let zeros = entries
            .iter()
            .rev()
            .take_while(|entry| **entry == [0; 12])
            .count();
        let used = entries.len() - zeros;
        writeln!(self.out, "{name}: {used} entries")?;
        self.check_end(name, &content[used * 12..], rest);
        let mut last: Option<TimeEntry> = None;
        for entry in entries[..used]
            .iter()
            .map(|bytes| TimeEntry::decode(*bytes))
        {
            let offset = read.base.plus(i64::from(entry.relative_offset));
            let TimeEntry { timestamp, .. } = entry;
            if self.options.batches {
                writeln!(self.out, "  timestamp {timestamp} offset {offset}")?;
            }
            let is_rising = last.is_none_or(|last| {
                last.timestamp < timestamp && last.relative_offset <= entry.relative_offset
            });
            if !is_rising {
                self.wrong(name, format_args!("timestamp {timestamp} does not rise"));
            }
            last = Some(entry);
            match batch_with(read, offset) {
                Some(batch) if batch.max_timestamp == timestamp => {}
                Some(batch) => self.wrong(
                    name,
                    format_args!(
                        "offset {offset} has timestamp {}, not {timestamp}",
                        batch.max_timestamp
                    ),
                ),
                None => self.wrong(name, format_args!("no batch holds offset {offset}")),
            }
        }
        Ok(())
    }

    /// Whatever follows the entries must be zeros in whole entries.
    fn check_end(&mut self, name: &str, tail: &[u8], rest: &[u8]) {
        if !rest.is_empty() {
            self.wrong(
                name,
                format_args!("{} bytes behind the last whole entry", rest.len()),
            );
        }
        if tail.iter().any(|byte| *byte != 0) {
            self.wrong(name, format_args!("an entry behind unused ones"));
        }
    }
}

fn batch_at(read: &SegmentBatches, position: u64) -> Option<&ReadBatch> {
    let at = read
        .batches
        .binary_search_by_key(&position, |batch| batch.position)
        .ok()?;
    read.batches.get(at)
}

fn batch_with(read: &SegmentBatches, offset: Offset) -> Option<&ReadBatch> {
    let at = read
        .batches
        .partition_point(|batch| batch.last_offset < offset);
    read.batches
        .get(at)
        .filter(|batch| batch.first_offset <= offset)
}
