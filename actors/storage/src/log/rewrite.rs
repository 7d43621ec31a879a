//! Writing a tail a second time, after a sync has failed: the kernel has marked its pages as written,
//! so that a further sync would report success for bytes that never reached the medium.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use kabuki_protocol::ids::Offset;

use super::Log;
use super::fault::LogFault;
use super::lookup::locate;
use super::segment::{SealedSegment, SegmentFile};
use crate::file_system::{File, FileSystem, OpenMode};

/// Bytes read and written at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What is to be written again before a flush may claim it.
#[derive(Debug)]
pub(super) struct Rewrite {
    from: Offset,
    segments: Vec<SealedSegment>,
}

impl Rewrite {
    /// Writes the bytes in their places, as the page cache holds them and the recovery has checked
    /// them, and syncs them through handles that have heard of no error. Blocks.
    pub(super) fn run(&self, fs: &dyn FileSystem, dir: &Path) -> Result<(), LogFault> {
        for segment in &self.segments {
            let kinds = [
                SegmentFile::Log,
                SegmentFile::OffsetIndex,
                SegmentFile::TimeIndex,
            ];
            for kind in kinds {
                let path = kind.path(dir, segment.base);
                let file = match fs.open(&path, OpenMode::ReadWrite) {
                    Ok(file) => file,
                    // An index that was never written, or a segment that was trimmed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(LogFault::io("rewrite", &path)(error)),
                };
                let start = match kind {
                    SegmentFile::Log if segment.base < self.from => {
                        let first = locate(fs, dir, *segment, file.as_ref(), 0, self.from)?;
                        first.map_or(segment.bytes, |batch| batch.position)
                    }
                    _ => 0,
                };
                // What lies behind the last batch is set aside and holds nothing.
                let end = match kind {
                    SegmentFile::Log => segment.bytes,
                    _ => u64::MAX,
                };
                copy_in_place(&file, start, end).map_err(LogFault::io("rewrite", &path))?;
            }
        }
        Ok(())
    }
}

fn copy_in_place(file: &Arc<dyn File>, start: u64, end: u64) -> io::Result<()> {
    let mut position = start;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let left = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
        let wanted = CHUNK_BYTES.min(left);
        let count = file.read_at(position, &mut chunk[..wanted])?;
        if count == 0 {
            break;
        }
        file.write_at(position, &[IoSlice::new(&chunk[..count])])?;
        position += count as u64;
    }
    file.sync_data()
}

impl Log {
    /// A sync of what lies past the recovery point has failed in this process: every flush writes it
    /// again first, until one has succeeded.
    pub fn doubt_tail(&mut self) {
        self.is_tail_doubtful = self.recovery_point < self.log_end;
    }

    /// True while what lies past the recovery point may be in the page cache only, and marked clean.
    pub fn is_tail_doubtful(&self) -> bool {
        self.is_tail_doubtful
    }

    pub(super) fn rewrite(&self) -> Option<Rewrite> {
        self.is_tail_doubtful.then(|| Rewrite {
            from: self.recovery_point,
            segments: (self.segment_of(self.recovery_point)..=self.sealed.len())
                .map(|index| self.segment_at(index))
                .collect(),
        })
    }
}
