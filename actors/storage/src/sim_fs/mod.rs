//! A file system in memory that forgets what was not synced, and fails, delays, hangs and fills as
//! told. It ships with the crate, because simulations of whole clusters are built on it; nothing of
//! it runs in a broker.

mod content;
mod file;
mod jobs;
mod rules;
mod tree;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::io::Errno;

use crate::file_system::{DirEntry, File, FileSystem, LockGuard, OpenMode, Space};

pub(crate) use jobs::Performed;
pub use rules::{FaultRule, Operation, RuleId};

use file::SimFile;
use rules::{Rules, Verdict, error_of};
use tree::{NodeNumber, Tree};

/// A simulated disk. Clones share it, from any thread.
///
/// Paths are UTF-8 and start at one root, whether written absolute or relative.
///
/// ```
/// use kabuki_storage::{FileSystem, OpenMode, SimFs};
/// use std::io::IoSlice;
/// use std::path::Path;
///
/// let fs = SimFs::new();
/// let file = fs.open(Path::new("/a"), OpenMode::CreateNew)?;
/// file.write_at(0, &[IoSlice::new(b"durable")])?;
/// file.sync_data()?;
/// fs.sync_dir(Path::new("/"))?;
/// file.write_at(7, &[IoSlice::new(b" or not")])?;
/// fs.crash(42);
/// assert!(fs.read_whole(Path::new("/a"), 100)?.starts_with(b"durable"));
/// assert!(file.len().is_err(), "a handle does not outlive the machine it was opened on");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SimFs {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    world: Mutex<World>,
    turn_over: Condvar,
}

/// All that the lock guards.
#[derive(Debug, Default)]
pub(super) struct World {
    tree: Tree,
    rules: Rules,
    turns: jobs::Turns,
    locks: BTreeSet<PathBuf>,
    capacity_bytes: Option<u64>,
    now_ms: i64,
    /// Crashes so far; what was opened before the last one is void.
    crash_count: u64,
    step_count: u64,
    steps_left: Option<u64>,
}

impl SimFs {
    /// An empty disk without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a rule into force.
    pub fn inject(&self, rule: FaultRule) -> RuleId {
        self.disk().rules.add(rule)
    }

    /// Takes a rule back. Jobs that hung on it go on, one after another, before this returns.
    pub fn heal(&self, rule: RuleId) {
        self.disk().rules.remove(rule);
        self.resume_hanging();
    }

    /// Takes all rules back and ends a loss of power.
    pub fn heal_all(&self) {
        let mut disk = self.disk();
        disk.rules.clear();
        disk.steps_left = None;
        drop(disk);
        self.resume_hanging();
    }

    /// Bounds what the files may hold together; past it writes fail with ENOSPC, as on a real disk
    /// after a part of the bytes was written.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity_bytes = bytes;
    }

    /// The time that files written from now on carry.
    pub fn set_now_ms(&self, now_ms: i64) {
        self.disk().now_ms = now_ms;
    }

    /// Loses power in the middle: `count` more changing operations and syncs work, then everything
    /// fails with EIO until [`SimFs::crash`].
    pub fn lose_power_after(&self, count: u64) {
        self.disk().steps_left = Some(count);
    }

    /// Changing operations and syncs so far: the places where [`SimFs::lose_power_after`] can cut.
    pub fn step_count(&self) -> u64 {
        self.disk().step_count
    }

    /// The machine crashes and comes up again: of what was not synced, the seed decides what is left;
    /// open handles, locks and jobs under way are void. Rules stay in force.
    pub fn crash(&self, seed: u64) {
        let mut disk = self.disk();
        disk.tree.crash(&mut StdRng::seed_from_u64(seed));
        disk.end_process();
        disk.steps_left = None;
        drop(disk);
        self.resume_hanging();
    }

    /// The process is killed and starts again: the page cache survives, handles and locks do not.
    pub fn kill(&self) {
        self.disk().end_process();
        self.resume_hanging();
    }

    /// The pages of a file that are clean, or marked so by a sync that failed, are dropped from the
    /// page cache: what the device holds is read in their place.
    pub fn drop_pages(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let number = disk.tree.find(path)?;
        disk.tree.file_mut(number)?.drop_pages();
        Ok(())
    }

    /// The block of a file that holds `position` is lost, on the device and in the page cache.
    pub fn lose_block(&self, path: &Path, position: u64) -> io::Result<()> {
        let mut disk = self.disk();
        let number = disk.tree.find(path)?;
        disk.tree.file_mut(number)?.lose_block(position);
        Ok(())
    }

    /// Flips the lowest bit of one byte of a file, as decay does.
    pub fn flip_bit(&self, path: &Path, position: u64) -> io::Result<()> {
        let mut disk = self.disk();
        let number = disk.tree.find(path)?;
        disk.tree.file_mut(number)?.flip_bit(position);
        Ok(())
    }

    fn disk(&self) -> MutexGuard<'_, World> {
        // A panic while it is held is a failed test already.
        self.shared
            .world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, disk: MutexGuard<'a, World>) -> MutexGuard<'a, World> {
        self.shared
            .turn_over
            .wait(disk)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies the rules to one operation and gives the world for it to work on.
    fn admit(&self, operation: Operation, path: &Path) -> io::Result<MutexGuard<'_, World>> {
        let (disk, verdict) = self.admit_with_verdict(operation, path)?;
        match verdict.error {
            Some(class) => Err(error_of(class)),
            None => Ok(disk),
        }
    }

    fn admit_with_verdict(
        &self,
        operation: Operation,
        path: &Path,
    ) -> io::Result<(MutexGuard<'_, World>, Verdict)> {
        let job = jobs::current();
        let is_ghost = |disk: &World| job.is_some_and(|job| job.crash_count != disk.crash_count);

        let mut disk = self.disk();
        let mut verdict = disk.rules.judge(operation, path);
        if verdict.must_hang && !is_ghost(&disk) {
            drop(disk);
            let turn = job.and_then(|job| job.turn);
            let still_hangs = |disk: &mut World| {
                !is_ghost(disk) && disk.rules.may_hang() && {
                    verdict = disk.rules.judge(operation, path);
                    verdict.must_hang
                }
            };
            self.hang(turn, still_hangs);
            disk = self.disk();
        }
        jobs::delay(verdict.delay);
        if is_ghost(&disk) {
            return Err(Errno::IO.into());
        }
        disk.take_step(operation)?;
        Ok((disk, verdict))
    }
}

impl World {
    fn end_process(&mut self) {
        self.crash_count += 1;
        self.locks.clear();
    }

    fn take_step(&mut self, operation: Operation) -> io::Result<()> {
        match &mut self.steps_left {
            Some(0) => return Err(Errno::IO.into()),
            Some(left) if operation.is_step() => *left -= 1,
            _ => {}
        }
        self.step_count += u64::from(operation.is_step());
        Ok(())
    }

    fn free_bytes(&self) -> u64 {
        match self.capacity_bytes {
            Some(capacity) => capacity.saturating_sub(self.tree.charged_bytes()),
            None => u64::MAX,
        }
    }

    /// Removes what is in a directory, then the directory, entry by entry as `rm -r` does.
    fn remove_below(&mut self, dir: NodeNumber, name: String) -> io::Result<()> {
        let number = *self.tree.entries(dir)?.get(&name).ok_or(Errno::NOENT)?;
        if self.tree.is_dir(number) {
            let names: Vec<String> = self.tree.entries(number)?.keys().cloned().collect();
            for child in names {
                self.remove_below(number, child)?;
            }
        }
        self.tree.unlink(dir, name);
        Ok(())
    }
}

impl FileSystem for SimFs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut above = PathBuf::new();
        for part in path.components() {
            above.push(part);
            let mut disk = self.disk();
            match disk.tree.find(&above) {
                Ok(number) if disk.tree.is_dir(number) => continue,
                Ok(_) => return Err(Errno::NOTDIR.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            drop(disk);
            disk = self.admit(Operation::CreateDir, &above)?;
            let (parent, name) = disk.tree.find_parent(&above)?;
            disk.tree.create_dir(parent, name);
        }
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let found = self.disk().tree.find(path);
        let must_create = match (&found, mode) {
            (Ok(_), OpenMode::CreateNew) => return Err(Errno::EXIST.into()),
            (Ok(_), _) => false,
            (Err(error), OpenMode::Create | OpenMode::CreateNew) => {
                error.kind() == io::ErrorKind::NotFound
            }
            (Err(_), _) => false,
        };
        let operation = if must_create {
            Operation::Create
        } else {
            Operation::Open
        };
        let mut disk = self.admit(operation, path)?;
        let number = if must_create {
            let (parent, name) = disk.tree.find_parent(path)?;
            let number = disk.tree.create_file(parent, name);
            let now_ms = disk.now_ms;
            disk.tree.file_mut(number)?.modified_ms = now_ms;
            number
        } else {
            found?
        };
        disk.tree.file(number)?;
        disk.tree.opened(number);
        let crash_count = disk.crash_count;
        drop(disk);
        let is_writable = mode != OpenMode::Read;
        let path = path.to_owned();
        Ok(Arc::new(SimFile {
            fs: self.clone(),
            path,
            number,
            is_writable,
            crash_count,
        }))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let disk = self.admit(Operation::List, path)?;
        let number = disk.tree.find(path)?;
        let entries = disk.tree.entries(number)?.iter();
        let entries = entries.map(|(name, number)| DirEntry {
            name: name.clone(),
            is_dir: disk.tree.is_dir(*number),
            bytes: disk.tree.file(*number).map_or(0, content::Content::length),
        });
        Ok(entries.collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.admit(Operation::Rename, from)?;
        let source = disk.tree.find(from)?;
        if let Ok(target) = disk.tree.find(to) {
            let is_dir = disk.tree.is_dir(target);
            if is_dir != disk.tree.is_dir(source) {
                return Err(if is_dir { Errno::ISDIR } else { Errno::NOTDIR }.into());
            }
            if is_dir && target != source && !disk.tree.entries(target)?.is_empty() {
                return Err(Errno::NOTEMPTY.into());
            }
        }
        let (from, to) = (disk.tree.find_parent(from)?, disk.tree.find_parent(to)?);
        disk.tree.rename(from, to);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.admit(Operation::Remove, path)?;
        let number = disk.tree.find(path)?;
        disk.tree.file(number)?;
        let (parent, name) = disk.tree.find_parent(path)?;
        disk.tree.unlink(parent, name);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.admit(Operation::Remove, path)?;
        let number = disk.tree.find(path)?;
        disk.tree.entries(number)?;
        let (parent, name) = disk.tree.find_parent(path)?;
        disk.remove_below(parent, name)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.admit(Operation::SyncDir, path)?;
        let number = disk.tree.find(path)?;
        disk.tree.entries(number)?;
        disk.tree.sync_dir(number);
        Ok(())
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let disk = self.admit(Operation::List, path)?;
        disk.tree.find(path)?;
        Ok(Space {
            total_bytes: disk.capacity_bytes.unwrap_or(u64::MAX),
            usable_bytes: disk.free_bytes(),
        })
    }

    fn read_whole(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let disk = self.admit(Operation::Read, path)?;
        let number = disk.tree.find(path)?;
        let file = disk.tree.file(number)?;
        if file.length() > bytes_max {
            let message = format!("{} is longer than {bytes_max} bytes", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut bytes = vec![0; usize::try_from(file.length()).map_err(|_| Errno::FBIG)?];
        file.read(0, &mut bytes);
        Ok(bytes)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let disk = self.admit(Operation::List, path)?;
        match disk.tree.find(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let disk = self.admit(Operation::List, path)?;
        let number = disk.tree.find(path)?;
        Ok(disk.tree.file(number)?.modified_ms)
    }

    fn lock(&self, path: &Path) -> io::Result<LockGuard> {
        self.open(path, OpenMode::Create)?;
        let mut disk = self.admit(Operation::Lock, path)?;
        if !disk.locks.insert(path.to_owned()) {
            return Err(Errno::AGAIN.into());
        }
        let crash_count = disk.crash_count;
        drop(disk);
        Ok(LockGuard::new(SimLock {
            fs: self.clone(),
            path: path.to_owned(),
            crash_count,
        }))
    }
}

/// A lock that is held.
struct SimLock {
    fs: SimFs,
    path: PathBuf,
    crash_count: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.fs.disk();
        // After a crash the lock may be held by the next process.
        if disk.crash_count == self.crash_count {
            disk.locks.remove(&self.path);
        }
    }
}
