//! Space set aside ahead of the active segment, without a change of its length: a write into space
//! that is there costs the processor half of one that has to find it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Log;
use crate::file_system::File;

/// A segment smaller than this gets no space ahead: many partitions never grow beyond it.
const SEGMENT_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// The part of what a segment holds that it gets ahead, so that thousands of partitions together set
/// aside a part of what they wrote, and not a size each.
const AHEAD_PART: u64 = 4;

/// Most space ahead, some milliseconds of a producer at full speed.
const AHEAD_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What is set aside for one segment.
#[derive(Debug)]
pub(crate) struct Reserve {
    file: Arc<dyn File>,
    /// Up to where space was asked for.
    end: u64,
    /// The segment is not appended to any more. Shared with the job that is out: what it sets aside
    /// too late it gives back itself.
    is_over: Arc<AtomicBool>,
}

/// Sets space aside; see [`Log::reserve_job`].
#[derive(Debug)]
pub struct ReserveJob {
    file: Arc<dyn File>,
    end: u64,
    is_over: Arc<AtomicBool>,
}

impl ReserveJob {
    /// Sets the space aside. Blocks. After an error, as on a full disk, the log is as it was.
    pub fn run(self) -> io::Result<()> {
        self.file.allocate(self.end)?;
        if self.is_over.load(Ordering::SeqCst) {
            give_back(self.file.as_ref())?;
        }
        Ok(())
    }
}

impl Reserve {
    /// Ends the reservation of a segment that is appended to no more. Blocks.
    pub(crate) fn end(self) {
        self.is_over.store(true, Ordering::SeqCst);
        // What is left behind goes with the segment.
        let _ = give_back(self.file.as_ref());
    }
}

/// Frees what lies beyond the end of a file that nobody writes to.
fn give_back(file: &dyn File) -> io::Result<()> {
    file.set_len(file.len()?)
}

impl Log {
    /// The job that sets space aside for the next appends, when those before have used up half of
    /// it. Appends go on meanwhile, and nobody needs to hear how it ended.
    pub fn reserve_job(&mut self) -> Option<ReserveJob> {
        let bytes = self.active.bytes;
        if bytes < SEGMENT_BYTES_MIN {
            return None;
        }
        let ahead = (bytes / AHEAD_PART).min(AHEAD_BYTES_MAX);
        let reserve = self.active.reserve.as_ref();
        if reserve.is_some_and(|reserve| reserve.end > bytes + ahead / 2) {
            return None;
        }
        let segment_bytes = u64::from(self.config.segment_bytes);
        let end = (bytes + ahead).min(segment_bytes);
        let file = self.files.active.log.clone()?;
        let reserve = self.active.reserve.get_or_insert_with(|| Reserve {
            file: file.clone(),
            end: bytes,
            is_over: Arc::default(),
        });
        if end <= reserve.end {
            return None;
        }
        reserve.end = end;
        Some(ReserveJob {
            file,
            end,
            is_over: reserve.is_over.clone(),
        })
    }
}
