//! The disk of one log directory: where blocking work runs, how long it may take, and whether the
//! directory is slow. What the work does to files is not known here.

mod future;
mod health;
mod pool;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

pub use future::DiskFuture;
pub use health::DiskHealth;

use crate::fault::DiskFault;
use crate::file_system::FileSystem;
use crate::real_fs::RealFs;
use crate::sim_fs::{Performed, SimFs};
use health::Board;
use pool::Pool;

/// How the pool of one log directory is built.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// Prefix of the thread names, at most 10 bytes are seen in `top`; the threads are `<name>-0` ...
    pub name: String,
    /// Threads of the pool, at least 1. Two, so that a flush does not wait behind a scan.
    pub threads: usize,
    /// How long one job may run before the directory counts as slow.
    pub deadline: Duration,
    /// Jobs that may wait. The default is four for each of 4,000 partitions, more than a directory
    /// holds; past it the submitter is refused instead of the process growing.
    pub queued_jobs_max: usize,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            name: "disk".to_owned(),
            threads: 2,
            deadline: Duration::from_secs(5),
            queued_jobs_max: 16_384,
        }
    }
}

/// The disk of one log directory. Clones share the pool, which ends with the last clone after the
/// jobs that were accepted.
#[derive(Clone)]
pub struct Disk {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    board: Arc<Board>,
    refused: Arc<AtomicUsize>,
    engine: Engine,
}

/// Counts one of those whom a disk refuses to write, for as long as it is held.
#[derive(Debug)]
pub struct RefusedMark {
    count: Arc<AtomicUsize>,
}

impl Drop for RefusedMark {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Engine {
    Real { fs: Arc<RealFs>, pool: Pool },
    Simulated { fs: SimFs },
}

/// Whether a job is measured against the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Short,
    Long,
}

impl Disk {
    /// The disk of the directory `root` of this machine, with threads of its own.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn real(root: impl Into<PathBuf>, options: DiskOptions) -> io::Result<Self> {
        let board = Arc::new(Board::new(options.deadline));
        let fs = Arc::new(RealFs);
        let pool = Pool::start(fs.clone(), board.clone(), &options)?;
        Ok(Self::with_engine(
            root.into(),
            board,
            Engine::Real { fs, pool },
        ))
    }

    /// A simulated disk with the default deadline: jobs run inline, in the order they were submitted,
    /// and their results are delayed in virtual time where a rule of `fs` says so.
    pub fn simulated(root: impl Into<PathBuf>, fs: SimFs) -> Self {
        Self::simulated_with_deadline(root, fs, DiskOptions::default().deadline)
    }

    /// As [`Disk::simulated`], slow after `deadline`.
    pub fn simulated_with_deadline(
        root: impl Into<PathBuf>,
        fs: SimFs,
        deadline: Duration,
    ) -> Self {
        let board = Arc::new(Board::new(deadline));
        Self::with_engine(root.into(), board, Engine::Simulated { fs })
    }

    fn with_engine(root: PathBuf, board: Arc<Board>, engine: Engine) -> Self {
        Self {
            inner: Arc::new(Inner {
                root,
                board,
                refused: Arc::default(),
                engine,
            }),
        }
    }

    /// The log directory.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The file system, for work on the page cache that goes directly on the caller's thread.
    pub fn fs(&self) -> &dyn FileSystem {
        match &self.inner.engine {
            Engine::Real { fs, .. } => fs.as_ref(),
            Engine::Simulated { fs } => fs,
        }
    }

    /// Runs `work` in the pool of the directory, after what was submitted before it has been taken.
    ///
    /// The future ends when the work has ended, however long that takes: a job past its deadline makes
    /// the directory slow, but its outcome is still unknown. Dropping the future does not stop the work.
    /// What `work` captured is dropped before the result is seen, so a guard moved into it tells when
    /// the disk is no longer touched. `job` is what events call it.
    pub fn run<T, F>(&self, job: &'static str, work: F) -> DiskFuture<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn FileSystem) -> T + Send + 'static,
    {
        self.submit(job, Length::Short, work)
    }

    /// As [`Disk::run`] for work whose length depends on the data (recovery, scans, deletes of whole
    /// directories): it has no deadline and leaves one thread of the pool to the others.
    pub fn run_long<T, F>(&self, job: &'static str, work: F) -> DiskFuture<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn FileSystem) -> T + Send + 'static,
    {
        self.submit(job, Length::Long, work)
    }

    /// True while the directory is slow: every write goes through the pool then.
    pub fn is_slow(&self) -> bool {
        self.inner.board.is_slow()
    }

    /// Marks the caller as one whom this disk refuses to write.
    pub fn mark_refused(&self) -> RefusedMark {
        self.inner.refused.fetch_add(1, Ordering::Relaxed);
        RefusedMark {
            count: self.inner.refused.clone(),
        }
    }

    /// How many it refuses now: those who try again share the disk's time.
    pub fn refused_count(&self) -> usize {
        self.inner.refused.load(Ordering::Relaxed)
    }

    /// Since when the directory is slow.
    pub fn slow_since(&self) -> Option<Instant> {
        self.inner.board.slow_since()
    }

    /// Tells changes of health. The receiver starts with the present state seen.
    pub fn health(&self) -> watch::Receiver<DiskHealth> {
        self.inner.board.subscribe()
    }

    /// Time since the oldest job that has not ended was submitted.
    pub fn oldest_job_age(&self) -> Option<Duration> {
        self.inner.board.oldest_job_age()
    }

    /// Jobs submitted and not ended.
    pub fn job_count(&self) -> usize {
        self.inner.board.job_count()
    }

    fn submit<T, F>(&self, job: &'static str, length: Length, work: F) -> DiskFuture<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn FileSystem) -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let guarded = move |fs: &dyn FileSystem| {
            let outcome = catch_unwind(AssertUnwindSafe(move || work(fs)));
            let result = outcome.map_err(|panic| DiskFault::Panicked {
                job,
                cause: panic_text(panic.as_ref()).to_owned(),
            });
            // Nobody waits any more if the submitter crashed: the result is for nobody then.
            let _ = sender.send(result);
        };
        match &self.inner.engine {
            Engine::Real { pool, .. } => match pool.submit(length, Box::new(guarded)) {
                Ok(()) => DiskFuture::waiting(job, receiver),
                Err(queued) => DiskFuture::ready(Err(DiskFault::QueueFull { job, queued })),
            },
            Engine::Simulated { fs } => self.simulate(fs, job, length, guarded, receiver),
        }
    }

    fn simulate<T: Send + 'static>(
        &self,
        fs: &SimFs,
        job: &'static str,
        length: Length,
        work: impl FnOnce(&dyn FileSystem) + Send + 'static,
        mut receiver: oneshot::Receiver<Result<T, DiskFault>>,
    ) -> DiskFuture<T> {
        let board = &self.inner.board;
        let ticket = board.submitted();
        let on_disk = fs.clone();
        let performed = fs.perform(Box::new(move || work(&on_disk)));
        let has_clock = tokio::runtime::Handle::try_current().is_ok();
        match performed {
            Performed::Done { delay } if delay.is_zero() || !has_clock => {
                board.finished(ticket, Duration::ZERO, length);
                let result = receiver
                    .try_recv()
                    .unwrap_or(Err(DiskFault::Closed { job }));
                DiskFuture::ready(result)
            }
            Performed::Done { delay } => {
                let result = receiver
                    .try_recv()
                    .unwrap_or(Err(DiskFault::Closed { job }));
                watch_in_virtual_time(board.clone(), ticket, length, tokio::time::sleep(delay));
                DiskFuture::delayed(result, delay)
            }
            Performed::Hung { ended } => {
                if has_clock {
                    let ended = async move {
                        // An error means the thread is gone, which ends the job as well.
                        let _ = ended.await;
                    };
                    watch_in_virtual_time(board.clone(), ticket, length, ended);
                }
                DiskFuture::waiting(job, receiver)
            }
        }
    }
}

/// Follows one simulated job that did not end at once, as the watch thread does for real ones.
fn watch_in_virtual_time(
    board: Arc<Board>,
    ticket: u64,
    length: Length,
    ended: impl Future<Output = ()> + Send + 'static,
) {
    tokio::spawn(async move {
        let started = Instant::now();
        let mut ended = std::pin::pin!(ended);
        if length == Length::Short {
            tokio::select! {
                biased;
                () = &mut ended => {
                    board.finished(ticket, started.elapsed(), length);
                    return;
                }
                () = tokio::time::sleep(board.deadline()) => board.passed_deadline(ticket),
            }
        }
        ended.await;
        board.finished(ticket, started.elapsed(), length);
    });
}

/// The message of a panic, which is a string in all but exotic cases.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("root", &self.inner.root)
            .field("is_slow", &self.is_slow())
            .field("job_count", &self.job_count())
            .finish_non_exhaustive()
    }
}
