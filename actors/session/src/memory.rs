//! The bytes that requests and answers of all connections hold: one budget for the node, charged as
//! bytes arrive and until answers are written, so that no client can take the node's memory.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
    /// The one connection that may start a request over the budget until it is answered; the same
    /// for requests that need more than will ever be free.
    started_over_by: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
    /// Somebody waits for more than a byte: every byte given back may be the one.
    is_awaited_in_bulk: AtomicBool,
}

impl MemoryBudget {
    /// A budget of `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            used: AtomicUsize::new(0),
            overdrawn_by: AtomicU64::new(NOBODY),
            started_over_by: AtomicU64::new(NOBODY),
            waiting: Mutex::new(Vec::new()),
            is_awaited_in_bulk: AtomicBool::new(false),
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
            let bulk = &self.budget.is_awaited_in_bulk;
            let is_awaited = bulk.load(Ordering::Relaxed) && bulk.swap(false, Ordering::Relaxed);
            if (was_spent && !is_spent) || is_awaited {
                self.budget.wake_all();
            }
        }
        self.bytes = bytes;
    }

    /// How many bytes the connection may take from its socket: what is free of the budget, or of
    /// its kept share. If that is none, `waker` is called when there are some.
    ///
    /// `in_frame` says that part of a frame is here, so that only more bytes help.
    pub(crate) fn readable_bytes(&self, in_frame: bool, waker: &Waker) -> usize {
        let kept = KEPT_SHARE_BYTES.saturating_sub(self.bytes);
        let allowed = self.budget.free_bytes().max(kept);
        if allowed > 0 {
            return allowed;
        }
        if in_frame && self.take_turn(&self.budget.overdrawn_by) {
            return usize::MAX;
        }
        self.budget.wait(waker);
        // The budget may have been freed before the waker was in the list.
        self.budget.free_bytes()
    }

    /// Whether a request may start that may take `bytes` more until it is answered. If not, `waker`
    /// is called when it may. Small ones always may.
    pub(crate) fn may_start(&self, bytes: usize, waker: &Waker) -> bool {
        if bytes <= KEPT_SHARE_BYTES || bytes <= self.budget.free_bytes() {
            return true;
        }
        if self.take_turn(&self.budget.started_over_by) {
            return true;
        }
        self.budget.wait(waker);
        self.budget
            .is_awaited_in_bulk
            .store(true, Ordering::Relaxed);
        bytes <= self.budget.free_bytes()
    }

    /// Whether `bytes` more are free for everybody. Who is told that they are not asks again when its own
    /// requests are answered.
    pub(crate) fn has_free(&self, bytes: usize) -> bool {
        bytes <= self.budget.free_bytes()
    }

    /// The frame is complete: another connection may overdraw now.
    pub(crate) fn frame_complete(&self) {
        self.end_turn(&self.budget.overdrawn_by);
    }

    /// A request that may have been over the budget is answered: another connection may start one.
    pub(crate) fn request_answered(&self) {
        self.end_turn(&self.budget.started_over_by);
    }

    /// Whether nothing of the budget is left.
    pub(crate) fn is_budget_spent(&self) -> bool {
        self.budget.free_bytes() == 0
    }

    /// Whether so much of the budget is in use that a client that does not move costs the others.
    pub(crate) fn is_budget_tight(&self) -> bool {
        self.budget.free_bytes() <= self.budget.bytes_max / TIGHT_PARTS
    }

    fn take_turn(&self, turn: &AtomicU64) -> bool {
        let mine = self.connection;
        let taken = turn.compare_exchange(NOBODY, mine, Ordering::Relaxed, Ordering::Relaxed);
        taken.is_ok() || taken == Err(mine)
    }

    fn end_turn(&self, turn: &AtomicU64) {
        // Nobody else writes or takes away what this connection has put there.
        if turn.load(Ordering::Relaxed) == self.connection {
            turn.store(NOBODY, Ordering::Relaxed);
            self.budget.wake_all();
        }
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.set(0);
        self.frame_complete();
        self.request_answered();
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(first.readable_bytes(false, &waker), 0);
        second.set(KEPT_SHARE_BYTES - 1);
        first.set(1_000_000);
        assert_eq!(
            second.readable_bytes(false, &waker),
            1,
            "a small share goes on"
        );
        first.set(0);
        assert!(woken.0.load(Ordering::Relaxed));
        let second_holds = KEPT_SHARE_BYTES - 1;
        assert_eq!(
            first.readable_bytes(false, &waker),
            1_000_000 - second_holds
        );
    }

    #[test]
    fn one_connection_at_a_time_may_finish_its_frame() {
        let (_budget, mut first, mut second) = shares(200_000);
        first.set(100_000);
        second.set(100_000);
        let waker = Waker::from(Arc::new(Woken::default()));
        let unlimited = usize::MAX;
        assert_eq!(first.readable_bytes(true, &waker), unlimited);
        assert_eq!(
            first.readable_bytes(true, &waker),
            unlimited,
            "until its frame is complete"
        );
        assert_eq!(second.readable_bytes(true, &waker), 0);
        first.frame_complete();
        assert_eq!(second.readable_bytes(true, &waker), unlimited);
        drop(second);
        first.set(200_000);
        assert_eq!(first.readable_bytes(true, &waker), unlimited);
    }

    #[test]
    fn one_connection_at_a_time_may_start_more_than_is_free() {
        let (_budget, mut first, second) = shares(200_000);
        first.set(100_000);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        assert!(second.may_start(100_000, &waker), "there is room");
        assert!(
            first.may_start(300_000, &waker),
            "more than there will ever be"
        );
        assert!(!second.may_start(300_000, &waker));
        assert!(
            second.may_start(KEPT_SHARE_BYTES, &waker),
            "a small one goes on"
        );
        assert!(!woken.0.load(Ordering::Relaxed));
        first.set(90_000);
        assert!(
            woken.0.swap(false, Ordering::Relaxed),
            "some of it came free"
        );
        assert!(!second.may_start(300_000, &waker));
        first.request_answered();
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(second.may_start(300_000, &waker));
    }
}
