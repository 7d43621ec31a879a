//! Reads what lies past the recovery point batch by batch with checksums, and judges what a bad batch
//! is: the torn end of an interrupted write, or corruption with good batches behind it.

use std::path::Path;

use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{BatchError, BatchHeader, HEADER_BYTES};

use crate::file_system::File;
use crate::log::{BadBatch, LogFault, PlacedBatch, judge_header};

/// Bytes read at once. A larger batch is read as a whole.
const CHUNK_BYTES: usize = 1 << 20;
/// The page cache writes back in pages of this size; a lost one reads as zeros.
const PAGE_BYTES: u64 = 4096;
/// That many zeros at the start of a page are taken for a lost one: a sector.
const HOLE_BYTES: u64 = 512;

/// A `.log` file read in chunks.
#[derive(Debug)]
pub(crate) struct LogReader<'a> {
    file: &'a dyn File,
    path: &'a Path,
    /// Length of the file.
    end: u64,
    chunk: Vec<u8>,
    chunk_start: u64,
}

/// Where and why a scan ended before the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPlace {
    pub(crate) position: u64,
    pub(crate) reason: BadBatch,
}

/// What follows a bad batch in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aftermath {
    /// A valid batch follows.
    pub(crate) has_valid_batch: bool,
    /// Between the bad place and that batch lies a block of zeros, as a lost page leaves it.
    pub(crate) has_hole: bool,
}

impl<'a> LogReader<'a> {
    pub(crate) fn new(file: &'a dyn File, path: &'a Path, end: u64) -> Self {
        Self {
            file,
            path,
            end,
            chunk: Vec::new(),
            chunk_start: 0,
        }
    }

    /// The bytes from `position` on: at least `wanted` unless the file ends first.
    fn bytes_at(&mut self, position: u64, wanted: usize) -> Result<&[u8], LogFault> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let wanted = wanted.min(left);
        let chunk_end = self.chunk_start + self.chunk.len() as u64;
        if position < self.chunk_start || position + wanted as u64 > chunk_end {
            self.chunk.resize(wanted.max(CHUNK_BYTES.min(left)), 0);
            let read = self.file.read_at(position, &mut self.chunk);
            let read = read.map_err(LogFault::io("recover", self.path))?;
            self.chunk.truncate(read);
            self.chunk_start = position;
        }
        let start = usize::try_from(position - self.chunk_start).unwrap_or(usize::MAX);
        Ok(self.chunk.get(start..).unwrap_or_default())
    }

    /// The whole batch at `position`, checksum and all, with the lowest offset it may start at.
    fn batch_at(
        &mut self,
        position: u64,
        expected: Offset,
    ) -> Result<Result<BatchHeader, BadBatch>, LogFault> {
        let available = self.end - position;
        let head = self.bytes_at(position, HEADER_BYTES)?;
        let header = match judge_header(head, available, expected) {
            Ok(header) => header,
            Err(reason) => return Ok(Err(reason)),
        };
        let batch = self.bytes_at(position, header.batch_bytes())?;
        let batch = batch.get(..header.batch_bytes()).unwrap_or(batch);
        Ok(header
            .verify_crc(batch)
            .map(|()| header)
            .map_err(|error| match error {
                BatchError::Crc { stored, computed } => BadBatch::Crc {
                    stored,
                    found: computed,
                },
                _ => BadBatch::Length {
                    length: header.batch_length,
                    available,
                },
            }))
    }

    /// The whole batch at `position`, as [`LogReader::scan`] judges it, with its bytes.
    pub(crate) fn checked_batch(
        &mut self,
        position: u64,
        expected: Offset,
    ) -> Result<Result<(BatchHeader, &[u8]), BadBatch>, LogFault> {
        let header = match self.batch_at(position, expected)? {
            Ok(header) => header,
            Err(reason) => return Ok(Err(reason)),
        };
        // In the chunk already: its checksum was computed there.
        let bytes = self.bytes_at(position, header.batch_bytes())?;
        Ok(Ok((header, &bytes[..header.batch_bytes()])))
    }

    /// Reads batches from `position` on and hands each to `visit`, which may refuse it. Ends at the end
    /// of the file or at the first bad batch.
    pub(crate) fn scan(
        &mut self,
        mut position: u64,
        mut expected: Offset,
        mut visit: impl FnMut(&PlacedBatch) -> Result<(), BadBatch>,
    ) -> Result<Option<BadPlace>, LogFault> {
        while position < self.end {
            let judged = self.batch_at(position, expected)?;
            let judged = judged.and_then(|header| {
                visit(&PlacedBatch { position, header })?;
                Ok(header)
            });
            match judged {
                Ok(header) => {
                    position += header.batch_bytes() as u64;
                    expected = header.next_offset();
                }
                Err(reason) => return Ok(Some(BadPlace { position, reason })),
            }
        }
        Ok(None)
    }

    /// Looks from a bad place on for a valid batch with offsets of this segment, which starts at `base`.
    ///
    /// Offsets that fall back count as valid here: the base offset lies outside of the checksum, so it
    /// may be the batch before that lies about its own. The length in a bad header may be wrong, so
    /// every position is tried: those where the magic byte and the offsets of a batch could be, which
    /// is a few bytes' work each, are checked in full.
    pub(crate) fn aftermath(&mut self, bad: BadPlace, base: Offset) -> Result<Aftermath, LogFault> {
        let expected = base;
        let mut position = bad.position;
        while position + HEADER_BYTES as u64 <= self.end {
            let Some(candidate) = self.next_candidate(position, expected)? else {
                break;
            };
            if self.batch_at(candidate, expected)?.is_ok() {
                let has_hole = self.has_hole(bad.position, candidate)?;
                return Ok(Aftermath {
                    has_valid_batch: true,
                    has_hole,
                });
            }
            position = candidate + 1;
        }
        let has_hole = self.has_hole(bad.position, self.end)?;
        Ok(Aftermath {
            has_valid_batch: false,
            has_hole,
        })
    }

    /// The next position from `position` on where a plausible header stands.
    fn next_candidate(
        &mut self,
        mut position: u64,
        expected: Offset,
    ) -> Result<Option<u64>, LogFault> {
        while position + HEADER_BYTES as u64 <= self.end {
            let available = self.end - position;
            let bytes = self.bytes_at(position, HEADER_BYTES)?;
            let windows = bytes.windows(HEADER_BYTES);
            let tried = windows.len() as u64;
            let found = windows.enumerate().find(|(at, window)| {
                is_near(window, expected)
                    && judge_header(window, available - *at as u64, expected).is_ok()
            });
            if let Some((at, _)) = found {
                return Ok(Some(position + at as u64));
            }
            // A file that shrank while it was read gives nothing more.
            if tried == 0 {
                break;
            }
            position += tried;
        }
        Ok(None)
    }

    /// True if zeros stand where a lost page would leave them: from `from` on, which may lie inside a
    /// page that a later write began, or from the start of a page on.
    fn has_hole(&mut self, from: u64, to: u64) -> Result<bool, LogFault> {
        let mut start = from;
        while start < to {
            let page_end = (start + 1).next_multiple_of(PAGE_BYTES);
            let length = (page_end.min(to) - start).min(HOLE_BYTES);
            let length = usize::try_from(length).expect("at most a sector");
            let bytes = self.bytes_at(start, length)?;
            if bytes.len() >= length && bytes[..length].iter().all(|byte| *byte == 0) {
                return Ok(true);
            }
            start = page_end;
        }
        Ok(false)
    }
}

/// A cheap test before a header is parsed: magic 2, and an offset within 2^31 of the expected one.
fn is_near(window: &[u8], expected: Offset) -> bool {
    let Some((base, _)) = window.split_first_chunk::<8>() else {
        return false;
    };
    let distance = i64::from_be_bytes(*base).wrapping_sub(expected.get());
    window[16] == 2 && (0..=i64::from(i32::MAX)).contains(&distance)
}
