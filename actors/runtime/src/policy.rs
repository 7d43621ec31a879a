//! Decides what follows a crash: how long the child waits, and when its budget is spent. Pure: time
//! and randomness come in as arguments.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Which ends of a child are followed by a new instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// All but an ordered stop, also when the actor stopped by itself.
    Permanent,
    /// Crashes only; an actor that stops by itself is done.
    Transient,
    /// None.
    Temporary,
}

/// How many restarts are good within how long. Each child has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Restarts allowed within `window`; the crash after them spends the budget.
    pub restarts_max: u32,
    /// Length of the sliding window.
    pub window: Duration,
}

/// How long a crashed child waits for its next instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Wait before the first restart after a stable run; doubled with every further crash.
    pub min: Duration,
    /// Upper bound of the wait.
    pub max: Duration,
    /// An instance that ran this long was healthy: back-off and budget start afresh.
    pub stable_after: Duration,
}

/// What happens when the budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenSpent {
    /// The child alone stays down until it is revived; its group's keeper is told.
    Park,
    /// Its supervisor fails: the whole group is restarted, in the budget of the supervisor.
    Escalate,
}

/// How one child is supervised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Which ends are followed by a restart.
    pub restart: Restart,
    /// Restarts allowed.
    pub budget: Budget,
    /// Waits between them.
    pub backoff: Backoff,
    /// What follows the last one.
    pub when_spent: WhenSpent,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            restart: Restart::Permanent,
            // Five crashes in ten seconds are no accident any more.
            budget: Budget {
                restarts_max: 5,
                window: Duration::from_secs(10),
            },
            backoff: Backoff {
                // Long enough for a transient cause to pass, short enough that no client notices.
                min: Duration::from_millis(10),
                max: Duration::from_secs(5),
                stable_after: Duration::from_secs(30),
            },
            when_spent: WhenSpent::Park,
        }
    }
}

impl Policy {
    /// The policy of sessions and other children that nobody brings back.
    pub fn temporary() -> Self {
        Self {
            restart: Restart::Temporary,
            ..Self::default()
        }
    }

    /// The default, but a spent budget fails the supervisor.
    pub fn escalating() -> Self {
        Self {
            when_spent: WhenSpent::Escalate,
            ..Self::default()
        }
    }
}

/// What to do with a child that crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Restart {
        after: Duration,
        restarts_in_window: u32,
    },
    Spent {
        restarts_in_window: u32,
    },
}

/// The crashes of one child that still count.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Times of the restarts granted, oldest first.
    restarts: VecDeque<Instant>,
    /// Crashes since the last stable run.
    crash_count: u32,
}

impl Ledger {
    /// Judges a crash of an instance that ran for `ran_for`. `jitter` lies in 0.0..1.0.
    pub(crate) fn crashed(
        &mut self,
        policy: &Policy,
        ran_for: Duration,
        now: Instant,
        jitter: f64,
    ) -> Verdict {
        if ran_for >= policy.backoff.stable_after {
            self.reset();
        }
        let window = policy.budget.window;
        while self
            .restarts
            .front()
            .is_some_and(|at| now.duration_since(*at) >= window)
        {
            self.restarts.pop_front();
        }
        let spent = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        if spent >= policy.budget.restarts_max {
            return Verdict::Spent {
                restarts_in_window: spent,
            };
        }
        self.restarts.push_back(now);
        self.crash_count = self.crash_count.saturating_add(1);
        Verdict::Restart {
            after: delay(&policy.backoff, self.crash_count, jitter),
            restarts_in_window: spent + 1,
        }
    }

    /// True when this is not the first crash since the last stable run.
    pub(crate) fn is_repeated(&self) -> bool {
        self.crash_count > 1
    }

    /// Forgets all: the child was revived, or its whole group restarted.
    pub(crate) fn reset(&mut self) {
        self.restarts.clear();
        self.crash_count = 0;
    }
}

/// `min * 2^(crash_count - 1)`, at most `max`, spread by a fifth to both sides so that children that
/// fell together do not rise together.
fn delay(backoff: &Backoff, crash_count: u32, jitter: f64) -> Duration {
    let doublings = crash_count.saturating_sub(1).min(30);
    let exact = backoff.min.saturating_mul(1 << doublings).min(backoff.max);
    exact.mul_f64(0.8 + 0.4 * jitter).min(backoff.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(ledger: &mut Ledger, ran_for: Duration, now: Instant) -> Verdict {
        ledger.crashed(&Policy::default(), ran_for, now, 0.5)
    }

    #[test]
    fn back_off_doubles_up_to_its_bound() {
        let backoff = Policy::default().backoff;
        let waits: Vec<u128> = (1..=11)
            .map(|n| delay(&backoff, n, 0.5).as_millis())
            .collect();
        assert_eq!(
            waits,
            [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]
        );
        assert_eq!(delay(&backoff, u32::MAX, 1.0), backoff.max);
        assert_eq!(delay(&backoff, 1, 0.0), Duration::from_millis(8));
    }

    #[test]
    fn the_sixth_crash_in_the_window_spends_the_budget() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        for n in 1..=5 {
            let verdict = crash(&mut ledger, Duration::ZERO, now);
            assert!(
                matches!(verdict, Verdict::Restart { restarts_in_window, .. } if restarts_in_window == n)
            );
        }
        let verdict = crash(&mut ledger, Duration::ZERO, now);
        assert_eq!(
            verdict,
            Verdict::Spent {
                restarts_in_window: 5
            }
        );
    }

    #[test]
    fn restarts_leave_the_window_with_time() {
        let mut ledger = Ledger::default();
        let mut now = Instant::now();
        for _ in 0..100 {
            let verdict = crash(&mut ledger, Duration::from_secs(2), now);
            assert!(matches!(verdict, Verdict::Restart { .. }));
            now += Duration::from_secs(2);
        }
        let Verdict::Restart { after, .. } = crash(&mut ledger, Duration::from_secs(2), now) else {
            panic!("one crash every two seconds is within the budget");
        };
        assert_eq!(after, Duration::from_secs(5));
    }

    #[test]
    fn a_stable_run_makes_the_next_restart_quick_again() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        for _ in 0..5 {
            crash(&mut ledger, Duration::ZERO, now);
        }
        assert!(ledger.is_repeated());
        let verdict = crash(&mut ledger, Duration::from_secs(30), now);
        let after = Duration::from_millis(10);
        assert_eq!(
            verdict,
            Verdict::Restart {
                after,
                restarts_in_window: 1
            }
        );
    }
}
