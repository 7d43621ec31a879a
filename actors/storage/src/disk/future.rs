//! The result of a disk job as a future that is ready at the first poll when the job was immediate.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::fault::DiskFault;

/// Ends when the job has ended, with its result. Dropping it does not stop the job.
#[must_use = "the outcome of the job is lost if nobody waits for it"]
#[derive(Debug)]
pub struct DiskFuture<T> {
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Ready(Result<T, DiskFault>),
    Waiting {
        job: &'static str,
        receiver: oneshot::Receiver<Result<T, DiskFault>>,
    },
    Delayed {
        result: Result<T, DiskFault>,
        sleep: Pin<Box<Sleep>>,
    },
    Taken,
}

// The value is moved out, never polled in place.
impl<T> Unpin for DiskFuture<T> {}

impl<T> DiskFuture<T> {
    /// A future that is ready at its first poll.
    pub(super) fn ready(result: Result<T, DiskFault>) -> Self {
        Self {
            state: State::Ready(result),
        }
    }

    /// A future of a job in the pool.
    pub(super) fn waiting(
        job: &'static str,
        receiver: oneshot::Receiver<Result<T, DiskFault>>,
    ) -> Self {
        Self {
            state: State::Waiting { job, receiver },
        }
    }

    /// A future of a result that is there, and seen `delay` later. Needs a tokio runtime around it.
    pub(super) fn delayed(result: Result<T, DiskFault>, delay: Duration) -> Self {
        Self {
            state: State::Delayed {
                result,
                sleep: Box::pin(tokio::time::sleep(delay)),
            },
        }
    }

    /// Blocks the thread until the job has ended; for threads that serve no actor, as at start-up.
    ///
    /// # Panics
    /// Panics inside of an asynchronous context, where it would block the reactor.
    pub fn wait(self) -> Result<T, DiskFault> {
        match self.state {
            State::Ready(result) | State::Delayed { result, .. } => result,
            State::Waiting { job, receiver } => receiver
                .blocking_recv()
                .unwrap_or(Err(DiskFault::Closed { job })),
            State::Taken => unreachable!("a disk future that ended cannot be waited for again"),
        }
    }
}

impl<T> Future for DiskFuture<T> {
    type Output = Result<T, DiskFault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Ready(_) => {}
            State::Waiting { job, receiver } => {
                let job = *job;
                return Pin::new(receiver)
                    .poll(cx)
                    .map(|received| received.unwrap_or(Err(DiskFault::Closed { job })));
            }
            State::Delayed { sleep, .. } => {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            State::Taken => unreachable!("a disk future that ended must not be polled again"),
        }
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Ready(result) | State::Delayed { result, .. } => Poll::Ready(result),
            State::Waiting { .. } | State::Taken => unreachable!("both returned above"),
        }
    }
}
