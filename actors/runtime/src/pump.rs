//! Runs one instance of an actor: an actix actor around the value, and in its context the pump that
//! polls its I/O, drains its mailbox, settles, and looks after its jobs and ticks. Every call of
//! actor code is caught here; what follows an end is the cell's business.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::{ActorContext, AsyncContext};
use futures_util::stream::{FuturesUnordered, Stream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::actor::Actor;
use crate::context::{Context, Ending};
use crate::fault::{Cause, Crash};
use crate::job::JobEnd;
use crate::mailbox::Mailbox;
use crate::message::{InHand, Lane};
use crate::panic_capture::{Caught, caught};
use crate::queues::{Orders, TURN_BUDGET, Taken};

/// A description is renewed at most this often.
const DESCRIBE_EVERY: Duration = Duration::from_secs(1);

/// A turn ends with the message that passes this, however many wait: with messages of 5 ms a full turn would
/// stop everybody else on the arbiter for a third of a second. A thousand cheap ones fit.
const TURN_MAX: Duration = Duration::from_millis(1);

/// A batch with more room than this is given back before a sleep: there are thousands of actors, and
/// few of them are busy.
const IDLE_BATCH_MAX: usize = 16;

/// How an instance ended.
#[derive(Debug)]
pub(crate) enum Exit {
    /// It called `stop`.
    Stopped,
    /// It crashed.
    Crashed(Crash),
    /// It was dropped on order.
    Killed,
}

/// Where the instance leaves how it ended.
pub(crate) type ExitSlot = Rc<std::cell::RefCell<Option<Exit>>>;

/// The actix actor of one incarnation.
pub(crate) struct Body<A: Actor> {
    mailbox: Arc<Mailbox<A>>,
    /// Gone once the instance has ended.
    live: Option<(A, Context<A>)>,
    /// Called once, when the instance has started well.
    announce: Option<Box<dyn FnOnce()>>,
    is_started: bool,
    batch: VecDeque<Taken<A>>,
    handled_control: usize,
    handled_data: usize,
    handled_own: usize,
    /// In real time.
    described_at: Option<std::time::Instant>,
    /// These wait for a description; their ends are dropped once it is there.
    wanted_by: Vec<mpsc::Sender<()>>,
    exit: ExitSlot,
}

/// The value behind a `Body` never moves in memory by way of a pin, so its own pinning is irrelevant.
impl<A: Actor> Unpin for Body<A> {}

impl<A: Actor> actix::Actor for Body<A> {
    type Context = actix::Context<Self>;

    fn started(&mut self, cx: &mut Self::Context) {
        cx.spawn(Pump);
    }
}

/// The one future in the actix context of an instance.
struct Pump;

impl<A: Actor> actix::fut::ActorFuture<Body<A>> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        body: &mut Body<A>,
        cx: &mut actix::Context<Body<A>>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        match body.wake_up(task) {
            None => Poll::Pending,
            Some(exit) => {
                *body.exit.borrow_mut() = Some(exit);
                cx.terminate();
                Poll::Ready(())
            }
        }
    }
}

/// What a turn leads to.
enum Turn {
    /// More is there; come back after the others on this arbiter.
    More,
    /// Nothing to do; the waker is placed.
    Asleep,
    Ended(Exit),
}

impl<A: Actor> Body<A> {
    pub(crate) fn new(
        mailbox: Arc<Mailbox<A>>,
        actor: A,
        cx: Context<A>,
        exit: ExitSlot,
        announce: Box<dyn FnOnce()>,
    ) -> Self {
        Self {
            mailbox,
            live: Some((actor, cx)),
            announce: Some(announce),
            is_started: false,
            batch: VecDeque::new(),
            handled_control: 0,
            handled_data: 0,
            handled_own: 0,
            described_at: None,
            wanted_by: Vec::new(),
            exit,
        }
    }

    /// One wake-up: a turn, its accounting, and the end of the instance if it has come.
    fn wake_up(&mut self, task: &mut std::task::Context<'_>) -> Option<Exit> {
        let account = Arc::clone(&self.mailbox.account);
        let entered = account.arbiter.enter(account.id);
        account.wakes();
        let turn = caught(|| self.turn(task, entered));
        let exit = match turn {
            Ok(Turn::More) => {
                task.waker().wake_by_ref();
                None
            }
            Ok(Turn::Asleep) => None,
            Ok(Turn::Ended(exit)) => Some(exit),
            Err(panic) => Some(Exit::Crashed(self.crash_of(panic))),
        };
        let handled = self.handled_control + self.handled_data + self.handled_own;
        self.mailbox
            .release_room(self.handled_control, self.handled_data);
        (self.handled_control, self.handled_data, self.handled_own) = (0, 0, 0);
        let exit = exit.map(|exit| self.end(exit));
        let busy = account.arbiter.leave(entered);
        account.woke(busy, handled as u64);
        exit
    }

    fn turn(&mut self, task: &mut std::task::Context<'_>, entered: std::time::Instant) -> Turn {
        let (actor, cx) = self
            .live
            .as_mut()
            .expect("a body that has ended is not polled");
        if !cx.waker.will_wake(task.waker()) {
            cx.waker = task.waker().clone();
        }
        cx.turn_now.set(None);
        cx.take_in_hand(InHand::NOTHING);
        if !self.is_started {
            self.is_started = true;
            cx.in_hand("started", 0);
            if let Err(fault) = actor.started(cx) {
                cx.fail(fault);
            }
            if !matches!(cx.ending, Some(Ending::Crashed(..)))
                && let Some(announce) = self.announce.take()
            {
                cx.take_in_hand(InHand::NOTHING);
                announce();
            }
        }
        if cx.ending.is_none() {
            actor.poll_io(task, cx);
        }
        self.poll_jobs(task);
        self.fire_ticks();
        if let Some(exit) = self.obey_and_drain(entered) {
            return Turn::Ended(exit);
        }

        let (actor, cx) = self.live.as_mut().expect("drained just now");
        if !matches!(cx.ending, Some(Ending::Crashed(..))) {
            actor.settle(cx);
        }
        if let Some(ending) = cx.ending.take() {
            return Turn::Ended(self.ending(ending));
        }
        // Jobs that the handlers added must be polled once, or nothing would wake them.
        if cx.jobs_added {
            self.poll_jobs(task);
        }
        self.describe(entered);
        let (_, cx) = self.live.as_mut().expect("settled just now");
        if cx.ticks.arm(task) {
            // Due while this turn ran: the next one fires it.
            cx.wake_wanted = true;
        }
        if let Some(ending) = cx.ending.take() {
            return Turn::Ended(self.ending(ending));
        }
        let wake_wanted = std::mem::take(&mut cx.wake_wanted);
        let held = cx.data_held;
        if wake_wanted || !self.mailbox.sleep(task.waker(), held) {
            Turn::More
        } else {
            if self.batch.capacity() > IDLE_BATCH_MAX {
                self.batch = VecDeque::new();
            }
            Turn::Asleep
        }
    }

    /// Carries out orders and hands up to a budget of messages to the actor.
    fn obey_and_drain(&mut self, entered: std::time::Instant) -> Option<Exit> {
        let (actor, cx) = self.live.as_mut().expect("called within a turn");
        // Under a virtual clock the order of messages does not hang on how fast the machine is.
        let is_timed = !cx.stage().is_virtual();
        let orders = self.mailbox.take_turn(&mut self.batch, cx.data_held);
        if let Some(orders) = orders {
            let Orders {
                stop,
                kill,
                crash,
                describe,
            } = orders;
            if kill {
                return Some(Exit::Killed);
            }
            assert!(!crash, "crash on request");
            self.wanted_by = describe;
            if let Some(deadline) = stop {
                cx.stop_deadline = Some(deadline);
                cx.in_hand("stop_requested", 0);
                actor.stop_requested(cx);
            }
        }
        while cx.ending.is_none() {
            let Some(taken) = self.batch.front() else {
                break;
            };
            if taken.is_data() && cx.data_held {
                break;
            }
            let taken = self.batch.pop_front().expect("looked at just now");
            // Counted before it is opened: in hand, a message has left the mailbox.
            match taken.lane() {
                Some(Lane::Control) => self.handled_control += 1,
                Some(Lane::Data) => self.handled_data += 1,
                None => self.handled_own += 1,
            }
            taken.into_envelope().open(actor, cx);
            if is_timed && entered.elapsed() > TURN_MAX {
                break;
            }
        }
        if !matches!(cx.ending, Some(Ending::Crashed(..))) {
            cx.take_in_hand(InHand::NOTHING);
        }
        self.mailbox.put_back(&mut self.batch);
        None
    }

    /// Polls the jobs that were woken and puts their outputs into the mailbox.
    fn poll_jobs(&mut self, task: &mut std::task::Context<'_>) {
        let (_, cx) = self.live.as_mut().expect("called within a turn");
        cx.jobs_added = false;
        let incarnation = cx.incarnation();
        let mut left = TURN_BUDGET;
        while !cx.jobs.is_empty() {
            if left == 0 {
                cx.wake_wanted = true;
                return;
            }
            left -= 1;
            match Pin::new(&mut cx.jobs).poll_next(task) {
                Poll::Ready(Some(JobEnd::Done { lane, envelope })) => {
                    self.mailbox.push_own(lane, envelope, incarnation);
                }
                Poll::Ready(Some(JobEnd::Expired {
                    message,
                    deadline,
                    place,
                })) => {
                    cx.in_hand(message, 0);
                    let text = format!("job for {message} not done after {deadline:?}");
                    cx.crash(Cause::Hung(text), place);
                    return;
                }
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    /// Puts the ticks that are due into the mailbox.
    fn fire_ticks(&mut self) {
        let (_, cx) = self.live.as_mut().expect("called within a turn");
        if cx.ticks.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(tick) = cx.ticks.pop_due(now) {
            self.mailbox
                .push_own(tick.lane, tick.envelope, cx.incarnation());
        }
    }

    /// Renews the description if it is old, or somebody waits for it.
    fn describe(&mut self, now: std::time::Instant) {
        let is_fresh = |at| now.saturating_duration_since(at) < DESCRIBE_EVERY;
        if self.wanted_by.is_empty() && self.described_at.is_some_and(is_fresh) {
            return;
        }
        self.described_at = Some(now);
        let (actor, _) = self.live.as_ref().expect("called within a turn");
        let detail = actor.describe();
        self.mailbox.account.describe(detail);
        self.wanted_by = Vec::new();
    }

    fn ending(&self, ending: Ending) -> Exit {
        match ending {
            Ending::Stopped => Exit::Stopped,
            Ending::Crashed(cause, place) => Exit::Crashed(self.crash(cause, place)),
        }
    }

    fn crash_of(&self, panic: Caught) -> Crash {
        self.crash(Cause::Panic(panic.text), panic.place)
    }

    fn crash(&self, cause: Cause, place: String) -> Crash {
        let in_hand = self.live.as_ref().map(|(_, cx)| cx.what_is_in_hand());
        let (message, fingerprint) =
            in_hand.map_or(("", 0), |in_hand| (in_hand.name(), in_hand.fingerprint));
        Crash {
            cause,
            place,
            message: message.to_owned(),
            fingerprint,
            at: Instant::now(),
        }
    }

    /// Drops the instance. What it took and did not answer is answered by the drop of its ports.
    fn end(&mut self, exit: Exit) -> Exit {
        self.mailbox.put_back(&mut self.batch);
        let Some((actor, mut cx)) = self.live.take() else {
            return exit;
        };
        let jobs = std::mem::replace(&mut cx.jobs, FuturesUnordered::new());
        let ticks = std::mem::take(&mut cx.ticks);
        let mut first_panic = None;
        for dropped in [
            caught(|| drop(actor)),
            caught(|| drop(jobs)),
            caught(|| drop(ticks)),
        ] {
            if let Err(panic) = dropped {
                first_panic.get_or_insert(panic);
            }
        }
        match (exit, first_panic) {
            // A panic in the drop of an instance that crashed is a consequence, not a cause.
            (Exit::Stopped | Exit::Killed, Some(panic)) => {
                let at = Instant::now();
                let message = "drop".to_owned();
                let cause = Cause::Panic(panic.text);
                Exit::Crashed(Crash {
                    cause,
                    place: panic.place,
                    message,
                    fingerprint: 0,
                    at,
                })
            }
            (exit, _) => exit,
        }
    }
}

impl<A: Actor> Drop for Body<A> {
    fn drop(&mut self) {
        // Reached alive only when the arbiter itself goes away.
        if self.live.is_some() {
            _ = self.end(Exit::Killed);
        }
    }
}
