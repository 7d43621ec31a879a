//! The `.lock` of a log directory, which keeps two processes from writing the same logs.

use std::io;
use std::path::Path;

use crate::dir_fault::DirFault;
use crate::file_system::{FileSystem, LockGuard};

/// Name of the file; Kafka locks the same one, so a Kafka broker is kept out as well.
pub const FILE_NAME: &str = ".lock";

/// A log directory that is held; given back when dropped, also by the death of the process.
#[derive(Debug)]
pub struct DirLock {
    _guard: LockGuard,
}

impl DirLock {
    /// Takes the log directory `dir`.
    ///
    /// # Errors
    /// [`DirFault::Locked`] if another process, or another part of this one, holds it.
    pub fn take(fs: &dyn FileSystem, dir: &Path) -> Result<Self, DirFault> {
        let path = dir.join(FILE_NAME);
        match fs.lock(&path) {
            Ok(guard) => Ok(Self { _guard: guard }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(DirFault::Locked { path })
            }
            Err(error) => Err(DirFault::io("lock", &path)(error)),
        }
    }
}
