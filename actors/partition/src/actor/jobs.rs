//! What comes back from the disk pool, and the ticks: messages of an instance to itself.

use kabuki_runtime::{Context, Handler, Message, NoReply, RestartHold};
use kabuki_storage::{DiskFault, FaultClass, FileSystem, LogFault};

use super::Partition;
use crate::messages::{CheckpointFailed, PartitionCheckpointed};

/// Why a job of the pool gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobFault {
    /// The files.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// The pool.
    #[error(transparent)]
    Disk(#[from] DiskFault),
}

/// Outcome of a job of the pool.
pub(crate) type JobOutcome<T> = Result<T, JobFault>;

impl JobFault {
    /// True where refusing writes for a while can help: the disk said no, and nothing was done.
    pub(crate) fn is_degrading(&self) -> bool {
        match self {
            Self::Log(fault) => fault.class().is_degrading(),
            // Not started: the queue of the directory is longer than all its partitions would make it.
            Self::Disk(fault) => matches!(fault, DiskFault::QueueFull { .. }),
        }
    }

    /// True where the bytes of a batch are not what was written.
    pub(crate) fn is_corruption(&self) -> bool {
        matches!(self, Self::Log(LogFault::CorruptBatch { .. }))
    }

    /// True where the directory is not what it should be, so that no restart helps.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Self::Log(LogFault::ForeignTopic { .. }) => true,
            Self::Log(fault) => fault.class() == FaultClass::Gone,
            Self::Disk(_) => false,
        }
    }
}

/// Joins the two ways in which a job can fail.
pub(crate) fn outcome<T>(result: Result<Result<T, LogFault>, DiskFault>) -> JobOutcome<T> {
    Ok(result??)
}

/// Declares a message of an instance to itself around one value.
macro_rules! own_message {
    ($($(#[$doc:meta])* $name:ident($value:ty) => $method:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) $value);

        impl Message for $name {
            type Reply = ();
        }

        impl Handler<$name> for Partition {
            fn handle(&mut self, message: $name, cx: &mut Context<Self>) {
                self.$method(message.0, cx);
            }
        }
    )*};
}

pub(crate) use own_message;

/// Declares a tick.
macro_rules! tick {
    ($($(#[$doc:meta])* $name:ident => $method:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl Message for $name {
            type Reply = ();
        }

        impl Handler<$name> for Partition {
            fn handle(&mut self, _: $name, cx: &mut Context<Self>) {
                self.$method(cx);
            }
        }
    )*};
}

pub(crate) use tick;

impl Partition {
    /// Runs a job that writes in the pool of the directory. While it runs no other incarnation
    /// starts, whatever becomes of this one.
    pub(crate) fn run_writing<T, M>(
        &self,
        name: &'static str,
        job: impl FnOnce(&dyn FileSystem) -> Result<T, LogFault> + Send + 'static,
        cx: &mut Context<Self>,
        message: impl FnOnce(JobOutcome<T>) -> M + 'static,
    ) where
        T: Send + 'static,
        M: Message,
        Self: Handler<M>,
    {
        let hold: RestartHold = cx.hold_restart();
        let running = self.spec.disk.run(name, move |fs| {
            let _hold = hold;
            job(fs)
        });
        cx.spawn(running, |result| message(outcome(result)));
    }
}

/// What the log directory answered to a checkpoint.
pub(crate) type CheckpointAnswer = Result<Result<PartitionCheckpointed, CheckpointFailed>, NoReply>;
