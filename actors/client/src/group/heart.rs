//! The task that keeps a member in its group: it sends the heartbeats, whatever the program does meanwhile,
//! and leaves when the program has not polled for too long. One heartbeat is out at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kabuki_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::GroupOptions;
use super::membership::{Beat, Membership};
use crate::cluster::Client;
use crate::error::ClientError;

/// What the task and the consumer both know.
#[derive(Debug)]
pub(super) struct Shared {
    membership: Mutex<Membership>,
    /// To the consumer: a heartbeat was answered, or the member is lost.
    news: Notify,
    /// To the task: another heartbeat may be due.
    changed: Notify,
}

impl Shared {
    /// The membership, for as long as the guard lives; never across an await.
    pub(super) fn membership(&self) -> MutexGuard<'_, Membership> {
        // Only plain assignments happen under it.
        self.membership
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the membership, and has the task look at it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Membership) -> T) -> T {
        let changed = change(&mut self.membership());
        self.changed.notify_one();
        changed
    }

    /// Waits for the next news; those that came since the last wait count.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}

/// The task of one member. Dropped, it ends without a word to the group.
#[derive(Debug)]
pub(super) struct Heart {
    pub(super) shared: Arc<Shared>,
    /// Told to end, the task leaves the group first.
    ending: Arc<Notify>,
    task: JoinHandle<Result<(), ClientError>>,
}

impl Heart {
    /// Must be called inside of a tokio runtime.
    pub(super) fn start(client: Client, options: &GroupOptions) -> Self {
        let shared = Arc::new(Shared {
            membership: Mutex::new(Membership::new(options, Instant::now())),
            news: Notify::new(),
            changed: Notify::new(),
        });
        let ending = Arc::new(Notify::new());
        let group = options.group.clone();
        let task = tokio::spawn(run(client, group, shared.clone(), ending.clone()));
        Self {
            shared,
            ending,
            task,
        }
    }

    /// Leaves the group, once the heartbeat that is out is answered.
    pub(super) async fn leave(mut self) -> Result<(), ClientError> {
        self.ending.notify_one();
        (&mut self.task).await.unwrap_or(Err(ClientError::Ended {
            what: "the task of the member",
        }))
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Beats until it is told to end.
async fn run(
    client: Client,
    group: String,
    shared: Arc<Shared>,
    ending: Arc<Notify>,
) -> Result<(), ClientError> {
    loop {
        let due_at = shared.membership().due_at();
        tokio::select! {
            biased;
            () = ending.notified() => {
                let last = shared.membership().leave();
                return match last {
                    Some(last) => send(&client, &group, &last).await.map(drop),
                    None => Ok(()),
                };
            }
            () = sleep_until(due_at) => {}
            () = shared.changed.notified() => continue,
        }
        let beat = shared.membership().beat(Instant::now());
        let Some(beat) = beat else { continue };
        if beat.is_last() {
            // The program may poll and join again before the group has answered.
            shared.news.notify_one();
        }
        let told = send(&client, &group, &beat).await;
        shared.membership().answered(&beat, told, Instant::now());
        shared.news.notify_one();
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Sends a heartbeat to the coordinator of the group.
async fn send(
    client: &Client,
    group: &str,
    beat: &Beat,
) -> Result<ConsumerGroupHeartbeatResponse, ClientError> {
    client
        .at_coordinator(group, async |connection| {
            let answer = connection.call(&beat.request).await?;
            let message = answer.error_message.as_deref();
            let what = || format!("membership in group {group}");
            ClientError::check(answer.error_code, message, what)?;
            Ok(answer)
        })
        .await
}
