//! One batch on its way: being filled, then sealed with a producer id and sequence that it keeps over
//! every retry.

use bytes::Bytes;
use kabuki_protocol::ids::{Offset, ProducerEpoch, ProducerId};
use kabuki_protocol::records::{BatchBuilder, BatchError, Compression};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{NewRecord, RecordDelivered};
use crate::error::ClientError;

/// Where a record's outcome is told.
pub(super) type Outcome = oneshot::Sender<Result<RecordDelivered, ClientError>>;

/// An idempotent producer's identity, and the place of a batch in its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) producer: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) first: i32,
}

impl Sequence {
    /// The place of what follows `count` records; wraps as Kafka's sequences do.
    pub(super) fn after(self, count: usize) -> Self {
        let next = (i64::from(self.first) + count as i64) % (i64::from(i32::MAX) + 1);
        Self {
            first: i32::try_from(next).expect("the remainder is below 2^31"),
            ..self
        }
    }
}

/// Records for one partition that travel together.
#[derive(Debug)]
pub(super) struct Batch {
    records: Vec<(NewRecord, i64)>,
    outcomes: Vec<Outcome>,
    bytes: usize,
    /// When the first record came.
    pub(super) started: Instant,
    sealed: Option<Sealed>,
}

/// The bytes that are sent.
#[derive(Debug)]
struct Sealed {
    bytes: Bytes,
    sequence: Option<Sequence>,
}

impl Batch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            records: Vec::new(),
            outcomes: Vec::new(),
            bytes: 0,
            started: now,
            sealed: None,
        }
    }

    pub(super) fn push(&mut self, record: NewRecord, now_ms: i64, outcome: Outcome) {
        assert!(
            self.sealed.is_none(),
            "a batch that was sealed takes no more records"
        );
        let timestamp_ms = record.timestamp_ms.unwrap_or(now_ms);
        self.bytes += record.bytes();
        self.records.push((record, timestamp_ms));
        self.outcomes.push(outcome);
    }

    /// Bytes of its records, before compression.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn count(&self) -> usize {
        self.outcomes.len()
    }

    /// True if a record of that size may join: the first one always may.
    pub(super) fn has_room(&self, record_bytes: usize, batch_bytes: usize) -> bool {
        let is_open = self.sealed.is_none();
        is_open && (self.outcomes.is_empty() || self.bytes + record_bytes <= batch_bytes)
    }

    /// The sequence it was sealed with.
    pub(super) fn sequence(&self) -> Option<Sequence> {
        self.sealed.as_ref().and_then(|sealed| sealed.sequence)
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// Packs the records. Called once: a resend carries the same bytes.
    pub(super) fn seal(
        &mut self,
        compression: Compression,
        sequence: Option<Sequence>,
    ) -> Result<(), BatchError> {
        assert!(self.sealed.is_none(), "a batch is sealed once");
        let mut builder = BatchBuilder::new(compression);
        if let Some(Sequence {
            producer,
            epoch,
            first,
        }) = sequence
        {
            builder = builder.producer(producer, epoch, first);
        }
        for (record, timestamp_ms) in &self.records {
            let headers: Vec<(&str, Option<&[u8]>)> = record
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_deref()))
                .collect();
            builder.push(
                *timestamp_ms,
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            );
        }
        self.sealed = Some(Sealed {
            bytes: builder.build()?,
            sequence,
        });
        Ok(())
    }

    /// The packed bytes.
    pub(super) fn packed(&self) -> Bytes {
        self.sealed
            .as_ref()
            .expect("a batch is sealed before it is sent")
            .bytes
            .clone()
    }

    /// Tells each record where it was written. `base` is -1 where nobody knows.
    pub(super) fn delivered(self, partition: i32, base: i64, log_append_time_ms: i64) {
        let records = self.records.into_iter().zip(self.outcomes).zip(0i64..);
        for (((_, timestamp_ms), outcome), delta) in records {
            let stamped = log_append_time_ms >= 0;
            // Nobody may be listening: deliveries can be dropped.
            let _ = outcome.send(Ok(RecordDelivered {
                partition,
                offset: (base >= 0).then(|| Offset(base.saturating_add(delta))),
                timestamp_ms: if stamped {
                    log_append_time_ms
                } else {
                    timestamp_ms
                },
            }));
        }
    }

    /// Tells each record why it was not written.
    pub(super) fn failed(self, error: &ClientError) {
        for outcome in self.outcomes {
            let _ = outcome.send(Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_wraps_to_0_after_the_largest_int32() {
        let at = |first| Sequence {
            producer: ProducerId(1),
            epoch: 0,
            first,
        };
        assert_eq!(at(0).after(3), at(3));
        assert_eq!(at(i32::MAX).after(1), at(0));
        assert_eq!(at(i32::MAX - 1).after(3), at(1));
    }
}
