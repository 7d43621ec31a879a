//! The registry from path to mailbox, and what can be asked of an actor without knowing its type.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::accounting::{Account, ActorState};
use crate::actor::Actor;
use crate::address::Addr;
use crate::mailbox::Mailbox;
use crate::path::{ActorPath, Incarnation};

/// A mailbox of whatever actor.
pub(crate) trait AnyMailbox: Send + Sync {
    fn account(&self) -> &Arc<Account>;
    fn depth(&self) -> (usize, Option<Instant>);
    fn order_crash(&self);
    fn order_description(&self, wanted: mpsc::Sender<()>);
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<A: Actor> AnyMailbox for Mailbox<A> {
    fn account(&self) -> &Arc<Account> {
        &self.account
    }

    fn depth(&self) -> (usize, Option<Instant>) {
        Mailbox::depth(self)
    }

    fn order_crash(&self) {
        self.order(|orders| orders.crash = true);
    }

    fn order_description(&self, wanted: mpsc::Sender<()>) {
        self.order(|orders| {
            // An actor that hangs does not collect those who have gone.
            orders.describe.retain(|earlier| !earlier.is_closed());
            orders.describe.push(wanted);
        });
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// One actor as `kabuki actors` shows it.
#[derive(Debug, Clone)]
pub struct ActorDescription {
    /// Place in the tree.
    pub path: ActorPath,
    /// Where it stands.
    pub state: ActorState,
    /// Number of the current or next instance.
    pub incarnation: Incarnation,
    /// Restarts since it was first started.
    pub restarts: u64,
    /// The last crash in words; empty when there was none.
    pub last_cause: String,
    /// Messages that wait.
    pub mailbox_depth: usize,
    /// How long the oldest of them has waited at least.
    pub oldest_age: Duration,
    /// Messages handled by all instances.
    pub messages: u64,
    /// Times it was polled.
    pub wake_ups: u64,
    /// Time spent in it, in real time.
    pub busy: Duration,
    /// Thread it runs on.
    pub arbiter: String,
    /// What it says of itself, as of its last description.
    pub detail: String,
}

/// Why an actor was not crashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrashRefused {
    /// There is no such actor.
    #[error("no actor at {path}")]
    Unknown {
        /// The path asked for.
        path: ActorPath,
    },
    /// It has no instance now.
    #[error("actor {path} is {}", state.as_str())]
    NotRunning {
        /// The path asked for.
        path: ActorPath,
        /// Where it stands.
        state: ActorState,
    },
}

/// Finds actors by path. Cloning gives another handle to the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    actors: DashMap<ActorPath, Arc<dyn AnyMailbox>>,
    changes: watch::Sender<u64>,
}

impl Registry {
    /// The address of the actor at `path`, if there is one and it is an `A`.
    pub fn find<A: Actor>(&self, path: &ActorPath) -> Option<Addr<A>> {
        let mailbox = Arc::clone(self.0.actors.get(path)?.value());
        mailbox.into_any().downcast::<Mailbox<A>>().ok().map(Addr)
    }

    /// A number that changes whenever an actor has been registered, an instance of one has started,
    /// or one has left for good: to wait for an actor without looking again and again. Take the
    /// receiver, look, and wait for a change only then, so that none falls between.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// All actors at or below `prefix`, in order of their paths, with what they said of themselves
    /// last. A busy one says it once a second, an idle one may not have since it fell idle.
    pub fn describe(&self, prefix: &ActorPath) -> Vec<ActorDescription> {
        let now = Instant::now();
        let mut found: Vec<_> = self
            .mailboxes()
            .into_iter()
            .filter(|mailbox| mailbox.account().path.is_within(prefix))
            .map(|mailbox| describe(&*mailbox, now))
            .collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// As [`Registry::describe`], after every actor that has run since it last described itself has
    /// done so again. Those that have not within `limit`, all taken together, are described as they
    /// last were: one that hangs must be seen too.
    pub async fn describe_fresh(
        &self,
        prefix: &ActorPath,
        limit: Duration,
    ) -> Vec<ActorDescription> {
        let (wanted, mut described) = mpsc::channel::<()>(1);
        for mailbox in self.mailboxes() {
            let account = mailbox.account();
            let is_asked = account.path.is_within(prefix)
                && account.state() == ActorState::Running
                && account.has_run_since_described();
            if is_asked {
                mailbox.order_description(wanted.clone());
            }
        }
        drop(wanted);
        // Nothing is ever sent: the channel closes when the last of them has dropped its end.
        let _ = tokio::time::timeout(limit, described.recv()).await;
        self.describe(prefix)
    }

    /// Makes the actor at `path` panic at its next wake-up.
    ///
    /// # Errors
    /// When there is no such actor, or it is down already.
    pub fn crash(&self, path: &ActorPath) -> Result<(), CrashRefused> {
        let Some(mailbox) = self
            .0
            .actors
            .get(path)
            .map(|entry| Arc::clone(entry.value()))
        else {
            return Err(CrashRefused::Unknown { path: path.clone() });
        };
        match mailbox.account().state() {
            ActorState::Running => {
                mailbox.order_crash();
                Ok(())
            }
            state => Err(CrashRefused::NotRunning {
                path: path.clone(),
                state,
            }),
        }
    }

    pub(crate) fn insert(&self, mailbox: Arc<dyn AnyMailbox>) {
        let path = mailbox.account().path.clone();
        self.0.actors.insert(path, mailbox);
        self.changed();
    }

    /// Removes the entry of this account, unless another actor has taken the path since.
    pub(crate) fn remove(&self, account: &Account) {
        let is_same = |mailbox: &Arc<dyn AnyMailbox>| mailbox.account().id == account.id;
        self.0
            .actors
            .remove_if(&account.path, |_, mailbox| is_same(mailbox));
        self.changed();
    }

    /// Wakes those who wait for a change.
    pub(crate) fn changed(&self) {
        self.0
            .changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A copy of the entries: whoever walks them must hold no lock of the map.
    pub(crate) fn mailboxes(&self) -> Vec<Arc<dyn AnyMailbox>> {
        self.0
            .actors
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect()
    }
}

fn describe(mailbox: &dyn AnyMailbox, now: Instant) -> ActorDescription {
    let account = mailbox.account();
    let (mailbox_depth, waiting_since) = mailbox.depth();
    ActorDescription {
        path: account.path.clone(),
        state: account.state(),
        incarnation: account.incarnation(),
        restarts: account.restarts.load(Ordering::Relaxed),
        last_cause: account
            .last_crash()
            .map(|crash| crash.to_string())
            .unwrap_or_default(),
        mailbox_depth,
        oldest_age: waiting_since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at)),
        messages: account.messages.load(Ordering::Relaxed),
        wake_ups: account.wake_ups(),
        busy: account.busy(),
        arbiter: account.arbiter.name().to_owned(),
        detail: account.detail(),
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("actors", &self.0.actors.len())
            .finish()
    }
}
