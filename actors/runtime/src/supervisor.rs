//! The handle by which actors are started, stopped and revived, and the description of a child. The
//! decisions are in `policy`, the table in `group`.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::accounting::{Account, lock};
use crate::actor::Actor;
use crate::address::{Addr, Recipient};
use crate::arbiter::Arbiter;
use crate::cell::{Cell, Hooks, Order};
use crate::cell_handle::CellHandle;
use crate::group::{Child, ChildEvent, Group, GroupSupervisor, has_ended};
use crate::mailbox::Mailbox;
use crate::message::Undelivered;
use crate::path::ActorPath;
use crate::policy::{Ledger, Policy};
use crate::stage::Stage;

/// Data messages a mailbox holds unless its spec says otherwise: a few turns' worth, so that a
/// sender feels a slow receiver soon.
const DATA_CAPACITY: usize = 1024;

/// Control messages a mailbox holds unless its spec says otherwise.
const CONTROL_CAPACITY: usize = 128;

/// How a child is built, placed and supervised.
pub struct ChildSpec<A: Actor> {
    name: String,
    factory: Box<dyn FnMut() -> A + Send>,
    arbiter: Option<Arbiter>,
    data_capacity: usize,
    control_capacity: usize,
    policy: Policy,
    hooks: Hooks,
}

impl<A: Actor> ChildSpec<A> {
    /// A child with the default policy on the system arbiter.
    ///
    /// The factory runs once per instance, on the child's arbiter. It is cheap: what can fail
    /// belongs to `started`. `name` holds no slash.
    pub fn new(name: impl Into<String>, factory: impl FnMut() -> A + Send + 'static) -> Self {
        let name = name.into();
        assert!(
            !name.contains('/'),
            "the name of a child is one part of a path: {name}"
        );
        Self {
            name,
            factory: Box::new(factory),
            arbiter: None,
            data_capacity: DATA_CAPACITY,
            control_capacity: CONTROL_CAPACITY,
            policy: Policy::default(),
            hooks: Hooks::default(),
        }
    }

    /// Places the child on `arbiter`.
    #[must_use]
    pub fn on(mut self, arbiter: &Arbiter) -> Self {
        self.arbiter = Some(arbiter.clone());
        self
    }

    /// Bounds the two queues, in messages. Both are at least 1.
    #[must_use]
    pub fn mailbox(mut self, data_capacity: usize, control_capacity: usize) -> Self {
        self.data_capacity = data_capacity;
        self.control_capacity = control_capacity;
        self
    }

    /// Says when it is restarted and what it may cost.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Name of the child within its group.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<A: Actor> fmt::Debug for ChildSpec<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How a group is supervised.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// The policy of the group as a child of its parent. A group that falls too often escalates.
    pub policy: Policy,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            policy: Policy::escalating(),
        }
    }
}

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// It ended; if it did not do so by itself, it was dropped at the deadline.
    Ended,
    /// There is no such child, so there is nothing to stop.
    Unknown,
    /// Its thread hangs: it could not be ended.
    Hung,
}

/// A supervised group. Cloning gives another handle to the same group.
#[derive(Clone)]
pub struct Supervisor(Arc<Group>);

impl Supervisor {
    /// The root of the tree. It has no parent: when it falls, the process ends.
    pub(crate) fn root(stage: &Stage) -> Self {
        let group = Group::new(ActorPath::root(), stage.clone());
        let spec = ChildSpec::new("", supervisor_of(&group));
        let arbiter = stage.system_arbiter();
        let account = Arc::new(Account::new(ActorPath::root(), arbiter.clone()));
        let mut cell = furnish(spec, account, stage, None, 0);
        cell.hooks = hooks_of(&group);
        _ = group.own.set(Arc::clone(&cell.handle));
        _ = group.supervisor.set(Addr(Arc::clone(&cell.mailbox)));
        stage.registry().insert(Arc::clone(&cell.mailbox) as _);
        spawn_cell(&arbiter, cell);
        Self(group)
    }

    /// Place of the group in the tree.
    pub fn path(&self) -> &ActorPath {
        &self.0.path
    }

    /// Starts a child. Its mailbox can be used at once, also from other threads.
    ///
    /// In a group that has been stopped the child does not start and its mailbox refuses.
    ///
    /// # Panics
    /// If the group has a child of that name: two actors of one path would be a bug of the caller.
    /// A name is free again once its `stop_child` is done or the keeper got `Stopped`.
    pub fn start<A: Actor>(&self, spec: ChildSpec<A>) -> Addr<A> {
        let group = &self.0;
        let stage = &group.stage;
        let arbiter = spec
            .arbiter
            .clone()
            .unwrap_or_else(|| stage.system_arbiter());
        let account = Arc::new(Account::new(group.path.child(&spec.name), arbiter.clone()));
        let policy = spec.policy;
        let name = spec.name.clone();

        let mut table = lock(&group.table);
        let is_closed = table.is_closed;
        assert!(
            is_closed || !table.by_name.contains_key(&name),
            "{} is on stage",
            account.path
        );
        let child_id = table.next_id;
        table.next_id += 1;
        let own_group = Some(Arc::clone(group));
        let cell = furnish(spec, Arc::clone(&account), stage, own_group, child_id);
        let mailbox = Arc::clone(&cell.mailbox);
        let addr = Addr(Arc::clone(&mailbox));
        if is_closed {
            drop(table);
            mailbox.close(Undelivered::Stopped);
            return addr;
        }
        table.by_name.insert(name.clone(), child_id);
        let ledger = Ledger::default();
        let (generation, is_parked) = (1, false);
        let child = Child {
            name,
            policy,
            ledger,
            generation,
            is_parked,
            handle: Arc::clone(&cell.handle),
            account,
        };
        table.children.insert(child_id, child);
        drop(table);
        group.children_changed();

        stage.registry().insert(mailbox as _);
        spawn_cell(&arbiter, cell);
        addr
    }

    /// Starts a nested group.
    ///
    /// # Panics
    /// As [`Supervisor::start`].
    pub fn group(&self, name: &str, options: GroupOptions) -> Supervisor {
        let group = Group::new(self.0.path.child(name), self.0.stage.clone());
        let mut spec = ChildSpec::new(name, supervisor_of(&group)).policy(options.policy);
        spec.hooks = hooks_of(&group);
        let addr = self.start(spec);
        // Its cell may have started by now; it needs the address only when a child ends.
        _ = group.supervisor.set(addr);
        let table = lock(&self.0.table);
        if let Some(child) = table
            .by_name
            .get(name)
            .and_then(|id| table.children.get(id))
        {
            _ = group.own.set(Arc::clone(&child.handle));
        }
        drop(table);
        Supervisor(group)
    }

    /// Tells a child to stop, at once, and gives a future that completes when it has ended. Past
    /// `deadline` its instance is dropped as it is.
    pub fn stop_child(
        &self,
        name: &str,
        deadline: Duration,
    ) -> impl Future<Output = StopOutcome> + Send + use<> {
        let deadline = Instant::now() + deadline;
        let table = lock(&self.0.table);
        let child = table
            .by_name
            .get(name)
            .and_then(|id| table.children.get(id));
        let cell = child.map(|child| Arc::clone(&child.handle));
        drop(table);
        stop_cell(cell, deadline)
    }

    /// Stops the whole group, its children in reverse order of their start, then its supervisor.
    pub fn stop(&self, deadline: Duration) -> impl Future<Output = StopOutcome> + Send + 'static {
        let until = Instant::now() + deadline;
        stop_cell(self.0.own.get().map(Arc::clone), until)
    }

    /// Brings a parked child back with a fresh budget. False when there is no parked child of that
    /// name.
    pub fn revive(&self, name: &str) -> bool {
        self.0.revive(name)
    }

    /// Names the keeper of the group: it hears what happens to its children.
    pub fn on_child_event(&self, keeper: Recipient<ChildEvent>) {
        self.0.set_keeper(keeper);
    }

    /// Names of the children, in order of their start.
    pub fn children(&self) -> Vec<String> {
        lock(&self.0.table)
            .children
            .values()
            .map(|child| child.name.clone())
            .collect()
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Supervisor").field(&self.0.path).finish()
    }
}

/// Gives the order at once; the future only waits.
fn stop_cell(
    cell: Option<Arc<CellHandle>>,
    deadline: Instant,
) -> impl Future<Output = StopOutcome> + Send + 'static {
    /// Time for the drop of an instance at the deadline.
    const GRACE: Duration = Duration::from_millis(200);
    if let Some(cell) = &cell {
        cell.order(Order::Stop { deadline });
    }
    async move {
        match cell {
            None => StopOutcome::Unknown,
            Some(cell) if has_ended(&cell, deadline + GRACE).await => StopOutcome::Ended,
            Some(_) => StopOutcome::Hung,
        }
    }
}

/// Makes the cell of an actor that is not on stage yet.
fn furnish<A: Actor>(
    spec: ChildSpec<A>,
    account: Arc<Account>,
    stage: &Stage,
    group: Option<Arc<Group>>,
    child_id: u64,
) -> Cell<A> {
    let (data, control) = (spec.data_capacity, spec.control_capacity);
    Cell {
        mailbox: Arc::new(Mailbox::new(account, stage.clone(), data, control)),
        factory: spec.factory,
        handle: Arc::default(),
        seen_waker: None,
        group,
        child_id,
        restart: spec.policy.restart,
        hooks: spec.hooks,
        lobby_ends: None,
    }
}

fn spawn_cell<A: Actor>(arbiter: &Arbiter, cell: Cell<A>) {
    let mailbox = Arc::clone(&cell.mailbox);
    if !arbiter.spawn(move || cell.run()) {
        // The thread has ended, which happens only when the whole process stops.
        mailbox.close(Undelivered::Stopped);
    }
}

fn supervisor_of(group: &Arc<Group>) -> impl FnMut() -> GroupSupervisor + Send + 'static {
    let group = Arc::clone(group);
    move || GroupSupervisor::new(Arc::clone(&group))
}

fn hooks_of(group: &Arc<Group>) -> Hooks {
    let (at_park, at_end) = (Arc::clone(group), Arc::clone(group));
    Hooks {
        parked: Some(Box::new(move || at_park.order_all(&Order::Park))),
        ended: Some(Box::new(move || at_end.close())),
    }
}
