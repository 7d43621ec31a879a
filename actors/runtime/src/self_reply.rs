//! The port an actor hands out to get an answer as a message to itself. The box that carries the
//! mapping there is the envelope that carries the answer back: one allocation for both ways.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::actor::{Actor, Handler};
use crate::context::Context;
use crate::mailbox::Mailbox;
use crate::message::{Envelope, InHand, Message, Undelivered};
use crate::path::Incarnation;
use crate::reply::{NoReply, ReplySink};

pub(crate) struct SelfReply<A: Actor, T, M, F: FnOnce(Result<T, NoReply>) -> M> {
    /// Taken when the answer is on its way.
    mailbox: Option<Arc<Mailbox<A>>>,
    incarnation: Incarnation,
    map: F,
    answer: Option<Result<T, NoReply>>,
    message: PhantomData<fn() -> M>,
}

impl<A: Actor, T, M, F: FnOnce(Result<T, NoReply>) -> M> SelfReply<A, T, M, F> {
    pub(crate) fn new(mailbox: Arc<Mailbox<A>>, incarnation: Incarnation, map: F) -> Self {
        Self {
            mailbox: Some(mailbox),
            incarnation,
            map,
            answer: None,
            message: PhantomData,
        }
    }
}

impl<A, T, M, F> ReplySink<T> for SelfReply<A, T, M, F>
where
    A: Handler<M>,
    T: Send + 'static,
    M: Message,
    F: FnOnce(Result<T, NoReply>) -> M + Send + 'static,
{
    fn answer(mut self: Box<Self>, answer: Result<T, NoReply>) {
        let incarnation = self.incarnation;
        if let Some(mailbox) = self.mailbox.take() {
            self.answer = Some(answer);
            mailbox.push_own(M::LANE, self, incarnation);
        }
    }

    fn is_abandoned(&self) -> bool {
        !self
            .mailbox
            .as_ref()
            .is_some_and(|mailbox| mailbox.is_current(self.incarnation))
    }
}

impl<A, T, M, F> Envelope<A> for SelfReply<A, T, M, F>
where
    A: Handler<M>,
    T: Send + 'static,
    M: Message,
    F: FnOnce(Result<T, NoReply>) -> M + Send + 'static,
{
    fn open(self: Box<Self>, actor: &mut A, cx: &mut Context<A>) {
        let Self { map, answer, .. } = *self;
        cx.take_in_hand(InHand::message::<M>(0));
        let message = map(answer.unwrap_or(Err(NoReply::Lost)));
        cx.take_in_hand(InHand::message::<M>(message.fingerprint()));
        drop(actor.handle(message, cx));
    }

    fn undelivered(self: Box<Self>, _why: Undelivered) {
        // To oneself only: nobody waits.
    }
}
