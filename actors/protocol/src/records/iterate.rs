//! Walks the batches of a byte range, and the records of a batch.

use bytes::{Bytes, BytesMut};

use super::decompress::Decompressor;
use super::record::split_record;
use super::scan::{Stop, visit_records};
use super::{
    BATCH_LENGTH_START, BatchError, BatchHeader, Compression, DECOMPRESSED_BYTES_MAX, HEADER_BYTES,
    Record,
};
use crate::ids::Offset;

/// Bytes that are decompressed at once; records are slices of such blocks.
const BLOCK_BYTES: usize = 64 * 1024;

/// Iterator of [`batches`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
}

/// The whole batches at the start of `bytes`, each with its own bytes, shared.
///
/// Ends at the first batch that is cut, which is how a Fetch answer may end; a header that is no
/// header is an error, after which the iterator ends. Checksums are not checked.
pub fn batches(bytes: &Bytes) -> Batches {
    Batches {
        rest: bytes.clone(),
    }
}

impl Batches {
    /// Bytes behind the last batch that was given out.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.len() < HEADER_BYTES {
            return None;
        }
        match BatchHeader::parse(&self.rest) {
            Ok(header) if header.batch_bytes() > self.rest.len() => None,
            Ok(header) => Some(Ok((header, self.rest.split_to(header.batch_bytes())))),
            Err(error) => {
                self.rest.clear();
                Some(Err(error))
            }
        }
    }
}

/// Iterator of [`records`]; ends after the first error.
#[derive(Debug)]
pub struct Records {
    source: Source,
    record_count: i32,
    next_index: i32,
    is_done: bool,
}

#[derive(Debug)]
enum Source {
    Plain(Bytes),
    Packed {
        reader: Decompressor,
        window: BytesMut,
    },
}

/// The records of one whole batch, decompressed as they are asked for.
///
/// Keys and values share `batch`, or blocks of about 64 KiB where it is compressed. Fails on a bad
/// header or codec; the iterator fails where a record is malformed, and at the end if their number
/// is not the header's. Checksums are not checked.
pub fn records(batch: &Bytes) -> Result<Records, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let needed = header.batch_bytes();
    if needed > batch.len() {
        return Err(BatchError::Cut {
            needed,
            available: batch.len(),
        });
    }
    let packed = batch.slice(HEADER_BYTES..needed);
    let source = match header.attributes.compression()? {
        Compression::None => Source::Plain(packed),
        // Compaction leaves batches without records, and without a compressed stream.
        _ if header.record_count == 0 => Source::Plain(Bytes::new()),
        compression => {
            let reader = Decompressor::new(compression, packed, DECOMPRESSED_BYTES_MAX)?;
            Source::Packed {
                reader,
                window: BytesMut::new(),
            }
        }
    };
    Ok(Records {
        source,
        record_count: header.record_count,
        next_index: 0,
        is_done: false,
    })
}

impl Records {
    fn take_record(&mut self) -> Result<Record, Stop> {
        let body = match &mut self.source {
            Source::Plain(rest) => split_record(rest)?.ok_or(Stop::End)?,
            Source::Packed { reader, window } => loop {
                if let Some(body) = split_record(window)? {
                    break body;
                }
                // Grows by what was really decompressed, never by what a length claims.
                if read_block(reader, window)? == 0 {
                    return Err(Stop::End);
                }
            },
        };
        Record::parse(&body)
    }

    fn check_end(&mut self) -> Result<(), BatchError> {
        let is_at_end = match &mut self.source {
            Source::Plain(rest) => rest.is_empty(),
            Source::Packed { reader, window } => {
                let read = window.is_empty().then(|| read_block(reader, window));
                match read {
                    None => false,
                    Some(Ok(count)) => count == 0,
                    Some(Err(stop)) => return Err(stop.at(self.record_count)),
                }
            }
        };
        if is_at_end {
            return Ok(());
        }
        Err(BatchError::Leftover {
            record_count: self.record_count,
        })
    }
}

/// Appends the next decompressed bytes to `window`; 0 at the end of the stream.
fn read_block(reader: &mut Decompressor, window: &mut BytesMut) -> Result<usize, Stop> {
    let start = window.len();
    window.resize(start + BLOCK_BYTES, 0);
    let read = reader.read(&mut window[start..]);
    window.truncate(start + read.as_ref().copied().unwrap_or(0));
    read.map_err(|error| Stop::Codec(Box::new(error)))
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        if self.next_index >= self.record_count {
            self.is_done = true;
            return self.check_end().err().map(Err);
        }
        let index = self.next_index;
        self.next_index += 1;
        let record = self.take_record().map_err(|stop| stop.at(index));
        self.is_done = record.is_err();
        Some(record)
    }
}

/// The first record of `batch` whose timestamp is at least `timestamp_ms`: its offset and timestamp.
///
/// Answers ListOffsets by time with fixed memory. On a LogAppendTime batch every record has the
/// timestamp of the header.
pub fn find_timestamp(
    batch: &Bytes,
    timestamp_ms: i64,
) -> Result<Option<(Offset, i64)>, BatchError> {
    let header = whole_header(batch)?;
    let mut found = None;
    let batch = batch.slice(..header.batch_bytes());
    visit_records(&header, &batch, DECOMPRESSED_BYTES_MAX, |_, shape| {
        let timestamp = header.record_timestamp(shape.timestamp_delta);
        if timestamp >= timestamp_ms {
            found = Some((header.record_offset(shape.offset_delta), timestamp));
        }
        found.is_none()
    })?;
    Ok(found)
}

/// The first record of `batch` with its largest timestamp; `None` in a batch without records.
pub fn find_max_timestamp(batch: &Bytes) -> Result<Option<(Offset, i64)>, BatchError> {
    let header = whole_header(batch)?;
    let mut found: Option<(Offset, i64)> = None;
    let batch = batch.slice(..header.batch_bytes());
    visit_records(&header, &batch, DECOMPRESSED_BYTES_MAX, |_, shape| {
        let timestamp = header.record_timestamp(shape.timestamp_delta);
        if found.is_none_or(|(_, largest)| timestamp > largest) {
            found = Some((header.record_offset(shape.offset_delta), timestamp));
        }
        true
    })?;
    Ok(found)
}

fn whole_header(batch: &Bytes) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let (needed, available) = (header.batch_bytes(), batch.len());
    if needed > available {
        return Err(BatchError::Cut { needed, available });
    }
    assert!(
        needed >= BATCH_LENGTH_START + 49,
        "parse refuses shorter lengths"
    );
    Ok(header)
}
