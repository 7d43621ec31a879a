//! Reads of whole batches: from the page cache at once where the reader's position is known, in the
//! pool otherwise.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::BatchError;

use super::Log;
use super::cursors::Cursor;
use super::fault::{BadBatch, LogFault};
use super::lookup::locate;
use super::segment::{SealedSegment, SegmentFile};
use super::walk::{WalkFault, judge_header};
use crate::file_system::{File, FileSystem, OpenMode};

/// Most bytes copied on the owner's arbiter: about 150 us. Larger reads go to the pool.
const DIRECT_BYTES_MAX: usize = 1 << 20;

/// Answer to [`Log::read`].
#[derive(Debug)]
pub enum ReadPlan {
    /// Whole batches from the page cache; never empty.
    Ready(Bytes),
    /// The bytes are not cached, or their place is not known yet: run this in the pool.
    Pool(ReadJob),
    /// There is nothing to return in the asked range.
    Empty,
}

/// What is asked of a read.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    from: Offset,
    up_to: Offset,
    bytes_max: usize,
    must_return_one: bool,
    /// Pages may have been dropped behind a failed sync: each batch is checked.
    is_checked: bool,
}

/// A read that may wait for the device.
#[derive(Debug)]
pub struct ReadJob {
    dir: Arc<Path>,
    wanted: Wanted,
    /// The segment to begin in and those behind it, which are looked at where it has nothing left.
    segments: Vec<SealedSegment>,
    /// Position in the first segment: the exact one, or one that is not past it.
    floor: u64,
    file: Option<Arc<dyn File>>,
}

/// Bytes read in the pool; [`Log::finish_read`] unwraps them and remembers where the reader stands.
#[derive(Debug)]
pub struct ReadDone {
    /// Whole batches, possibly none.
    pub bytes: Bytes,
    cursors: Vec<Cursor>,
    file: Option<(Offset, Arc<dyn File>)>,
}

/// The part of a buffer that answers a read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WholeBatches {
    range: Range<usize>,
    /// Offset behind the last batch in the range.
    next: Offset,
}

impl Log {
    /// Plans a read of whole batches of one segment, from the batch that contains `from`
    /// to the last one that ends before `up_to`. An offset that compaction removed gives what follows.
    ///
    /// At most `bytes_max` bytes; with `must_return_one` the first batch comes even if it is larger.
    /// That `from` lies between log start and log end is the caller's to check.
    pub fn read(
        &mut self,
        from: Offset,
        up_to: Offset,
        bytes_max: usize,
        must_return_one: bool,
    ) -> Result<ReadPlan, LogFault> {
        let up_to = up_to.min(self.log_end);
        if from >= up_to || (bytes_max == 0 && !must_return_one) {
            return Ok(ReadPlan::Empty);
        }
        let wanted = Wanted {
            from,
            up_to,
            bytes_max,
            must_return_one,
            is_checked: self.is_tail_doubtful(),
        };
        let Some((index, cursor)) = self.known_place(from) else {
            let index = self.segment_of(from);
            let is_active = index == self.sealed.len();
            let floor = if is_active {
                self.active.index.pending_floor(from)
            } else {
                0
            };
            return Ok(ReadPlan::Pool(self.read_job(wanted, index, floor)));
        };
        if let Some(plan) = self.read_direct(wanted, cursor)? {
            return Ok(plan);
        }
        Ok(ReadPlan::Pool(self.read_job(
            wanted,
            index,
            cursor.position,
        )))
    }

    /// Takes note of a read that the pool has done and gives its bytes.
    pub fn finish_read(&mut self, done: ReadDone) -> Bytes {
        let first = self.segment_at(0).base;
        for cursor in done.cursors {
            if cursor.base >= first {
                self.cursors.remember(cursor);
            }
        }
        match done.file {
            Some((base, file)) if base >= first => self.files.keep_reader(base, file),
            _ => {}
        }
        done.bytes
    }

    /// Where `from` is, if that is known without a search: index of the segment and position in it.
    fn known_place(&mut self, from: Offset) -> Option<(usize, Cursor)> {
        let index = self.segment_of(from);
        let segment = self.segment_at(index);
        if segment.base == from {
            return Some((
                index,
                Cursor {
                    offset: from,
                    base: from,
                    position: 0,
                },
            ));
        }
        let cursor = self
            .cursors
            .find(from)
            .filter(|cursor| cursor.base == segment.base)?;
        if cursor.position < segment.bytes || index == self.sealed.len() {
            return Some((index, cursor));
        }
        // Compaction removed what lay between the end of this segment and the next.
        let next = self.segment_at(index + 1);
        Some((
            index + 1,
            Cursor {
                offset: from,
                base: next.base,
                position: 0,
            },
        ))
    }

    fn read_job(&mut self, wanted: Wanted, index: usize, floor: u64) -> ReadJob {
        let segments: Vec<_> = (index..=self.sealed.len())
            .map(|index| self.segment_at(index))
            .collect();
        let file = self.log_handle(segments[0].base);
        ReadJob {
            dir: self.dir.clone(),
            wanted,
            segments,
            floor,
            file,
        }
    }

    /// A handle to read the segment at `base`: the one that appends, or one that only reads.
    fn log_handle(&mut self, base: Offset) -> Option<Arc<dyn File>> {
        if base == self.active.base
            && let Some(log) = &self.files.active.log
        {
            return Some(log.clone());
        }
        self.files.reader(base)
    }

    /// Reads from the page cache; `None` where that is not possible.
    fn read_direct(&mut self, wanted: Wanted, at: Cursor) -> Result<Option<ReadPlan>, LogFault> {
        let segment = self.segment_at(self.segment_of(at.base));
        let available = usize::try_from(segment.bytes - at.position).unwrap_or(usize::MAX);
        let wanted_bytes = wanted.bytes_max.min(available);
        let Some(file) = self.log_handle(at.base) else {
            return Ok(None);
        };
        if wanted_bytes > DIRECT_BYTES_MAX || wanted_bytes == 0 {
            return Ok(None);
        }
        let mut buffer = vec![0; wanted_bytes];
        // An error here is met again, and told, by the read in the pool.
        let Ok(read) = file.read_cached(at.position, &mut buffer) else {
            return Ok(None);
        };
        buffer.truncate(read);
        let path = || SegmentFile::Log.path(&self.dir, at.base);
        let found = whole_batches(&buffer, at, segment.bytes, wanted);
        let found = found.map_err(|fault| fault.of(path()))?;
        match found {
            Found::Batches(batches) => {
                let position = at.position + batches.range.end as u64;
                self.cursors.remember(Cursor {
                    offset: batches.next,
                    base: at.base,
                    position,
                });
                Ok(Some(ReadPlan::Ready(
                    Bytes::from(buffer).slice(batches.range),
                )))
            }
            Found::NothingInRange => Ok(Some(ReadPlan::Empty)),
            Found::NeedsMore => Ok(None),
        }
    }
}

impl ReadJob {
    /// Reads. Blocks.
    pub fn run(self, fs: &dyn FileSystem) -> Result<ReadDone, LogFault> {
        let Self {
            dir,
            wanted,
            segments,
            floor,
            mut file,
        } = self;
        let mut floor = floor;
        for segment in segments {
            let path = SegmentFile::Log.path(&dir, segment.base);
            let file = match file.take() {
                Some(file) => file,
                // For reading only: a disk that refuses writes is still read.
                None => fs
                    .open(&path, OpenMode::Read)
                    .map_err(LogFault::io("read", &path))?,
            };
            let floor = std::mem::take(&mut floor);
            let found = locate(fs, &dir, segment, file.as_ref(), floor, wanted.from)?;
            let Some(batch) = found else {
                continue;
            };
            let at = Cursor {
                offset: wanted.from,
                base: segment.base,
                position: batch.position,
            };
            let (bytes, next) = read_batches(
                file.as_ref(),
                &path,
                at,
                segment,
                batch.header.batch_bytes(),
                wanted,
            )?;
            let cursors = [Some(at), next].into_iter().flatten().collect();
            return Ok(ReadDone {
                bytes,
                cursors,
                file: Some((segment.base, file)),
            });
        }
        Ok(ReadDone {
            bytes: Bytes::new(),
            cursors: Vec::new(),
            file: None,
        })
    }
}

/// Reads the batches from `at` on, the first of which has `first_bytes`.
fn read_batches(
    file: &dyn File,
    path: &Path,
    at: Cursor,
    segment: SealedSegment,
    first_bytes: usize,
    wanted: Wanted,
) -> Result<(Bytes, Option<Cursor>), LogFault> {
    let available = usize::try_from(segment.bytes - at.position).unwrap_or(usize::MAX);
    let mut wanted_bytes = wanted.bytes_max;
    if first_bytes > wanted_bytes {
        wanted_bytes = if wanted.must_return_one {
            first_bytes
        } else {
            0
        };
    }
    let mut buffer = vec![0; wanted_bytes.min(available)];
    let read = file
        .read_at(at.position, &mut buffer)
        .map_err(LogFault::io("read", path))?;
    buffer.truncate(read);
    let found = whole_batches(&buffer, at, segment.bytes, wanted);
    match found.map_err(|fault| fault.of(path.to_path_buf()))? {
        Found::Batches(batches) => {
            let position = at.position + batches.range.end as u64;
            let next = Cursor {
                offset: batches.next,
                base: at.base,
                position,
            };
            Ok((Bytes::from(buffer).slice(batches.range), Some(next)))
        }
        Found::NothingInRange | Found::NeedsMore => Ok((Bytes::new(), None)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Batches(WholeBatches),
    /// What is there lies past the range, or is larger than allowed.
    NothingInRange,
    /// The buffer does not hold the first batch whole.
    NeedsMore,
}

/// Picks the whole batches out of `buffer`, which was read at `at`, that answer the read.
fn whole_batches(
    buffer: &[u8],
    at: Cursor,
    segment_bytes: u64,
    wanted: Wanted,
) -> Result<Found, WalkFault> {
    let mut start = 0;
    let mut end = 0;
    let mut expected = at.base;
    let mut is_last_whole = true;
    while end < buffer.len() {
        let position = at.position + end as u64;
        let rest = &buffer[end..];
        if rest.len() < kabuki_protocol::records::HEADER_BYTES {
            is_last_whole = false;
            break;
        }
        let header = match judge_header(rest, segment_bytes.saturating_sub(position), expected) {
            Ok(header) => header,
            // What lies before it is good; the read that begins at it is told.
            Err(_) if end > start => break,
            Err(reason) => {
                return Err(WalkFault::Bad {
                    position,
                    expected,
                    reason,
                });
            }
        };
        let bytes = header.batch_bytes();
        if header.last_offset() >= wanted.up_to {
            break;
        }
        if bytes > rest.len() {
            is_last_whole = false;
            break;
        }
        if wanted.is_checked
            && let Err(BatchError::Crc { stored, computed }) = header.verify_crc(&rest[..bytes])
        {
            if end > start {
                break;
            }
            let found = computed;
            return Err(WalkFault::Bad {
                position,
                expected: header.base_offset,
                reason: BadBatch::Crc { stored, found },
            });
        }
        let is_before = header.last_offset() < wanted.from;
        let is_first = start == end;
        let is_allowed = is_first && wanted.must_return_one;
        if !is_before && end - start + bytes > wanted.bytes_max && !is_allowed {
            break;
        }
        end += bytes;
        if is_before {
            start = end;
        }
        expected = header.next_offset();
    }
    if end > start {
        return Ok(Found::Batches(WholeBatches {
            range: start..end,
            next: expected,
        }));
    }
    if is_last_whole && end < buffer.len() {
        return Ok(Found::NothingInRange);
    }
    // Even a batch that is cut by the limit may be wanted whole.
    let is_cut_by_limit = buffer.len() >= wanted.bytes_max && !wanted.must_return_one && start == 0;
    Ok(if is_cut_by_limit {
        Found::NothingInRange
    } else {
        Found::NeedsMore
    })
}
