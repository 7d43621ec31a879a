//! What is counted and remembered about one actor over all of its incarnations: messages, busy time,
//! state, crashes. Shared between its arbiter, its supervisor and whoever asks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::arbiter::Arbiter;
use crate::fault::Crash;
use crate::path::{ActorPath, Incarnation};

/// Crashes kept per actor: enough to see a poisonous message return between others.
const CRASHES_KEPT: usize = 16;

/// Locks without regard to poison: what is behind the locks of this crate is never left half done.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where an actor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ActorState {
    /// Its instance is being built for the first time.
    Starting = 0,
    /// An instance takes messages.
    Running = 1,
    /// It crashed or its group is down; the next instance comes.
    Restarting = 2,
    /// Its budget is spent; it waits to be revived.
    Parked = 3,
    /// It ended for good.
    Stopped = 4,
}

impl ActorState {
    /// One word in lower case, as `kabuki actors` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            ActorState::Starting => "starting",
            ActorState::Running => "running",
            ActorState::Restarting => "restarting",
            ActorState::Parked => "parked",
            ActorState::Stopped => "stopped",
        }
    }
}

/// The account of one actor.
pub(crate) struct Account {
    /// Unique in the process, never 0.
    pub(crate) id: u64,
    pub(crate) path: ActorPath,
    pub(crate) arbiter: Arbiter,
    state: AtomicU8,
    incarnation: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) messages: AtomicU64,
    busy_nanos: AtomicU64,
    wake_ups: AtomicU64,
    detail: Mutex<String>,
    /// Wake-ups when the detail was renewed.
    described_at_wake_up: AtomicU64,
    crashes: Mutex<VecDeque<Crash>>,
    holds: AtomicUsize,
    holds_released: Notify,
    /// True from the first refusal for lack of room until the mailbox has been empty.
    is_full: AtomicBool,
    /// Sends refused for lack of room that no event has counted yet.
    refused_full: AtomicU64,
}

impl Account {
    pub(crate) fn new(path: ActorPath, arbiter: Arbiter) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            path,
            arbiter,
            state: AtomicU8::new(ActorState::Starting as u8),
            incarnation: AtomicU64::new(1),
            restarts: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            wake_ups: AtomicU64::new(0),
            detail: Mutex::default(),
            described_at_wake_up: AtomicU64::new(0),
            crashes: Mutex::default(),
            holds: AtomicUsize::new(0),
            holds_released: Notify::new(),
            is_full: AtomicBool::new(false),
            refused_full: AtomicU64::new(0),
        }
    }

    pub(crate) fn state(&self) -> ActorState {
        match self.state.load(Ordering::Acquire) {
            0 => ActorState::Starting,
            1 => ActorState::Running,
            2 => ActorState::Restarting,
            3 => ActorState::Parked,
            _ => ActorState::Stopped,
        }
    }

    pub(crate) fn set_state(&self, state: ActorState) {
        self.state.store(state as u8, Ordering::Release);
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::Acquire))
    }

    /// The instance that ran last, while none runs.
    pub(crate) fn last_incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation().0.saturating_sub(1).max(1))
    }

    pub(crate) fn set_incarnation(&self, incarnation: Incarnation) {
        self.incarnation.store(incarnation.0, Ordering::Release);
    }

    /// Counts a wake-up, at its beginning: until it ends, what the actor said of itself is old.
    pub(crate) fn wakes(&self) {
        // Only the actor's own arbiter writes this.
        self.wake_ups.store(self.wake_ups() + 1, Ordering::Relaxed);
    }

    /// Adds a wake-up that took `busy` and handled `messages`.
    pub(crate) fn woke(&self, busy: Duration, messages: u64) {
        // Only the actor's own arbiter writes these, so plain loads and stores lose nothing.
        let add = |counter: &AtomicU64, more: u64| {
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        };
        add(&self.messages, messages);
        add(
            &self.busy_nanos,
            u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX),
        );
    }

    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn wake_ups(&self) -> u64 {
        self.wake_ups.load(Ordering::Relaxed)
    }

    /// Keeps what the actor says of itself. Called within a wake-up.
    pub(crate) fn describe(&self, detail: String) {
        *lock(&self.detail) = detail;
        self.described_at_wake_up
            .store(self.wake_ups(), Ordering::Relaxed);
    }

    /// What the actor said of itself last.
    pub(crate) fn detail(&self) -> String {
        lock(&self.detail).clone()
    }

    /// What it said last is no longer so, though it has not run since.
    pub(crate) fn outdate_description(&self) {
        self.described_at_wake_up.store(0, Ordering::Relaxed);
    }

    /// True when what it said last may be out of date.
    pub(crate) fn has_run_since_described(&self) -> bool {
        self.wake_ups() > self.described_at_wake_up.load(Ordering::Relaxed)
    }

    pub(crate) fn crashed(&self, crash: Crash) {
        let mut crashes = lock(&self.crashes);
        if crashes.len() == CRASHES_KEPT {
            crashes.pop_front();
        }
        crashes.push_back(crash);
    }

    /// Newest last.
    pub(crate) fn crashes(&self) -> Vec<Crash> {
        lock(&self.crashes).iter().cloned().collect()
    }

    pub(crate) fn last_crash(&self) -> Option<Crash> {
        lock(&self.crashes).back().cloned()
    }

    /// A send was refused for lack of room. Returns true when that opens an episode and deserves an
    /// event; the others are counted.
    pub(crate) fn refused_full(&self) -> bool {
        let opens = !self.is_full.swap(true, Ordering::Relaxed);
        if !opens {
            self.refused_full.fetch_add(1, Ordering::Relaxed);
        }
        opens
    }

    /// The mailbox has been drained: the next refusal opens an episode of its own.
    pub(crate) fn drained(&self) {
        if self.is_full.load(Ordering::Relaxed) {
            self.is_full.store(false, Ordering::Relaxed);
        }
    }

    /// Refusals since the last call that had no event.
    pub(crate) fn take_refused_full(&self) -> u64 {
        self.refused_full.swap(0, Ordering::Relaxed)
    }

    /// Completes when no [`RestartHold`] is left.
    pub(crate) async fn holds_released(&self) {
        loop {
            let released = self.holds_released.notified();
            if self.holds.load(Ordering::Acquire) == 0 {
                return;
            }
            released.await;
        }
    }
}

/// While one lives, no new instance of its actor starts: a write of the old instance is still out.
///
/// Travels with the write, so it may be dropped on any thread.
pub struct RestartHold(Arc<Account>);

impl RestartHold {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        account.holds.fetch_add(1, Ordering::AcqRel);
        Self(account)
    }
}

impl Drop for RestartHold {
    fn drop(&mut self) {
        if self.0.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.holds_released.notify_waiters();
        }
    }
}

impl std::fmt::Debug for RestartHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RestartHold").field(&self.0.path).finish()
    }
}
