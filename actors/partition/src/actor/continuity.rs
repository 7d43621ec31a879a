//! What the incarnations of one partition in one process know of each other: how far records were
//! shown, in which epoch some were lost, and how far they were synced when a sync failed. Compared with what the disk gives back, never used as
//! state.

use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use kabuki_protocol::ids::{LeaderEpoch, Offset};

/// In the place of an offset: no sync has failed since the last one that succeeded.
const TRUSTED: i64 = -1;

/// Shared by all incarnations through the factory.
#[derive(Debug)]
pub(crate) struct Continuity {
    shown_end: AtomicI64,
    shown_epoch: AtomicI32,
    lost_epoch: AtomicI32,
    doubtful_from: AtomicI64,
}

impl Continuity {
    pub(crate) fn new() -> Self {
        Self {
            shown_end: AtomicI64::new(-1),
            shown_epoch: AtomicI32::new(-1),
            lost_epoch: AtomicI32::new(-1),
            doubtful_from: AtomicI64::new(TRUSTED),
        }
    }

    /// Records below `end` may be seen from now on.
    pub(crate) fn shown(&self, end: Offset, epoch: LeaderEpoch) {
        self.shown_epoch.fetch_max(epoch.get(), Ordering::Relaxed);
        self.shown_end.store(end.get(), Ordering::Relaxed);
    }

    /// End of what an incarnation of this process has shown; -1 when there was none.
    pub(crate) fn shown_end(&self) -> Offset {
        Offset(self.shown_end.load(Ordering::Relaxed))
    }

    /// Records shown in the last epoch are gone; the log ends at `log_end` now. Returns that epoch,
    /// or `leader_epoch` if it is greater.
    pub(crate) fn lost(&self, log_end: Offset, leader_epoch: LeaderEpoch) -> LeaderEpoch {
        self.shown_end.store(log_end.get(), Ordering::Relaxed);
        let shown = self.shown_epoch.load(Ordering::Relaxed);
        let lost = shown.max(leader_epoch.get());
        self.lost_epoch.fetch_max(lost, Ordering::Relaxed);
        LeaderEpoch(lost)
    }

    /// A sync has failed: of what lies behind `synced_end` the page cache may hold nothing, or mark
    /// as written what is not. A sync that failed before knows better from where on.
    pub(crate) fn doubt_tail(&self, synced_end: Offset) {
        if self.doubtful_from().is_none() {
            self.doubtful_from
                .store(synced_end.get(), Ordering::Relaxed);
        }
    }

    /// The tail was written again and synced.
    pub(crate) fn trust_tail(&self) {
        self.doubtful_from.store(TRUSTED, Ordering::Relaxed);
    }

    /// End of what was synced before a sync failed; `None` while the tail is to be trusted.
    pub(crate) fn doubtful_from(&self) -> Option<Offset> {
        let from = self.doubtful_from.load(Ordering::Relaxed);
        (from != TRUSTED).then_some(Offset(from))
    }

    /// Greatest epoch in which shown records were lost; -1 for none.
    pub(crate) fn lost_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.lost_epoch.load(Ordering::Relaxed))
    }
}
