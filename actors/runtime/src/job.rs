//! A future that works for an actor. It says whose work it is while it is polled, so that a crash in
//! it is recorded with a name.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::actor::Actor;
use crate::message::{Envelope, InHand, Lane};

/// How a job ended.
pub(crate) enum JobEnd<A: Actor> {
    Done {
        lane: Lane,
        envelope: Box<dyn Envelope<A>>,
    },
    Expired {
        message: &'static str,
        deadline: Duration,
        place: String,
    },
}

/// A future of actor `A`.
pub(crate) struct Job<A: Actor> {
    in_hand: Rc<Cell<InHand>>,
    name: InHand,
    future: Pin<Box<dyn Future<Output = JobEnd<A>>>>,
}

impl<A: Actor> Job<A> {
    pub(crate) fn new(
        in_hand: Rc<Cell<InHand>>,
        name: InHand,
        future: impl Future<Output = JobEnd<A>> + 'static,
    ) -> Self {
        Self {
            in_hand,
            name,
            future: Box::pin(future),
        }
    }
}

impl<A: Actor> Future for Job<A> {
    type Output = JobEnd<A>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.in_hand.set(self.name);
        let polled = self.future.as_mut().poll(task);
        // Not reached after a panic, so that the record names the job.
        self.in_hand.set(InHand::NOTHING);
        polled
    }
}
