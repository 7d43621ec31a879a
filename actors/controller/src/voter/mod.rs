//! The seam where the metadata quorum goes: propose a batch, learn that it is committed, apply it.
//!
//! The one voter there is now is local: a batch is committed once its bytes are synced. A quorum takes
//! its place by giving the same three things: [`LocalVoter::recover`] (image and position at the
//! start), [`LocalVoter::propose`] (a future that ends with the commit or its refusal) and
//! [`LocalVoter::compact`] (a snapshot of a committed image). The caller proposes one batch at a time,
//! collects what comes meanwhile into the next one, and applies nothing before the commit.

mod files;
mod frame;
mod recovery;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kabuki_storage::{Disk, DiskFault, DiskFuture, FaultClass, FileSystem};
use thiserror::Error;

pub(crate) use recovery::{RecoveredLog, RecoveryFault};

use crate::image::MetadataImage;
use crate::records::MetadataRecord;
use files::LogFiles;

/// Directory below the metadata directory; Kafka's name for it, with contents of our own.
pub(crate) const LOG_DIR: &str = "__cluster_metadata-0";

/// Why a batch was not committed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CommitFault {
    /// Certainly not there, now and after any restart; trying again later may work.
    #[error("{cause}")]
    NotDone { class: FaultClass, cause: String },
    /// It may be there or not. Nothing may be built on this log until it was read again.
    #[error("{0}")]
    Uncertain(String),
}

/// What a snapshot came to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CompactFault {
    /// The log goes on as it was; tried again later.
    #[error("{0}")]
    NotDone(String),
}

/// The local log, shared with the jobs that work on it. One batch is out at a time.
#[derive(Debug, Clone)]
pub(crate) struct LocalVoter {
    disk: Disk,
    files: Arc<Mutex<LogFiles>>,
}

impl LocalVoter {
    /// Reads the log below the root of `disk` into an image, and makes sure that all of it is durable.
    pub(crate) fn recover(
        disk: &Disk,
        cluster_id: &str,
        may_format: bool,
    ) -> DiskFuture<Result<(Self, RecoveredLog), RecoveryFault>> {
        let dir = disk.root().join(LOG_DIR);
        let empty = MetadataImage::empty(cluster_id);
        let kept = disk.clone();
        // Long: the log of a large cluster takes longer to read than a healthy disk takes for a write.
        disk.run_long("metadata.recover", move |fs| {
            let (files, recovered) = recovery::recover(fs, dir, empty, may_format)?;
            let files = Arc::new(Mutex::new(files));
            Ok((Self { disk: kept, files }, recovered))
        })
    }

    /// Makes one batch durable, behind all that was committed before. `hold` is dropped when the files
    /// are touched no more.
    pub(crate) fn propose(
        &self,
        base_offset: i64,
        records: &[MetadataRecord],
        hold: impl Send + 'static,
    ) -> DiskFuture<Result<(), CommitFault>> {
        let frame = frame::encode(frame::Kind::Batch, base_offset, records);
        let next_offset = base_offset + records.len() as i64;
        let files = self.files.clone();
        self.disk.run("metadata.commit", move |fs| {
            let _hold = hold;
            files
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .append(fs, &frame, next_offset)
        })
    }

    /// Bytes of the log that a restart would read beyond the last snapshot.
    pub(crate) fn bytes_since_snapshot(&self) -> u64 {
        self.files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .bytes_since_snapshot
    }

    /// Writes a snapshot of a committed image and drops the files it makes needless. The log goes on in
    /// a new file meanwhile, so that commits wait for the creation of that file only.
    pub(crate) fn compact(
        &self,
        image: MetadataImage,
        hold: impl Send + 'static,
    ) -> DiskFuture<Result<(), CompactFault>> {
        let files = self.files.clone();
        self.disk.run_long("metadata.snapshot", move |fs| {
            let _hold = hold;
            compact(fs, &files, &image).map_err(|error| CompactFault::NotDone(error.to_string()))
        })
    }
}

fn compact(
    fs: &dyn FileSystem,
    files: &Mutex<LogFiles>,
    image: &MetadataImage,
) -> std::io::Result<()> {
    let lock = || files.lock().unwrap_or_else(PoisonError::into_inner);
    let (dir, base): (PathBuf, i64) = {
        let mut files = lock();
        files.begin_next(fs)?;
        (files.dir.clone(), files.base)
    };
    // The image may be older than the new file's base: then the file before is kept as well.
    let snapshot = files::write_snapshot(fs, &dir, image)?;
    files::drop_needless(fs, &dir, snapshot)?;
    let mut files = lock();
    if files.base == base {
        files.bytes_since_snapshot = files.end_bytes;
    }
    Ok(())
}

/// Turns the end of a job into the fault of its batch.
pub(crate) fn flatten(
    ended: Result<Result<(), CommitFault>, DiskFault>,
) -> Result<(), CommitFault> {
    match ended {
        Ok(result) => result,
        Err(fault @ DiskFault::QueueFull { .. }) => Err(CommitFault::NotDone {
            class: FaultClass::Other,
            cause: fault.to_string(),
        }),
        Err(fault) => Err(CommitFault::Uncertain(fault.to_string())),
    }
}
