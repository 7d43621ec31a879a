//! Dumps a `.log` file, and keeps of each batch what its indexes are held against.

use std::path::Path;

use bytes::Bytes;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{BatchHeader, records};

use super::{Dump, DumpFault};
use crate::file_system::{FileSystem, OpenMode};
use crate::log::{BadBatch, LogFault, PlacedBatch};
use crate::recovery::scan::LogReader;

/// The batches of a segment in order.
#[derive(Debug)]
pub(super) struct SegmentBatches {
    pub(super) base: Offset,
    pub(super) batches: Vec<ReadBatch>,
}

/// What indexes say of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadBatch {
    pub(super) position: u64,
    pub(super) first_offset: Offset,
    pub(super) last_offset: Offset,
    pub(super) max_timestamp: i64,
}

impl SegmentBatches {
    pub(super) fn first_offset(&self) -> Option<Offset> {
        self.batches.first().map(|batch| batch.first_offset)
    }

    /// Offset behind the last batch.
    pub(super) fn end(&self) -> Option<Offset> {
        self.batches.last().map(|batch| batch.last_offset.next())
    }

    fn note(&mut self, batch: &PlacedBatch) {
        self.batches.push(ReadBatch {
            position: batch.position,
            first_offset: batch.header.base_offset,
            last_offset: batch.header.last_offset(),
            max_timestamp: batch.header.max_timestamp,
        });
    }
}

/// Reads the batches of a `.log` file up to the first bad one, without a word.
pub(super) fn read_batches(
    fs: &dyn FileSystem,
    path: &Path,
    base: Offset,
) -> Result<SegmentBatches, DumpFault> {
    let (batches, _) = scan(fs, path, base, |_| {})?;
    Ok(batches)
}

fn scan(
    fs: &dyn FileSystem,
    path: &Path,
    base: Offset,
    mut visit: impl FnMut(&PlacedBatch),
) -> Result<(SegmentBatches, Option<(u64, BadBatch)>), DumpFault> {
    let log = fs
        .open(path, OpenMode::Read)
        .map_err(LogFault::io("dump", path))?;
    let bytes = log.len().map_err(LogFault::io("dump", path))?;
    let mut read = SegmentBatches {
        base,
        batches: Vec::new(),
    };
    let bad = LogReader::new(log.as_ref(), path, bytes).scan(0, base, |batch| {
        read.note(batch);
        visit(batch);
        Ok(())
    })?;
    Ok((read, bad.map(|bad| (bad.position, bad.reason))))
}

impl Dump<'_> {
    pub(super) fn log_file(
        &mut self,
        path: &Path,
        name: &str,
        base: Offset,
    ) -> Result<SegmentBatches, DumpFault> {
        self.summary.file_count += 1;
        let mut headers = Vec::new();
        let (read, bad) = scan(self.fs, path, base, |batch| {
            headers.push(*batch);
        })?;
        let records: u64 = headers.iter().map(|batch| count(&batch.header)).sum();
        self.summary.batch_count += headers.len() as u64;
        self.summary.record_count += records;
        let (first, end) = (
            read.first_offset().unwrap_or(base),
            read.end().unwrap_or(base),
        );
        let batches = headers.len();
        writeln!(
            self.out,
            "{name}: {batches} batches, {records} records, offsets {first} to {end}"
        )?;
        if self.options.batches {
            for batch in &headers {
                self.batch(path, name, batch)?;
            }
        }
        if let Some((position, reason)) = bad {
            self.wrong(name, format_args!("position {position}: {reason}"));
        }
        Ok(read)
    }

    fn batch(&mut self, path: &Path, name: &str, batch: &PlacedBatch) -> Result<(), DumpFault> {
        let PlacedBatch { position, header } = batch;
        let codec = header.attributes.compression();
        let codec = codec.map_or_else(|_| "unknown", |codec| codec.name());
        write!(
            self.out,
            "  position {position} offsets {} to {} records {} bytes {} epoch {} timestamp {} {codec} crc {:#010x}",
            header.base_offset,
            header.last_offset(),
            header.record_count,
            header.batch_bytes(),
            header.partition_leader_epoch,
            header.max_timestamp,
            header.crc,
        )?;
        if header.has_producer_id() {
            let (id, epoch) = (header.producer_id, header.producer_epoch);
            write!(
                self.out,
                " producer {id} epoch {epoch} sequence {}",
                header.base_sequence
            )?;
        }
        for (is_set, word) in [
            (header.attributes.is_transactional(), " transactional"),
            (header.attributes.is_control(), " control"),
        ] {
            if is_set {
                self.out.write_str(word)?;
            }
        }
        writeln!(self.out)?;
        if self.options.records {
            self.records(path, name, batch)?;
        }
        Ok(())
    }

    fn records(&mut self, path: &Path, name: &str, batch: &PlacedBatch) -> Result<(), DumpFault> {
        let PlacedBatch { position, header } = batch;
        let log = self
            .fs
            .open(path, OpenMode::Read)
            .map_err(LogFault::io("dump", path))?;
        let mut bytes = vec![0; header.batch_bytes()];
        log.read_at(*position, &mut bytes)
            .map_err(LogFault::io("dump", path))?;
        let found = match records(&Bytes::from(bytes)) {
            Ok(found) => found,
            Err(error) => {
                self.wrong(name, format_args!("position {position}: {error}"));
                return Ok(());
            }
        };
        for record in found {
            match record {
                Ok(record) => {
                    let offset = header.base_offset.get() + i64::from(record.offset_delta);
                    let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
                    let key = printable(record.key.as_deref());
                    let value = printable(record.value.as_deref());
                    write!(
                        self.out,
                        "    offset {offset} timestamp {timestamp} key {key} value {value}"
                    )?;
                    for (key, value) in &record.headers {
                        write!(self.out, " header {key}={}", printable(value.as_deref()))?;
                    }
                    writeln!(self.out)?;
                }
                Err(error) => self.wrong(name, format_args!("position {position}: {error}")),
            }
        }
        Ok(())
    }
}

/// Records that a header announces.
fn count(header: &BatchHeader) -> u64 {
    u64::try_from(header.record_count).unwrap_or(0)
}

/// Bytes as text, escaped where they are not ASCII.
fn printable(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(
        || "null".to_owned(),
        |bytes| format!("\"{}\"", bytes.escape_ascii()),
    )
}
