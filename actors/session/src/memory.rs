//! The bytes that requests and answers of all connections hold: one budget for the node, charged as
//! bytes arrive and until answers are written, so that no client can take the node's memory.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// What a connection may hold although the budget is spent: enough for the requests of groups and
/// administration, so that those go on while producers and consumers wait.
const KEPT_SHARE_BYTES: usize = 64 * 1024;

/// The budget is tight when less than one in so many parts of it is left.
const TIGHT_PARTS: usize = 4;

/// No connection may exceed the budget now.
const NOBODY: u64 = 0;

/// `kabuki.memory.max`: bytes of requests and answers in flight.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    bytes_max: usize,
    used: AtomicUsize,
    /// The one connection that may go on over the budget until its frame is complete. Without it,
    /// connections that all hold half of a large frame would wait for each other for ever.
    overdrawn_by: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
}

impl MemoryBudget {
    /// A budget of `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            used: AtomicUsize::new(0),
            overdrawn_by: AtomicU64::new(NOBODY),
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// Bytes in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes left; 0 when more than the budget is in use.
    pub(crate) fn free_bytes(&self) -> usize {
        self.bytes_max.saturating_sub(self.used_bytes())
    }

    fn wait(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|other| other.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    fn wake_all(&self) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in waiting {
            waker.wake();
        }
    }
}

/// What one connection holds of the budget. Given back when dropped.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    budget: Arc<MemoryBudget>,
    /// Not 0, and not the same for two connections.
    connection: u64,
    bytes: usize,
}

impl MemoryShare {
    pub(crate) fn new(budget: Arc<MemoryBudget>, connection: u64) -> Self {
        assert_ne!(connection, NOBODY, "connections are numbered from 1");
        Self {
            budget,
            connection,
            bytes: 0,
        }
    }

    /// Says how many bytes the connection holds now.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget
                .used
                .fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            let before = self
                .budget
                .used
                .fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            let was_spent = before >= self.budget.bytes_max;
            let is_spent = before - (self.bytes - bytes) >= self.budget.bytes_max;
            if was_spent && !is_spent {
                self.budget.wake_all();
            }
        }
        self.bytes = bytes;
    }

    /// Whether the connection may take more from its socket. If not, `waker` is called when it may.
    ///
    /// `in_frame` says that part of a frame is here, so that only more bytes help.
    pub(crate) fn may_read(&self, in_frame: bool, waker: &Waker) -> bool {
        if self.budget.free_bytes() > 0 || self.bytes < KEPT_SHARE_BYTES {
            return true;
        }
        if in_frame && self.overdraw() {
            return true;
        }
        self.budget.wait(waker);
        // The budget may have been freed before the waker was in the list.
        self.budget.free_bytes() > 0
    }

    /// The frame is complete: another connection may overdraw now.
    pub(crate) fn frame_complete(&self) {
        let budget = &self.budget;
        let taken = budget.overdrawn_by.compare_exchange(
            self.connection,
            NOBODY,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if taken.is_ok() {
            budget.wake_all();
        }
    }

    /// Whether so much of the budget is in use that a client that does not move costs the others.
    pub(crate) fn is_budget_tight(&self) -> bool {
        self.budget.free_bytes() <= self.budget.bytes_max / TIGHT_PARTS
    }

    fn overdraw(&self) -> bool {
        let taken = self.budget.overdrawn_by.compare_exchange(
            NOBODY,
            self.connection,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        taken.is_ok() || taken == Err(self.connection)
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.set(0);
        self.frame_complete();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn shares(bytes_max: usize) -> (Arc<MemoryBudget>, MemoryShare, MemoryShare) {
        let budget = Arc::new(MemoryBudget::new(bytes_max));
        let first = MemoryShare::new(budget.clone(), 1);
        let second = MemoryShare::new(budget.clone(), 2);
        (budget, first, second)
    }

    #[test]
    fn a_share_is_given_back_in_full() {
        let (budget, mut first, mut second) = shares(1_000);
        first.set(700);
        second.set(900);
        assert_eq!((budget.used_bytes(), budget.free_bytes()), (1_600, 0));
        first.set(200);
        drop(second);
        assert_eq!((budget.used_bytes(), budget.free_bytes()), (200, 800));
    }

    #[test]
    fn a_spent_budget_stops_those_who_hold_much_and_wakes_them_later() {
        let (_budget, mut first, mut second) = shares(1_000_000);
        first.set(900_000);
        second.set(100_000);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        assert!(!first.may_read(false, &waker));
        second.set(KEPT_SHARE_BYTES - 1);
        first.set(1_000_000);
        assert!(second.may_read(false, &waker), "a small share goes on");
        first.set(0);
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(first.may_read(false, &waker));
    }

    #[test]
    fn one_connection_at_a_time_may_finish_its_frame() {
        let (_budget, mut first, mut second) = shares(200_000);
        first.set(100_000);
        second.set(100_000);
        let waker = Waker::from(Arc::new(Woken::default()));
        assert!(first.may_read(true, &waker));
        assert!(first.may_read(true, &waker), "until its frame is complete");
        assert!(!second.may_read(true, &waker));
        first.frame_complete();
        assert!(second.may_read(true, &waker));
        drop(second);
        first.set(200_000);
        assert!(first.may_read(true, &waker));
    }
}
