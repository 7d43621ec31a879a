//! Tells the process log which connections were closed by this side and why: the first of a sort at
//! once, those after it with their number when the interval is over.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use slog::Logger;
use tokio::time::Instant;

use crate::state::closings::{CloseSort, Closings, Counted};

/// The closings of all listeners and sessions of a node.
#[derive(Debug, Default)]
pub(crate) struct ClosingLog {
    closings: Mutex<Closings>,
}

impl ClosingLog {
    /// Tells or counts one connection; each is told at level debug.
    pub(crate) fn note(
        &self,
        log: &Logger,
        now: Instant,
        sort: CloseSort,
        who: &dyn Display,
        cause: &str,
    ) {
        let is_told = self.lock().note(sort, now, || format!("{cause} ({who})"));
        let text = match sort {
            CloseSort::NotAccepted => "connection not accepted",
            _ => "connection closed",
        };
        if !is_told {
            slog::debug!(log, "{}", text; "client" => %who, "cause" => cause);
        } else if is_trouble(sort) {
            slog::warn!(log, "{}", text; "client" => %who, "cause" => cause);
        } else {
            slog::info!(log, "{}", text; "client" => %who, "cause" => cause);
        }
    }

    /// Tells what was counted in intervals that are over. Called by the ticks of the listeners.
    pub(crate) fn tell_due(&self, log: &Logger, now: Instant) {
        let due = self.lock().take_due(now);
        for Counted { sort, count, last } in due {
            let sort_name = format!("{sort:?}");
            if is_trouble(sort) {
                slog::warn!(log, "more connections closed"; "sort" => sort_name, "count" => count, "last" => last);
            } else {
                slog::info!(log, "more connections closed"; "sort" => sort_name, "count" => count, "last" => last);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Closings> {
        self.closings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the operator has to do something about it: this node is short of something, or wrong.
fn is_trouble(sort: CloseSort) -> bool {
    matches!(
        sort,
        CloseSort::Stalled | CloseSort::NotAccepted | CloseSort::Unanswerable
    )
}
