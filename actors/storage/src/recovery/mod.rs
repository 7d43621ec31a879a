//! Opens a log: settles what lies before the recovery point without reading it, scans what lies behind,
//! cuts a torn tail, and brings indexes, epochs and producers into agreement with the batches.

mod directory;
pub(crate) mod indexes;
mod leftovers;
pub(crate) mod scan;
mod state;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, Offset};

use crate::epochs::EpochCache;
use crate::file_system::{DirEntry, File, FileSystem, OpenMode};
use crate::index::{IndexTail, relative};
use crate::log::{
    ActiveSegment, BadBatch, HeaderWalk, Log, LogFault, LogParts, OpenLog, PageCache, Recovered,
    RecoveryReport, SealedSegment, SegmentFile, create_segment_files, remove_segment,
};
use directory::{Found, check_metadata, find_segments, list};
use indexes::{Cut, check_sealed, settle, write_tail};
use scan::{BadPlace, LogReader};
use state::{load_epochs, load_producers, store_epochs};

/// A segment that was read past the recovery point.
struct Scanned {
    segment: SealedSegment,
    tail: IndexTail,
    /// Offset behind its last batch.
    end: Offset,
    /// The file, unless it is empty.
    log: Option<Arc<dyn File>>,
}

struct Recovery<'a> {
    fs: &'a dyn FileSystem,
    open: &'a OpenLog,
    report: RecoveryReport,
    epochs: EpochCache,
    /// Where the scan began, in the first segment that was scanned.
    scan_start: Option<Offset>,
}

/// The epoch file as it was found.
#[derive(Debug, Clone, Copy)]
struct EpochFile {
    is_usable: bool,
    /// Start of its newest epoch.
    latest_start: Option<Offset>,
}

/// Opens the log in the directory that `open` names.
pub(crate) fn recover(fs: &dyn FileSystem, open: OpenLog) -> Result<Recovered, LogFault> {
    let entries = list(fs, &open)?;
    let leftovers = leftovers::clear(fs, &open.dir, &entries)?;
    let entries = if leftovers > 0 {
        list(fs, &open)?
    } else {
        entries
    };
    let mut found = find_segments(fs, &open, &entries)?;
    check_metadata(fs, &open, &found)?;
    let report = RecoveryReport {
        leftovers,
        ..RecoveryReport::default()
    };
    let mut recovery = Recovery {
        fs,
        open: &open,
        report,
        epochs: EpochCache::default(),
        scan_start: None,
    };
    recovery.drop_trimmed(&mut found)?;

    let after = found.partition_point(|found| found.segment.base <= open.recovery_point);
    let first_scanned = after.saturating_sub(1);
    let settled = &found[..first_scanned];
    let segments: Vec<_> = found.iter().map(|found| found.segment).collect();
    let (epochs, is_usable) = load_epochs(fs, &open.dir, &segments, open.recovery_point)?;
    let epoch_file = EpochFile {
        is_usable,
        latest_start: epochs.latest().map(|latest| latest.start),
    };
    recovery.epochs = epochs;

    let mut scanned = recovery.scan(&found[first_scanned..])?;
    // Segments before the recovery point were synced, but an unclean end is reason to look.
    let is_thorough = recovery.report.scanned_bytes > 0 || recovery.report.cut_at.is_some();
    for found in settled {
        let interval_bytes = open.config.index_interval_bytes;
        let dir = &open.dir;
        let rebuilt = check_sealed(
            fs,
            dir,
            found.segment,
            interval_bytes,
            found.lengths,
            is_thorough,
        )?;
        recovery.report.rebuilt_indexes += usize::from(rebuilt);
    }
    let mut sealed: VecDeque<_> = settled.iter().map(|found| found.segment).collect();
    let last = scanned.pop().expect("at least one segment is scanned");
    sealed.extend(scanned.iter().map(|scanned| scanned.segment));
    let is_unchanged = recovery.report.leftovers == leftovers && recovery.report.cut_at.is_none();
    let entries = match is_unchanged {
        true => entries,
        false => list(fs, &open)?,
    };
    recovery.finish(sealed, last, epoch_file, &entries)
}

impl Recovery<'_> {
    /// Removes segments that a trim was to remove.
    fn drop_trimmed(&mut self, found: &mut Vec<Found>) -> Result<(), LogFault> {
        while found.len() > 1 && found[1].segment.base <= self.open.log_start {
            let removed = remove_segment(self.fs, &self.open.dir, found[0].segment.base);
            self.report.leftovers += usize::from(LogFault::unless_refused(removed)?);
            found.remove(0);
        }
        Ok(())
    }

    /// Scans segments from the recovery point on, up to the end or to where the log is cut.
    fn scan(&mut self, found: &[Found]) -> Result<Vec<Scanned>, LogFault> {
        let mut scanned: Vec<Scanned> = Vec::new();
        for (index, next) in found.iter().enumerate() {
            let later = &found[index + 1..];
            if let Some(last) = scanned.last() {
                let end = last.end;
                let base = next.segment.base;
                if base < end && next.segment.bytes == 0 {
                    // A roll that failed half-way left it.
                    remove_segment(self.fs, &self.open.dir, base)?;
                    self.report.leftovers += 1;
                    continue;
                }
                // Compaction leaves gaps, but only in what is synced.
                let is_gap = base > end && end >= self.open.recovery_point;
                if base < end || is_gap {
                    if base < end || self.open.page_cache == PageCache::Kept {
                        return Err(self.gap(base, end));
                    }
                    self.remove_segments(&found[index..], end)?;
                    break;
                }
            }
            let (mut segment, bad) = self.scan_segment(*next)?;
            if let Some(bad) = bad {
                self.cut(next.segment, bad, segment.end, later)?;
                segment.segment.bytes = bad.position;
            }
            let is_last = later.is_empty() || bad.is_some();
            if !is_last {
                segment.tail.finish();
            }
            let SealedSegment { base, .. } = segment.segment;
            let dir = &self.open.dir;
            let cut = match self.open.page_cache {
                PageCache::Doubtful { .. } => Cut::ToBeSynced,
                PageCache::Kept | PageCache::MayBeLost => Cut::Synced,
            };
            let tail = &mut segment.tail;
            let changed = write_tail(self.fs, dir, base, next.lengths, tail, cut)?;
            self.report.rebuilt_indexes += usize::from(changed);
            scanned.push(segment);
            if bad.is_some() {
                break;
            }
        }
        Ok(scanned)
    }

    fn gap(&self, found: Offset, expected: Offset) -> LogFault {
        let path = SegmentFile::Log.path(&self.open.dir, found);
        let reason = BadBatch::Gap { found, expected };
        LogFault::CorruptBatch {
            path,
            position: 0,
            offset: expected,
            reason,
        }
    }

    /// Reads one segment from the recovery point on.
    fn scan_segment(&mut self, found: Found) -> Result<(Scanned, Option<BadPlace>), LogFault> {
        let Found { segment, lengths } = found;
        let SealedSegment { base, bytes } = segment;
        let OpenLog {
            dir,
            recovery_point,
            config,
            ..
        } = self.open;
        let interval_bytes = config.index_interval_bytes;
        if bytes == 0 {
            // Most partitions of a node with thousands: no file of theirs is opened.
            self.scan_from(base);
            let tail = IndexTail::new(base, interval_bytes);
            let scanned = Scanned {
                segment,
                tail,
                end: base,
                log: None,
            };
            return Ok((scanned, None));
        }
        let path = SegmentFile::Log.path(dir, base);
        let log = self
            .fs
            .open(&path, OpenMode::Read)
            .map_err(LogFault::io("recover", &path))?;
        let settled = settle(
            self.fs,
            dir,
            segment,
            lengths,
            log.as_ref(),
            interval_bytes,
            *recovery_point,
        )?;
        self.scan_from(settled.expected);
        let (mut tail, mut end) = (settled.tail, settled.expected);
        let mut scanned_to = settled.position;
        let epochs = &mut self.epochs;
        let mut reader = LogReader::new(log.as_ref(), &path, bytes);
        let bad = reader.scan(settled.position, settled.expected, |batch| {
            let header = &batch.header;
            let (first, last) = (header.base_offset, header.last_offset());
            if relative(base, last).is_none() {
                return Err(BadBatch::Offsets {
                    base: first,
                    last,
                    expected: base,
                });
            }
            tail.note(batch.position, last, header.max_timestamp);
            note_epoch(epochs, header.partition_leader_epoch, first);
            end = last.next();
            scanned_to = batch.end();
            Ok(())
        })?;
        self.report.scanned_bytes += scanned_to - settled.position;
        let scanned = Scanned {
            segment,
            tail,
            end,
            log: Some(log),
        };
        Ok((scanned, bad))
    }

    /// Takes note of where the scan of a segment begins.
    fn scan_from(&mut self, start: Offset) {
        if self.scan_start.is_none() {
            self.scan_start = Some(start);
            // The file may be older or newer than what follows; the batches tell their epochs.
            self.epochs.truncate_from_end(start);
        }
    }

    /// Cuts the log at a bad place if that may be done: nothing valid follows, or what follows was
    /// never synced and pages before it were lost with the machine.
    fn cut(
        &mut self,
        segment: SealedSegment,
        bad: BadPlace,
        end: Offset,
        later: &[Found],
    ) -> Result<(), LogFault> {
        let SealedSegment { base, bytes } = segment;
        let path = SegmentFile::Log.path(&self.open.dir, base);
        let log = self.fs.open(&path, OpenMode::ReadWrite);
        let log = log.map_err(LogFault::io("recover", &path))?;
        let after = LogReader::new(log.as_ref(), &path, bytes).aftermath(bad, base)?;
        let is_file_cut = matches!(
            bad.reason,
            BadBatch::ShortHeader { .. } | BadBatch::Length { .. }
        );
        let has_valid = after.has_valid_batch || self.any_valid(later)?;
        let is_lost_page =
            after.has_hole || (is_file_cut && !after.has_valid_batch && !later.is_empty());
        let may_be_lost = match self.open.page_cache {
            PageCache::Kept => false,
            PageCache::MayBeLost => is_lost_page,
            PageCache::Doubtful { synced_end } => is_lost_page || end >= synced_end,
        };
        let may_cut = may_be_lost && end >= self.open.recovery_point;
        if has_valid && !may_cut {
            let BadPlace { position, reason } = bad;
            return Err(LogFault::CorruptBatch {
                path,
                position,
                offset: end,
                reason,
            });
        }
        // Later segments go first: cut the other way round, a crash would leave a hole.
        self.remove_segments(later, end)?;
        let cut = log.set_len(bad.position);
        cut.and_then(|()| self.unless_doubtful(log.sync_data()))
            .map_err(LogFault::io("cut torn tail", &path))?;
        self.report.cut_bytes += bytes - bad.position;
        self.report.scanned_bytes += bytes - bad.position;
        Ok(())
    }

    /// A medium that has failed a sync may go on to: the flush that writes the tail again syncs what
    /// was cut as well, and until then the log is open for readers.
    fn unless_doubtful(&self, synced: io::Result<()>) -> io::Result<()> {
        match self.open.page_cache {
            PageCache::Doubtful { .. } => Ok(()),
            PageCache::Kept | PageCache::MayBeLost => synced,
        }
    }

    fn any_valid(&self, later: &[Found]) -> Result<bool, LogFault> {
        for Found { segment, .. } in later {
            let path = SegmentFile::Log.path(&self.open.dir, segment.base);
            let log = self.fs.open(&path, OpenMode::Read);
            let log = log.map_err(LogFault::io("recover", &path))?;
            let mut is_valid = false;
            let mut reader = LogReader::new(log.as_ref(), &path, segment.bytes);
            reader.scan(0, segment.base, |_| {
                is_valid = true;
                // One is enough: the refusal only ends the scan.
                Err(BadBatch::Records)
            })?;
            if is_valid {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes segments behind the place where the log ends now.
    fn remove_segments(&mut self, later: &[Found], end: Offset) -> Result<(), LogFault> {
        for found in later.iter().rev() {
            remove_segment(self.fs, &self.open.dir, found.segment.base)?;
            self.report.cut_bytes += found.segment.bytes;
            self.report.scanned_bytes += found.segment.bytes;
        }
        if !later.is_empty() {
            let dir = &self.open.dir;
            self.unless_doubtful(self.fs.sync_dir(dir))
                .map_err(LogFault::io("cut torn tail", dir))?;
        }
        self.report.cut_at = Some(end);
        Ok(())
    }

    /// Puts the log together once its batches are known.
    fn finish(
        mut self,
        mut sealed: VecDeque<SealedSegment>,
        last: Scanned,
        epoch_file: EpochFile,
        entries: &[DirEntry],
    ) -> Result<Recovered, LogFault> {
        let OpenLog {
            dir,
            recovery_point,
            config,
            now_ms,
            ..
        } = self.open;
        let mut log_end = last.end;
        let first = sealed
            .front()
            .map_or(last.segment.base, |segment| segment.base);
        let log_start = self.open.log_start.max(first);
        if *recovery_point > log_end {
            self.report.ends_before_recovery_point = Some(log_end);
        }
        let mut relisted = None;
        let mut active = ActiveSegment {
            bytes: last.segment.bytes,
            index: last.tail,
            first_timestamp: self.first_timestamp(last.segment, last.log.as_deref())?,
            ..ActiveSegment::new(last.segment.base, config.index_interval_bytes, *now_ms)
        };
        if log_start > log_end {
            // All that was left had been deleted by its users; the offsets go on behind it.
            for segment in sealed.drain(..).chain([active.sealed()]) {
                remove_segment(self.fs, dir, segment.base)?;
            }
            create_segment_files(self.fs, dir, log_start)?;
            self.fs
                .sync_dir(dir)
                .map_err(LogFault::io("open log", dir))?;
            relisted = Some(list(self.fs, self.open)?);
            active = ActiveSegment::new(log_start, config.index_interval_bytes, *now_ms);
            log_end = log_start;
        }
        self.epochs.truncate_from_end(log_end);
        self.epochs.truncate_from_start(log_start);
        // What was scanned is told by its batches until a recovery point passes it: the owner stores
        // its epochs before that. Only a file that is of no use, or speaks of a part of the log that
        // is gone, is replaced at once.
        let is_ahead = epoch_file.latest_start.is_some_and(|start| start > log_end);
        let is_replaced = (!epoch_file.is_usable || is_ahead)
            && LogFault::unless_refused(store_epochs(self.fs, dir, &self.epochs))?;
        let stored_epoch = match self.scan_start {
            _ if is_replaced => self.epochs.latest().map(|latest| latest.epoch),
            Some(start) if epoch_file.is_usable => self.epochs.epoch_for(start.plus(-1)),
            _ => None,
        };
        let segments: Vec<_> = sealed.iter().copied().chain([active.sealed()]).collect();
        let entries = relisted.as_deref().unwrap_or(entries);
        let replayed = load_producers(self.fs, self.open, entries, &segments, log_end)?;
        self.report.replayed_batches = replayed.batches;
        let parts = LogParts {
            open: self.open.clone(),
            log_start,
            log_end,
            recovery_point: (*recovery_point).min(log_end),
            sealed,
            active,
            unflushed_bytes: self.report.scanned_bytes - self.report.cut_bytes,
            snapshot: replayed.snapshot,
        };
        let Recovery { report, epochs, .. } = self;
        let log = Log::from_parts(parts);
        Ok(Recovered {
            log,
            epochs,
            stored_epoch: stored_epoch.unwrap_or(LeaderEpoch::NONE),
            producers: replayed.producers,
            report,
        })
    }

    /// Largest timestamp of the first batch of a segment.
    fn first_timestamp(
        &self,
        segment: SealedSegment,
        log: Option<&dyn File>,
    ) -> Result<Option<i64>, LogFault> {
        let SealedSegment { base, bytes } = segment;
        let Some(log) = log else {
            return Ok(None);
        };
        let path = || SegmentFile::Log.path(&self.open.dir, base);
        let first = HeaderWalk::new(log, 0, bytes, base).next_batch();
        let first = first.map_err(|fault| fault.of(path()))?;
        Ok(first.map(|batch| batch.header.max_timestamp))
    }
}

/// Takes note of the epoch of a batch: the first batch of an epoch begins it.
pub(crate) fn note_epoch(epochs: &mut EpochCache, epoch: LeaderEpoch, start: Offset) {
    let is_newer = epochs.latest().is_none_or(|latest| latest.epoch < epoch);
    if !epoch.is_none() && !start.is_none() && is_newer {
        epochs.assign(epoch, start);
    }
}
