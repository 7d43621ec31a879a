//! Whether a log directory keeps its deadlines: jobs in flight, how long, and the state that is told
//! to others. Measures; who acts on it is the keeper of the directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Length;

/// Jobs in a row that must be quick before a slow directory counts as healed. One could be luck
/// between two stalls; each change sends all partitions of the directory another way.
const QUICK_JOBS_TO_HEAL: u32 = 3;

/// A job is quick if it takes at most this part of the deadline (0.5 s of 5 s).
const QUICK_DIVISOR: u32 = 10;

/// Health of a log directory as [`Disk::health`](super::Disk::health) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskHealth {
    /// Jobs keep their deadline.
    Good,
    /// A job is or was past its deadline, and too few quick ones have ended since.
    Slow,
}

/// Shared by submitters, pool threads and the watch.
#[derive(Debug)]
pub(super) struct Board {
    deadline: Duration,
    is_slow: AtomicBool,
    sender: watch::Sender<DiskHealth>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next_ticket: u64,
    submitted: BTreeMap<u64, Instant>,
    overdue: BTreeSet<u64>,
    quick_in_row: u32,
    slow_since: Option<Instant>,
}

impl Board {
    pub(super) fn new(deadline: Duration) -> Self {
        let (sender, _) = watch::channel(DiskHealth::Good);
        let is_slow = AtomicBool::new(false);
        Self {
            deadline,
            is_slow,
            sender,
            inner: Mutex::default(),
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn is_slow(&self) -> bool {
        self.is_slow.load(Ordering::Relaxed)
    }

    pub(super) fn slow_since(&self) -> Option<Instant> {
        self.lock().slow_since
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<DiskHealth> {
        self.sender.subscribe()
    }

    pub(super) fn oldest_job_age(&self) -> Option<Duration> {
        self.lock()
            .submitted
            .first_key_value()
            .map(|(_, at)| at.elapsed())
    }

    pub(super) fn job_count(&self) -> usize {
        self.lock().submitted.len()
    }

    /// A job is accepted; the ticket goes with it.
    pub(super) fn submitted(&self) -> u64 {
        let mut inner = self.lock();
        let ticket = inner.next_ticket;
        inner.next_ticket += 1;
        inner.submitted.insert(ticket, Instant::now());
        ticket
    }

    /// A job has run for longer than the deadline and goes on.
    pub(super) fn passed_deadline(&self, ticket: u64) {
        let mut inner = self.lock();
        // It may have ended between the watch's look and this call.
        if !inner.submitted.contains_key(&ticket) {
            return;
        }
        inner.overdue.insert(ticket);
        self.set_slow(&mut inner);
    }

    /// A job ended after running for `took`, waiting in the queue not counted.
    pub(super) fn finished(&self, ticket: u64, took: Duration, length: Length) {
        let mut inner = self.lock();
        inner.submitted.remove(&ticket);
        inner.overdue.remove(&ticket);
        if length == Length::Long {
            return;
        }
        if took > self.deadline {
            self.set_slow(&mut inner);
            return;
        }
        if took > self.deadline / QUICK_DIVISOR {
            inner.quick_in_row = 0;
            return;
        }
        inner.quick_in_row = inner.quick_in_row.saturating_add(1);
        let is_cured = inner.overdue.is_empty() && inner.quick_in_row >= QUICK_JOBS_TO_HEAL;
        if inner.slow_since.is_some() && is_cured {
            inner.slow_since = None;
            self.is_slow.store(false, Ordering::Relaxed);
            self.sender.send_replace(DiskHealth::Good);
        }
    }

    fn set_slow(&self, inner: &mut Inner) {
        inner.quick_in_row = 0;
        if inner.slow_since.is_none() {
            inner.slow_since = Some(Instant::now());
            self.is_slow.store(true, Ordering::Relaxed);
            self.sender.send_replace(DiskHealth::Slow);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn finish(board: &Board, took: Duration) {
        let ticket = board.submitted();
        board.finished(ticket, took, Length::Short);
    }

    #[test]
    fn a_directory_heals_only_after_quick_jobs_in_a_row() {
        let board = Board::new(DEADLINE);
        let stuck = board.submitted();
        board.passed_deadline(stuck);
        assert!(board.is_slow());
        assert_eq!(*board.subscribe().borrow(), DiskHealth::Slow);

        // Quick ones do not heal while the stuck one is still out.
        for _ in 0..QUICK_JOBS_TO_HEAL {
            finish(&board, Duration::ZERO);
        }
        assert!(board.is_slow());
        board.finished(stuck, DEADLINE * 2, Length::Short);

        finish(&board, Duration::ZERO);
        finish(&board, DEADLINE / 2);
        finish(&board, Duration::ZERO);
        finish(&board, Duration::ZERO);
        assert!(
            board.is_slow(),
            "the row was broken by a job of half the deadline"
        );
        finish(&board, Duration::ZERO);
        assert!(!board.is_slow());
        assert_eq!(board.slow_since(), None);
        assert_eq!(*board.subscribe().borrow(), DiskHealth::Good);
    }

    #[test]
    fn a_long_job_says_nothing_about_health() {
        let board = Board::new(DEADLINE);
        let ticket = board.submitted();
        board.finished(ticket, DEADLINE * 100, Length::Long);
        assert!(!board.is_slow());
        assert_eq!(board.job_count(), 0);
    }

    #[test]
    fn a_job_that_ended_before_the_watch_saw_it_does_not_stay_overdue() {
        let board = Board::new(DEADLINE);
        let ticket = board.submitted();
        board.finished(ticket, Duration::ZERO, Length::Short);
        board.passed_deadline(ticket);
        assert!(!board.is_slow());
    }
}
