//! The runtime through its public interface, in virtual time. Each file is one promise of the
//! design; `probe` holds the actor they all work with.

// A test that panics has failed, which is all an `unwrap` is to do here.
#![allow(clippy::unwrap_used)]

mod crashes;
mod lifecycle;
mod mailbox;
mod probe;
mod stopping;
mod supervision;
mod supervision_log;
mod threads;
mod ticks_and_jobs;
