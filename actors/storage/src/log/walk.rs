//! Walks the batch headers of one `.log` file without reading the records, and finds the batch that
//! holds an offset. Headers are judged, checksums are not: that is for recovery.

use std::io;
use std::path::PathBuf;

use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{BatchError, BatchHeader, HEADER_BYTES};

use super::fault::{BadBatch, LogFault};
use crate::file_system::File;

/// Bytes read at once while batches are small.
const WINDOW_BYTES: usize = 8192;

/// A batch and its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlacedBatch {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl PlacedBatch {
    /// Position behind the batch.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.header.batch_bytes() as u64
    }
}

/// Why a walk stopped.
#[derive(Debug)]
pub(crate) enum WalkFault {
    Io(io::Error),
    Bad {
        position: u64,
        expected: Offset,
        reason: BadBatch,
    },
}

impl WalkFault {
    /// The fault of the log whose file was walked.
    pub(crate) fn of(self, path: PathBuf) -> LogFault {
        match self {
            Self::Io(source) => LogFault::Io {
                operation: "read",
                path,
                source,
            },
            Self::Bad {
                position,
                expected,
                reason,
            } => LogFault::CorruptBatch {
                path,
                position,
                offset: expected,
                reason,
            },
        }
    }
}

/// Iterates over the batches from a position to an end.
#[derive(Debug)]
pub(crate) struct HeaderWalk<'a> {
    file: &'a dyn File,
    position: u64,
    end: u64,
    /// Lowest offset that the next batch may start at.
    expected: Offset,
    window: Vec<u8>,
    window_start: u64,
    last_batch_bytes: usize,
}

impl<'a> HeaderWalk<'a> {
    /// Walks from `position`, where a batch must start, to `end`, where one must end.
    pub(crate) fn new(file: &'a dyn File, position: u64, end: u64, expected: Offset) -> Self {
        Self {
            file,
            position,
            end,
            expected,
            window: Vec::new(),
            window_start: 0,
            last_batch_bytes: 0,
        }
    }

    /// The next batch, or `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<PlacedBatch>, WalkFault> {
        if self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        let available = self.end - position;
        let expected = self.expected;
        let head = self.head().map_err(WalkFault::Io)?;
        let header = judge_header(head, available, expected).map_err(|reason| WalkFault::Bad {
            position,
            expected,
            reason,
        })?;
        self.position += header.batch_bytes() as u64;
        self.expected = header.next_offset();
        self.last_batch_bytes = header.batch_bytes();
        Ok(Some(PlacedBatch { position, header }))
    }

    /// The bytes of the header at the present position, fewer where the file ends.
    fn head(&mut self) -> io::Result<&[u8]> {
        let window_end = self.window_start + self.window.len() as u64;
        let head_end = (self.position + HEADER_BYTES as u64).min(self.end);
        if self.position < self.window_start || head_end > window_end {
            // Large batches: a window would hold one header and much that is not looked at.
            let is_sparse = self.last_batch_bytes >= WINDOW_BYTES;
            let wanted = if is_sparse {
                HEADER_BYTES
            } else {
                WINDOW_BYTES
            };
            let available = usize::try_from(self.end - self.position).unwrap_or(wanted);
            self.window.resize(wanted.min(available), 0);
            let read = self.file.read_at(self.position, &mut self.window)?;
            self.window.truncate(read);
            self.window_start = self.position;
        }
        let start = usize::try_from(self.position - self.window_start).unwrap_or(usize::MAX);
        Ok(self.window.get(start..).unwrap_or_default())
    }
}

/// Parses the header at the start of `bytes` and judges what can be judged without its records:
/// format, length against the `available` bytes, and offsets against the lowest `expected` one.
pub(crate) fn judge_header(
    bytes: &[u8],
    available: u64,
    expected: Offset,
) -> Result<BatchHeader, BadBatch> {
    let short = BadBatch::ShortHeader { bytes: available };
    let header = BatchHeader::parse(bytes).map_err(|error| match error {
        BatchError::Magic { magic } => BadBatch::Magic { magic },
        BatchError::Length { batch_length } => BadBatch::Length {
            length: batch_length,
            available,
        },
        _ => short,
    })?;
    if header.batch_bytes() as u64 > available {
        return Err(BadBatch::Length {
            length: header.batch_length,
            available,
        });
    }
    let base = header.base_offset;
    // An empty batch left by compaction keeps its last offset delta, so this holds for it too.
    let last = base.checked_add(i64::from(header.last_offset_delta));
    let is_in_order = base >= expected && header.last_offset_delta >= 0 && header.record_count >= 0;
    match last {
        Some(last) if is_in_order && last.get() < i64::MAX => Ok(header),
        _ => Err(BadBatch::Offsets {
            base,
            last: header.last_offset(),
            expected,
        }),
    }
}

/// The first batch from `position` on whose last offset is at or above `offset`.
pub(crate) fn find_batch(
    walk: &mut HeaderWalk<'_>,
    offset: Offset,
) -> Result<Option<PlacedBatch>, WalkFault> {
    while let Some(batch) = walk.next_batch()? {
        if batch.header.last_offset() >= offset {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}
