//! Open files of the simulated disk: reads, writes and syncs under the rules, and void after a crash.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::MutexGuard;

use rustix::io::Errno;

use super::rules::{Operation, Verdict, error_of};
use super::tree::NodeNumber;
use super::{SimFs, World};
use crate::file_system::File;

/// An open file of the simulated disk. Rules see the path by which it was opened.
#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) fs: SimFs,
    pub(super) path: PathBuf,
    pub(super) number: NodeNumber,
    pub(super) is_writable: bool,
    pub(super) crash_count: u64,
}

impl SimFile {
    fn admit(&self, operation: Operation) -> io::Result<(MutexGuard<'_, World>, Verdict)> {
        let (disk, verdict) = self.fs.admit_with_verdict(operation, &self.path)?;
        if disk.crash_count != self.crash_count {
            return Err(Errno::IO.into());
        }
        Ok((disk, verdict))
    }

    fn admit_change(&self, operation: Operation) -> io::Result<MutexGuard<'_, World>> {
        if !self.is_writable {
            return Err(Errno::BADF.into());
        }
        let (mut disk, verdict) = self.admit(operation)?;
        if let Some(class) = verdict.error {
            return Err(error_of(class));
        }
        let now_ms = disk.now_ms;
        disk.tree.file_mut(self.number)?.modified_ms = now_ms;
        Ok(disk)
    }
}

impl File for SimFile {
    fn write_at(&self, position: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let mut disk = self.admit_change(Operation::Write)?;
        let mut bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let file = disk.tree.file(self.number)?;
        let end = position
            .checked_add(bytes.len() as u64)
            .ok_or(Errno::FBIG)?;
        let growth = file.charged_after_write(end) - file.charged_bytes();
        let is_full = growth > disk.free_bytes() && !disk.tree.is_unlinked(self.number);
        if is_full {
            let missing = growth - disk.free_bytes();
            let kept = bytes
                .len()
                .saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
            bytes.truncate(kept);
        }
        if !bytes.is_empty() {
            disk.tree.file_mut(self.number)?.write(position, bytes);
        }
        if is_full {
            Err(Errno::NOSPC.into())
        } else {
            Ok(())
        }
    }

    fn read_at(&self, position: u64, into: &mut [u8]) -> io::Result<usize> {
        let (disk, verdict) = self.admit(Operation::Read)?;
        if let Some(class) = verdict.error {
            return Err(error_of(class));
        }
        Ok(disk.tree.file(self.number)?.read(position, into))
    }

    fn read_cached(&self, position: u64, into: &mut [u8]) -> io::Result<usize> {
        let (disk, verdict) = self.admit(Operation::Read)?;
        if verdict.is_not_cached {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(class) = verdict.error {
            return Err(error_of(class));
        }
        Ok(disk.tree.file(self.number)?.read(position, into))
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut disk, verdict) = self.admit(Operation::SyncData)?;
        let file = disk.tree.file_mut(self.number)?;
        match verdict.error {
            None => file.sync(),
            Some(class) => {
                if class.ends_handle() {
                    file.fail_sync();
                }
                return Err(error_of(class));
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let disk = self.fs.disk();
        if disk.crash_count != self.crash_count {
            return Err(Errno::IO.into());
        }
        Ok(disk.tree.file(self.number)?.length())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.admit_change(Operation::SetLen)?
            .tree
            .file_mut(self.number)?
            .set_length(length);
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut disk = self.admit_change(Operation::Allocate)?;
        let file = disk.tree.file(self.number)?;
        let growth = file.charged_after_write(length) - file.charged_bytes();
        if growth > disk.free_bytes() {
            return Err(Errno::NOSPC.into());
        }
        disk.tree.file_mut(self.number)?.reserve(length);
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut disk = self.fs.disk();
        if disk.crash_count == self.crash_count {
            disk.tree.closed(self.number);
        }
    }
}
