//! Waiting between tries: doubling, with jitter, for as long as the caller has patience.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

/// First pause. Kafka's `retry.backoff.ms`.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause. Kafka's `retry.backoff.max.ms`.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The pauses of one doing.
#[derive(Debug)]
pub(crate) struct Backoff {
    give_up_at: Instant,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            give_up_at: Instant::now() + patience,
            next: PAUSE_MIN,
        }
    }

    /// Sleeps; false, at once, when the patience is spent.
    pub(crate) async fn pause(&mut self) -> bool {
        match self.next_pause() {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                true
            }
            None => false,
        }
    }

    /// How long to sleep, `None` when the patience is spent.
    pub(crate) fn next_pause(&mut self) -> Option<Duration> {
        if Instant::now() >= self.give_up_at {
            return None;
        }
        // A fifth to both sides, so that many clients do not come back in the same moment.
        let pause = self.next.mul_f64(rand::rng().random_range(0.8..1.2));
        self.next = (self.next * 2).min(PAUSE_MAX);
        Some(pause)
    }
}
