//! What can be sent to an actor, and what becomes of it when it is not taken. The queues are in
//! `mailbox`.

use std::fmt;

use crate::actor::{Actor, Handler};
use crate::context::Context;
use crate::reply::ReplyPort;

/// Which of an actor's two queues a message waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// Polled first: stop, leadership, descriptions.
    Control,
    /// The work itself.
    #[default]
    Data,
}

/// A typed message. Its type lives in the crate of the actor that receives it.
pub trait Message: Sized + Send + 'static {
    /// What the handler returns; `()` where the answer goes through a [`ReplyPort`] field.
    type Reply: Send + 'static;

    /// The queue this message waits in.
    const LANE: Lane = Lane::Data;

    /// Name for logs and crash records.
    fn name() -> &'static str {
        short_type_name::<Self>()
    }

    /// Identifies a message that crashes its actor again and again; 0 stands for none.
    fn fingerprint(&self) -> u64 {
        0
    }

    /// The actor never took this message. One that carries a [`ReplyPort`] refuses it with `why`.
    fn undelivered(self, why: Undelivered) {
        _ = why;
    }
}

/// The part of a type's name behind its last `::`.
fn short_type_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    let plain = full.split('<').next().unwrap_or(full);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// Why a message was not taken. It has certainly not been worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The mailbox has no room.
    #[error("mailbox is full")]
    Full,
    /// The actor crashed and its next instance did not come in time.
    #[error("actor is restarting")]
    Restarting,
    /// The actor spent its budget of restarts and waits to be revived.
    #[error("actor is parked")]
    Parked,
    /// The actor has ended for good.
    #[error("actor has stopped")]
    Stopped,
}

/// A send that failed; gives the message back.
pub struct Refused<M> {
    /// Why it was not taken.
    pub why: Undelivered,
    /// The message as it was sent.
    pub message: M,
}

impl<M> fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Display for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<M> std::error::Error for Refused<M> {}

/// What an actor works on, for its crash record. Cheap to set: it is set for every message.
#[derive(Clone, Copy)]
pub(crate) struct InHand {
    /// Called only when there is a crash to record: a name costs a search in a type's name.
    pub(crate) name: InHandName,
    pub(crate) fingerprint: u64,
}

#[derive(Clone, Copy)]
pub(crate) enum InHandName {
    Of(fn() -> &'static str),
    Text(&'static str),
}

impl InHand {
    pub(crate) const NOTHING: Self = Self {
        name: InHandName::Text(""),
        fingerprint: 0,
    };

    /// A message of type `M`.
    pub(crate) fn message<M: Message>(fingerprint: u64) -> Self {
        Self {
            name: InHandName::Of(M::name),
            fingerprint,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.name {
            InHandName::Of(name) => name(),
            InHandName::Text(name) => name,
        }
    }
}

/// A message of any type in the queue of actor `A`.
pub(crate) trait Envelope<A: Actor>: Send {
    /// Hands the message to the actor's handler.
    fn open(self: Box<Self>, actor: &mut A, cx: &mut Context<A>);
    /// Hands it back to whoever waits for an answer.
    fn undelivered(self: Box<Self>, why: Undelivered);
}

/// A message whose sender does not wait.
pub(crate) struct Told<M>(pub(crate) M);

impl<A: Handler<M>, M: Message> Envelope<A> for Told<M> {
    fn open(self: Box<Self>, actor: &mut A, cx: &mut Context<A>) {
        let Told(message) = *self;
        cx.take_in_hand(InHand::message::<M>(message.fingerprint()));
        drop(actor.handle(message, cx));
    }

    fn undelivered(self: Box<Self>, why: Undelivered) {
        self.0.undelivered(why);
    }
}

/// A message whose sender waits for what the handler returns.
pub(crate) struct Asked<M: Message> {
    pub(crate) message: M,
    pub(crate) port: ReplyPort<M::Reply>,
}

impl<A: Handler<M>, M: Message> Envelope<A> for Asked<M> {
    fn open(self: Box<Self>, actor: &mut A, cx: &mut Context<A>) {
        let Asked { message, port } = *self;
        cx.take_in_hand(InHand::message::<M>(message.fingerprint()));
        // If the handler panics, unwinding drops the port: the asker sees `Lost`.
        let reply = actor.handle(message, cx);
        port.send(reply);
    }

    fn undelivered(self: Box<Self>, why: Undelivered) {
        self.port.refuse(why);
        self.message.undelivered(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;
    struct Wrapped<T>(std::marker::PhantomData<T>);

    #[test]
    fn a_type_name_is_shown_without_its_modules() {
        assert_eq!(short_type_name::<Plain>(), "Plain");
        assert_eq!(short_type_name::<Wrapped<Plain>>(), "Wrapped");
    }
}
