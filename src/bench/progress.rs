//! Progress of a measurement, on standard error and only where a person is looking at it.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far a measurement goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// To that many records.
    Records(u64),
    /// For that long.
    Time(Duration),
}

/// A line with a bar and the present rates.
pub(super) struct Progress {
    bar: ProgressBar,
    goal: Goal,
    began: Instant,
    last: (Instant, u64, u64),
}

impl Progress {
    /// How often the line is drawn again; seldom, as it takes time from the load.
    pub(super) const TICK: Duration = Duration::from_millis(250);

    pub(super) fn start(verb: &'static str, goal: Goal) -> Self {
        let length = match goal {
            Goal::Records(count) => count,
            Goal::Time(time) => millis(time),
        };
        let bar = if io::stderr().is_terminal() {
            ProgressBar::new(length).with_style(style())
        } else {
            ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden())
        };
        bar.set_prefix(verb);
        let now = Instant::now();
        Self {
            bar,
            goal,
            began: now,
            last: (now, 0, 0),
        }
    }

    /// Shows what has been done so far.
    pub(super) fn show(&mut self, records: u64, bytes: u64) {
        let now = Instant::now();
        self.bar.set_position(match self.goal {
            Goal::Records(_) => records,
            Goal::Time(_) => millis(now - self.began),
        });
        let (since, records_before, bytes_before) = self.last;
        let seconds = (now - since).as_secs_f64().max(1e-3);
        let rate = (records.saturating_sub(records_before)) as f64 / seconds;
        let megabytes = (bytes.saturating_sub(bytes_before)) as f64 / seconds / 1e6;
        self.bar.set_message(format!(
            "{} records/s  {megabytes:.1} MB/s",
            HumanCount(rate as u64)
        ));
        self.last = (now, records, bytes);
    }

    /// Takes the line away.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} {wide_bar} {percent}%  {msg}")
        .expect("the template is constant and checked by a test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_follows_the_records_where_they_are_the_goal() {
        style();
        let mut progress = Progress::start("writing", Goal::Records(10));
        progress.show(4, 400);
        assert_eq!(progress.bar.position(), 4);
        progress.finish();
    }
}
