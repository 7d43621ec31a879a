//! Recognises a batch that crashed this partition before, so that it cannot do so for ever.

use std::collections::HashMap;

/// Crashes with the same batch in hand after which it is refused untouched. Once may be chance.
const CRASHES_MAX: usize = 2;

/// Batches written one at a time after a crash, so that the next crash names the one that did it.
/// Most clients resend within this many.
const WARY_BATCHES: usize = 256;

/// Fingerprints of the messages that were in hand at past crashes.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    crashes: HashMap<u64, usize>,
    wary_left: usize,
    has_succeeded: bool,
}

/// What to do with a batch that is poisonous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Poisonous {
    /// No other batch has succeeded since the last crash: the state may be what is bad.
    pub(crate) state_suspect: bool,
}

impl Poison {
    /// From the fingerprints of past crashes, 0 where none is known.
    pub(crate) fn from_crashes(fingerprints: impl Iterator<Item = u64>) -> Self {
        let mut poison = Self::default();
        for fingerprint in fingerprints {
            poison.wary_left = WARY_BATCHES;
            if fingerprint != 0 {
                *poison.crashes.entry(fingerprint).or_default() += 1;
            }
        }
        poison
    }

    /// True while batches are to be written one at a time.
    pub(crate) fn is_wary(&self) -> bool {
        self.wary_left > 0
    }

    /// Judges a batch before it is looked at.
    pub(crate) fn judge(&self, fingerprint: u64) -> Option<Poisonous> {
        let crashes = *self.crashes.get(&fingerprint)?;
        (crashes >= CRASHES_MAX).then_some(Poisonous {
            state_suspect: !self.has_succeeded,
        })
    }

    /// A batch got through.
    pub(crate) fn succeeded(&mut self) {
        self.has_succeeded = true;
        self.wary_left = self.wary_left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_refused_after_its_second_crash() {
        assert_eq!(Poison::from_crashes([7].into_iter()).judge(7), None);
        let poison = Poison::from_crashes([7, 9, 0, 0, 7].into_iter());
        assert_eq!(
            poison.judge(7),
            Some(Poisonous {
                state_suspect: true
            })
        );
        assert_eq!(poison.judge(9), None);
        assert_eq!(poison.judge(0), None, "0 is no fingerprint");
    }

    #[test]
    fn the_state_is_no_longer_suspect_once_another_batch_succeeds() {
        let mut poison = Poison::from_crashes([7, 7].into_iter());
        poison.succeeded();
        assert_eq!(
            poison.judge(7),
            Some(Poisonous {
                state_suspect: false
            })
        );
    }

    #[test]
    fn after_a_crash_batches_go_one_by_one_for_a_while() {
        let mut poison = Poison::from_crashes([0].into_iter());
        for _ in 0..WARY_BATCHES {
            assert!(poison.is_wary());
            poison.succeeded();
        }
        assert!(!poison.is_wary());
        assert!(!Poison::from_crashes(std::iter::empty()).is_wary());
    }
}
