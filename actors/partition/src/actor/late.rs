//! Notices a sync that does not come back, as on a disk that hangs in fdatasync while its page cache
//! goes on taking writes: who waits for it is let go, so that what is behind it on its connection flows.

use std::time::Duration;

use kabuki_runtime::{Context, Handler, Message, Timer};

use super::Partition;
use super::jobs::tick;
use crate::state::{FLUSH_MESSAGES_NEVER, Probe};

/// How long a sync that answers wait for may be out: what any job of the pool may take.
const SYNC_LATE: Duration = Duration::from_secs(5);

tick! {
    /// The sync that was out when this was asked for may still be.
    SyncLookDue => sync_look_due;
}

/// Counts syncs, so that a look can tell one that hangs from many that follow each other. One timer
/// for all of them, and none while nothing is synced.
#[derive(Default)]
pub(crate) struct SyncWatch {
    started_count: u64,
    /// Count at the last look.
    looked_at: u64,
    timer: Option<Timer>,
    is_late: bool,
}

impl SyncWatch {
    /// The sync has come back. True if it was given up before.
    pub(super) fn take_late(&mut self) -> bool {
        std::mem::take(&mut self.is_late)
    }
}

impl Partition {
    /// A sync has begun.
    pub(super) fn watch_sync(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        open.sync_watch.started_count += 1;
        if open.sync_watch.timer.is_none() {
            self.look_later(cx);
        }
    }

    fn look_later(&mut self, cx: &mut Context<Self>) {
        // Without answers that wait for it a sync may take as long as it likes.
        if self.config.log.flush_messages == FLUSH_MESSAGES_NEVER {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let watch = &mut open.sync_watch;
        watch.looked_at = watch.started_count;
        watch.timer = Some(cx.tell_after(SYNC_LATE, SyncLookDue));
    }

    fn sync_look_due(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        open.sync_watch.timer = None;
        if !open.state.marks.is_syncing() {
            return;
        }
        if open.sync_watch.looked_at != open.sync_watch.started_count {
            return self.look_later(cx);
        }
        open.sync_watch.is_late = true;
        // They are in the file, and may come to be on the medium: whoever sent them is told that
        // nothing is known.
        drop(open.state.take_waiters());
        let cause = format!("a sync has been out for {} s", SYNC_LATE.as_secs());
        self.degrade(cause, Probe::Write, cx);
    }
}
