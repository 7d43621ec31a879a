//! Whether the thread of an arbiter stands still, for those on other threads who wait for its actors.
//! What ran there when it stopped may be done later; what waits there is not lost.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Told by the hang watch, read by anybody. Clones show the same thread.
#[derive(Clone)]
pub struct Standstill(Arc<Inner>);

struct Inner {
    number: u64,
    is_still: AtomicBool,
    changes: watch::Sender<bool>,
}

impl Standstill {
    /// Of a thread that moves; `number` tells it apart from others.
    pub fn new(number: u64) -> Self {
        Self(Arc::new(Inner {
            number,
            is_still: AtomicBool::new(false),
            changes: watch::Sender::new(false),
        }))
    }

    /// Tells this thread apart from others of the process.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// True while nothing on that thread gets done. Costs one load.
    pub fn is_still(&self) -> bool {
        self.0.is_still.load(Ordering::Relaxed)
    }

    /// Tells changes; the receiver starts with the present state unseen when it stands still.
    pub fn changes(&self) -> watch::Receiver<bool> {
        let mut changes = self.0.changes.subscribe();
        if *changes.borrow_and_update() {
            changes.mark_changed();
        }
        changes
    }

    /// Completes once that thread stands still, at once if it does.
    pub async fn stands_still(&self) {
        // The sender lives as long as this clone, so there is nothing to miss.
        _ = self.0.changes.subscribe().wait_for(|still| *still).await;
    }

    /// Tells everybody. Called by the hang watch, and by tests in its place.
    pub fn set(&self, is_still: bool) {
        self.0.is_still.store(is_still, Ordering::Relaxed);
        self.0.changes.send_if_modified(|told| {
            let is_news = *told != is_still;
            *told = is_still;
            is_news
        });
    }
}

impl fmt::Debug for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Standstill({}, {})", self.0.number, self.is_still())
    }
}
