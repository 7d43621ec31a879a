//! The ticks of one instance. One timer of the event loop serves them all, so that an actor with a
//! thousand ticks costs what one with a single tick costs.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::actor::Actor;
use crate::message::{Envelope, Lane};

/// Names a tick that was asked for by [`crate::Context::tell_after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    due: Instant,
    serial: u64,
}

/// A tick that is not due yet.
pub(crate) struct Tick<A: Actor> {
    pub(crate) lane: Lane,
    pub(crate) envelope: Box<dyn Envelope<A>>,
}

pub(crate) struct Ticks<A: Actor> {
    waiting: BTreeMap<Timer, Tick<A>>,
    next_serial: u64,
    /// Set for the earliest tick when it was last armed.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<A: Actor> Default for Ticks<A> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            next_serial: 0,
            alarm: None,
        }
    }
}

impl<A: Actor> Ticks<A> {
    pub(crate) fn add(&mut self, delay: Duration, tick: Tick<A>) -> Timer {
        let timer = Timer {
            due: Instant::now() + delay,
            serial: self.next_serial,
        };
        self.next_serial += 1;
        self.waiting.insert(timer, tick);
        timer
    }

    pub(crate) fn cancel(&mut self, timer: Timer) -> Option<Tick<A>> {
        self.waiting.remove(&timer)
    }

    /// Takes out the earliest tick if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Tick<A>> {
        let first = self.waiting.first_entry()?;
        (first.key().due <= now).then(|| first.remove())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sets the alarm to the earliest tick, so that it wakes `task`. True when that one is due
    /// already and there will be no alarm.
    ///
    /// The alarm is polled only when it is set anew: to look whether it has rung is cheaper.
    pub(crate) fn arm(&mut self, task: &mut Context<'_>) -> bool {
        let Some((first, _)) = self.waiting.first_key_value() else {
            self.alarm = None;
            return false;
        };
        let due = first.due;
        let is_due = match &mut self.alarm {
            Some((at, sleep)) if *at == due => sleep.is_elapsed(),
            Some((at, sleep)) => {
                *at = due;
                sleep.as_mut().reset(due);
                sleep.as_mut().poll(task).is_ready()
            }
            None => {
                let (_, sleep) = self
                    .alarm
                    .insert((due, Box::pin(tokio::time::sleep_until(due))));
                sleep.as_mut().poll(task).is_ready()
            }
        };
        if is_due {
            self.alarm = None;
        }
        is_due
    }
}
