//! The table of producers as pure state: it takes batches in log order and never
//! reads a clock.

use std::collections::{BTreeMap, VecDeque};

use kabuki_protocol::ids::{Offset, ProducerEpoch, ProducerId};
use kabuki_protocol::records::BatchHeader;

/// Batches of a producer that can be told as resends: as many as a client may have in flight with
/// idempotence on (`max.in.flight.requests.per.connection`).
const BATCHES_KEPT: usize = 5;

/// Bounds of a [`ProducerTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerLimits {
    /// `producer.id.expiration.ms`: a producer whose newest record is older is forgotten.
    pub expiration_ms: i64,
    /// Producers kept for one partition; past it the ones that wrote longest ago are forgotten.
    pub producers_max: usize,
}

impl Default for ProducerLimits {
    /// Kafka's expiry. The cap is ours: about 1 MiB of memory for one partition.
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

impl From<&BatchHeader> for ProducerBatch {
    fn from(header: &BatchHeader) -> Self {
        Self {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_offset_delta: header.last_offset_delta,
            max_timestamp: header.max_timestamp,
            is_transactional: header.attributes.is_transactional(),
            is_control: header.attributes.is_control(),
        }
    }
}

impl ProducerBatch {
    fn last_sequence(&self) -> i32 {
        sequence_after(self.base_sequence, self.last_offset_delta)
    }
}

/// The sequence `count` after `sequence`; 0 follows 2^31 - 1.
fn sequence_after(sequence: i32, count: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(count);
    i32::try_from(sum & i64::from(i32::MAX)).expect("masked to 31 bits")
}

/// Verdict on a batch that a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerVerdict {
    /// New: append it.
    Append,
    /// A resend of one of the last five batches: answer with the original's numbers.
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
    /// The first sequence does not follow the last one (error 45).
    OutOfOrderSequence {
        /// Who.
        producer_id: ProducerId,
        /// First sequence of the batch.
        found: i32,
        /// Last sequence in the log, -1 if this epoch has none.
        last: i32,
    },
    /// The epoch is older than the newest known (error 47).
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

/// One batch that a producer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrittenBatch {
    pub(super) last_sequence: i32,
    pub(super) last_offset: Offset,
    pub(super) offset_delta: i32,
    pub(super) timestamp: i64,
}

impl WrittenBatch {
    fn base_offset(&self) -> Offset {
        Offset(self.last_offset.get() - i64::from(self.offset_delta))
    }

    fn base_sequence(&self) -> i32 {
        let difference = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        i32::try_from(difference & i64::from(i32::MAX)).expect("masked to 31 bits")
    }

    fn is_resent_by(&self, batch: &ProducerBatch) -> bool {
        self.base_sequence() == batch.base_sequence && self.last_sequence == batch.last_sequence()
    }
}

/// What is known of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProducerState {
    pub(super) epoch: ProducerEpoch,
    /// Newest last, at most [`BATCHES_KEPT`], all of the present epoch.
    pub(super) batches: VecDeque<WrittenBatch>,
    /// Largest timestamp of the newest batch or marker.
    pub(super) last_timestamp: i64,
    pub(super) coordinator_epoch: i32,
    pub(super) current_txn_first_offset: Option<Offset>,
    /// Where it wrote last: decides who goes when the table is full.
    pub(super) last_offset: Offset,
}

/// Undo record of one [`ProducerTable::apply`].
#[derive(Debug)]
#[must_use = "a write that fails takes the batch back with `revert`; drop it once the write is done"]
pub struct AppliedBatch {
    producer_id: ProducerId,
    /// State before, if there was one.
    before: Option<ProducerState>,
    is_tracked: bool,
}

/// The producers of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerTable {
    limits: ProducerLimits,
    pub(super) producers: BTreeMap<ProducerId, ProducerState>,
}

impl ProducerTable {
    /// A table without producers.
    pub fn new(limits: ProducerLimits) -> Self {
        Self {
            limits,
            producers: BTreeMap::new(),
        }
    }

    /// Judges a batch before it is appended. Batches without a producer id are always to append.
    ///
    /// A producer that is not known may start anywhere: it may have been forgotten.
    pub fn check(&self, batch: &ProducerBatch) -> ProducerVerdict {
        if batch.producer_id.is_none() || batch.is_control {
            return ProducerVerdict::Append;
        }
        let Some(state) = self.producers.get(&batch.producer_id) else {
            return ProducerVerdict::Append;
        };
        let ProducerBatch {
            producer_id,
            producer_epoch: found,
            ..
        } = *batch;
        if found < state.epoch {
            let current = state.epoch;
            let refused = ProducerRefused::InvalidEpoch {
                producer_id,
                found,
                current,
            };
            return ProducerVerdict::Refused(refused);
        }
        let newest = if found == state.epoch {
            state.batches.back()
        } else {
            None
        };
        if found == state.epoch
            && let Some(original) = state.batches.iter().find(|kept| kept.is_resent_by(batch))
        {
            return ProducerVerdict::Duplicate {
                base_offset: original.base_offset(),
                last_offset: original.last_offset,
                timestamp: original.timestamp,
            };
        }
        let due = match newest {
            Some(newest) => sequence_after(newest.last_sequence, 1),
            // A marker alone made the epoch known: as after an epoch bump, counting starts at 0.
            None => 0,
        };
        // An epoch of -1 promised no order, so the first true one may start anywhere.
        let is_first_epoch = state.epoch == -1 && found != state.epoch;
        if batch.base_sequence == due || is_first_epoch {
            return ProducerVerdict::Append;
        }
        ProducerVerdict::Refused(ProducerRefused::OutOfOrderSequence {
            producer_id,
            found: batch.base_sequence,
            last: newest.map_or(-1, |newest| newest.last_sequence),
        })
    }

    /// Takes note of a batch at `base_offset`, live and in recovery alike; never refuses: what
    /// is in the log is so.
    pub fn apply(&mut self, batch: &ProducerBatch, base_offset: Offset) -> AppliedBatch {
        let producer_id = batch.producer_id;
        if producer_id.is_none() {
            return AppliedBatch {
                producer_id,
                before: None,
                is_tracked: false,
            };
        }
        let before = self.producers.get(&producer_id).cloned();
        if before.is_none() {
            self.make_room();
        }
        let state = self
            .producers
            .entry(producer_id)
            .or_insert_with(|| ProducerState {
                epoch: batch.producer_epoch,
                batches: VecDeque::new(),
                last_timestamp: -1,
                coordinator_epoch: -1,
                current_txn_first_offset: None,
                last_offset: base_offset,
            });
        if state.epoch != batch.producer_epoch {
            state.epoch = batch.producer_epoch;
            state.batches.clear();
        }
        let last_offset = base_offset.plus(i64::from(batch.last_offset_delta));
        state.last_timestamp = batch.max_timestamp;
        state.last_offset = last_offset;
        if batch.is_control {
            state.current_txn_first_offset = None;
        } else {
            if batch.is_transactional {
                state.current_txn_first_offset.get_or_insert(base_offset);
            }
            if state.batches.len() == BATCHES_KEPT {
                state.batches.pop_front();
            }
            state.batches.push_back(WrittenBatch {
                last_sequence: batch.last_sequence(),
                last_offset,
                offset_delta: batch.last_offset_delta,
                timestamp: batch.max_timestamp,
            });
        }
        AppliedBatch {
            producer_id,
            before,
            is_tracked: true,
        }
    }

    /// Takes back the newest `apply`, because the write failed. In reverse order for several. A
    /// producer that was forgotten to make room stays forgotten.
    pub fn revert(&mut self, applied: AppliedBatch) {
        let AppliedBatch {
            producer_id,
            before,
            is_tracked,
        } = applied;
        match before {
            Some(state) => {
                self.producers.insert(producer_id, state);
            }
            None if is_tracked => {
                self.producers.remove(&producer_id);
            }
            None => {}
        }
    }

    /// Forgets the producers that wrote longest ago when the table is full: a sixteenth of it at once,
    /// so that the search for them is rare. Open transactions stay.
    fn make_room(&mut self) {
        if self.producers.len() < self.limits.producers_max {
            return;
        }
        let idle = self
            .producers
            .iter()
            .filter(|(_, state)| state.current_txn_first_offset.is_none());
        let mut by_age: Vec<_> = idle.map(|(id, state)| (state.last_offset, *id)).collect();
        by_age.sort_unstable();
        let excess = self.producers.len() - self.limits.producers_max;
        for (_, id) in by_age
            .into_iter()
            .take(excess + 1 + self.limits.producers_max / 16)
        {
            self.producers.remove(&id);
        }
    }

    /// Forgets producers whose last timestamp is `expiration_ms` old. Returns how many.
    pub fn expire(&mut self, now_ms: i64) -> usize {
        let before = self.producers.len();
        let expiration_ms = self.limits.expiration_ms;
        self.producers.retain(|_, state| {
            state.current_txn_first_offset.is_some()
                || now_ms.saturating_sub(state.last_timestamp) < expiration_ms
        });
        before - self.producers.len()
    }

    /// Changes `producer.id.expiration.ms` and the cap.
    pub fn set_limits(&mut self, limits: ProducerLimits) {
        self.limits = limits;
    }

    /// Producers known.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// True if none is known.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The producers, by id.
    pub fn producers(&self) -> impl Iterator<Item = KnownProducer> + '_ {
        self.producers.iter().map(|(id, state)| KnownProducer {
            producer_id: *id,
            producer_epoch: state.epoch,
            last_sequence: state.batches.back().map_or(-1, |batch| batch.last_sequence),
            last_timestamp: state.last_timestamp,
            coordinator_epoch: state.coordinator_epoch,
            current_txn_first_offset: state.current_txn_first_offset,
        })
    }
}
