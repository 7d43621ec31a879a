//! Whether the disk takes writes, and when to try it again.

use std::time::Duration;

/// First pause before a degraded log is tried again: short, since a full disk is often freed at once
/// by retention.
pub(crate) const PROBE_PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause: what an operator who has just freed space waits at most.
pub(crate) const PROBE_PAUSE_MAX: Duration = Duration::from_secs(10);

/// What failed, so that the same is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Extending the active segment.
    Write,
    /// Creating the next segment.
    Roll,
    /// Storing the epoch of a leadership that was ordered.
    Epoch,
}

/// Whether writes are accepted.
#[derive(Debug, Default)]
pub(crate) struct Health {
    refusal: Option<Refusal>,
    /// Pause after the last refusal; kept over healing until something was really written, so that a
    /// disk on the brink is not probed, healed and refused ten times a second.
    last_pause: Option<Duration>,
}

/// What the disk refused last.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What it said.
    pub(crate) cause: String,
    /// What to try again.
    pub(crate) probe: Probe,
}

impl Health {
    /// The disk refused. Returns the pause before the next probe, which doubles with each refusal.
    pub(crate) fn refused(&mut self, cause: String, probe: Probe) -> Duration {
        let pause = self
            .last_pause
            .map_or(PROBE_PAUSE_MIN, |pause| (pause * 2).min(PROBE_PAUSE_MAX));
        self.last_pause = Some(pause);
        self.refusal = Some(Refusal { cause, probe });
        pause
    }

    /// The disk took what it had refused. Returns true when that is news.
    pub(crate) fn healed(&mut self) -> bool {
        self.refusal.take().is_some()
    }

    /// Records were written: the next refusal is a new story.
    pub(crate) fn wrote(&mut self) {
        self.last_pause = None;
    }

    /// Why writes are refused, if they are.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause_ms(health: &mut Health) -> u128 {
        health.refused("no space".into(), Probe::Roll).as_millis()
    }

    #[test]
    fn probes_back_off_up_to_ten_seconds() {
        let mut health = Health::default();
        let pauses: Vec<u128> = (0..9).map(|_| pause_ms(&mut health)).collect();
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(health.refusal().unwrap().probe, Probe::Roll);
    }

    #[test]
    fn only_a_real_write_makes_the_next_probe_quick_again() {
        let mut health = Health::default();
        pause_ms(&mut health);
        assert!(health.healed());
        assert!(!health.healed());
        assert_eq!(health.refusal(), None);
        assert_eq!(pause_ms(&mut health), 200);
        health.healed();
        health.wrote();
        assert_eq!(pause_ms(&mut health), 100);
    }
}
