//! Threads on which actors run. Each has one actix arbiter; an actor stays on the one it was placed
//! on. The pulse tells the hang watch what runs there.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::standstill::Standstill;

thread_local! {
    /// Number of the arbiter of this thread; 0 on threads that have none.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// What the hang watch sees of an arbiter.
#[derive(Debug)]
pub(crate) struct Pulse {
    number: u64,
    name: String,
    /// Account id of the actor that runs, 0 for none.
    running: AtomicU64,
    /// Counts wake-ups and beats: it stands still when the arbiter hangs.
    steps: AtomicU64,
    standstill: Standstill,
}

impl Pulse {
    fn new(name: &str) -> Self {
        static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            number,
            name: name.to_owned(),
            running: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            standstill: Standstill::new(number),
        }
    }

    /// A pulse without an arbiter.
    #[cfg(test)]
    pub(crate) fn still(name: &str) -> Self {
        Self::new(name)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Account id of the actor that runs now.
    pub(crate) fn running(&self) -> Option<u64> {
        match self.running.load(Ordering::Relaxed) {
            0 => None,
            id => Some(id),
        }
    }

    pub(crate) fn standstill(&self) -> &Standstill {
        &self.standstill
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub(crate) fn step(&self) {
        // Written by its own thread only.
        self.steps.store(self.steps() + 1, Ordering::Relaxed);
    }
}

/// A thread that runs actors. Cloning gives another handle to the same thread.
#[derive(Clone)]
pub struct Arbiter {
    handle: actix_rt::ArbiterHandle,
    pulse: Arc<Pulse>,
}

impl Arbiter {
    fn over(name: &str, handle: actix_rt::ArbiterHandle) -> Self {
        Self {
            handle,
            pulse: Arc::new(Pulse::new(name)),
        }
    }

    /// The arbiter of the thread that runs the actix system. Called on that thread.
    pub(crate) fn of_system() -> Self {
        let arbiter = Self::over("system", actix_rt::Arbiter::current());
        CURRENT.set(arbiter.pulse.number);
        arbiter
    }

    /// Starts a thread of its own. Called on a thread of the system.
    pub(crate) fn spawn_thread(name: &str) -> Self {
        let thread_name = name.to_owned();
        let actix_arbiter = actix_rt::Arbiter::with_tokio_rt(move || {
            // actix names its threads by number; tools show this name instead. Linux only, 15
            // bytes, and nothing depends on it.
            _ = std::fs::write("/proc/thread-self/comm", &thread_name);
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("the system has room for another event loop")
        });
        let arbiter = Self::over(name, actix_arbiter.handle());
        let number = arbiter.pulse.number;
        arbiter.handle.spawn_fn(move || CURRENT.set(number));
        arbiter
    }

    /// Name given when it was made.
    pub fn name(&self) -> &str {
        self.pulse.name()
    }

    /// True when the caller runs on this arbiter.
    pub fn is_current(&self) -> bool {
        CURRENT.get() == self.pulse.number
    }

    /// Runs `work` on this arbiter once it gets to it; false when the arbiter has ended.
    ///
    /// For what shows that it still does its work: a service manager's watchdog.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) -> bool {
        self.handle.spawn_fn(work)
    }

    /// Whether this thread stands still, as others see it.
    pub fn standstill(&self) -> &Standstill {
        self.pulse.standstill()
    }

    pub(crate) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Runs `make` on this arbiter and polls there the future it returns. False when the arbiter
    /// has ended.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> bool {
        if self.is_current() {
            actix_rt::spawn(make());
            return true;
        }
        self.handle.spawn_fn(move || {
            actix_rt::spawn(make());
        })
    }

    /// Makes the pulse step once this arbiter gets to it.
    pub(crate) fn ping(&self) {
        let pulse = Arc::clone(&self.pulse);
        self.run(move || pulse.step());
    }

    pub(crate) fn stop(&self) {
        self.handle.stop();
    }

    /// An actor begins a wake-up here.
    pub(crate) fn enter(&self, account_id: u64) -> Instant {
        self.pulse.step();
        self.pulse.running.store(account_id, Ordering::Relaxed);
        Instant::now()
    }

    /// The actor ends its wake-up. Returns how long it took, in real time even in tests.
    pub(crate) fn leave(&self, entered: Instant) -> Duration {
        self.pulse.running.store(0, Ordering::Relaxed);
        entered.elapsed()
    }
}

impl fmt::Debug for Arbiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arbiter").field(&self.pulse.name).finish()
    }
}
