//! The `%020d.snapshot` file: the producers of a log as they were at one offset.
//!
//! int16 version 1, uint32 CRC-32C over the bytes from position 6 on, int32 count, then 46 bytes for
//! each producer: producer id 8, epoch 2, last sequence 4, last offset 8, offset delta 4, timestamp 8,
//! coordinator epoch 4, first offset of the open transaction 8 (-1 for none); all big-endian. Of the
//! last five batches only the newest is kept, as Kafka does it.

use std::collections::VecDeque;

use bytes::{Buf, BufMut};
use kabuki_protocol::crc::crc32c;
use kabuki_protocol::ids::{Offset, ProducerId};
use thiserror::Error;

use super::table::{ProducerLimits, ProducerState, ProducerTable, WrittenBatch};

const VERSION: i16 = 1;
/// The checksum covers the file from here.
const CRC_START: usize = 6;
const HEADER_BYTES: usize = 10;
const ENTRY_BYTES: usize = 46;

/// Why the bytes are no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SnapshotRefused {
    /// Not version 1.
    #[error("version {version} is not 1")]
    Version {
        /// Version found.
        version: i16,
    },
    /// The CRC-32C does not match.
    #[error("CRC does not match")]
    Crc,
    /// The file does not hold the entries it announces.
    #[error("{bytes} bytes do not hold {count} entries")]
    Length {
        /// Size of the file.
        bytes: usize,
        /// Entries announced.
        count: i32,
    },
    /// An entry holds a number that cannot be.
    #[error("entry {index} is not possible")]
    Entry {
        /// Number of the entry, counted from 0.
        index: usize,
    },
}

/// Name of the snapshot at `offset`.
pub fn snapshot_file_name(offset: Offset) -> String {
    format!("{:020}.snapshot", offset.get())
}

impl ProducerTable {
    /// The bytes of a snapshot: the last batch of each producer.
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + ENTRY_BYTES * self.producers.len());
        bytes.put_i16(VERSION);
        bytes.put_u32(0);
        let count = i32::try_from(self.producers.len()).expect("the table is capped below 2^31");
        bytes.put_i32(count);
        for (id, state) in &self.producers {
            let newest = state.batches.back();
            bytes.put_i64(id.get());
            bytes.put_i16(state.epoch);
            bytes.put_i32(newest.map_or(-1, |batch| batch.last_sequence));
            bytes.put_i64(newest.map_or(-1, |batch| batch.last_offset.get()));
            bytes.put_i32(newest.map_or(0, |batch| batch.offset_delta));
            bytes.put_i64(state.last_timestamp);
            bytes.put_i32(state.coordinator_epoch);
            bytes.put_i64(state.current_txn_first_offset.map_or(-1, Offset::get));
        }
        let crc = crc32c(&bytes[CRC_START..]);
        bytes[2..CRC_START].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads a snapshot.
    pub fn decode_snapshot(bytes: &[u8], limits: ProducerLimits) -> Result<Self, SnapshotRefused> {
        let length = bytes.len();
        if length < HEADER_BYTES {
            return Err(SnapshotRefused::Length {
                bytes: length,
                count: 0,
            });
        }
        let mut rest = bytes;
        let version = rest.get_i16();
        if version != VERSION {
            return Err(SnapshotRefused::Version { version });
        }
        if rest.get_u32() != crc32c(&bytes[CRC_START..]) {
            return Err(SnapshotRefused::Crc);
        }
        let count = rest.get_i32();
        let entries = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(ENTRY_BYTES));
        if entries != Some(rest.len()) {
            return Err(SnapshotRefused::Length {
                bytes: length,
                count,
            });
        }
        let mut table = Self::new(limits);
        for (index, entry) in rest.chunks_exact(ENTRY_BYTES).enumerate() {
            let (id, state) = decode_entry(entry).ok_or(SnapshotRefused::Entry { index })?;
            table.producers.insert(id, state);
        }
        Ok(table)
    }
}

fn decode_entry(mut entry: &[u8]) -> Option<(ProducerId, ProducerState)> {
    let id = ProducerId(entry.get_i64());
    let epoch = entry.get_i16();
    let last_sequence = entry.get_i32();
    let last_offset = Offset(entry.get_i64());
    let offset_delta = entry.get_i32();
    let timestamp = entry.get_i64();
    let coordinator_epoch = entry.get_i32();
    let transaction = Offset(entry.get_i64());
    let is_possible = !id.is_none()
        && last_sequence >= -1
        && offset_delta >= 0
        && (last_sequence == -1 || last_offset.get() >= i64::from(offset_delta));
    if !is_possible {
        return None;
    }
    let mut batches = VecDeque::new();
    if last_sequence >= 0 {
        batches.push_back(WrittenBatch {
            last_sequence,
            last_offset,
            offset_delta,
            timestamp,
        });
    }
    let state = ProducerState {
        epoch,
        batches,
        last_timestamp: timestamp,
        coordinator_epoch,
        current_txn_first_offset: (!transaction.is_none()).then_some(transaction),
        last_offset,
    };
    Some((id, state))
}
