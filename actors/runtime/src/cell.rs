//! The life of one actor over all of its instances: waits, builds, lets perform, reports the end to
//! the supervisor and obeys its orders. One task per actor, on the actor's arbiter.

use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::accounting::{Account, ActorState};
use crate::actor::Actor;
use crate::cell_handle::CellHandle;
use crate::context::Context;
use crate::fault::{Cause, Crash};
use crate::group::{ChildEventKind, ChildExited, Group};
use crate::mailbox::Mailbox;
use crate::message::Undelivered;
use crate::panic_capture::caught;
use crate::policy::Restart;
use crate::pump::{Body, Exit, ExitSlot};
use crate::supervision_log::{EventKind, SupervisionEvent};

/// How long messages wait for the next instance of a crashed actor. Ten times the first back-off,
/// and short against any client's time-out.
pub const LOBBY_WAIT: Duration = Duration::from_millis(100);

/// Later than anything that is waited for.
const FAR: Duration = Duration::from_secs(86_400);

/// What a supervisor tells a cell.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Start the next instance, ending one that runs.
    Restart(Due),
    /// Stay down until further orders and refuse messages.
    Park,
    /// Drop the instance and wait: the group is down.
    Halt,
    /// End for good; the instance has until then to do so by itself.
    Stop { deadline: Instant },
}

/// The next start.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    /// Which order this follows; the supervisor ignores ends of instances of older ones.
    pub(crate) generation: u64,
    pub(crate) at: Instant,
    pub(crate) reason: StartReason,
}

/// Why an instance starts, for the log.
#[derive(Debug, Clone)]
pub(crate) enum StartReason {
    /// The actor is new.
    First,
    /// The instance before crashed.
    Crash(Box<AfterCrash>),
    /// Its supervisor was restarted.
    WithGroup,
    /// It was parked and somebody revived it.
    Revived,
}

#[derive(Debug, Clone)]
pub(crate) struct AfterCrash {
    pub(crate) crash: Crash,
    pub(crate) backoff: Duration,
    pub(crate) restarts_in_window: u32,
    pub(crate) restarts_max: u32,
}

/// What a group does when the cell of its supervisor changes state.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) parked: Option<Box<dyn Fn() + Send>>,
    pub(crate) ended: Option<Box<dyn FnOnce() + Send>>,
}

/// Everything about one actor that outlives its instances.
pub(crate) struct Cell<A: Actor> {
    pub(crate) mailbox: Arc<Mailbox<A>>,
    pub(crate) factory: Box<dyn FnMut() -> A + Send>,
    pub(crate) handle: Arc<CellHandle>,
    pub(crate) seen_waker: Option<Waker>,
    /// None for the root.
    pub(crate) group: Option<Arc<Group>>,
    pub(crate) child_id: u64,
    pub(crate) restart: Restart,
    pub(crate) hooks: Hooks,
    /// When the messages that wait are handed back.
    pub(crate) lobby_ends: Option<Instant>,
}

/// What follows the end of an instance.
enum Next {
    Wait(Option<Due>),
    End,
}

impl<A: Actor> Cell<A> {
    /// Runs until the actor has ended for good.
    pub(crate) async fn run(mut self) {
        let mut due = Some(Due {
            generation: 1,
            at: Instant::now(),
            reason: StartReason::First,
        });
        while let Some(start) = self.wait(due.take()).await {
            match self.perform(start).await {
                Next::Wait(next) => due = next,
                Next::End => break,
            }
        }
        self.finish();
    }

    fn account(&self) -> &Arc<Account> {
        &self.mailbox.account
    }

    /// Off stage: waits for the next start. None when the actor is to end.
    async fn wait(&mut self, mut due: Option<Due>) -> Option<Due> {
        loop {
            let account = Arc::clone(self.account());
            let due_at = due.as_ref().map(|due| due.at);
            let start = async {
                match due_at {
                    None => pending().await,
                    Some(at) => {
                        if at > Instant::now() {
                            sleep_until(at).await;
                        }
                        // A write of the old instance may still be out.
                        account.holds_released().await;
                    }
                }
            };
            let lobby_ends = self.lobby_ends;
            let lobby = async {
                match lobby_ends {
                    None => pending().await,
                    Some(at) => sleep_until(at).await,
                }
            };
            tokio::select! {
                biased;
                order = next_order(&self.handle, &mut self.seen_waker) => match order {
                    Order::Restart(next) => {
                        self.account().set_state(ActorState::Restarting);
                        due = Some(next);
                    }
                    Order::Park => {
                        due = None;
                        self.park();
                    }
                    // Nobody brings a temporary actor back, not even with its group.
                    Order::Halt if self.restart == Restart::Temporary => return None,
                    Order::Halt => due = None,
                    Order::Stop { .. } => return None,
                },
                () = start => return due,
                () = lobby => {
                    self.lobby_ends = None;
                    self.mailbox.close(Undelivered::Restarting);
                }
            }
        }
    }

    /// On stage: one instance from its making to its end.
    async fn perform(&mut self, due: Due) -> Next {
        let generation = due.generation;
        let actor = match caught(|| (self.factory)()) {
            Ok(actor) => actor,
            Err(panic) => {
                let mut crash = crash_without_message(Cause::Panic(panic.text));
                crash.place = panic.place;
                "factory".clone_into(&mut crash.message);
                self.count_incarnation();
                return self.crashed(crash, generation, Duration::ZERO);
            }
        };
        let incarnation = self.account().incarnation();
        let mailbox = Arc::clone(&self.mailbox);
        let cx = Context::new(Arc::clone(&mailbox), incarnation);
        let exit_slot = ExitSlot::default();
        let started_well = Rc::new(std::cell::Cell::new(false));
        let announce = self.announcement(due, Rc::clone(&started_well));
        let body = Body::new(mailbox, actor, cx, ExitSlot::clone(&exit_slot), announce);

        let began = Instant::now();
        let ordered = self.drive(actix::Context::new().into_future(body)).await;
        let ran_for = began.elapsed();
        let exit = exit_slot.borrow_mut().take().unwrap_or(Exit::Killed);
        self.count_incarnation();
        if started_well.get() {
            // Otherwise the wait of those in the lobby goes on where it was.
            self.lobby_ends = None;
        }
        match ordered {
            Some(order) => self.ended_on_order(order, exit),
            None => self.ended_by_itself(exit, generation, ran_for),
        }
    }

    /// Polls the instance until it has ended. Gives the order that came meanwhile; a stop stands
    /// above all others, of which the last counts.
    async fn drive(&mut self, instance: impl Future<Output = ()>) -> Option<Order> {
        // On the heap, so that an actor off stage is small.
        let mut instance = Box::pin(instance);
        let mut ordered = None;
        let mut stop_at: Option<Instant> = None;
        loop {
            let killing_time = async {
                match stop_at {
                    None => pending().await,
                    Some(at) => sleep_until(at).await,
                }
            };
            tokio::select! {
                biased;
                order = next_order(&self.handle, &mut self.seen_waker) => match order {
                    Order::Stop { deadline } => {
                        let deadline = stop_at.map_or(deadline, |at| at.min(deadline));
                        stop_at = Some(deadline);
                        self.mailbox.order(|orders| orders.stop = Some(deadline));
                    }
                    order => {
                        ordered = Some(order);
                        self.mailbox.order(|orders| orders.kill = true);
                    }
                },
                () = &mut instance => break,
                () = killing_time => {
                    // Once is enough; a far deadline keeps this arm quiet from here on.
                    stop_at = Some(Instant::now() + FAR);
                    self.mailbox.stage.overdue(self.account());
                    self.mailbox.order(|orders| orders.kill = true);
                }
            }
        }
        stop_at.map(|deadline| Order::Stop { deadline }).or(ordered)
    }

    fn ended_on_order(&mut self, order: Order, exit: Exit) -> Next {
        if let Exit::Crashed(crash) = exit {
            self.record(&crash);
        }
        // Nobody brings a temporary actor back, not even with its group.
        if self.restart == Restart::Temporary {
            return Next::End;
        }
        self.account().set_state(ActorState::Restarting);
        self.begin_lobby();
        match order {
            Order::Restart(due) => Next::Wait(Some(due)),
            Order::Park => {
                self.park();
                Next::Wait(None)
            }
            Order::Halt => Next::Wait(None),
            Order::Stop { .. } => Next::End,
        }
    }

    fn ended_by_itself(&mut self, exit: Exit, generation: u64, ran_for: Duration) -> Next {
        match exit {
            Exit::Crashed(crash) => self.crashed(crash, generation, ran_for),
            Exit::Stopped if self.restart == Restart::Permanent && self.group.is_some() => {
                self.exited(crash_without_message(Cause::Stopped), generation, ran_for)
            }
            Exit::Stopped | Exit::Killed => Next::End,
        }
    }

    /// The instance is gone: what it sent to itself goes with it.
    fn count_incarnation(&mut self) {
        let next = self.account().incarnation().next();
        self.mailbox.instance_ended(next);
        self.account().set_incarnation(next);
    }

    fn begin_lobby(&mut self) {
        if self.lobby_ends.is_none() {
            self.lobby_ends = Some(Instant::now() + LOBBY_WAIT);
        }
    }

    fn record(&self, crash: &Crash) {
        let account = self.account();
        account.crashed(crash.clone());
        let last = account.last_incarnation();
        let event = SupervisionEvent::new(crash.cause.event_kind(), &account.path, last);
        self.mailbox
            .stage
            .supervision_log()
            .record(event.with_crash(crash));
    }

    fn crashed(&mut self, crash: Crash, generation: u64, ran_for: Duration) -> Next {
        self.record(&crash);
        if self.restart == Restart::Temporary {
            if let Some(group) = &self.group {
                group.notify(self.child_id, ChildEventKind::Crashed, &crash.to_string());
            }
            return Next::End;
        }
        self.exited(crash, generation, ran_for)
    }

    /// Tells the supervisor and waits for its orders.
    fn exited(&mut self, crash: Crash, generation: u64, ran_for: Duration) -> Next {
        self.account().set_state(ActorState::Restarting);
        self.begin_lobby();
        let Some(group) = &self.group else {
            self.mailbox.stage.root_failed(&crash);
            return Next::End;
        };
        let child_id = self.child_id;
        group.child_exited(ChildExited {
            child_id,
            generation,
            ran_for,
            crash,
        });
        Next::Wait(None)
    }

    fn park(&mut self) {
        self.lobby_ends = None;
        self.account().set_state(ActorState::Parked);
        self.mailbox.close(Undelivered::Parked);
        if let Some(parked) = &self.hooks.parked {
            parked();
        }
    }

    /// What happens once the instance has started well.
    fn announcement(&self, due: Due, started_well: Rc<std::cell::Cell<bool>>) -> Box<dyn FnOnce()> {
        let mailbox = Arc::clone(&self.mailbox);
        let group = self.group.clone();
        let child_id = self.child_id;
        let is_first = self.account().incarnation().0 == 1;
        Box::new(move || {
            let account = &mailbox.account;
            started_well.set(true);
            account.set_state(ActorState::Running);
            mailbox.open();
            mailbox.stage.registry().changed();
            let kind = if is_first {
                EventKind::Started
            } else {
                EventKind::Restarted
            };
            let mut event = SupervisionEvent::new(kind, &account.path, account.incarnation());
            let mut cause = String::new();
            match due.reason {
                StartReason::First => {}
                StartReason::Crash(after) => {
                    cause = after.crash.to_string();
                    event = event
                        .with_crash(&after.crash)
                        .with_backoff(after.backoff)
                        .with_budget(after.restarts_in_window, after.restarts_max);
                }
                StartReason::WithGroup => "group".clone_into(&mut event.cause),
                StartReason::Revived => "revived".clone_into(&mut event.cause),
            }
            mailbox.stage.supervision_log().record(event);
            if !is_first {
                account.restarts.fetch_add(1, Ordering::Relaxed);
                if let Some(group) = &group {
                    group.notify(child_id, ChildEventKind::Restarted, &cause);
                }
            }
        })
    }

    fn finish(mut self) {
        let account = Arc::clone(self.account());
        account.set_state(ActorState::Stopped);
        self.mailbox.close(Undelivered::Stopped);
        let stage = &self.mailbox.stage;
        stage.registry().remove(&account);
        let event = SupervisionEvent::new(
            EventKind::Stopped,
            &account.path,
            account.last_incarnation(),
        );
        stage.supervision_log().record(event);
        if let Some(ended) = self.hooks.ended.take() {
            ended();
        }
        if let Some(group) = &self.group {
            group.child_ended(self.child_id);
        }
        self.handle.set_ended();
    }
}

async fn next_order(handle: &CellHandle, seen_waker: &mut Option<Waker>) -> Order {
    poll_fn(|task| handle.poll_order(seen_waker, task)).await
}

fn crash_without_message(cause: Cause) -> Crash {
    Crash {
        cause,
        place: String::new(),
        message: String::new(),
        fingerprint: 0,
        at: Instant::now(),
    }
}
