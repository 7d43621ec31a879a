//! The two checkpoint files of one log directory, parsed once for all its partitions: with 3,000 of
//! them, each reading 3,000 lines at its start would take longer than everything else.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kabuki_partition::StoredMarks;
use kabuki_protocol::ids::{Offset, PartitionId};
use kabuki_storage::checkpoint::{self, LOG_STARTS, Offsets, RECOVERY_POINTS};
use kabuki_storage::{DirFault, Disk, FileSystem, LogFault};

/// What both files hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Numbers {
    pub(crate) recovery_points: Offsets,
    pub(crate) log_starts: Offsets,
    /// What is wrong with a file whose content is lost; its numbers are empty.
    pub(crate) malformed: Option<String>,
}

/// The files, and what they hold as long as it is known.
///
/// The parsed copy is what is on the medium and nothing else, so that whoever restarts from it
/// restarts from durable state: a write replaces it only when both files are synced, and a write that
/// fails, or that nobody knows the end of, discards it.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    recovery_path: PathBuf,
    start_path: PathBuf,
    parsed: Arc<Mutex<Option<Arc<Numbers>>>>,
}

impl Checkpoints {
    pub(crate) fn of(disk: &Disk) -> Self {
        Self {
            recovery_path: disk.root().join(RECOVERY_POINTS),
            start_path: disk.root().join(LOG_STARTS),
            parsed: Arc::default(),
        }
    }

    /// What the files hold. Blocks: reads them unless that is known.
    ///
    /// # Errors
    /// Those of reading. Malformed content is not one: as in Kafka it is not the end of all
    /// partitions, their logs are scanned from the start.
    pub(crate) fn read(&self, fs: &dyn FileSystem) -> Result<Arc<Numbers>, DirFault> {
        // Held while reading: the others of the directory wait for the one that reads.
        let mut parsed = self.lock();
        if let Some(numbers) = &*parsed {
            return Ok(numbers.clone());
        }
        let mut numbers = Numbers::default();
        for (path, offsets) in [
            (&self.recovery_path, &mut numbers.recovery_points),
            (&self.start_path, &mut numbers.log_starts),
        ] {
            match checkpoint::read(fs, path) {
                Ok(read) => *offsets = read,
                Err(fault @ DirFault::Malformed { .. }) => {
                    numbers.malformed = Some(fault.to_string());
                }
                Err(fault) => return Err(fault),
            }
        }
        let numbers = Arc::new(numbers);
        *parsed = Some(numbers.clone());
        Ok(numbers)
    }

    /// Replaces both files. Blocks; durable when this returns.
    pub(crate) fn write(&self, fs: &dyn FileSystem, numbers: Numbers) -> Result<(), DirFault> {
        let written = checkpoint::write(fs, &self.recovery_path, &numbers.recovery_points)
            .and_then(|()| checkpoint::write(fs, &self.start_path, &numbers.log_starts));
        *self.lock() = written.is_ok().then(|| Arc::new(numbers));
        written
    }

    /// Forgets what is known, so that the next one reads the files.
    pub(crate) fn discard(&self) {
        *self.lock() = None;
    }

    /// The numbers of one partition, 0 where the files do not name it. Blocks as `read` does.
    pub(crate) fn of_partition(
        &self,
        fs: &dyn FileSystem,
        partition: &PartitionId,
    ) -> Result<StoredMarks, LogFault> {
        let numbers = self.read(fs).map_err(|fault| match fault {
            DirFault::Io {
                operation,
                path,
                source,
            } => LogFault::Io {
                operation,
                path,
                source,
            },
            DirFault::Malformed { path, .. } | DirFault::Locked { path } => LogFault::Malformed {
                path,
                reason: "not a checkpoint",
            },
        })?;
        let of = |offsets: &Offsets| offsets.get(partition).copied().unwrap_or(Offset::ZERO);
        Ok(StoredMarks {
            recovery_point: of(&numbers.recovery_points),
            log_start: of(&numbers.log_starts),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Numbers>>> {
        // What it guards is replaced whole, so a panic beside it leaves nothing half done.
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
