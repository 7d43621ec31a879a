//! Addresses: how anybody sends to an actor. An address survives the restarts of its actor and can
//! be used from any thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::actor::{Actor, Handler};
use crate::mailbox::Mailbox;
use crate::message::{Asked, Message, Refused, Told, Undelivered};
use crate::path::ActorPath;
use crate::reply::{NoReply, ReplyPort, reply_channel};
use crate::standstill::Standstill;

/// Why an `ask` has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The request was certainly not done.
    #[error("not done: {0}")]
    NotDone(Undelivered),
    /// The actor crashed with the request in hand: the outcome is unknown.
    #[error("outcome is unknown")]
    Lost,
    /// No answer within the deadline: the outcome is unknown.
    #[error("deadline has passed")]
    DeadlinePassed,
}

impl From<NoReply> for AskError {
    fn from(no_reply: NoReply) -> Self {
        match no_reply {
            NoReply::Lost => AskError::Lost,
            NoReply::NotDone(why) => AskError::NotDone(why),
        }
    }
}

/// The address of an actor of type `A`.
pub struct Addr<A: Actor>(pub(crate) Arc<Mailbox<A>>);

impl<A: Actor> Addr<A> {
    /// Puts the message in if there is room now.
    ///
    /// # Errors
    /// Gives the message back, with the reason.
    pub fn try_tell<M: Message>(&self, message: M) -> Result<(), Refused<M>>
    where
        A: Handler<M>,
    {
        self.0
            .try_push(M::LANE, Box::new(Told(message)))
            .map_err(refused)
    }

    /// Puts the message in as soon as there is room, in the order of waiting.
    ///
    /// # Errors
    /// Gives the message back when the actor takes none: it is parked, stopped, or its restart
    /// takes long.
    pub async fn tell<M: Message>(&self, message: M) -> Result<(), Refused<M>>
    where
        A: Handler<M>,
    {
        self.0
            .push(M::LANE, Box::new(Told(message)))
            .await
            .map_err(refused)
    }

    /// Sends and waits for what the handler returns. For cold paths: it costs a timer and a channel.
    ///
    /// The message is worked on even if the asker gives up meanwhile.
    ///
    /// # Errors
    /// Says whether the request was certainly not done or its outcome is unknown.
    pub async fn ask<M: Message>(
        &self,
        message: M,
        deadline: Duration,
    ) -> Result<M::Reply, AskError>
    where
        A: Handler<M>,
    {
        let until = Instant::now() + deadline;
        let (port, reply) = reply_channel();
        let asked = Box::new(Asked { message, port });
        match tokio::time::timeout_at(until, self.0.push(M::LANE, asked)).await {
            Ok(Ok(())) => {}
            Ok(Err((why, _))) => return Err(AskError::NotDone(why)),
            Err(_) => return Err(AskError::NotDone(Undelivered::Full)),
        }
        answer_until(until, reply).await
    }

    /// Sends a message that carries its own port, and waits for the answer.
    ///
    /// # Errors
    /// As [`Addr::ask`].
    pub async fn ask_with<M: Message, T>(
        &self,
        deadline: Duration,
        message: impl FnOnce(ReplyPort<T>) -> M,
    ) -> Result<T, AskError>
    where
        A: Handler<M>,
    {
        let until = Instant::now() + deadline;
        let (port, reply) = reply_channel();
        match tokio::time::timeout_at(until, self.tell(message(port))).await {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => return Err(AskError::NotDone(refused.why)),
            Err(_) => return Err(AskError::NotDone(Undelivered::Full)),
        }
        answer_until(until, reply).await
    }

    /// This address, as seen by those who only send `M`.
    pub fn recipient<M: Message>(&self) -> Recipient<M>
    where
        A: Handler<M>,
    {
        Recipient(Arc::clone(&self.0) as Arc<dyn Receive<M>>)
    }

    /// Place of the actor in the tree.
    pub fn path(&self) -> &ActorPath {
        &self.0.account.path
    }

    /// Whether the thread of the actor stands still. Nothing that one sees on that thread itself.
    pub fn standstill(&self) -> &Standstill {
        self.0.account.arbiter.standstill()
    }

    /// True when the caller runs on the arbiter of the actor, so that a send crosses no core.
    pub fn same_arbiter(&self) -> bool {
        self.0.account.arbiter.is_current()
    }
}

fn refused<M>((why, told): (Undelivered, Box<Told<M>>)) -> Refused<M> {
    Refused {
        why,
        message: told.0,
    }
}

async fn answer_until<T>(
    until: Instant,
    reply: impl Future<Output = Result<T, NoReply>>,
) -> Result<T, AskError> {
    match tokio::time::timeout_at(until, reply).await {
        Ok(answer) => answer.map_err(AskError::from),
        Err(_) => Err(AskError::DeadlinePassed),
    }
}

impl<A: Actor> Clone for Addr<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Actor> fmt::Debug for Addr<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Addr").field(self.path()).finish()
    }
}

/// What a recipient needs of a mailbox.
pub(crate) trait Receive<M: Message>: Send + Sync {
    fn try_tell(&self, message: M) -> Result<(), Refused<M>>;
    fn take_room<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
    fn tell_with_room(&self, message: M) -> Result<(), Refused<M>>;
    fn tell_event(&self, message: M) -> Result<(), Refused<M>>;
    fn path(&self) -> &ActorPath;
}

impl<A: Handler<M>, M: Message> Receive<M> for Mailbox<A> {
    fn try_tell(&self, message: M) -> Result<(), Refused<M>> {
        self.try_push(M::LANE, Box::new(Told(message)))
            .map_err(refused)
    }

    fn take_room<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.take_room(M::LANE))
    }

    fn tell_with_room(&self, message: M) -> Result<(), Refused<M>> {
        self.push_with_room(M::LANE, Box::new(Told(message)))
            .map_err(refused)
    }

    fn tell_event(&self, message: M) -> Result<(), Refused<M>> {
        self.push_event(M::LANE, Box::new(Told(message)))
            .map_err(refused)
    }

    fn path(&self) -> &ActorPath {
        &self.account.path
    }
}

/// The address of some actor that understands `M`.
pub struct Recipient<M: Message>(Arc<dyn Receive<M>>);

impl<M: Message> Recipient<M> {
    /// As [`Addr::try_tell`].
    ///
    /// # Errors
    /// Gives the message back, with the reason.
    pub fn try_tell(&self, message: M) -> Result<(), Refused<M>> {
        self.0.try_tell(message)
    }

    /// As [`Addr::tell`].
    ///
    /// # Errors
    /// Gives the message back when the actor takes none.
    pub async fn tell(&self, message: M) -> Result<(), Refused<M>> {
        self.0.take_room().await;
        self.0.tell_with_room(message)
    }

    /// Puts an event in whether there is room or not. Only for events whose number is bounded
    /// elsewhere, as that of crashes is by the budget.
    pub(crate) fn tell_event(&self, message: M) -> Result<(), Refused<M>> {
        self.0.tell_event(message)
    }

    /// Place of the actor in the tree.
    pub fn path(&self) -> &ActorPath {
        self.0.path()
    }
}

impl<M: Message> Clone for Recipient<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Message> fmt::Debug for Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipient").field(self.path()).finish()
    }
}
