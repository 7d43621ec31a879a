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
use crate::panic_capture::caught;
use crate::path::Incarnation;
use crate::queues::{Entry, Gate, Orders, Queues, Taken};
use crate::stage::Stage;
use crate::supervision_log::EventKind;

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
            queues: Mutex::new(Queues::new()),
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
        let waker = queues.put_own(lane, entry);
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

    /// Takes the orders and a turn's worth of messages, see [`Queues::take_turn`].
    pub(crate) fn take_turn(
        &self,
        batch: &mut VecDeque<Taken<A>>,
        data_held: bool,
    ) -> Option<Orders> {
        let mut queues = lock(&self.queues);
        let orders = queues.orders.take();
        if queues.take_turn(batch, data_held) {
            self.account.drained();
        }
        orders
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

    /// Puts back what a turn took and did not handle.
    pub(crate) fn put_back(&self, batch: &mut VecDeque<Taken<A>>) {
        if !batch.is_empty() {
            lock(&self.queues).put_back(batch);
        }
    }

    /// Lets the pump sleep until something arrives. False when something is there already.
    pub(crate) fn sleep(&self, waker: &Waker, data_held: bool) -> bool {
        let mut queues = lock(&self.queues);
        if queues.has_work(data_held) {
            return false;
        }
        queues.waker = Some(waker.clone());
        true
    }

    /// The instance ended. Its messages to itself are dropped; what others sent waits.
    pub(crate) fn instance_ended(&self, next: Incarnation) {
        let stale = lock(&self.queues).end_instance(next);
        for entry in stale {
            _ = caught(|| drop(entry));
        }
    }

    /// Takes messages again.
    pub(crate) fn open(&self) {
        lock(&self.queues).gate = Gate::Open;
    }

    /// Refuses from now on with `why`, and hands back everything that waits.
    pub(crate) fn close(&self, why: Undelivered) {
        let all = {
            let mut queues = lock(&self.queues);
            queues.gate = Gate::Closed(why);
            queues.empty()
        };
        self.account.drained();

        let (mut control_count, mut data_count) = (0, 0);
        for entry in all {
            match entry.lane {
                Some(Lane::Control) => control_count += 1,
                Some(Lane::Data) => data_count += 1,
                None => {}
            }
            let stamped = entry.stamp.is_some();
            let envelope = entry.envelope;
            // The messages are of foreign make: one that panics must not cost the others their answer.
            let handed_back = caught(|| {
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
        (queues.len(), queues.waiting_since)
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

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
