//! What the log needs of a file system, synchronous and object safe, so that one code path runs on
//! real disks and on simulated ones. No threads, deadlines or formats here.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

/// Directories, entries and free space. Every call may block for as long as the device does.
///
/// Errors are those of the operating system with their raw number, so that
/// [`classify`](crate::fault::classify) can tell a full disk from a broken one.
pub trait FileSystem: Send + Sync + fmt::Debug + 'static {
    /// Creates `path` and what is missing above it. Existing directories are no error.
    ///
    /// The new entries are durable only after [`FileSystem::sync_dir`] of each parent.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// The entries of a directory, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Moves a file or directory; an existing file at `to` is replaced in one step.
    ///
    /// Durable only after [`FileSystem::sync_dir`] of the parent.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes one file. Open handles go on working.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all below it. A failure may leave a part of it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the entries of the directory durable: files created, renamed and removed in it.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// How large the file system is that holds `path`, and what is left of it.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Content of a whole file, which may hold at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] where the file is longer.
    fn read_whole(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>>;

    /// True if there is a file or directory at `path`. Unlike a test by opening, a directory that
    /// may not be read is an error and not "missing".
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// When the file was last written, in milliseconds since 1970.
    fn modified_ms(&self, path: &Path) -> io::Result<i64>;

    /// Takes the advisory lock of the file at `path`, creating the file, until the guard is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process or another guard holds it.
    fn lock(&self, path: &Path) -> io::Result<LockGuard>;
}

/// An open file. Positions are absolute, so that a handle can be shared between threads.
pub trait File: Send + Sync + fmt::Debug + 'static {
    /// Writes all the slices one after another from `position` on, into the page cache.
    ///
    /// On an error any prefix may have been written, and the caller knows nothing about the rest.
    fn write_at(&self, position: u64, slices: &[IoSlice<'_>]) -> io::Result<()>;

    /// Reads from `position` until `into` is full or the file ends; returns the bytes read.
    fn read_at(&self, position: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Reads what is in the page cache, without waiting for the device; may return less than
    /// [`File::read_at`] would. 0 means the file ends at or before `position`.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if the first byte is not cached.
    fn read_cached(&self, position: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Makes content and length durable (fdatasync). After an error the handle is not to be used again.
    fn sync_data(&self) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// True if the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Reserves space up to `length` without changing the length of the file. Where the file system
    /// cannot, nothing happens; where it is full, the error says so.
    fn allocate(&self, length: u64) -> io::Result<()>;
}

/// Room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that this process may still write.
    pub usable_bytes: u64,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    ReadWrite,
    /// For reading and writing; created empty where it is missing, kept as it is where not.
    Create,
    /// For reading and writing; created, and an error (`AlreadyExists`) where it exists.
    CreateNew,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Last part of the path. Names that are not UTF-8 come with replacement characters: nothing
    /// of ours is named so, and scans report them as foreign.
    pub name: String,
    /// True for a directory.
    pub is_dir: bool,
    /// Length in bytes; 0 for a directory.
    pub bytes: u64,
}

/// Holds an advisory lock until dropped.
pub struct LockGuard(#[allow(dead_code)] Box<dyn Send + Sync>);

impl LockGuard {
    /// Wraps what releases the lock when it is dropped.
    pub fn new(releases_on_drop: impl Send + Sync + 'static) -> Self {
        Self(Box::new(releases_on_drop))
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockGuard")
    }
}
