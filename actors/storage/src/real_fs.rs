//! The file system of the machine, by std and rustix. Every call blocks its thread; who may call it
//! where is the business of [`Disk`](crate::disk::Disk).

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::{Errno, ReadWriteFlags};

use crate::file_system::{DirEntry, File, FileSystem, LockGuard, OpenMode, Space};

/// Slices of one `pwritev` call; the kernel refuses more than 1,024 (`IOV_MAX`).
const SLICES_MAX: usize = 1024;

/// Access to new files: logs hold other people's data, so others than owner and group get none.
const FILE_MODE: u32 = 0o640;

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

impl FileSystem for RealFs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile {
            file: open(path, mode)?,
        }))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // Follows links, as an operator may have moved a partition to another device. An entry
            // that vanished since is left out: somebody deleted it while we looked. Looked up in the
            // open directory where it is none, which saves the walk down the path.
            let metadata = match entry.metadata() {
                Ok(metadata) if metadata.is_symlink() => fs::metadata(entry.path()),
                found => found,
            };
            let metadata = match metadata {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: metadata.is_dir(),
                bytes: if metadata.is_dir() { 0 } else { metadata.len() },
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        Ok(Space {
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            // f_bavail leaves out the blocks reserved for root, which this process may not use.
            usable_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }

    fn read_whole(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        // One byte more than allowed tells "exactly full" from "too long" even if the file grows.
        fs::File::open(path)?
            .take(bytes_max.saturating_add(1))
            .read_to_end(&mut content)?;
        if content.len() as u64 > bytes_max {
            let message = format!("{} is longer than {bytes_max} bytes", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(content)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let modified = fs::metadata(path)?.modified()?;
        Ok(match modified.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<LockGuard> {
        let file = open(path, OpenMode::Create)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // Closing the file gives the lock back, also when the process is killed.
        Ok(LockGuard::new(file))
    }
}

fn open(path: &Path, mode: OpenMode) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options
        .read(true)
        .write(mode != OpenMode::Read)
        .mode(FILE_MODE);
    match mode {
        OpenMode::Read | OpenMode::ReadWrite => {}
        OpenMode::Create => {
            options.create(true);
        }
        OpenMode::CreateNew => {
            options.create_new(true);
        }
    }
    options.open(path)
}

/// An open file of the machine.
#[derive(Debug)]
struct RealFile {
    file: fs::File,
}

impl File for RealFile {
    fn write_at(&self, mut position: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let mut slices = slices.to_vec();
        let mut rest = slices.as_mut_slice();
        // Takes empty slices off the front, so that "nothing left" is seen at once.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let count = rest.len().min(SLICES_MAX);
            match rustix::io::pwritev(&self.file, &rest[..count], position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, position: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self
                .file
                .read_at(&mut into[filled..], position + filled as u64)
            {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn read_cached(&self, position: u64, into: &mut [u8]) -> io::Result<usize> {
        let slices = &mut [IoSliceMut::new(into)];
        match rustix::io::preadv2(&self.file, slices, position, ReadWriteFlags::NOWAIT) {
            Ok(count) => Ok(count),
            // File systems without the flag (tmpfs before 5.x, some network ones) answer EOPNOTSUPP:
            // the caller goes through the pool, which is always right and only slower.
            Err(Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS | Errno::INVAL) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, length) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
