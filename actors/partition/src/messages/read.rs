//! `ReadRecords` and the watcher that tells a parked fetch to look again.

use std::fmt;

use bytes::Bytes;
use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};
use kabuki_runtime::{Message, ReplyPort, Undelivered};

use super::not_served::NotServed;

/// Which records a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// Up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Up to the last stable offset.
    ReadCommitted,
}

/// Reads whole batches from the one that holds `fetch_offset`, never past the high watermark.
///
/// Sent by the session.
pub struct ReadRecords {
    /// The topic the sender means; a partition of another topic with the same name refuses.
    pub topic_id: TopicId,
    /// First offset wanted; the first batch may begin before it.
    pub fetch_offset: Offset,
    /// Most bytes to return; 0 is allowed.
    pub bytes_max: usize,
    /// Return one whole batch even if it is larger than `bytes_max`.
    pub must_return_one: bool,
    /// Leader epoch the reader knows, -1 for no check.
    pub current_leader_epoch: LeaderEpoch,
    /// Epoch of the last record the reader has, -1 for no check.
    pub last_fetched_epoch: LeaderEpoch,
    /// Which records may be seen.
    pub isolation: Isolation,
    /// Gets the answer. It may come after answers to later messages when the disk must be asked.
    pub reply: ReplyPort<Result<RecordsRead, ReadRefused>>,
}

impl fmt::Debug for ReadRecords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ReadRecords")
            .field("fetch_offset", &self.fetch_offset)
            .field("bytes_max", &self.bytes_max)
            .field("must_return_one", &self.must_return_one)
            .field("current_leader_epoch", &self.current_leader_epoch)
            .field("last_fetched_epoch", &self.last_fetched_epoch)
            .finish_non_exhaustive()
    }
}

impl Message for ReadRecords {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsRead {
    /// Whole batches as they are stored; empty when there is nothing to read yet.
    pub records: Bytes,
    /// First offset that is not yet replicated to all in-sync replicas.
    pub high_watermark: Offset,
    /// First offset that an open transaction may still take back.
    pub last_stable_offset: Offset,
    /// First offset of the log.
    pub log_start: Offset,
    /// Set when the reader's log has gone another way: largest common epoch and its end offset.
    /// `records` is empty then.
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

/// Why a read was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefused {
    /// This replica does not serve the request.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// The offset lies outside the log, or the reader's last epoch was never written here.
    /// Kafka: 1.
    #[error("offset {fetch_offset} is outside {log_start}..={log_end}")]
    OffsetOutOfRange {
        /// Offset asked for.
        fetch_offset: Offset,
        /// First offset of the log.
        log_start: Offset,
        /// Offset of the next append.
        log_end: Offset,
    },
    /// A batch of this range is not what was written; other ranges are not touched by it, and no
    /// later try can help. Kafka: 2.
    #[error("the log is damaged at {fetch_offset}: {cause}")]
    Corrupt {
        /// Offset asked for.
        fetch_offset: Offset,
        /// Where in which file, and what is wrong there.
        cause: String,
    },
    /// The disk could not give this range; other ranges are not touched by it. Kafka: 56.
    #[error("the log cannot be read at {fetch_offset}: {cause}")]
    Storage {
        /// Offset asked for.
        fetch_offset: Offset,
        /// What the disk said.
        cause: String,
    },
}

/// Names a waiting session; unique in the node. A session has one watcher a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatcherId(pub u64);

/// Asks to be told once when there is more to read than `after`, or when leadership or removal
/// changes what a fetch would be answered.
///
/// Replaces the watcher's earlier wish, whose port is then dropped: the session that replaces it
/// no longer waits for it. When the high watermark is past `after` already, the answer is at once.
/// A port that comes back without an answer (crash, stop) is to be treated as `Changed`.
/// Sent by the session with a parked fetch.
pub struct WatchPartition {
    /// The topic the sender means; in a partition of another topic it is `Removed` at once.
    pub topic_id: TopicId,
    /// Who waits.
    pub watcher: WatcherId,
    /// Tell when the high watermark is greater than this offset.
    pub after: Offset,
    /// Gets the answer.
    pub reply: ReplyPort<PartitionMoved>,
}

impl fmt::Debug for WatchPartition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("WatchPartition")
            .field("watcher", &self.watcher)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl Message for WatchPartition {
    type Reply = ();

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// Why a watcher was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionMoved {
    /// The high watermark is now this, greater than the offset watched.
    HighWatermark(Offset),
    /// Leadership, configuration or log start changed: a fetch may be answered differently.
    Changed,
    /// The partition is being stopped or deleted here.
    Removed,
}

/// Forgets a watcher, if it is there. Sent by the session when its fetch is answered or it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnwatchPartition {
    /// Who no longer waits.
    pub watcher: WatcherId,
}

impl Message for UnwatchPartition {
    type Reply = ();
}
