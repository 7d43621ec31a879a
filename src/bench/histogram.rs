//! A histogram of durations of fixed size: 64 steps for each power of two, so that every percentile
//! is right to 1.6 percent whatever the number of samples.

use std::time::Duration;

/// Bits of a value that are kept below its highest one.
const STEP_BITS: u32 = 6;
const STEPS: u64 = 1 << STEP_BITS;
const BUCKETS: usize = ((u64::BITS - STEP_BITS + 1) as usize) << STEP_BITS;

/// Counts of durations, in nanoseconds.
#[derive(Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            count: 0,
            sum_ns: 0,
            max_ns: 0,
        }
    }

    /// Counts one duration.
    pub(super) fn record(&mut self, duration: Duration) {
        let value = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(value)] += 1;
        self.count += 1;
        self.sum_ns += u128::from(value);
        self.max_ns = self.max_ns.max(value);
    }

    /// Takes the samples of another one in.
    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// Number of samples.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The duration that `share` (0 to 1) of the samples do not exceed; the upper edge of its step.
    pub(super) fn percentile(&self, share: f64) -> Duration {
        // A count of samples stays far below 2^53, where a float is exact.
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper_edge(index).min(self.max_ns));
            }
        }
        Duration::from_nanos(self.max_ns)
    }

    /// The longest sample.
    pub(super) fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// The mean; zero without samples.
    pub(super) fn mean(&self) -> Duration {
        let mean = self.sum_ns / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }
}

fn bucket(value: u64) -> usize {
    let magnitude = value.checked_ilog2().unwrap_or(0);
    let index = match magnitude.checked_sub(STEP_BITS) {
        None => value,
        Some(shift) => (u64::from(shift) << STEP_BITS) + (value >> shift),
    };
    usize::try_from(index).expect("below BUCKETS, as the value has 64 bits")
}

fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * STEPS {
        return index;
    }
    let shift = (index >> STEP_BITS) - 1;
    let step = index - (shift << STEP_BITS);
    (((u128::from(step) + 1) << shift) - 1)
        .try_into()
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_close_to_the_edge() {
        let mut values: Vec<u64> = (0..64).map(|bit| 1u64 << bit).collect();
        values.extend((0..64).map(|bit| (1u64 << bit).wrapping_mul(3) | 1));
        values.extend([0, 63, 64, 127, 128, 129, 1_000_000, u64::MAX]);
        for value in values {
            let index = bucket(value);
            assert!(index < BUCKETS, "{value}");
            let edge = upper_edge(index);
            assert!(edge >= value, "{value} lies above its edge {edge}");
            assert!(edge - value <= value / STEPS, "{value} is far from {edge}");
            assert!(index == 0 || upper_edge(index - 1) < value);
        }
    }

    #[test]
    fn percentiles_of_a_known_row_are_met() {
        let mut row = Histogram::new();
        for micros in 1..=1_000 {
            row.record(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)] {
            let found = row.percentile(share).as_secs_f64() * 1e6;
            assert!((found / micros - 1.0).abs() < 0.017, "{share}: {found}");
        }
        assert_eq!(row.max(), Duration::from_micros(1_000));
        assert_eq!(row.mean(), Duration::from_nanos(500_500));
    }

    #[test]
    fn two_halves_make_the_whole() {
        let (mut low, mut high) = (Histogram::new(), Histogram::new());
        low.record(Duration::from_micros(1));
        high.record(Duration::from_micros(9));
        low.add(&high);
        assert_eq!((low.count(), low.max()), (2, Duration::from_micros(9)));
        assert_eq!(Histogram::new().percentile(0.5), Duration::ZERO);
    }
}
