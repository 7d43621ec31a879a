//! The way an answer takes back to whoever asked: a port that is answered exactly once, whatever
//! becomes of the actor that holds it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::message::Undelivered;

/// There is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// The request was in hand when its actor crashed or let it go: the outcome is unknown.
    #[error("outcome is unknown")]
    Lost,
    /// The request was certainly not done.
    #[error("not done: {0}")]
    NotDone(Undelivered),
}

/// Takes one answer to somewhere.
pub(crate) trait ReplySink<T>: Send {
    fn answer(self: Box<Self>, answer: Result<T, NoReply>);
    fn is_abandoned(&self) -> bool;
}

enum Way<T> {
    Channel(oneshot::Sender<Result<T, NoReply>>),
    Mailbox(Box<dyn ReplySink<T>>),
}

/// The right to answer one request, once. Travels in messages and waits in an actor's state.
///
/// Dropped unanswered it yields [`NoReply::Lost`], so a crash answers all that was in hand.
#[must_use = "a port that is dropped tells its asker that the outcome is unknown"]
pub struct ReplyPort<T>(Option<Way<T>>);

impl<T> ReplyPort<T> {
    pub(crate) fn to_sink(sink: Box<dyn ReplySink<T>>) -> Self {
        Self(Some(Way::Mailbox(sink)))
    }

    /// Answers. Never waits and never fails: an answer that nobody wants any more is dropped.
    pub fn send(mut self, answer: T) {
        self.finish(Ok(answer));
    }

    /// Answers that the request was certainly not done.
    pub fn refuse(mut self, why: Undelivered) {
        self.finish(Err(NoReply::NotDone(why)));
    }

    /// True once nobody waits for the answer: the asker gave up, or its instance ended.
    pub fn is_abandoned(&self) -> bool {
        match &self.0 {
            Some(Way::Channel(sender)) => sender.is_closed(),
            Some(Way::Mailbox(sink)) => sink.is_abandoned(),
            None => true,
        }
    }

    fn finish(&mut self, answer: Result<T, NoReply>) {
        match self.0.take() {
            // The receiver may be gone, which is its right.
            Some(Way::Channel(sender)) => drop(sender.send(answer)),
            Some(Way::Mailbox(sink)) => sink.answer(answer),
            None => {}
        }
    }
}

impl<T> Drop for ReplyPort<T> {
    fn drop(&mut self) {
        self.finish(Err(NoReply::Lost));
    }
}

impl<T> fmt::Debug for ReplyPort<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyPort").finish_non_exhaustive()
    }
}

/// The waiting end of a [`reply_channel`].
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct Reply<T>(oneshot::Receiver<Result<T, NoReply>>);

impl<T> Future for Reply<T> {
    type Output = Result<T, NoReply>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(task)
            .map(|received| received.unwrap_or(Err(NoReply::Lost)))
    }
}

/// A port and the future that waits for its answer.
pub fn reply_channel<T>() -> (ReplyPort<T>, Reply<T>) {
    let (sender, receiver) = oneshot::channel();
    (ReplyPort(Some(Way::Channel(sender))), Reply(receiver))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_dropped_port_yields_lost() {
        let (port, reply) = reply_channel::<u32>();
        drop(port);
        assert_eq!(reply.now_or_never(), Some(Err(NoReply::Lost)));
    }

    #[test]
    fn a_refused_port_says_that_nothing_was_done() {
        let (port, reply) = reply_channel::<u32>();
        port.refuse(Undelivered::Parked);
        assert_eq!(
            reply.now_or_never(),
            Some(Err(NoReply::NotDone(Undelivered::Parked)))
        );
    }

    #[test]
    fn a_port_knows_when_nobody_waits() {
        let (port, reply) = reply_channel::<u32>();
        assert!(!port.is_abandoned());
        drop(reply);
        assert!(port.is_abandoned());
        port.send(1);
    }
}
