//! What a connection does when the thread that serves some of its partitions stands still, as under a
//! file system that is frozen: those partitions are answered for, so that the requests behind them
//! flow on. What they say later is for nobody.

use kabuki_runtime::{Context, Handler, Standstill};
use tokio::sync::watch;

use crate::actor::Session;
use crate::messages::StandstillSeen;

impl Session {
    /// Has this session told when a thread that it waits for stands still.
    pub(crate) fn watch_thread(&mut self, standstill: Option<&Standstill>, cx: &mut Context<Self>) {
        let Some(standstill) = standstill else {
            return;
        };
        let number = standstill.number();
        if self.watched_threads.contains(&number) {
            return;
        }
        self.watched_threads.push(number);
        let changes = standstill.changes();
        cx.spawn(next_standstill(changes, false), move |changes| {
            StandstillSeen { number, changes }
        });
    }
}

/// Completes when the thread stands still, after it has moved again if this was told before.
async fn next_standstill(
    mut changes: watch::Receiver<bool>,
    is_told: bool,
) -> watch::Receiver<bool> {
    let has_moved = !is_told || changes.wait_for(|still| !*still).await.is_ok();
    if !has_moved || changes.wait_for(|still| *still).await.is_err() {
        // The thread has ended, and with it the node.
        std::future::pending::<()>().await;
    }
    changes
}

impl Handler<StandstillSeen> for Session {
    fn handle(&mut self, seen: StandstillSeen, cx: &mut Context<Self>) {
        let StandstillSeen { number, changes } = seen;
        self.give_up_still_appends(number);
        self.give_up_still_reads(number);
        cx.spawn(next_standstill(changes, true), move |changes| {
            StandstillSeen { number, changes }
        });
    }
}
