//! A file system in memory that forgets what was not synced, and fails, delays, hangs and fills as told.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::file_system::{DirEntry, File, FileSystem, LockGuard, OpenMode};

/// A simulated file system; clones share one disk.
#[derive(Debug, Clone, Default)]
pub struct SimFs;

/// How a job ended that [`SimFs::perform`] ran.
pub(crate) enum Performed {
    Done {
        delay: Duration,
    },
    #[allow(dead_code)]
    Hung {
        ended: oneshot::Receiver<()>,
    },
}

impl SimFs {
    pub(crate) fn perform(&self, job: Box<dyn FnOnce() + Send>) -> Performed {
        job();
        Performed::Done {
            delay: Duration::ZERO,
        }
    }
}

fn unbuilt<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl FileSystem for SimFs {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        unbuilt()
    }
    fn open(&self, _: &Path, _: OpenMode) -> io::Result<Arc<dyn File>> {
        unbuilt()
    }
    fn list(&self, _: &Path) -> io::Result<Vec<DirEntry>> {
        unbuilt()
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unbuilt()
    }
    fn remove_file(&self, _: &Path) -> io::Result<()> {
        unbuilt()
    }
    fn remove_dir_all(&self, _: &Path) -> io::Result<()> {
        unbuilt()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        unbuilt()
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        unbuilt()
    }
    fn read_whole(&self, _: &Path, _: u64) -> io::Result<Vec<u8>> {
        unbuilt()
    }
    fn exists(&self, _: &Path) -> io::Result<bool> {
        unbuilt()
    }
    fn modified_ms(&self, _: &Path) -> io::Result<i64> {
        unbuilt()
    }
    fn lock(&self, _: &Path) -> io::Result<LockGuard> {
        unbuilt()
    }
}
