//! What an actor can do while it runs: timers, jobs, ports, and saying how it fares. One context
//! belongs to one instance and dies with it.

use std::cell::Cell;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::accounting::RestartHold;
use crate::actor::{Actor, Handler};
use crate::address::Addr;
use crate::fault::{Cause, Crash, Fault};
use crate::job::{Job, JobEnd};
use crate::mailbox::Mailbox;
use crate::message::{InHand, InHandName, Message, Told};
use crate::panic_capture::short_place;
use crate::path::{ActorPath, Incarnation};
use crate::reply::{NoReply, ReplyPort};
use crate::self_reply::SelfReply;
use crate::stage::Stage;
use crate::supervision_log::EventKind;
use crate::ticks::{Tick, Ticks, Timer};

/// How an instance wants to end.
pub(crate) enum Ending {
    Stopped,
    Crashed(Cause, String),
}

/// The runtime as seen by one instance of actor `A`.
pub struct Context<A: Actor> {
    pub(crate) mailbox: Arc<Mailbox<A>>,
    incarnation: Incarnation,
    log: slog::Logger,
    past_crashes: Vec<Crash>,
    /// Shared with the jobs, which set it while they are polled.
    in_hand: Rc<Cell<InHand>>,
    pub(crate) ending: Option<Ending>,
    pub(crate) data_held: bool,
    pub(crate) ticks: Ticks<A>,
    pub(crate) jobs: FuturesUnordered<Job<A>>,
    /// A job was added since the last look at them.
    pub(crate) jobs_added: bool,
    /// The actor asked for another turn.
    pub(crate) wake_wanted: bool,
    pub(crate) waker: Waker,
    /// The clock, once it was looked at in this turn.
    pub(crate) turn_now: Cell<Option<Instant>>,
    pub(crate) stop_deadline: Option<Instant>,
}

impl<A: Actor> Context<A> {
    pub(crate) fn new(mailbox: Arc<Mailbox<A>>, incarnation: Incarnation) -> Self {
        let account = &mailbox.account;
        let log = mailbox.stage.logger().new(slog::o!(
            "incarnation" => incarnation.0,
            "actor" => account.path.to_string(),
        ));
        let past_crashes = account.crashes();
        Self {
            incarnation,
            log,
            past_crashes,
            in_hand: Rc::new(Cell::new(InHand::NOTHING)),
            ending: None,
            data_held: false,
            ticks: Ticks::default(),
            jobs: FuturesUnordered::new(),
            jobs_added: false,
            wake_wanted: false,
            waker: Waker::noop().clone(),
            turn_now: Cell::new(None),
            stop_deadline: None,
            mailbox,
        }
    }

    /// Place of this actor in the tree.
    pub fn path(&self) -> &ActorPath {
        &self.mailbox.account.path
    }

    /// The number of this instance.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The address of this actor, good beyond this instance.
    pub fn addr(&self) -> Addr<A> {
        Addr(Arc::clone(&self.mailbox))
    }

    /// A logger that carries actor and incarnation.
    pub fn log(&self) -> &slog::Logger {
        &self.log
    }

    /// The runtime's clock when this turn first looked at it; virtual in tests.
    pub fn now(&self) -> Instant {
        let now = self.turn_now.get().unwrap_or_else(Instant::now);
        self.turn_now.set(Some(now));
        now
    }

    /// The runtime of this node: registry, supervision log, arbiters.
    pub fn stage(&self) -> &Stage {
        &self.mailbox.stage
    }

    /// Ends this instance in good order: after this turn's `settle` it is dropped, and what waits in
    /// the mailbox is refused. An actor with [`crate::Restart::Permanent`] that was not told to stop
    /// gets a new instance.
    pub fn stop(&mut self) {
        self.ending.get_or_insert(Ending::Stopped);
    }

    /// Ends this instance as a panic would, without one. No further message reaches it.
    pub fn fail(&mut self, fault: Fault) {
        self.crash(
            Cause::Fault(fault.cause().to_owned()),
            fault.place().to_owned(),
        );
    }

    pub(crate) fn crash(&mut self, cause: Cause, place: String) {
        if !matches!(self.ending, Some(Ending::Crashed(..))) {
            self.ending = Some(Ending::Crashed(cause, place));
        }
    }

    /// Sends a message to this instance. Never refused; dropped if the instance ends before.
    pub fn tell_self<M: Message>(&mut self, message: M)
    where
        A: Handler<M>,
    {
        self.mailbox
            .push_own(M::LANE, Box::new(Told(message)), self.incarnation);
    }

    /// Sends a message to this instance once `delay` has passed. Dies with the instance.
    pub fn tell_after<M: Message>(&mut self, delay: Duration, message: M) -> Timer
    where
        A: Handler<M>,
    {
        let (lane, envelope) = (M::LANE, Box::new(Told(message)));
        self.ticks.add(delay, Tick { lane, envelope })
    }

    /// Takes a tick back. False when it is on its way already or was cancelled before.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        self.ticks.cancel(timer).is_some()
    }

    /// Polls a future on this arbiter; what `map` makes of its output comes back as a message to
    /// this instance. A panic in either crashes the actor. Dies with the instance.
    pub fn spawn<F, M>(&mut self, future: F, map: impl FnOnce(F::Output) -> M + 'static)
    where
        F: Future + 'static,
        M: Message,
        A: Handler<M>,
    {
        let in_hand = Rc::clone(&self.in_hand);
        self.add_job(Job::new(in_hand, InHand::message::<M>(0), async move {
            JobEnd::Done {
                lane: M::LANE,
                envelope: Box::new(Told(map(future.await))),
            }
        }));
    }

    /// As [`Context::spawn`], but an actor whose job is not done after `deadline` is `hung` and
    /// restarted.
    #[track_caller]
    pub fn spawn_within<F, M>(
        &mut self,
        deadline: Duration,
        future: F,
        map: impl FnOnce(F::Output) -> M + 'static,
    ) where
        F: Future + 'static,
        M: Message,
        A: Handler<M>,
    {
        let here = Location::caller();
        let in_hand = Rc::clone(&self.in_hand);
        self.add_job(Job::new(in_hand, InHand::message::<M>(0), async move {
            match tokio::time::timeout(deadline, future).await {
                Ok(output) => JobEnd::Done {
                    lane: M::LANE,
                    envelope: Box::new(Told(map(output))),
                },
                Err(_) => JobEnd::Expired {
                    message: M::name(),
                    deadline,
                    place: short_place(here.file(), here.line()),
                },
            }
        }));
    }

    fn add_job(&mut self, job: Job<A>) {
        self.jobs.push(job);
        self.jobs_added = true;
    }

    /// A port whose answer comes back as a message to this instance. Its slot is reserved, so it is
    /// never refused; answered after the end of the instance, it is dropped.
    ///
    /// `map` runs on this actor's arbiter, so a panic in it crashes this actor, not the answering.
    pub fn reply_port<T, M>(
        &mut self,
        map: impl FnOnce(Result<T, NoReply>) -> M + Send + 'static,
    ) -> ReplyPort<T>
    where
        T: Send + 'static,
        M: Message,
        A: Handler<M>,
    {
        ReplyPort::to_sink(Box::new(SelfReply::new(
            Arc::clone(&self.mailbox),
            self.incarnation,
            map,
        )))
    }

    /// While the hold lives, no new instance of this actor starts: a write is still out.
    pub fn hold_restart(&self) -> RestartHold {
        RestartHold::new(Arc::clone(&self.mailbox.account))
    }

    /// Leaves data messages in the mailbox until [`Context::release_data`]; control messages,
    /// ticks and answers go on.
    pub fn hold_data(&mut self) {
        self.data_held = true;
    }

    /// Lets data messages through again.
    pub fn release_data(&mut self) {
        self.data_held = false;
    }

    /// The crashes of earlier instances that are remembered, newest last.
    pub fn past_crashes(&self) -> &[Crash] {
        &self.past_crashes
    }

    /// Says what is being worked on now, for the crash record. Set for each message by itself;
    /// `settle` calls it for what it takes up.
    pub fn in_hand(&mut self, name: &'static str, fingerprint: u64) {
        self.in_hand.set(InHand {
            name: InHandName::Text(name),
            fingerprint,
        });
    }

    pub(crate) fn take_in_hand(&mut self, in_hand: InHand) {
        self.in_hand.set(in_hand);
    }

    pub(crate) fn what_is_in_hand(&self) -> InHand {
        self.in_hand.get()
    }

    /// Puts an event of this actor into the supervision log.
    pub fn report(&self, kind: EventKind, cause: &str) {
        self.stage()
            .supervision_log()
            .report(kind, self.path(), self.incarnation, cause, "");
    }

    /// Asks for another turn, with `poll_io`, even if nothing arrives.
    pub fn wake(&mut self) {
        self.wake_wanted = true;
    }

    /// Wakes this actor from wherever it is kept, such as in a socket that was not ready.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// When an instance that was told to stop is dropped as it is; `None` while nobody told it to.
    pub fn stop_deadline(&self) -> Option<Instant> {
        self.stop_deadline
    }
}
