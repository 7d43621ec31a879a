//! Why an instance ended: the fault an actor reports, and the crash record that is kept of it.
//! What follows from a crash is decided in `policy`.

use std::fmt;
use std::panic::Location;

use tokio::time::Instant;

use crate::panic_capture::short_place;

/// A condition that ends the instance without a panic: disk, network, peer.
///
/// Anything that is an error converts with `?`, so `started` reads like ordinary code.
pub struct Fault {
    cause: String,
    place: String,
}

impl Fault {
    /// A fault with its cause in words; the caller's line is recorded as its place.
    #[track_caller]
    pub fn new(cause: impl Into<String>) -> Self {
        let here = Location::caller();
        Self {
            cause: cause.into(),
            place: short_place(here.file(), here.line()),
        }
    }

    /// What happened, in words.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Where it was made, as `file:line`.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cause, self.place)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl<E: std::error::Error> From<E> for Fault {
    #[track_caller]
    fn from(error: E) -> Self {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            cause.push_str(": ");
            cause.push_str(&inner.to_string());
            source = inner.source();
        }
        Self::new(cause)
    }
}

/// What ended an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Actor code panicked; the text of the panic.
    Panic(String),
    /// `Context::fail`, or `started` returned a fault.
    Fault(String),
    /// A job started by `spawn_within` passed its deadline.
    Hung(String),
    /// The actor called `Context::stop` by itself although it is to run always.
    Stopped,
}

impl Cause {
    /// One word: `panic`, `fault`, `hung` or `stopped`.
    pub fn kind(&self) -> &'static str {
        match self {
            Cause::Panic(_) => "panic",
            Cause::Fault(_) => "fault",
            Cause::Hung(_) => "hung",
            Cause::Stopped => "stopped",
        }
    }

    /// The text that came with it.
    pub fn detail(&self) -> &str {
        match self {
            Cause::Panic(detail) | Cause::Fault(detail) | Cause::Hung(detail) => detail,
            Cause::Stopped => "",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail() {
            "" => f.write_str(self.kind()),
            detail => write!(f, "{}: {detail}", self.kind()),
        }
    }
}

/// The record of one crash, kept over restarts.
#[derive(Debug, Clone)]
pub struct Crash {
    /// What ended the instance.
    pub cause: Cause,
    /// `file:line` of the panic or fault, relative to its crate's `src`; empty when unknown.
    pub place: String,
    /// Name of the message in hand, or of what `Context::in_hand` said; empty when there was none.
    pub message: String,
    /// Fingerprint of the message in hand; 0 when it has none.
    pub fingerprint: u64,
    /// When it happened.
    pub at: Instant,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if !self.place.is_empty() {
            write!(f, " at {}", self.place)?;
        }
        if !self.message.is_empty() {
            write!(f, " in {}", self.message)?;
        }
        Ok(())
    }
}
