//! `AppendRecords`: one checked batch for this partition, and how it can be refused.

use std::fmt;

use kabuki_protocol::ids::{LeaderEpoch, Offset, ProducerId, TopicId};
use kabuki_protocol::records::CheckedBatch;
use kabuki_runtime::{Message, ReplyPort, Undelivered};

/// What must have happened before an append is answered.
///
/// `acks=0` travels as `Leader`: the session sends no bytes for it, but still closes the
/// connection when the append is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequiredAcks {
    /// `acks=1`: written to the log of the leader.
    Leader,
    /// `acks=-1`: the high watermark has passed the batch.
    All,
}

/// Appends one batch.
///
/// The batch has passed `check_batch`, so only what needs the state of the partition is checked
/// here: leadership, sequence numbers, the disk. A port that is dropped (`NoReply::Lost`) means
/// that the batch may have been written; `NoReply::NotDone` and every refusal mean that it was not.
/// Sent by the session.
pub struct AppendRecords {
    /// The topic the sender means; a partition of another topic with the same name refuses.
    pub topic_id: TopicId,
    /// The batch, complete and validated; base offset and leader epoch are still the client's.
    pub batch: CheckedBatch,
    /// When to answer.
    pub required_acks: RequiredAcks,
    /// Gets the answer.
    pub reply: ReplyPort<Result<RecordsAppended, AppendRefused>>,
}

impl fmt::Debug for AppendRecords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AppendRecords")
            .field("bytes", &self.batch.bytes.len())
            .field("producer_id", &self.batch.header.producer_id)
            .field("base_sequence", &self.batch.header.base_sequence)
            .field("required_acks", &self.required_acks)
            .finish_non_exhaustive()
    }
}

impl Message for AppendRecords {
    type Reply = ();

    fn fingerprint(&self) -> u64 {
        batch_fingerprint(&self.batch)
    }

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

/// What a batch is recognised by when its producer sends it again: its checksum, which covers
/// producer id, epoch and sequence, and its length. Never 0, since a batch is never empty.
pub(crate) fn batch_fingerprint(batch: &CheckedBatch) -> u64 {
    (u64::from(batch.header.crc) << 32) | (batch.bytes.len() as u64 & 0xffff_ffff)
}

/// A batch is in the log; for a resent one: was already, at the offset told here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsAppended {
    /// Offset of the first record of the batch.
    pub base_offset: Offset,
    /// Milliseconds since the epoch on a LogAppendTime topic, else -1.
    pub log_append_time_ms: i64,
    /// First offset of the log.
    pub log_start: Offset,
}

/// Why a batch was not written. None of its bytes are in the log (code 56 is allowed).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefused {
    /// The partition of this name belongs to another topic: the one that was meant is deleted, or
    /// not on stage yet. Kafka: 3 where topics are named, 100 or 103 where their ids are used.
    #[error("topic {asked} was meant, this is a partition of topic {hosted}")]
    ForeignTopic {
        /// Id of the topic that was meant.
        asked: TopicId,
        /// Id of the topic whose partition this is.
        hosted: TopicId,
    },
    /// This replica does not lead. Kafka: 6, `log_start_offset` -1.
    #[error("this replica does not lead, its last known epoch is {leader_epoch}")]
    NotLeader {
        /// Last epoch this replica knows of, -1 if none.
        leader_epoch: LeaderEpoch,
    },
    /// The first sequence number does not follow the last one. Kafka: 45.
    #[error("sequence {sent} of producer {producer_id} where {expected} was expected")]
    OutOfOrderSequence {
        /// Producer of the batch.
        producer_id: ProducerId,
        /// First sequence number of the batch.
        sent: i32,
        /// The number that would have been accepted.
        expected: i32,
        /// First offset of the log, told to the client.
        log_start: Offset,
    },
    /// A newer instance of the producer has written. Kafka: 47.
    #[error("epoch {sent} of producer {producer_id} is older than {current}")]
    InvalidProducerEpoch {
        /// Producer of the batch.
        producer_id: ProducerId,
        /// Epoch of the batch.
        sent: i16,
        /// Epoch known for the producer.
        current: i16,
        /// First offset of the log, told to the client.
        log_start: Offset,
    },
    /// This batch crashed the partition twice. Kafka: 56 while the state is the suspect (no other
    /// batch has succeeded since), else 87.
    #[error("the batch crashed this partition twice (state suspect: {state_suspect})")]
    Poisonous {
        /// True when no other batch succeeded since, so that the state may be what is bad.
        state_suspect: bool,
        /// First offset of the log.
        log_start: Offset,
    },
    /// The disk does not take writes now. Kafka: 56.
    #[error("the log cannot be written: {cause}")]
    Storage {
        /// What the disk said.
        cause: String,
    },
}
