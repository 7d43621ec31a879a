//! Batches of one record that carry the time at which they were sent, and how that time is found in
//! what a broker gives back.

use kabuki_protocol::crc::crc32c;
use kabuki_protocol::records::{BATCH_LENGTH_START, BatchBuilder, BatchError, Compression};

use super::BenchError;
use super::batch::{noise, now_ms};
use super::produce::AcksArg;
use super::wire::ProduceFrame;

/// Bytes at the start of each value: nanoseconds since the start of the measurement.
const STAMP_BYTES: usize = size_of::<u64>();

/// Where checksum and covered bytes lie in a batch.
const CRC_AT: usize = 17;
const CRC_START: usize = 21;

/// Where the stamp lies in a batch of this measurement, and how long such a batch is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) batch_bytes: usize,
    stamp_at: usize,
}

impl Layout {
    /// The stamp of a batch; `None` for a batch of another size.
    pub(super) fn stamp(&self, batch: &[u8]) -> Option<u64> {
        const LENGTH_AT: usize = 8;
        let length = i32::from_be_bytes(*batch.get(LENGTH_AT..)?.first_chunk()?);
        let length = usize::try_from(length).ok()?;
        if BATCH_LENGTH_START + length != self.batch_bytes {
            return None;
        }
        let stamp = batch.get(self.stamp_at..)?.first_chunk::<STAMP_BYTES>()?;
        Some(u64::from_be_bytes(*stamp))
    }
}

/// A Produce request with one record, whose value begins with the time at which it is sent.
pub(super) struct StampedFrame {
    frame: ProduceFrame,
    bytes: Vec<u8>,
    layout: Layout,
}

impl StampedFrame {
    pub(super) fn new(topic: &str, acks: AcksArg, record_bytes: u32) -> Result<Self, BenchError> {
        let value = noise(record_bytes as usize);
        let mut batch = BatchBuilder::new(Compression::None);
        batch.push(now_ms(), None, Some(&value), &[]);
        let records = |source: BatchError| BenchError::Records {
            what: "this size".to_owned(),
            source,
        };
        let batch = batch.build().map_err(records)?;
        let frame = ProduceFrame::new(topic, acks.code(), &batch)?;
        // Behind the value there is only the number of headers, one byte.
        let stamp_at = batch.len() - 1 - value.len();
        Ok(Self {
            bytes: frame.bytes.clone(),
            frame,
            layout: Layout {
                batch_bytes: batch.len(),
                stamp_at,
            },
        })
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn batch_bytes(&self) -> usize {
        self.layout.batch_bytes
    }

    /// The request that carries this time.
    pub(super) fn stamp(&mut self, correlation_id: i32, partition: i32, sent_ns: u64) -> &[u8] {
        self.frame
            .address(&mut self.bytes, correlation_id, partition);
        let batch = &mut self.bytes[self.frame.batch_at..];
        let stamp = self.layout.stamp_at..self.layout.stamp_at + STAMP_BYTES;
        batch[stamp].copy_from_slice(&sent_ns.to_be_bytes());
        let crc = crc32c(&batch[CRC_START..]);
        batch[CRC_AT..CRC_START].copy_from_slice(&crc.to_be_bytes());
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kabuki_protocol::records::{AppendRules, check_batch, records};

    use super::*;

    #[test]
    fn a_stamped_batch_is_sound_and_gives_its_stamp_back() {
        for record_bytes in [8, 100, 20_000] {
            let mut frame = StampedFrame::new("orders", AcksArg::Leader, record_bytes).unwrap();
            let at = frame.frame.batch_at;
            for sent_ns in [0, 1, u64::MAX / 3] {
                let batch = Bytes::copy_from_slice(&frame.stamp(7, 2, sent_ns)[at..]);
                assert_eq!(frame.layout().stamp(&batch), Some(sent_ns));
                let record = records(&batch).unwrap().next().unwrap().unwrap();
                let value = record.value.unwrap();
                assert_eq!(value.len(), record_bytes as usize);
                assert_eq!(value[..8], sent_ns.to_be_bytes());
                let rules = AppendRules::default();
                assert!(check_batch(Some(batch), &rules, now_ms()).is_ok());
            }
        }
    }

    #[test]
    fn a_batch_of_another_size_has_no_stamp() {
        let frame = StampedFrame::new("orders", AcksArg::Leader, 100).unwrap();
        let mut batch = frame.bytes[frame.frame.batch_at..].to_vec();
        batch[11] ^= 1;
        assert_eq!(frame.layout().stamp(&batch), None);
        assert_eq!(frame.layout().stamp(&batch[..9]), None);
    }
}
