//! What lies in a mailbox: two queues of what others sent, one of what an actor sent to itself, the
//! orders of its supervisor. Knows no lock and no waiting; `mailbox` has those.

use std::collections::VecDeque;
use std::task::Waker;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::actor::Actor;
use crate::message::{Envelope, Lane, Undelivered};
use crate::path::Incarnation;

/// Messages that one wake-up of an actor handles at most, so that a flooded actor does not starve
/// the others on its arbiter. With it a sibling's answer took 0.26 ms at the median under a flood
/// that made it wait for seconds without.
pub(crate) const TURN_BUDGET: usize = 64;

/// Part of the budget that messages to self may take while others wait: an actor that keeps itself
/// busy still hears its callers.
const OWN_SHARE: usize = TURN_BUDGET / 2;

/// An empty queue with more room than this gives it back: a flood is no reason to keep memory.
const IDLE_CAPACITY_MAX: usize = 256;

pub(crate) struct Entry<A: Actor> {
    pub(crate) envelope: Box<dyn Envelope<A>>,
    /// Set for what an instance sent to itself; such a message dies with it.
    pub(crate) stamp: Option<Incarnation>,
    /// Where its room comes from; `None` for a reserved slot.
    pub(crate) lane: Option<Lane>,
}

/// Who may put messages in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    Closed(Undelivered),
}

/// What the supervisor wants of the running instance.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Call `stop_requested`; the instance is dropped at the instant given.
    pub(crate) stop: Option<Instant>,
    /// Drop the instance now.
    pub(crate) kill: bool,
    /// Panic: somebody checks the promise.
    pub(crate) crash: bool,
    /// These wait for a new description: dropped once it is there.
    pub(crate) describe: Vec<mpsc::Sender<()>>,
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

pub(crate) struct Queues<A: Actor> {
    control: VecDeque<Entry<A>>,
    own: VecDeque<Entry<A>>,
    data: VecDeque<Entry<A>>,
    pub(crate) gate: Gate,
    pub(crate) orders: Option<Orders>,
    /// Present while the pump sleeps.
    pub(crate) waker: Option<Waker>,
    pub(crate) incarnation: Incarnation,
    /// Since when something waits: the oldest message is at least this old.
    pub(crate) waiting_since: Option<Instant>,
}

impl<A: Actor> Queues<A> {
    pub(crate) fn new() -> Self {
        Self {
            control: VecDeque::new(),
            own: VecDeque::new(),
            data: VecDeque::new(),
            gate: Gate::Open,
            orders: None,
            waker: None,
            incarnation: Incarnation(1),
            waiting_since: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.control.len() + self.own.len() + self.data.len()
    }

    /// Appends what somebody else sent, and gives the waker of a pump that sleeps.
    pub(crate) fn put(&mut self, lane: Lane, entry: Entry<A>) -> Option<Waker> {
        self.mark_waiting();
        match lane {
            Lane::Control => self.control.push_back(entry),
            Lane::Data => self.data.push_back(entry),
        }
        self.waker.take()
    }

    /// Appends what the instance sent to itself.
    pub(crate) fn put_own(&mut self, lane: Lane, entry: Entry<A>) -> Option<Waker> {
        self.mark_waiting();
        match lane {
            Lane::Control => self.control.push_back(entry),
            Lane::Data => self.own.push_back(entry),
        }
        self.waker.take()
    }

    fn mark_waiting(&mut self) {
        if self.waiting_since.is_none() {
            self.waiting_since = Some(Instant::now());
        }
    }

    /// True when a turn would find something.
    pub(crate) fn has_work(&self, data_held: bool) -> bool {
        self.orders.is_some()
            || !self.control.is_empty()
            || !self.own.is_empty()
            || (!data_held && !self.data.is_empty())
    }

    /// Moves up to [`TURN_BUDGET`] messages into `batch`: control first, then messages to self, then
    /// data unless it is held. True when no data is left.
    pub(crate) fn take_turn(&mut self, batch: &mut VecDeque<Taken<A>>, data_held: bool) -> bool {
        let control = self.control.len().min(TURN_BUDGET);
        let mut left = TURN_BUDGET - control;
        let data_waiting = if data_held { 0 } else { self.data.len() };
        let own_max = left - data_waiting.min(left.saturating_sub(OWN_SHARE));
        let own = self.own.len().min(own_max);
        left -= own;
        let data = data_waiting.min(left);
        if control + own + data == 0 {
            return self.data.is_empty();
        }

        let other = |entry| Taken {
            entry,
            is_data: false,
        };
        batch.extend(self.control.drain(..control).map(other));
        batch.extend(self.own.drain(..own).map(other));
        batch.extend(self.data.drain(..data).map(|entry| Taken {
            entry,
            is_data: true,
        }));
        if self.data.is_empty() && self.data.capacity() > IDLE_CAPACITY_MAX {
            self.data = VecDeque::new();
        }
        if self.own.is_empty() && self.own.capacity() > IDLE_CAPACITY_MAX {
            self.own = VecDeque::new();
        }
        self.waiting_since = (self.len() > 0).then(Instant::now);
        self.data.is_empty()
    }

    /// Puts back what a turn took and did not handle, in front and in order.
    pub(crate) fn put_back(&mut self, batch: &mut VecDeque<Taken<A>>) {
        while let Some(Taken { entry, is_data }) = batch.pop_back() {
            if is_data {
                self.data.push_front(entry);
            } else if entry.stamp.is_some() {
                self.own.push_front(entry);
            } else {
                self.control.push_front(entry);
            }
        }
        self.mark_waiting();
    }

    /// Begins the time of `next`: gives out what the instance before sent to itself.
    pub(crate) fn end_instance(&mut self, next: Incarnation) -> Vec<Entry<A>> {
        assert!(next > self.incarnation, "incarnations count upwards");
        self.incarnation = next;
        self.waker = None;
        self.orders = None;
        let mut stale: Vec<_> = std::mem::take(&mut self.own).into();
        let control = std::mem::take(&mut self.control);
        for entry in control {
            if entry.stamp.is_some() {
                stale.push(entry);
            } else {
                self.control.push_back(entry);
            }
        }
        if self.len() == 0 {
            self.waiting_since = None;
        }
        stale
    }

    /// Takes everything out.
    pub(crate) fn empty(&mut self) -> Vec<Entry<A>> {
        self.waiting_since = None;
        let mut all: Vec<_> = std::mem::take(&mut self.control).into();
        all.extend(std::mem::take(&mut self.own));
        all.extend(std::mem::take(&mut self.data));
        all
    }
}
