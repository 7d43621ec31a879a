//! Whether the disk takes writes, and when to try it again.

use std::time::Duration;

/// First pause before a degraded log is tried again: short, since a full disk is often freed at once
/// by retention.
pub(crate) const PROBE_PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause where few partitions are refused: what an operator who has just freed space waits.
pub(crate) const PROBE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Pause at which a client that wants to write has the disk tried again.
const PROBE_PAUSE_HASTENED: Duration = Duration::from_millis(100);

/// Time of the disk that each refused partition gets: with thousands of them the pauses grow, so that
/// all together they try no more than 500 times a second.
const PROBE_SHARE: Duration = Duration::from_millis(2);

/// What failed, so that the same is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Extending the active segment.
    Write,
    /// Creating the next segment.
    Roll,
    /// Writing a tail again whose sync has failed, and syncing it.
    Sync,
}

/// Whether writes are accepted.
#[derive(Debug, Default)]
pub(crate) struct Health {
    refusal: Option<Refusal>,
    /// Pause after the last refusal; kept over healing until something was really written, so that a
    /// disk on the brink is not probed, healed and refused ten times a second.
    last_pause: Option<Duration>,
    /// It healed without anything written, and was refused again.
    is_wavering: bool,
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
    /// The disk refused. Returns the pause before the next probe, which doubles with each refusal;
    /// `refused_count` partitions share the disk's time.
    pub(crate) fn refused(
        &mut self,
        cause: String,
        probe: Probe,
        refused_count: usize,
    ) -> Duration {
        let pause = self
            .last_pause
            .map_or(PROBE_PAUSE_MIN, |pause| (pause * 2).min(PROBE_PAUSE_MAX));
        self.is_wavering |= self.refusal.is_none() && self.last_pause.is_some();
        self.last_pause = Some(pause);
        self.refusal = Some(Refusal { cause, probe });
        pause.max(share(refused_count))
    }

    /// A client wants to write. Returns the pause after which the disk is tried again for it; none
    /// where that would make a disk on the brink heal and refuse in turns.
    pub(crate) fn hastened(&self, refused_count: usize) -> Option<Duration> {
        (!self.is_wavering).then(|| PROBE_PAUSE_HASTENED.max(share(refused_count)))
    }

    /// The disk took what it had refused. Returns true when that is news.
    pub(crate) fn healed(&mut self) -> bool {
        self.refusal.take().is_some()
    }

    /// Records were written: the next refusal is a new story.
    pub(crate) fn wrote(&mut self) {
        self.last_pause = None;
        self.is_wavering = false;
    }

    /// Why writes are refused, if they are.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }
}

fn share(refused_count: usize) -> Duration {
    PROBE_SHARE.saturating_mul(u32::try_from(refused_count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(health: &mut Health, refused_count: usize) -> u128 {
        let pause = health.refused("no space".into(), Probe::Roll, refused_count);
        pause.as_millis()
    }

    fn pause_ms(health: &mut Health) -> u128 {
        refuse(health, 1)
    }

    #[test]
    fn probes_back_off_up_to_a_second() {
        let mut health = Health::default();
        let pauses: Vec<u128> = (0..6).map(|_| pause_ms(&mut health)).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(health.refusal().unwrap().probe, Probe::Roll);
    }

    #[test]
    fn thousands_of_refused_partitions_share_the_disk() {
        let mut health = Health::default();
        assert_eq!(refuse(&mut health, 3_000), 6_000);
        assert_eq!(health.hastened(3_000), Some(Duration::from_secs(6)));
        assert_eq!(health.hastened(1), Some(PROBE_PAUSE_HASTENED));
        assert_eq!(pause_ms(&mut health), 200, "when the others are well again");
    }

    #[test]
    fn nobody_hastens_the_probes_of_a_disk_on_the_brink() {
        let mut health = Health::default();
        pause_ms(&mut health);
        pause_ms(&mut health);
        assert!(health.hastened(1).is_some());
        health.healed();
        pause_ms(&mut health);
        assert_eq!(health.hastened(1), None);
        health.healed();
        health.wrote();
        pause_ms(&mut health);
        assert!(health.hastened(1).is_some());
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
