//! What a session hears. All of it comes back from those it asked: nobody sends to a session unasked.
//! Tickets name the request an answer belongs to; an answer to a request that is no longer waiting
//! is dropped.

use kabuki_partition::{
    AppendRefused, FindRefused, OffsetFound, ReadRefused, RecordsAppended, RecordsRead,
};
use kabuki_protocol::ids::TopicId;
use kabuki_runtime::{Message, NoReply};
use tokio::sync::watch;

use crate::request::Answer;
use crate::state::pipeline::Ticket;

/// A partition answered one batch of a Produce request.
pub(crate) struct AppendAnswered {
    pub(crate) ticket: Ticket,
    /// Place of the partition in the request.
    pub(crate) index: usize,
    pub(crate) outcome: Result<Result<RecordsAppended, AppendRefused>, NoReply>,
}

/// A partition told its log start, which the answer to a refused batch has to name.
pub(crate) struct LogStartFound {
    pub(crate) ticket: Ticket,
    pub(crate) index: usize,
    pub(crate) outcome: Result<Result<OffsetFound, FindRefused>, NoReply>,
}

/// A partition answered one read of a Fetch request.
pub(crate) struct ReadAnswered {
    pub(crate) ticket: Ticket,
    pub(crate) index: usize,
    pub(crate) outcome: Result<Result<RecordsRead, ReadRefused>, NoReply>,
}

/// A partition that a parked Fetch watches has something to say, or let go of the watcher.
pub(crate) struct WatchEnded {
    pub(crate) topic: TopicId,
    pub(crate) partition: i32,
    /// Which of the watches of this partition; older ones are stale.
    pub(crate) number: u64,
}

/// A cold request is done.
pub(crate) struct JobAnswered {
    pub(crate) ticket: Ticket,
    pub(crate) answer: Answer,
}

/// A send that found its mailbox full has been taken or refused.
pub(crate) struct RoomFound;

/// The thread that serves partitions of this session stands still.
pub(crate) struct StandstillSeen {
    /// Number of its standstill.
    pub(crate) number: u64,
    /// To see the next one.
    pub(crate) changes: watch::Receiver<bool>,
}

/// `max_wait_ms` of a parked Fetch is over.
pub(crate) struct FetchWaitDue {
    pub(crate) ticket: Ticket,
}

/// The earliest deadline of the Produce requests in hand may have passed.
pub(crate) struct ProduceDeadlineDue;

/// Time to see whether the connection is idle, its client does not take its answers, or a partition
/// never answers a read.
pub(crate) struct IdleCheckDue;

macro_rules! told {
    ($($message:ty),+ $(,)?) => {$(
        impl Message for $message {
            type Reply = ();
        }
    )+};
}

told!(
    AppendAnswered,
    LogStartFound,
    ReadAnswered,
    WatchEnded,
    JobAnswered,
    RoomFound,
    StandstillSeen,
    FetchWaitDue,
    ProduceDeadlineDue,
    IdleCheckDue,
);
