//! A supervised group: the table of its children, and the actor that judges their ends. The table
//! outlives the supervisor's instances; when an instance falls, its children fall with it, and the
//! next one brings them back.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::accounting::{Account, lock};
use crate::actor::{Actor, Handler};
use crate::address::{Addr, Recipient};
use crate::cell::{AfterCrash, Due, Order, StartReason};
use crate::cell_handle::CellHandle;
use crate::context::Context;
use crate::fault::{Crash, Fault};
use crate::message::{Lane, Message};
use crate::path::ActorPath;
use crate::policy::{Ledger, Policy, Verdict, WhenSpent};
use crate::stage::Stage;
use crate::supervision_log::{EventKind, SupervisionEvent};

/// Something happened to a child. Sent to the keeper of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildEvent {
    /// Name of the child within its group.
    pub name: String,
    /// What happened.
    pub kind: ChildEventKind,
    /// The crash in words; empty for an ordinary stop.
    pub cause: String,
}

impl Message for ChildEvent {
    type Reply = ();
    const LANE: Lane = Lane::Control;
}

/// What happened to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildEventKind {
    /// Its instance crashed.
    Crashed,
    /// Its next instance started.
    Restarted,
    /// Its budget is spent; it stays down until `revive`.
    Parked,
    /// It ended for good and is no child any more.
    Stopped,
}

/// What the table holds of a child.
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) ledger: Ledger,
    /// Number of the last order to start; ends of instances of older ones are stale.
    pub(crate) generation: u64,
    pub(crate) is_parked: bool,
    pub(crate) handle: Arc<CellHandle>,
    pub(crate) account: Arc<Account>,
}

impl Child {
    fn restart(&mut self, at: Instant, reason: StartReason) {
        self.generation += 1;
        self.is_parked = false;
        self.order(Order::Restart(Due {
            generation: self.generation,
            at,
            reason,
        }));
    }

    pub(crate) fn order(&self, order: Order) {
        self.handle.order(order);
    }
}

#[derive(Default)]
pub(crate) struct Table {
    /// In order of start.
    pub(crate) children: BTreeMap<u64, Child>,
    pub(crate) by_name: HashMap<String, u64>,
    pub(crate) next_id: u64,
    pub(crate) is_closed: bool,
    keeper: Option<Recipient<ChildEvent>>,
}

/// The part of a group that outlives its supervisor's instances.
pub(crate) struct Group {
    pub(crate) path: ActorPath,
    pub(crate) stage: Stage,
    pub(crate) table: Mutex<Table>,
    pub(crate) supervisor: OnceLock<Addr<GroupSupervisor>>,
    /// The cell of the supervisor itself.
    pub(crate) own: OnceLock<Arc<CellHandle>>,
}

impl Group {
    pub(crate) fn new(path: ActorPath, stage: Stage) -> Arc<Self> {
        Arc::new(Self {
            path,
            stage,
            table: Mutex::default(),
            supervisor: OnceLock::new(),
            own: OnceLock::new(),
        })
    }

    pub(crate) fn set_keeper(&self, keeper: Recipient<ChildEvent>) {
        lock(&self.table).keeper = Some(keeper);
    }

    /// Tells the keeper of the group, if there is one.
    pub(crate) fn notify(&self, child_id: u64, kind: ChildEventKind, cause: &str) {
        let table = lock(&self.table);
        let (Some(keeper), Some(child)) = (table.keeper.clone(), table.children.get(&child_id))
        else {
            return;
        };
        let event = ChildEvent {
            name: child.name.clone(),
            kind,
            cause: cause.to_owned(),
        };
        drop(table);
        // A keeper that is gone looks at the whole group when it comes back.
        _ = keeper.tell_event(event);
    }

    pub(crate) fn child_exited(&self, exited: ChildExited) {
        if let Some(supervisor) = self.supervisor.get() {
            // Refused only while the supervisor is down: its next instance restarts all children.
            _ = supervisor.recipient().tell_event(exited);
        }
    }

    /// The cell of a child has ended.
    pub(crate) fn child_ended(&self, child_id: u64) {
        self.notify(child_id, ChildEventKind::Stopped, "");
        let mut table = lock(&self.table);
        if let Some(child) = table.children.remove(&child_id) {
            table.by_name.remove(&child.name);
        }
        drop(table);
        self.children_changed();
    }

    /// The supervisor says how many children there are, and does not run when one comes or goes.
    pub(crate) fn children_changed(&self) {
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.0.account.outdate_description();
        }
    }

    /// Gives every child the same order, the last started first.
    pub(crate) fn order_all(&self, order: &Order) {
        for child in lock(&self.table).children.values().rev() {
            child.order(order.clone());
        }
    }

    /// The group has ended for good.
    pub(crate) fn close(&self) {
        lock(&self.table).is_closed = true;
        self.order_all(&Order::Stop {
            deadline: Instant::now(),
        });
    }

    /// Stops the children one after the other, the last started first.
    ///
    /// Nobody may use up the time of those that stop after it, and the supervisor needs some as
    /// well: each child has half of the time that is left, the last one three quarters.
    pub(crate) async fn stop_children(self: Arc<Self>, deadline: Instant) {
        let ids: Vec<u64> = lock(&self.table).children.keys().rev().copied().collect();
        let last = ids.last().copied();
        for id in ids {
            let now = Instant::now();
            let left = deadline.saturating_duration_since(now);
            let own = if last == Some(id) {
                left * 3 / 4
            } else {
                left / 2
            };
            let cell = {
                let table = lock(&self.table);
                let Some(child) = table.children.get(&id) else {
                    continue;
                };
                child.order(Order::Stop {
                    deadline: now + own,
                });
                Arc::clone(&child.handle)
            };
            // A child whose thread hangs is left behind; its siblings still stop in order.
            _ = has_ended(&cell, now + own + (left - own) / 2).await;
        }
    }
}

/// Waits for the end of a cell, but not beyond `until`.
pub(crate) async fn has_ended(cell: &CellHandle, until: Instant) -> bool {
    tokio::time::timeout_at(until, cell.ended()).await.is_ok()
}

/// The instance of a child ended and nobody ordered it.
#[derive(Debug)]
pub(crate) struct ChildExited {
    pub(crate) child_id: u64,
    pub(crate) generation: u64,
    pub(crate) ran_for: Duration,
    pub(crate) crash: Crash,
}

impl Message for ChildExited {
    type Reply = ();
    const LANE: Lane = Lane::Control;
}

/// All children have ended on request.
struct ChildrenStopped;

impl Message for ChildrenStopped {
    type Reply = ();
    const LANE: Lane = Lane::Control;
}

/// The supervisor of a group. Its end is the end of its children's instances.
pub(crate) struct GroupSupervisor {
    group: Arc<Group>,
}

impl GroupSupervisor {
    pub(crate) fn new(group: Arc<Group>) -> Self {
        Self { group }
    }
}

impl Actor for GroupSupervisor {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        if cx.incarnation().0 > 1 {
            let now = cx.now();
            for child in lock(&self.group.table).children.values_mut() {
                child.ledger.reset();
                child.restart(now, StartReason::WithGroup);
            }
        }
        Ok(())
    }

    fn stop_requested(&mut self, cx: &mut Context<Self>) {
        lock(&self.group.table).is_closed = true;
        let deadline = cx.stop_deadline().unwrap_or_else(|| cx.now());
        cx.spawn(Arc::clone(&self.group).stop_children(deadline), |()| {
            ChildrenStopped
        });
    }

    fn describe(&self) -> String {
        let table = lock(&self.group.table);
        let parked = table
            .children
            .values()
            .filter(|child| child.is_parked)
            .count();
        let children = match table.children.len() {
            1 => "1 child".to_owned(),
            count => format!("{count} children"),
        };
        match parked {
            0 => children,
            _ => format!("{children}, {parked} parked"),
        }
    }
}

impl Drop for GroupSupervisor {
    fn drop(&mut self) {
        self.group.order_all(&Order::Halt);
    }
}

impl Handler<ChildrenStopped> for GroupSupervisor {
    fn handle(&mut self, _: ChildrenStopped, cx: &mut Context<Self>) {
        cx.stop();
    }
}

impl Handler<ChildExited> for GroupSupervisor {
    fn handle(&mut self, exited: ChildExited, cx: &mut Context<Self>) {
        let ChildExited {
            child_id,
            generation,
            ran_for,
            crash,
        } = exited;
        let now = cx.now();
        let jitter = self.group.stage.jitter();
        let mut table = lock(&self.group.table);
        let Some(child) = table.children.get_mut(&child_id) else {
            return;
        };
        if child.generation != generation {
            return;
        }
        let policy = child.policy;
        let restarts_max = policy.budget.restarts_max;
        let verdict = child.ledger.crashed(&policy, ran_for, now, jitter);
        let path = child.account.path.clone();
        let event = |kind| SupervisionEvent::new(kind, &path, child.account.last_incarnation());
        let log = self.group.stage.supervision_log();
        let cause = crash.to_string();
        match verdict {
            Verdict::Restart {
                after,
                restarts_in_window,
            } => {
                if child.ledger.is_repeated() {
                    log.record(
                        event(EventKind::BackingOff)
                            .with_crash(&crash)
                            .with_backoff(after)
                            .with_budget(restarts_in_window, restarts_max),
                    );
                }
                let after_crash = AfterCrash {
                    crash,
                    backoff: after,
                    restarts_in_window,
                    restarts_max,
                };
                child.restart(now + after, StartReason::Crash(Box::new(after_crash)));
                drop(table);
                self.group.notify(child_id, ChildEventKind::Crashed, &cause);
            }
            Verdict::Spent { restarts_in_window } => {
                log.record(
                    event(EventKind::BudgetSpent)
                        .with_crash(&crash)
                        .with_budget(restarts_in_window, restarts_max),
                );
                if policy.when_spent == WhenSpent::Escalate {
                    log.record(event(EventKind::Escalated).with_crash(&crash));
                    drop(table);
                    self.group.notify(child_id, ChildEventKind::Crashed, &cause);
                    cx.fail(Fault::new(format!("{path} spent its budget: {cause}")));
                    return;
                }
                child.is_parked = true;
                child.order(Order::Park);
                drop(table);
                self.group.notify(child_id, ChildEventKind::Crashed, &cause);
                self.group.notify(child_id, ChildEventKind::Parked, &cause);
            }
        }
    }
}

impl Group {
    /// Brings a parked child back with a fresh budget. False when there is none.
    pub(crate) fn revive(&self, name: &str) -> bool {
        let mut table = lock(&self.table);
        let Some(id) = table.by_name.get(name).copied() else {
            return false;
        };
        match table.children.get_mut(&id) {
            Some(child) if child.is_parked => {
                child.ledger.reset();
                child.restart(Instant::now(), StartReason::Revived);
            }
            _ => return false,
        }
        drop(table);
        self.children_changed();
        true
    }
}
