//! The `%020d.snapshot` file: the producers of a log as they were at one offset.

use thiserror::Error;

use kabuki_protocol::ids::Offset;

use super::table::{ProducerLimits, ProducerTable};

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
        todo!()
    }

    /// Reads a snapshot.
    pub fn decode_snapshot(
        _bytes: &[u8],
        _limits: ProducerLimits,
    ) -> Result<Self, SnapshotRefused> {
        todo!()
    }
}
