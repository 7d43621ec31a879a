//! Counts why connections are closed, so that a flood of bad clients is told in one line a sort and
//! interval, with how many there were. Holds no clock; the time comes in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Connections of one sort that are closed within it are counted, not told one by one.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Why a connection is closed by this side, or not accepted. Each sort is counted by itself; their
/// number bounds what clients can make the node remember and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CloseSort {
    /// A size out of bounds, or a header that cannot be read.
    Unreadable,
    /// An API key that is not served.
    UnknownApi,
    /// A version that is not served.
    UnsupportedVersion,
    /// A body that cannot be read.
    Malformed,
    /// A private request from another machine.
    NotLoopback,
    /// Produce with acks=0 that failed.
    SilentProduce,
    /// An answer that cannot be encoded: a bug.
    Unanswerable,
    /// Nothing was sent for `connections.max.idle.ms`.
    Idle,
    /// A client that does not move while the memory is tight.
    Stalled,
    /// A fetch was under way when the client left.
    Left,
    /// More connections from one address than it may have.
    TooManyFromAddress,
    /// The system refused: out of file descriptors or memory.
    NotAccepted,
}

/// Closings of one sort that have not been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) sort: CloseSort,
    pub(crate) count: u64,
    /// What was said of the last one.
    pub(crate) last: String,
}

#[derive(Debug)]
struct Window {
    ends: Instant,
    count: u64,
    last: String,
}

/// The sorts of the present intervals.
#[derive(Debug, Default)]
pub(crate) struct Closings {
    windows: HashMap<CloseSort, Window>,
}

impl Closings {
    /// Whether a closing is to be told now; if not, it is counted, with what `describe` says.
    pub(crate) fn note(
        &mut self,
        sort: CloseSort,
        now: Instant,
        describe: impl FnOnce() -> String,
    ) -> bool {
        if let Some(window) = self.windows.get_mut(&sort) {
            window.count += 1;
            window.last = describe();
            return false;
        }
        let window = Window {
            ends: now + INTERVAL,
            count: 0,
            last: String::new(),
        };
        self.windows.insert(sort, window);
        true
    }

    /// What was counted in intervals that are over. A sort that was quiet is told at once next time.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Counted> {
        let mut due = Vec::new();
        self.windows.retain(|sort, window| {
            if now < window.ends {
                return true;
            }
            let is_quiet = window.count == 0;
            if !is_quiet {
                due.push(Counted {
                    sort: *sort,
                    count: std::mem::take(&mut window.count),
                    last: std::mem::take(&mut window.last),
                });
                window.ends = now + INTERVAL;
            }
            !is_quiet
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_sort_and_interval() {
        let start = Instant::now();
        let mut closings = Closings::default();
        let mut told = 0;
        for number in 0..1_000 {
            for sort in [CloseSort::Unreadable, CloseSort::UnknownApi] {
                told += usize::from(closings.note(sort, start, || format!("peer {number}")));
            }
        }
        assert_eq!(told, 2);
        assert!(closings.take_due(start).is_empty(), "within the interval");

        let later = start + INTERVAL;
        let mut due = closings.take_due(later);
        due.sort_by_key(|counted| counted.sort == CloseSort::UnknownApi);
        let counted = |sort| Counted {
            sort,
            count: 999,
            last: "peer 999".to_owned(),
        };
        let both = [CloseSort::Unreadable, CloseSort::UnknownApi].map(counted);
        assert_eq!(due, both);
        assert!(closings.take_due(later).is_empty(), "told once");
    }

    #[test]
    fn a_quiet_sort_is_told_at_once_again() {
        let start = Instant::now();
        let mut closings = Closings::default();
        assert!(closings.note(CloseSort::Idle, start, String::new));
        assert!(!closings.note(CloseSort::Idle, start, String::new));
        assert_eq!(closings.take_due(start + INTERVAL).len(), 1);
        assert!(closings.take_due(start + 2 * INTERVAL).is_empty());
        assert!(closings.note(CloseSort::Idle, start + 2 * INTERVAL, String::new));
    }
}
