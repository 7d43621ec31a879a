//! The mailbox: two bounded queues and one for what an actor sends to itself. It outlives the
//! instances of its actor; only the pump takes messages out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::accounting::{Account, lock};
use crate::actor::Actor;
use crate::message::{Envelope, Lane, Undelivered};
use crate::path::Incarnation;
use crate::stage::Stage;
use crate::supervision_log::EventKind;

/// Messages that one wake-up of an actor handles at most, so that a flooded actor does not starve
/// the others on its arbiter. With it a sibling's answer took 0.26 ms at the median under a flood
/// that made it wait for seconds without.
pub(crate) const TURN_BUDGET: usize = 64;

/// Part of the budget that messages to self may take while others wait: an actor that keeps itself
/// busy still hears its callers.
const OWN_SHARE: usize = TURN_BUDGET / 2;

struct Entry<A: Actor> {
    envelope: Box<dyn Envelope<A>>,
    /// Set for what an instance sent to itself; such a message dies with it.
    stamp: Option<Incarnation>,
    /// Where its room comes from; `None` for a reserved slot.
    lane: Option<Lane>,
}

/// Who may put messages in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Closed(Undelivered),
}

/// What the supervisor wants of the running instance.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Orders {
    /// Call `stop_requested`; the instance is dropped at the instant given.
    pub(crate) stop: Option<Instant>,
    /// Drop the instance now.
    pub(crate) kill: bool,
    /// Panic: somebody checks the promise.
    pub(crate) crash: bool,
    /// Somebody will ask for the description soon.
    pub(crate) describe: bool,
}

struct Queues<A: Actor> {
    control: VecDeque<Entry<A>>,
    own: VecDeque<Entry<A>>,
    data: VecDeque<Entry<A>>,
    gate: Gate,
    orders: Option<Orders>,
    /// Present while the pump sleeps.
    waker: Option<Waker>,
    incarnation: Incarnation,
    /// Since when something waits: the oldest message is at least this old.
    waiting_since: Option<Instant>,
}

/// A message that has been taken out.
pub(crate) struct Taken<A: Actor> {
    entry: Entry<A>,
    is_data: bool,
}

impl<A: Actor> Taken<A> {
    pub(crate) fn is_data(&self) -> bool {
        self.is_data
    }

    /// Where its room came from; `None` for a reserved slot.
    pub(crate) fn lane(&self) -> Option<Lane> {
        self.entry.lane
    }

    pub(crate) fn into_envelope(self) -> Box<dyn Envelope<A>> {
        self.entry.envelope
    }
}

/// The mailbox of one actor.
pub(crate) struct Mailbox<A: Actor> {
    pub(crate) account: Arc<Account>,
    pub(crate) stage: Stage,
    queues: Mutex<Queues<A>>,
    control_room: Semaphore,
    data_room: Semaphore,
}

impl<A: Actor> Mailbox<A> {
    pub(crate) fn new(
        account: Arc<Account>,
        stage: Stage,
        data_capacity: usize,
        control_capacity: usize,
    ) -> Self {
        assert!(
            data_capacity > 0 && control_capacity > 0,
            "a mailbox needs room"
        );
        Self {
            account,
            stage,
            queues: Mutex::new(Queues {
                control: VecDeque::new(),
                own: VecDeque::new(),
                data: VecDeque::new(),
                gate: Gate::Open,
                orders: None,
                waker: None,
                incarnation: Incarnation(1),
                waiting_since: None,
            }),
            control_room: Semaphore::new(control_capacity),
            data_room: Semaphore::new(data_capacity),
        }
    }

    fn room(&self, lane: Lane) -> &Semaphore {
        match lane {
            Lane::Control => &self.control_room,
            Lane::Data => &self.data_room,
        }
    }

    /// Puts a message in if there is room now.
    pub(crate) fn try_push<E: Envelope<A> + 'static>(
        &self,
        lane: Lane,
        envelope: Box<E>,
    ) -> Result<(), (Undelivered, Box<E>)> {
        match self.room(lane).try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => {
                let why = match lock(&self.queues).gate {
                    Gate::Closed(why) => why,
                    Gate::Open => Undelivered::Full,
                };
                if why == Undelivered::Full && self.account.refused_full() {
                    self.report_full();
                }
                return Err((why, envelope));
            }
        }
        self.push_with_room(lane, envelope)
    }

    /// Waits for room, in order of arrival.
    pub(crate) async fn push<E: Envelope<A> + 'static>(
        &self,
        lane: Lane,
        envelope: Box<E>,
    ) -> Result<(), (Undelivered, Box<E>)> {
        self.take_room(lane).await;
        self.push_with_room(lane, envelope)
    }

    /// Waits for room and takes it; the caller puts its message in at once.
    pub(crate) async fn take_room(&self, lane: Lane) {
        self.room(lane)
            .acquire()
            .await
            .expect("the semaphores of a mailbox are never closed")
            .forget();
    }

    pub(crate) fn push_with_room<E: Envelope<A> + 'static>(
        &self,
        lane: Lane,
        envelope: Box<E>,
    ) -> Result<(), (Undelivered, Box<E>)> {
        let mut queues = lock(&self.queues);
        if let Gate::Closed(why) = queues.gate {
            drop(queues);
            self.room(lane).add_permits(1);
            return Err((why, envelope));
        }
        let entry = Entry {
            envelope,
            stamp: None,
            lane: Some(lane),
        };
        let waker = queues.put(lane, entry);
        drop(queues);
        wake(waker);
        Ok(())
    }

    /// Puts an event in whose number is bounded by its senders. Refused only for good.
    pub(crate) fn push_event<E: Envelope<A> + 'static>(
        &self,
        lane: Lane,
        envelope: Box<E>,
    ) -> Result<(), (Undelivered, Box<E>)> {
        let mut queues = lock(&self.queues);
        if let Gate::Closed(why) = queues.gate {
            return Err((why, envelope));
        }
        let waker = queues.put(
            lane,
            Entry {
                envelope,
                stamp: None,
                lane: None,
            },
        );
        drop(queues);
        wake(waker);
        Ok(())
    }

    /// Puts a message of `incarnation` to itself into its reserved slot; dropped when stale.
    pub(crate) fn push_own(
        &self,
        lane: Lane,
        envelope: Box<dyn Envelope<A>>,
        incarnation: Incarnation,
    ) {
        let mut queues = lock(&self.queues);
        if queues.incarnation != incarnation {
            drop(queues);
            // Its drop may run foreign code, so it happens outside of the lock.
            drop(envelope);
            return;
        }
        let entry = Entry {
            envelope,
            stamp: Some(incarnation),
            lane: None,
        };
        let waker = match lane {
            Lane::Control => queues.put(Lane::Control, entry),
            Lane::Data => queues.put_own(entry),
        };
        drop(queues);
        wake(waker);
    }

    /// True while `incarnation` is the one that runs.
    pub(crate) fn is_current(&self, incarnation: Incarnation) -> bool {
        lock(&self.queues).incarnation == incarnation
    }

    /// Changes the orders of the running instance and wakes it.
    pub(crate) fn order(&self, change: impl FnOnce(&mut Orders)) {
        let mut queues = lock(&self.queues);
        change(queues.orders.get_or_insert_default());
        let waker = queues.waker.take();
        drop(queues);
        wake(waker);
    }

    /// Takes the orders and up to [`TURN_BUDGET`] messages: control first, then messages to self,
    /// then data unless it is held.
    pub(crate) fn take_turn(
        &self,
        batch: &mut VecDeque<Taken<A>>,
        data_held: bool,
    ) -> Option<Orders> {
        let mut queues = lock(&self.queues);
        let control = queues.control.len().min(TURN_BUDGET);
        let mut left = TURN_BUDGET - control;
        let data_waiting = if data_held { 0 } else { queues.data.len() };
        let own_max = left - data_waiting.min(left.saturating_sub(OWN_SHARE));
        let own = queues.own.len().min(own_max);
        left -= own;
        let data = data_waiting.min(left);

        let queues = &mut *queues;
        let other = |entry| Taken {
            entry,
            is_data: false,
        };
        batch.extend(queues.control.drain(..control).map(other));
        batch.extend(queues.own.drain(..own).map(other));
        batch.extend(queues.data.drain(..data).map(|entry| Taken {
            entry,
            is_data: true,
        }));
        if control + own + data > 0 {
            queues.waiting_since = if queues.is_empty() {
                None
            } else {
                Some(Instant::now())
            };
            if queues.data.is_empty() {
                self.account.drained();
            }
        }
        queues.orders.take()
    }

    /// Gives room back for messages that were handled.
    pub(crate) fn release_room(&self, control: usize, data: usize) {
        if control > 0 {
            self.control_room.add_permits(control);
        }
        if data > 0 {
            self.data_room.add_permits(data);
        }
    }

    /// Puts back what a turn took and did not handle, in front and in order.
    pub(crate) fn put_back(&self, batch: &mut VecDeque<Taken<A>>) {
        if batch.is_empty() {
            return;
        }
        let mut queues = lock(&self.queues);
        while let Some(Taken { entry, is_data }) = batch.pop_back() {
            if is_data {
                queues.data.push_front(entry);
            } else if entry.lane.is_none() && entry.stamp.is_some() {
                queues.own.push_front(entry);
            } else {
                queues.control.push_front(entry);
            }
        }
        queues.waiting_since.get_or_insert_with(Instant::now);
    }

    /// Lets the pump sleep until something arrives. False when something is there already.
    pub(crate) fn sleep(&self, waker: &Waker, data_held: bool) -> bool {
        let mut queues = lock(&self.queues);
        let has_work = queues.orders.is_some()
            || !queues.control.is_empty()
            || !queues.own.is_empty()
            || (!data_held && !queues.data.is_empty());
        if has_work {
            return false;
        }
        queues.waker = Some(waker.clone());
        true
    }

    /// The instance ended. Its messages to itself are dropped; what others sent waits.
    pub(crate) fn instance_ended(&self, next: Incarnation) {
        let mut queues = lock(&self.queues);
        assert!(next > queues.incarnation, "incarnations count upwards");
        queues.incarnation = next;
        queues.waker = None;
        queues.orders = None;
        let stale_control = take_stamped(&mut queues.control);
        let stale_own = std::mem::take(&mut queues.own);
        if queues.is_empty() {
            queues.waiting_since = None;
        }
        drop(queues);
        drop_quietly(stale_control);
        drop_quietly(stale_own);
    }

    /// Takes messages again.
    pub(crate) fn open(&self) {
        lock(&self.queues).gate = Gate::Open;
    }

    /// Refuses from now on with `why`, and hands back everything that waits.
    pub(crate) fn close(&self, why: Undelivered) {
        let mut queues = lock(&self.queues);
        queues.gate = Gate::Closed(why);
        queues.waiting_since = None;
        let control = std::mem::take(&mut queues.control);
        let own = std::mem::take(&mut queues.own);
        let data = std::mem::take(&mut queues.data);
        drop(queues);
        self.account.drained();

        let (mut control_count, mut data_count) = (0, 0);
        for entry in control.into_iter().chain(own).chain(data) {
            match entry.lane {
                Some(Lane::Control) => control_count += 1,
                Some(Lane::Data) => data_count += 1,
                None => {}
            }
            let stamped = entry.stamp.is_some();
            let envelope = entry.envelope;
            // The messages are of foreign make: one that panics must not cost the others their answer.
            let handed_back = crate::panic_capture::caught(|| {
                if stamped {
                    drop(envelope)
                } else {
                    envelope.undelivered(why)
                }
            });
            if let Err(caught) = handed_back {
                self.report(EventKind::Panicked, "panic in undelivered", &caught.text);
            }
        }
        // Whoever waits for room now runs into the closed gate.
        self.release_room(control_count, data_count);
    }

    /// How many messages wait, and since when the oldest of them at least.
    pub(crate) fn depth(&self) -> (usize, Option<Instant>) {
        let queues = lock(&self.queues);
        let depth = queues.control.len() + queues.own.len() + queues.data.len();
        (depth, queues.waiting_since)
    }

    fn report_full(&self) {
        let refused = self.account.take_refused_full();
        self.stage.supervision_log().report_counted(
            EventKind::MailboxFull,
            &self.account.path,
            self.account.incarnation(),
            refused,
        );
    }

    fn report(&self, kind: EventKind, cause: &str, detail: &str) {
        let account = &self.account;
        self.stage.supervision_log().report(
            kind,
            &account.path,
            account.incarnation(),
            cause,
            detail,
        );
    }
}

impl<A: Actor> Queues<A> {
    fn is_empty(&self) -> bool {
        self.control.is_empty() && self.own.is_empty() && self.data.is_empty()
    }

    fn put(&mut self, lane: Lane, entry: Entry<A>) -> Option<Waker> {
        self.mark_waiting();
        match lane {
            Lane::Control => self.control.push_back(entry),
            Lane::Data => self.data.push_back(entry),
        }
        self.waker.take()
    }

    fn put_own(&mut self, entry: Entry<A>) -> Option<Waker> {
        self.mark_waiting();
        self.own.push_back(entry);
        self.waker.take()
    }

    fn mark_waiting(&mut self) {
        if self.waiting_since.is_none() {
            self.waiting_since = Some(Instant::now());
        }
    }
}

fn take_stamped<A: Actor>(queue: &mut VecDeque<Entry<A>>) -> VecDeque<Entry<A>> {
    let (stamped, kept) = queue.drain(..).partition(|entry| entry.stamp.is_some());
    *queue = kept;
    stamped
}

fn drop_quietly<A: Actor>(entries: impl IntoIterator<Item = Entry<A>>) {
    for entry in entries {
        _ = crate::panic_capture::caught(|| drop(entry));
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
