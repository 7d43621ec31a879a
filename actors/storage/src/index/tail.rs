//! The growing end of a segment's indexes, as pure state: it is told of each batch in order, live and
//! in recovery alike, and says which entries the files get.

use kabuki_protocol::ids::Offset;

use super::{OFFSET_ENTRY_BYTES, OffsetEntry, TIME_ENTRY_BYTES, TimeEntry, relative};

/// Entries that wait in memory before they are written together: at 4 KiB an entry, two small writes
/// for each 128 KiB of log.
const PENDING_MAX: usize = 32;

/// Index state of a segment that is appended to.
#[derive(Debug, Clone)]
pub(crate) struct IndexTail {
    base: Offset,
    interval_bytes: u64,
    /// Position of the batch with the newest offset entry, 0 before the first entry.
    last_entry_position: u64,
    /// Largest timestamp so far and the last offset of the first batch that holds it.
    max_timestamp: Option<TimeEntry>,
    /// Newest entry of the time index.
    last_time_entry: Option<TimeEntry>,
    offsets_written: u64,
    times_written: u64,
    pending_offsets: Vec<OffsetEntry>,
    pending_times: Vec<TimeEntry>,
}

/// What is to be written to an index file, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PendingEntries {
    pub(crate) offsets_position: u64,
    pub(crate) offsets: Vec<u8>,
    pub(crate) times_position: u64,
    pub(crate) times: Vec<u8>,
}

impl IndexTail {
    /// The indexes of an empty segment.
    pub(crate) fn new(base: Offset, interval_bytes: u32) -> Self {
        Self::resume(base, interval_bytes, (0, 0), None, None)
    }

    /// Goes on behind entries that are in the files: their counts and the newest of each.
    pub(crate) fn resume(
        base: Offset,
        interval_bytes: u32,
        (offsets_written, times_written): (u64, u64),
        last_offset_entry: Option<OffsetEntry>,
        last_time_entry: Option<TimeEntry>,
    ) -> Self {
        Self {
            base,
            interval_bytes: u64::from(interval_bytes),
            last_entry_position: last_offset_entry.map_or(0, |entry| u64::from(entry.position)),
            max_timestamp: last_time_entry,
            last_time_entry,
            offsets_written,
            times_written,
            pending_offsets: Vec::new(),
            pending_times: Vec::new(),
        }
    }

    /// Takes note of a batch at `position`.
    ///
    /// Source: Kafka makes an entry when more than the interval was appended since the last one, for
    /// the batch that comes next, and one of the time index with it.
    pub(crate) fn note(&mut self, position: u64, last_offset: Offset, max_timestamp: i64) {
        let Some(relative_offset) = relative(self.base, last_offset) else {
            return;
        };
        self.note_timestamp(relative_offset, max_timestamp);
        if position.saturating_sub(self.last_entry_position) <= self.interval_bytes {
            return;
        }
        // A position is a signed 32-bit number to Kafka; a longer file is foreign and is searched
        // from its last entry on.
        if let Ok(position) = i32::try_from(position) {
            let position = position.unsigned_abs();
            self.pending_offsets.push(OffsetEntry {
                relative_offset,
                position,
            });
            self.last_entry_position = u64::from(position);
            self.note_time_entry();
        }
    }

    /// Takes note of a batch that has its entries already.
    pub(crate) fn note_indexed(&mut self, last_offset: Offset, max_timestamp: i64) {
        if let Some(relative_offset) = relative(self.base, last_offset) {
            self.note_timestamp(relative_offset, max_timestamp);
        }
    }

    fn note_timestamp(&mut self, relative_offset: u32, timestamp: i64) {
        let largest = self.max_timestamp.map_or(-1, |entry| entry.timestamp);
        if timestamp > largest {
            self.max_timestamp = Some(TimeEntry {
                timestamp,
                relative_offset,
            });
        }
    }

    fn note_time_entry(&mut self) {
        let Some(entry) = self.max_timestamp else {
            return;
        };
        if self
            .last_time_entry
            .is_none_or(|last| last.timestamp < entry.timestamp)
        {
            self.pending_times.push(entry);
            self.last_time_entry = Some(entry);
        }
    }

    /// Adds the entry that the time index gets when the segment is rolled or closed.
    pub(crate) fn finish(&mut self) {
        self.note_time_entry();
    }

    /// True if so many entries wait that they are worth a write.
    pub(crate) fn has_many_pending(&self) -> bool {
        self.pending_offsets.len() >= PENDING_MAX
    }

    /// True if any entry waits.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending_offsets.is_empty() || !self.pending_times.is_empty()
    }

    /// The entries that wait, as bytes and positions; they go on waiting until `written`.
    pub(crate) fn pending(&self) -> PendingEntries {
        PendingEntries {
            offsets_position: self.offsets_written * OFFSET_ENTRY_BYTES,
            offsets: self
                .pending_offsets
                .iter()
                .flat_map(|entry| entry.encode())
                .collect(),
            times_position: self.times_written * TIME_ENTRY_BYTES,
            times: self
                .pending_times
                .iter()
                .flat_map(|entry| entry.encode())
                .collect(),
        }
    }

    /// Takes note that all that waited is in the files.
    pub(crate) fn written(&mut self) {
        self.offsets_written += self.pending_offsets.len() as u64;
        self.times_written += self.pending_times.len() as u64;
        self.pending_offsets.clear();
        self.pending_times.clear();
    }

    /// Position of the newest waiting entry at or below `offset`, for a reader whose search of the
    /// file cannot see it.
    pub(crate) fn pending_floor(&self, offset: Offset) -> u64 {
        let Some(target) = relative(self.base, offset) else {
            return 0;
        };
        let above = self
            .pending_offsets
            .partition_point(|entry| entry.relative_offset <= target);
        let floor = above
            .checked_sub(1)
            .map(|at| self.pending_offsets[at].position);
        floor.map_or(0, u64::from)
    }

    /// Entries of the offset index, written and waiting.
    pub(crate) fn offset_entry_count(&self) -> u64 {
        self.offsets_written + self.pending_offsets.len() as u64
    }

    /// Entries of the time index, written and waiting.
    pub(crate) fn time_entry_count(&self) -> u64 {
        self.times_written + self.pending_times.len() as u64
    }

    /// Largest timestamp so far and the last offset of the first batch that holds it.
    pub(crate) fn max_timestamp(&self) -> Option<TimeEntry> {
        self.max_timestamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail_of(batches: &[(u64, i64, i64)]) -> IndexTail {
        let mut tail = IndexTail::new(Offset(100), 4096);
        for (position, last_offset, timestamp) in batches {
            tail.note(*position, Offset(*last_offset), *timestamp);
        }
        tail
    }

    #[test]
    fn an_entry_comes_when_more_than_the_interval_was_appended() {
        let tail = tail_of(&[(0, 100, 5), (4096, 101, 6), (4097, 102, 7), (8000, 103, 8)]);
        assert_eq!(
            tail.pending_offsets,
            [OffsetEntry {
                relative_offset: 2,
                position: 4097
            }]
        );
        assert_eq!(
            tail.pending_times,
            [TimeEntry {
                timestamp: 7,
                relative_offset: 2
            }]
        );
    }

    #[test]
    fn the_time_index_rises_and_names_the_batch_that_brought_the_maximum() {
        let mut tail = tail_of(&[(0, 100, 50), (5000, 101, 40), (10_000, 102, 50)]);
        assert_eq!(
            tail.pending_times,
            [TimeEntry {
                timestamp: 50,
                relative_offset: 0
            }]
        );
        tail.note(10_100, Offset(103), 60);
        tail.finish();
        tail.finish();
        assert_eq!(
            tail.time_entry_count(),
            2,
            "the entry at the end comes once"
        );
        assert_eq!(
            tail.pending_times[1],
            TimeEntry {
                timestamp: 60,
                relative_offset: 3
            }
        );
    }

    #[test]
    fn batches_without_timestamp_leave_the_time_index_empty() {
        let mut tail = tail_of(&[(0, 100, -1), (5000, 101, -1)]);
        tail.finish();
        assert_eq!(tail.time_entry_count(), 0);
        assert_eq!(tail.offset_entry_count(), 1);
    }

    #[test]
    fn waiting_entries_keep_their_place_until_written() {
        let mut tail = tail_of(&[(0, 100, 1), (5000, 101, 2), (10_000, 102, 3)]);
        let first = tail.pending();
        assert_eq!(first, tail.pending());
        assert_eq!((first.offsets_position, first.offsets.len()), (0, 16));
        tail.written();
        tail.note(15_000, Offset(103), 4);
        let next = tail.pending();
        assert_eq!((next.offsets_position, next.times_position), (16, 24));
        assert_eq!(tail.pending_floor(Offset(103)), 15_000);
        assert_eq!(tail.pending_floor(Offset(102)), 0);
    }
}
