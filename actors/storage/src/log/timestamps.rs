//! Finds records by timestamp: segments by the last entry of their time index, then batches by their
//! header, then records.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{TimestampType, records};

use super::Log;
use super::fault::{BadBatch, LogFault};
use super::lookup::locate;
use super::segment::{SealedSegment, SegmentFile};
use super::walk::{HeaderWalk, PlacedBatch};
use crate::file_system::{File, FileSystem, OpenMode};
use crate::index::{TimeEntry, floor_by_timestamp, last_time_entry};

/// A record found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Offset of the record.
    pub offset: Offset,
    /// Its timestamp in milliseconds since 1970.
    pub timestamp: i64,
}

/// A search by timestamp; see [`Log::offset_for_timestamp_job`] and [`Log::max_timestamp_job`].
#[derive(Debug)]
pub struct TimestampJob {
    dir: Arc<Path>,
    target: Target,
    /// First offset that counts.
    from: Offset,
    /// First offset that does not.
    up_to: Offset,
    sealed: Vec<SealedSegment>,
    active: SealedSegment,
    /// Largest timestamp of the active segment, which its file may not have yet.
    active_max: Option<TimeEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    AtLeast(i64),
    Largest,
}

impl Log {
    /// Finds the first record at or after the log start and before `up_to` with a timestamp of at least
    /// `timestamp`.
    pub fn offset_for_timestamp_job(&self, timestamp: i64, up_to: Offset) -> TimestampJob {
        self.timestamp_job(Target::AtLeast(timestamp), up_to)
    }

    /// Finds the first record with the largest timestamp; none if it is at `up_to` or later.
    pub fn max_timestamp_job(&self, up_to: Offset) -> TimestampJob {
        self.timestamp_job(Target::Largest, up_to)
    }

    fn timestamp_job(&self, target: Target, up_to: Offset) -> TimestampJob {
        let first = self.segment_of(self.log_start);
        TimestampJob {
            dir: self.dir.clone(),
            target,
            from: self.log_start,
            up_to: up_to.min(self.log_end),
            sealed: self.sealed.iter().skip(first).copied().collect(),
            active: self.active.sealed(),
            active_max: self.active.index.max_timestamp(),
        }
    }
}

/// One segment that is searched.
struct Searched<'a> {
    fs: &'a dyn FileSystem,
    dir: &'a Path,
    segment: SealedSegment,
    log: Arc<dyn File>,
}

impl TimestampJob {
    /// Searches. Blocks. `None` if no record qualifies.
    pub fn run(self, fs: &dyn FileSystem) -> Result<Option<TimestampOffset>, LogFault> {
        let found = match self.target {
            Target::AtLeast(timestamp) => self.first_at_least(fs, timestamp)?,
            Target::Largest => self.first_largest(fs)?,
        };
        Ok(found.filter(|found| found.offset < self.up_to))
    }

    fn first_at_least(
        &self,
        fs: &dyn FileSystem,
        timestamp: i64,
    ) -> Result<Option<TimestampOffset>, LogFault> {
        for segment in self.segments() {
            if self
                .largest_of(fs, segment)?
                .is_none_or(|largest| largest.timestamp < timestamp)
            {
                continue;
            }
            let searched = Searched::open(fs, &self.dir, segment)?;
            let start = searched.floor(timestamp)?;
            if let Some(found) =
                searched.first_at_least(start.max(self.from), timestamp, self.from)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn first_largest(&self, fs: &dyn FileSystem) -> Result<Option<TimestampOffset>, LogFault> {
        let mut best: Option<TimestampOffset> = None;
        for segment in self.segments() {
            let is_better = |timestamp| best.is_none_or(|best| best.timestamp < timestamp);
            let largest = match self.largest_of(fs, segment)? {
                Some(largest) if is_better(largest.timestamp) => largest,
                _ => continue,
            };
            let searched = Searched::open(fs, &self.dir, segment)?;
            let found = if segment.base >= self.from {
                let batch_end = segment.base.plus(i64::from(largest.relative_offset));
                searched.first_at_least(batch_end, largest.timestamp, self.from)?
            } else {
                // The index counts records before the log start too.
                searched.first_largest(self.from)?
            };
            if let Some(found) = found.filter(|found| is_better(found.timestamp)) {
                best = Some(found);
            }
        }
        Ok(best)
    }

    fn segments(&self) -> impl Iterator<Item = SealedSegment> + '_ {
        self.sealed
            .iter()
            .copied()
            .chain([self.active])
            .filter(|segment| segment.bytes > 0)
    }

    /// Largest timestamp of a segment and the last offset of the batch that holds it.
    fn largest_of(
        &self,
        fs: &dyn FileSystem,
        segment: SealedSegment,
    ) -> Result<Option<TimeEntry>, LogFault> {
        if segment.base == self.active.base {
            return Ok(self.active_max);
        }
        let path = SegmentFile::TimeIndex.path(&self.dir, segment.base);
        let last = fs
            .open(&path, OpenMode::Read)
            .and_then(|file| last_time_entry(file.as_ref()));
        last.map_err(LogFault::io("search time index", &path))
    }
}

impl<'a> Searched<'a> {
    fn open(
        fs: &'a dyn FileSystem,
        dir: &'a Path,
        segment: SealedSegment,
    ) -> Result<Self, LogFault> {
        let path = SegmentFile::Log.path(dir, segment.base);
        let log = fs
            .open(&path, OpenMode::Read)
            .map_err(LogFault::io("read", &path))?;
        Ok(Self {
            fs,
            dir,
            segment,
            log,
        })
    }

    /// An offset before which no record is as new as `timestamp`.
    fn floor(&self, timestamp: i64) -> Result<Offset, LogFault> {
        let path = SegmentFile::TimeIndex.path(self.dir, self.segment.base);
        let entry = self
            .fs
            .open(&path, OpenMode::Read)
            .and_then(|file| floor_by_timestamp(file.as_ref(), timestamp));
        match entry {
            Ok(entry) => {
                let relative_offset = entry.map_or(0, |entry| entry.relative_offset);
                Ok(self.segment.base.plus(i64::from(relative_offset)))
            }
            // The active segment may have no file yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.segment.base),
            Err(error) => Err(LogFault::io("search time index", &path)(error)),
        }
    }

    /// Walks the batches from the one that holds `start` on.
    fn walk_from(&self, start: Offset) -> Result<Option<HeaderWalk<'_>>, LogFault> {
        let first = locate(self.fs, self.dir, self.segment, self.log.as_ref(), 0, start)?;
        Ok(first.map(|first| {
            let expected = first.header.base_offset;
            HeaderWalk::new(
                self.log.as_ref(),
                first.position,
                self.segment.bytes,
                expected,
            )
        }))
    }

    fn next(&self, walk: &mut HeaderWalk<'_>) -> Result<Option<PlacedBatch>, LogFault> {
        let path = || SegmentFile::Log.path(self.dir, self.segment.base);
        walk.next_batch().map_err(|fault| fault.of(path()))
    }

    /// The first record from `from` on that is at least as new, looking at batches from `start` on.
    fn first_at_least(
        &self,
        start: Offset,
        timestamp: i64,
        from: Offset,
    ) -> Result<Option<TimestampOffset>, LogFault> {
        let Some(mut walk) = self.walk_from(start)? else {
            return Ok(None);
        };
        while let Some(batch) = self.next(&mut walk)? {
            if batch.header.max_timestamp < timestamp {
                continue;
            }
            let found = self.record_where(&batch, |record| {
                record.timestamp >= timestamp && record.offset >= from
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first record from `from` on with the largest timestamp.
    fn first_largest(&self, from: Offset) -> Result<Option<TimestampOffset>, LogFault> {
        let Some(mut walk) = self.walk_from(from)? else {
            return Ok(None);
        };
        let mut best: Option<TimestampOffset> = None;
        while let Some(batch) = self.next(&mut walk)? {
            let is_better = |timestamp| best.is_none_or(|best| best.timestamp < timestamp);
            if !is_better(batch.header.max_timestamp) {
                continue;
            }
            let mut largest: Option<TimestampOffset> = None;
            self.record_where(&batch, |record| {
                let is_larger = largest.is_none_or(|best| best.timestamp < record.timestamp);
                if record.offset >= from && is_larger {
                    largest = Some(record);
                }
                false
            })?;
            best = largest
                .filter(|record| is_better(record.timestamp))
                .or(best);
        }
        Ok(best)
    }

    /// The first record of a batch for which `holds` is true.
    fn record_where(
        &self,
        batch: &PlacedBatch,
        mut holds: impl FnMut(TimestampOffset) -> bool,
    ) -> Result<Option<TimestampOffset>, LogFault> {
        let header = &batch.header;
        let path = SegmentFile::Log.path(self.dir, self.segment.base);
        let mut bytes = vec![0; header.batch_bytes()];
        let read = self.log.read_at(batch.position, &mut bytes);
        read.map_err(LogFault::io("read", &path))?;
        let undecodable = || LogFault::CorruptBatch {
            path: path.clone(),
            position: batch.position,
            offset: header.base_offset,
            reason: BadBatch::Records,
        };
        let is_append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        for record in records(&Bytes::from(bytes)).map_err(|_| undecodable())? {
            let record = record.map_err(|_| undecodable())?;
            let own = header.base_timestamp.wrapping_add(record.timestamp_delta);
            let timestamp = if is_append_time {
                header.max_timestamp
            } else {
                own
            };
            let offset = header
                .base_offset
                .checked_add(i64::from(record.offset_delta));
            let offset = offset.ok_or_else(undecodable)?;
            let candidate = TimestampOffset { offset, timestamp };
            if holds(candidate) {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }
}
