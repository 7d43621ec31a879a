//! Writing a tail a second time, after a sync has failed: the kernel has marked its pages as written,
//! so that a further sync would report success for bytes that never reached the medium. It may have
//! dropped them as well, and shows what the medium holds in their place: so all is checked again.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use kabuki_protocol::ids::Offset;

use super::Log;
use super::fault::LogFault;
use super::segment::{SealedSegment, SegmentFile};
use crate::file_system::{File, FileSystem, OpenMode};
use crate::index::IndexTail;
use crate::recovery::indexes::{Cut, IndexLengths, Settled, settle, write_tail};
use crate::recovery::scan::LogReader;

/// Bytes written at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What a medium writes whole. A block that holds synced bytes and unsynced ones is written again.
const BLOCK_BYTES: u64 = 4096;

/// What is to be written again before a flush may claim it.
#[derive(Debug)]
pub(super) struct Rewrite {
    recovery_point: Offset,
    /// Records before it were synced and are not written: a write that fails may damage them.
    synced_end: Offset,
    index_interval_bytes: u32,
    /// The segments from the recovery point on, the active one last.
    segments: Vec<SealedSegment>,
}

impl Rewrite {
    /// Reads all from the recovery point on and checks it; writes what was not synced in its place,
    /// from the bytes that were checked; makes the indexes agree with it; and syncs all through
    /// handles that have heard of no error. Blocks.
    ///
    /// # Errors
    /// [`LogFault::CorruptBatch`] where the bytes are lost: the log must be recovered anew.
    pub(super) fn run(&self, fs: &dyn FileSystem, dir: &Path) -> Result<(), LogFault> {
        let entries = fs.list(dir).map_err(LogFault::io("rewrite", dir))?;
        let lengths: HashMap<String, u64> = entries
            .into_iter()
            .map(|entry| (entry.name, entry.bytes))
            .collect();
        for (index, segment) in self.segments.iter().enumerate() {
            let path = SegmentFile::Log.path(dir, segment.base);
            let file = match fs.open(&path, OpenMode::ReadWrite) {
                Ok(file) => file,
                // Trimmed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(LogFault::io("rewrite", &path)(error)),
            };
            let length_of = |kind: SegmentFile| lengths.get(&kind.name(segment.base)).copied();
            let lengths = IndexLengths {
                offsets: length_of(SegmentFile::OffsetIndex),
                times: length_of(SegmentFile::TimeIndex),
            };
            let settled = settle(
                fs,
                dir,
                *segment,
                lengths,
                file.as_ref(),
                self.index_interval_bytes,
                self.recovery_point,
            )?;
            let mut tail = self.copy_checked(file.as_ref(), &path, *segment, settled)?;
            if index + 1 < self.segments.len() {
                tail.finish();
            }
            write_tail(fs, dir, segment.base, lengths, &mut tail, Cut::ToBeSynced)?;
            for kind in [SegmentFile::OffsetIndex, SegmentFile::TimeIndex] {
                copy_whole(fs, &kind.path(dir, segment.base))?;
            }
        }
        // The recovery may have removed segments, and could not sync that.
        fs.sync_dir(dir).map_err(LogFault::io("rewrite", dir))
    }

    /// Writes the unsynced batches of a segment again. Returns what its indexes are to hold.
    fn copy_checked(
        &self,
        file: &dyn File,
        path: &Path,
        segment: SealedSegment,
        settled: Settled,
    ) -> Result<IndexTail, LogFault> {
        let Settled {
            mut tail,
            mut position,
            mut expected,
        } = settled;
        let mut reader = LogReader::new(file, path, segment.bytes);
        let mut copy = Copy {
            file,
            position,
            bytes: Vec::new(),
            has_unsynced: false,
        };
        while position < segment.bytes {
            let (header, bytes) = match reader.checked_batch(position, expected)? {
                Ok(batch) => batch,
                Err(reason) => {
                    return Err(LogFault::CorruptBatch {
                        path: path.to_path_buf(),
                        position,
                        offset: expected,
                        reason,
                    });
                }
            };
            tail.note(position, header.last_offset(), header.max_timestamp);
            copy.take(bytes, header.next_offset() > self.synced_end)
                .map_err(LogFault::io("rewrite", path))?;
            position += bytes.len() as u64;
            expected = header.next_offset();
        }
        copy.finish(segment.bytes)
            .map_err(LogFault::io("rewrite", path))?;
        Ok(tail)
    }
}

/// Bytes that were checked, on their way back into their file.
struct Copy<'a> {
    file: &'a dyn File,
    /// Where `bytes` begin.
    position: u64,
    bytes: Vec<u8>,
    has_unsynced: bool,
}

impl Copy<'_> {
    /// Takes the next batch. Of those that are synced only what shares a block with the next is kept.
    fn take(&mut self, batch: &[u8], is_unsynced: bool) -> io::Result<()> {
        self.bytes.extend_from_slice(batch);
        self.has_unsynced |= is_unsynced;
        if self.has_unsynced {
            return if self.bytes.len() >= CHUNK_BYTES {
                self.write()
            } else {
                Ok(())
            };
        }
        let end = self.position + self.bytes.len() as u64;
        let block = (end - end % BLOCK_BYTES).max(self.position);
        let passed = usize::try_from(block - self.position).expect("no more than is held");
        self.bytes.drain(..passed);
        self.position = block;
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.file
            .write_at(self.position, &[IoSlice::new(&self.bytes)])?;
        self.position += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }

    fn finish(mut self, length: u64) -> io::Result<()> {
        if self.has_unsynced && !self.bytes.is_empty() {
            self.write()?;
        }
        // The length may be unsynced too, and marked as written.
        self.file.set_len(length)?;
        self.file.sync_data()
    }
}

/// Writes what an index holds in its place, and syncs it.
fn copy_whole(fs: &dyn FileSystem, path: &Path) -> Result<(), LogFault> {
    let copy = |file: Arc<dyn File>| {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut position = 0;
        loop {
            let count = file.read_at(position, &mut chunk)?;
            if count == 0 {
                return file.sync_data();
            }
            file.write_at(position, &[IoSlice::new(&chunk[..count])])?;
            position += count as u64;
        }
    };
    match fs.open(path, OpenMode::ReadWrite).and_then(copy) {
        // An index that was never written.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(LogFault::io("rewrite", path)),
    }
}

impl Log {
    /// True while what lies past the recovery point may be in the page cache only, and marked clean,
    /// or be gone: every flush checks and writes it again first, until one has succeeded.
    pub fn is_tail_doubtful(&self) -> bool {
        self.doubtful_from.is_some()
    }

    pub(super) fn rewrite(&self) -> Option<Rewrite> {
        let synced_end = self.doubtful_from?;
        Some(Rewrite {
            recovery_point: self.recovery_point,
            synced_end,
            index_interval_bytes: self.config.index_interval_bytes,
            segments: (self.segment_of(self.recovery_point)..=self.sealed.len())
                .map(|index| self.segment_at(index))
                .collect(),
        })
    }
}
