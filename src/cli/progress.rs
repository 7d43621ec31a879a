//! Progress of long work, on standard error and only where a person is looking at it.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is drawn again.
const TICK: Duration = Duration::from_millis(120);

/// Progress of a stream of records.
pub(super) struct RecordProgress {
    bar: ProgressBar,
    bytes: u64,
}

impl RecordProgress {
    /// Shows a bar where the number of records is known, and a count where not. Hidden where
    /// standard error is no terminal, or standard output is one and shows the records themselves.
    pub(super) fn start(verb: &str, record_count: Option<u64>, shows_records: bool) -> Self {
        let is_hidden =
            !io::stderr().is_terminal() || (shows_records && io::stdout().is_terminal());
        let bar = match record_count {
            _ if is_hidden => ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            Some(count) => ProgressBar::new(count).with_style(style(
                "{prefix} {wide_bar} {human_pos}/{human_len} records  {per_sec}  {msg}  {eta}",
            )),
            None => ProgressBar::new_spinner().with_style(style(
                "{spinner} {prefix} {human_pos} records  {per_sec}  {msg}",
            )),
        };
        bar.set_prefix(verb.to_owned());
        if !is_hidden {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, bytes: 0 }
    }

    /// Counts records and their bytes.
    pub(super) fn add(&mut self, records: u64, bytes: u64) {
        self.bytes += bytes;
        self.bar.inc(records);
        if !self.bar.is_hidden() {
            self.bar
                .set_message(indicatif::HumanBytes(self.bytes).to_string());
        }
    }

    /// Takes the line away.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.expect("the templates are constant and checked by a test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_counted_also_where_nobody_looks() {
        for count in [Some(3), None] {
            let mut progress = RecordProgress::start("writing", count, false);
            progress.add(2, 100);
            assert_eq!((progress.bar.position(), progress.bytes), (2, 100));
            progress.finish();
        }
        style("{prefix} {wide_bar} {human_pos}/{human_len} records  {per_sec}  {msg}  {eta}");
        style("{spinner} {prefix} {human_pos} records  {per_sec}  {msg}");
    }
}
