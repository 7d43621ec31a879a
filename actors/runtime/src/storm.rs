//! Counts events that come in storms, so that each is reported at most a few times a second and none
//! is forgotten. Holds no clock; the time comes in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::path::ActorPath;
use crate::supervision_log::{EventKind, SupervisionEvent};

/// Length of the window in which like events are counted.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

/// Crashes of one actor per window that are reported one by one, and what was lost in each. Back-off
/// makes more of them rare.
const CRASHES_PER_WINDOW: u32 = 8;

/// Storms looked after at the same time; beyond that, calm ones are forgotten first.
const STORMS_MAX: usize = 4096;

struct Storm {
    window_ends: Instant,
    admitted: u32,
    counted: u64,
    last: Option<SupervisionEvent>,
}

/// The storms going on.
#[derive(Default)]
pub(crate) struct Storms {
    by_source: HashMap<(ActorPath, EventKind), Storm>,
}

impl Storms {
    /// Gives the event back if it is to be reported, with what was counted before it.
    pub(crate) fn admit(
        &mut self,
        mut event: SupervisionEvent,
        now: Instant,
    ) -> Option<SupervisionEvent> {
        if self.by_source.len() >= STORMS_MAX {
            self.by_source
                .retain(|_, storm| storm.window_ends > now || storm.counted > 0);
        }
        let fresh = || Storm {
            window_ends: now + WINDOW,
            admitted: 0,
            counted: 0,
            last: None,
        };
        let source = (event.actor.clone(), event.kind);
        let storm = self.by_source.entry(source).or_insert_with(fresh);
        if now >= storm.window_ends {
            event.repeated += storm.counted;
            *storm = fresh();
        }
        if storm.admitted < admitted_max(event.kind) {
            storm.admitted += 1;
            return Some(event);
        }
        storm.counted += 1 + event.repeated;
        storm.last = Some(event);
        None
    }

    /// The last event of each storm whose window has ended, with its count.
    pub(crate) fn calmed(&mut self, now: Instant) -> Vec<SupervisionEvent> {
        let mut calmed = Vec::new();
        for storm in self.by_source.values_mut() {
            if now >= storm.window_ends
                && let Some(mut event) = storm.last.take()
            {
                // The event itself is one of those counted.
                event.repeated = storm.counted - 1;
                storm.counted = 0;
                storm.admitted = 1;
                storm.window_ends = now + WINDOW;
                calmed.push(event);
            }
        }
        self.by_source.retain(|_, storm| storm.window_ends > now);
        calmed
    }

    pub(crate) fn has_counted(&self) -> bool {
        self.by_source.values().any(|storm| storm.counted > 0)
    }
}

fn admitted_max(kind: EventKind) -> u32 {
    match kind {
        EventKind::Panicked
        | EventKind::Faulted
        | EventKind::Hung
        | EventKind::Restarted
        | EventKind::BackingOff
        | EventKind::Recovered
        | EventKind::BudgetSpent
        | EventKind::Escalated => CRASHES_PER_WINDOW,
        _ => 1,
    }
}
