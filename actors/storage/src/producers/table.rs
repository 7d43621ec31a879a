//! The table of producers as pure state (rules I1 to I9, V5): it takes batches in log order and never
//! reads a clock.

use kabuki_protocol::ids::{Offset, ProducerEpoch, ProducerId};

/// Bounds of a [`ProducerTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerLimits {
    /// `producer.id.expiration.ms`: a producer whose newest record is older is forgotten.
    pub expiration_ms: i64,
    /// Producers kept for one partition; past it the ones that wrote longest ago are forgotten.
    pub producers_max: usize,
}

impl Default for ProducerLimits {
    /// Kafka's expiry. The cap is ours (rule V5): about 1 MiB of memory for one partition.
    fn default() -> Self {
        Self {
            expiration_ms: 86_400_000,
            producers_max: 4096,
        }
    }
}

/// What the table needs to know of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Who wrote it; -1 for a producer that is not idempotent.
    pub producer_id: ProducerId,
    /// In which of its epochs.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Offset of the last record relative to the first.
    pub last_offset_delta: i32,
    /// Largest timestamp of the records in milliseconds.
    pub max_timestamp: i64,
    /// Part of a transaction.
    pub is_transactional: bool,
    /// Marker written by a coordinator; carries no sequence.
    pub is_control: bool,
}

/// Verdict on a batch that a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerVerdict {
    /// New: append it.
    Append,
    /// A resend of one of the last five batches (rule I2): answer with the original's numbers.
    Duplicate {
        /// First offset of the original.
        base_offset: Offset,
        /// Last offset of the original.
        last_offset: Offset,
        /// Largest timestamp of the original.
        timestamp: i64,
    },
    /// Not to be appended.
    Refused(ProducerRefused),
}

/// Why a batch of an idempotent producer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerRefused {
    /// The first sequence does not follow the last one (rules I4, I5; error 45).
    OutOfOrderSequence {
        /// Who.
        producer_id: ProducerId,
        /// First sequence of the batch.
        found: i32,
        /// Last sequence in the log, -1 if this epoch has none.
        last: i32,
    },
    /// The epoch is older than the newest known (rule I3; error 47).
    InvalidEpoch {
        /// Who.
        producer_id: ProducerId,
        /// Epoch of the batch.
        found: ProducerEpoch,
        /// Newest epoch in the log.
        current: ProducerEpoch,
    },
}

/// One producer, as [`ProducerTable::producers`] lists it (DescribeProducers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownProducer {
    /// Who.
    pub producer_id: ProducerId,
    /// Its newest epoch.
    pub producer_epoch: ProducerEpoch,
    /// Its last sequence, -1 for none.
    pub last_sequence: i32,
    /// Largest timestamp of its last batch, -1 for none.
    pub last_timestamp: i64,
    /// Epoch of the coordinator that ended its last transaction, -1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub current_txn_first_offset: Option<Offset>,
}

/// Undo record of one [`ProducerTable::apply`].
#[derive(Debug)]
pub struct AppliedBatch {
    _private: (),
}

/// The producers of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerTable {
    limits: ProducerLimits,
}

impl ProducerTable {
    /// A table without producers.
    pub fn new(limits: ProducerLimits) -> Self {
        Self { limits }
    }

    /// Judges a batch before it is appended. Batches without a producer id are always to append.
    pub fn check(&self, _batch: &ProducerBatch) -> ProducerVerdict {
        todo!()
    }

    /// Takes note of a batch at `base_offset`, live and in recovery alike; never refuses (rule I8).
    pub fn apply(&mut self, _batch: &ProducerBatch, _base_offset: Offset) -> AppliedBatch {
        todo!()
    }

    /// Takes back the newest `apply`, because the write failed. In reverse order for several.
    pub fn revert(&mut self, _applied: AppliedBatch) {
        todo!()
    }

    /// Forgets producers whose last timestamp is `expiration_ms` old (rules I9, V5). Returns how many.
    pub fn expire(&mut self, _now_ms: i64) -> usize {
        todo!()
    }

    /// Changes `producer.id.expiration.ms` and the cap.
    pub fn set_limits(&mut self, limits: ProducerLimits) {
        self.limits = limits;
    }

    /// Producers known.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// True if none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The producers, by id.
    pub fn producers(&self) -> impl Iterator<Item = KnownProducer> + '_ {
        std::iter::empty()
    }
}
