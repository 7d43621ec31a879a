//! Supervised actors with bounded, typed mailboxes.
//!
//! # Duty
//! Runs actors so that a crash of one costs that one alone: brings it back in milliseconds, answers
//! everybody who waits, and tells what happened.
//!
//! # Messages
//! | message | kind | from, to |
//! |---|---|---|
//! | [`ChildEvent`] | event | a supervisor to the keeper of its group |
//!
//! # Restart
//! An instance that ends is dropped with its timers, jobs and reply ports; nothing of it is used on.
//! Mailbox and address stay. What was in hand is answered [`NoReply::Lost`]; what waits is kept for
//! the next instance up to [`LOBBY_WAIT`] and then handed back as [`Undelivered::Restarting`].
//!
//! # Invariants
//! 1. At most one instance of an actor exists, and its handlers run one at a time.
//! 2. Every [`ReplyPort`] is answered exactly once.
//! 3. A message to self, a tick or the output of a job reaches the instance that asked for it or
//!    nobody.
//! 4. No instance starts while a [`RestartHold`] of an earlier one lives.
//! 5. A crash counts against the budget of the crashed child alone.
//! 6. The factory runs once per instance.
//!
//! # A turn
//! Each wake-up of an actor is one turn: `poll_io`, then up to 64 messages, or the one that passes
//! 1 ms (control, messages to self, data), then `settle`, then the jobs that were added. What is left waits for the next turn,
//! after the others on the arbiter. In `settle` there is no `std::task::Context`: a socket that is
//! not ready is polled with [`Context::waker`], or again in `poll_io` after [`Context::wake`].
//!
//! ```
//! use std::time::Duration;
//! use kabuki_runtime::{Actor, ChildSpec, Context, Handler, Message, testing};
//!
//! struct Count(u64);
//!
//! /// Adds to the count and answers the sum.
//! struct Add(u64);
//!
//! impl Message for Add {
//!     type Reply = u64;
//! }
//!
//! impl Actor for Count {}
//!
//! impl Handler<Add> for Count {
//!     fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
//!         self.0 += add.0;
//!         self.0
//!     }
//! }
//!
//! testing::run(|stage| async move {
//!     let count = stage.root().start(ChildSpec::new("count", || Count(0)));
//!     count.tell(Add(2)).await.expect("count takes messages");
//!     assert_eq!(count.ask(Add(3), Duration::from_secs(1)).await, Ok(5));
//! });
//! ```
//!
//! # Source
//! Supervision as in Erlang/OTP, with a budget per child in place of one per supervisor; the threads
//! and the life cycle of an instance are actix's, the mailbox is not.

#[cfg(not(panic = "unwind"))]
compile_error!("supervision catches panics: build with panic = \"unwind\"");

mod accounting;
mod actor;
mod address;
mod arbiter;
mod cell;
mod cell_handle;
mod context;
mod fault;
mod group;
mod hang_watch;
mod job;
mod mailbox;
mod message;
mod panic_capture;
mod path;
mod policy;
mod pump;
mod queues;
mod registry;
mod reply;
mod self_reply;
mod stage;
mod standstill;
mod storm;
mod supervision_log;
mod supervisor;
pub mod testing;
mod ticks;

pub use accounting::{ActorState, RestartHold};
pub use actor::{Actor, Handler};
pub use address::{Addr, AskError, Recipient};
pub use arbiter::Arbiter;
pub use cell::LOBBY_WAIT;
pub use context::Context;
pub use fault::{Cause, Crash, Fault};
pub use group::{ChildEvent, ChildEventKind};
pub use message::{Lane, Message, Refused, Undelivered};
pub use path::{ActorPath, Incarnation};
pub use policy::{Backoff, Budget, Policy, Restart, WhenSpent};
pub use registry::{ActorDescription, CrashRefused, Registry};
pub use reply::{NoReply, Reply, ReplyPort, reply_channel};
pub use stage::{EXIT_ESCALATED, Stage, StageOptions, run};
pub use standstill::Standstill;
pub use supervision_log::{EventKind, SupervisionEvent, SupervisionLog};
pub use supervisor::{ChildSpec, GroupOptions, StopOutcome, Supervisor};
pub use ticks::Timer;
