//! The two traits an actor implements. Everything that calls them is in `pump`.

use crate::context::Context;
use crate::fault::Fault;
use crate::message::Message;

/// A piece of state with a mailbox. It is built by its factory on its arbiter and never leaves it,
/// so it need not be `Send`.
///
/// Every method may panic: the instance is then dropped and the factory builds the next one.
pub trait Actor: Sized + 'static {
    /// Called once per instance, before the first message. A fault here counts as a crash.
    ///
    /// It does not await; recovery is a job (`Context::spawn`) behind `Context::hold_data`.
    ///
    /// # Errors
    /// The fault that keeps this instance from working.
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        _ = cx;
        Ok(())
    }

    /// Called at each wake-up, before the mailbox is drained. Sockets are polled here, with `task`;
    /// whatever is left pending wakes the actor by itself.
    fn poll_io(&mut self, task: &mut std::task::Context<'_>, cx: &mut Context<Self>) {
        _ = (task, cx);
    }

    /// Called after each drain, when the mailbox is empty or the budget of 64 messages, or of 1 ms, is
    /// spent: what waited is written together, answers leave together.
    ///
    /// A write that would block registers with [`Context::waker`], or asks for another `poll_io`
    /// with [`Context::wake`].
    fn settle(&mut self, cx: &mut Context<Self>) {
        _ = cx;
    }

    /// Somebody wants this actor to end. It may work on asynchronously and then call
    /// [`Context::stop`]; past the deadline of the stop it is dropped as it is.
    fn stop_requested(&mut self, cx: &mut Context<Self>) {
        cx.stop();
    }

    /// One line for `kabuki actors`. Called at most once a second, on the actor's arbiter.
    fn describe(&self) -> String {
        String::new()
    }
}

/// An actor that understands `M`.
pub trait Handler<M: Message>: Actor {
    /// Works on one message. Never awaits and never blocks for more than half a millisecond.
    fn handle(&mut self, message: M, cx: &mut Context<Self>) -> M::Reply;
}
