//! The threads of one log directory, their bounded queue, and the watch that sees a job pass its
//! deadline while its thread is stuck in the kernel.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::health::Board;
use super::{DiskOptions, Length};
use crate::file_system::FileSystem;

/// Work that keeps its own result.
pub(super) type Job = Box<dyn FnOnce(&dyn FileSystem) + Send>;

/// The pool; dropping it ends the threads after the jobs that wait.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    fs: Arc<dyn FileSystem>,
    board: Arc<Board>,
    queued_max: usize,
    long_max: usize,
    state: Mutex<State>,
    work_came: Condvar,
    job_started: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    /// One slot per thread.
    running: Vec<Option<Running>>,
    long_running: usize,
    is_watch_idle: bool,
    is_closed: bool,
}

struct Queued {
    ticket: u64,
    length: Length,
    job: Job,
}

struct Running {
    ticket: u64,
    started: Instant,
    /// False for long jobs, and for those that were reported.
    is_watched: bool,
}

impl Pool {
    pub(super) fn start(
        fs: Arc<dyn FileSystem>,
        board: Arc<Board>,
        options: &DiskOptions,
    ) -> io::Result<Self> {
        let threads = options.threads.max(1);
        let state = State {
            running: (0..threads).map(|_| None).collect(),
            ..State::default()
        };
        let shared = Arc::new(Shared {
            fs,
            board,
            queued_max: options.queued_jobs_max,
            long_max: (threads - 1).max(1),
            state: Mutex::new(state),
            work_came: Condvar::new(),
            job_started: Condvar::new(),
        });
        // Made before the threads: if one cannot be started, its drop ends those that were.
        let pool = Self {
            shared: shared.clone(),
        };
        for slot in 0..threads {
            let shared = shared.clone();
            let name = format!("{}-{slot}", options.name);
            thread::Builder::new()
                .name(name)
                .spawn(move || shared.serve(slot))?;
        }
        let name = format!("{}-watch", options.name);
        thread::Builder::new()
            .name(name)
            .spawn(move || shared.watch())?;
        Ok(pool)
    }

    /// Queues a job, or gives the number of those that wait if there is no room.
    pub(super) fn submit(&self, length: Length, job: Job) -> Result<(), usize> {
        let mut state = self.shared.lock();
        if state.queue.len() >= self.shared.queued_max {
            return Err(state.queue.len());
        }
        let ticket = self.shared.board.submitted();
        state.queue.push_back(Queued {
            ticket,
            length,
            job,
        });
        drop(state);
        self.shared.work_came.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.work_came.notify_all();
        self.shared.job_started.notify_all();
    }
}

impl Shared {
    /// Life of one pool thread.
    fn serve(&self, slot: usize) {
        while let Some(Queued {
            ticket,
            length,
            job,
        }) = self.take(slot)
        {
            let started = Instant::now();
            // The job catches its own panic; this catches the one of dropping a result nobody took.
            let _ = catch_unwind(AssertUnwindSafe(|| job(self.fs.as_ref())));
            let took = started.elapsed();

            let mut state = self.lock();
            state.running[slot] = None;
            if length == Length::Long {
                state.long_running -= 1;
            }
            let is_more = !state.queue.is_empty();
            drop(state);
            self.board.finished(ticket, took, length);
            // A long job that had to wait for this one may be what is left.
            if length == Length::Long && is_more {
                self.work_came.notify_one();
            }
        }
    }

    /// The next job that may start, `None` when the pool is closed and the queue empty.
    fn take(&self, slot: usize) -> Option<Queued> {
        let mut state = self.lock();
        loop {
            let long_allowed = state.long_running < self.long_max;
            let next = state
                .queue
                .iter()
                .position(|it| long_allowed || it.length == Length::Short);
            if let Some(queued) = next.and_then(|at| state.queue.remove(at)) {
                let is_watched = queued.length == Length::Short;
                state.long_running += usize::from(!is_watched);
                let started = Instant::now();
                state.running[slot] = Some(Running {
                    ticket: queued.ticket,
                    started,
                    is_watched,
                });
                // Woken only when it sleeps without a limit: under load it looks by itself.
                if is_watched && state.is_watch_idle {
                    state.is_watch_idle = false;
                    self.job_started.notify_one();
                }
                return Some(queued);
            }
            if state.is_closed && state.queue.is_empty() {
                return None;
            }
            state = self
                .work_came
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Life of the watch thread: sleeps until the earliest deadline of what runs.
    fn watch(&self) {
        let deadline = self.board.deadline();
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let mut sleep_max = None;
            for running in state
                .running
                .iter_mut()
                .flatten()
                .filter(|it| it.is_watched)
            {
                let age = now.saturating_duration_since(running.started);
                if let Some(left) = deadline.checked_sub(age).filter(|left| !left.is_zero()) {
                    sleep_max = Some(sleep_max.map_or(left, |shortest| left.min(shortest)));
                } else {
                    running.is_watched = false;
                    self.board.passed_deadline(running.ticket);
                }
            }
            let is_over = state.queue.is_empty() && state.running.iter().all(Option::is_none);
            if state.is_closed && is_over {
                return;
            }
            state = match sleep_max {
                Some(sleep) => {
                    let woken = self.job_started.wait_timeout(state, sleep);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None if state.is_closed => {
                    // Nothing left to watch but jobs without a deadline or already reported.
                    return;
                }
                None => {
                    state.is_watch_idle = true;
                    self.job_started
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run outside of the lock, so no panic of theirs can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("queued", &self.lock().queue.len())
            .finish_non_exhaustive()
    }
}
