//! Record batches, format v2: header, records, compression, and the check of what a client sends.
//!
//! A batch travels as `Bytes` from the socket to the file. [`BatchHeader`] reads its 61 bytes,
//! [`check_batch`] judges everything that needs no partition state, [`records`] walks its records
//! with bounded memory, [`BatchBuilder`] makes new ones. Formats v0 and v1 are not served.
//!
//! Source: KIP-98 (format v2), KIP-110 (zstd), KIP-32 (timestamps), KIP-467 (record errors).

mod builder;
mod check;
mod checked;
mod compress;
mod compression;
mod decompress;
mod error;
mod header;
mod iterate;
mod judge;
mod record;
mod reencode;
mod rules;
mod scan;
mod snappy;
mod varint;

pub use builder::BatchBuilder;
pub use check::{check_batch, check_form, check_measurable, leading_attributes};
pub use checked::CheckedBatch;
pub use compression::{Compression, UnknownCompression};
pub use decompress::DECOMPRESSED_BYTES_MAX;
pub use error::BatchError;
pub use header::{Attributes, BATCH_LENGTH_START, BatchHeader, HEADER_BYTES, MAGIC, TimestampType};
pub use iterate::{Batches, Records, batches, find_max_timestamp, find_timestamp, records};
pub use record::Record;
pub use rules::{AppendRules, RECORD_ERRORS_MAX, RecordError, RecordRefused, RefusedKind};

/// Timestamp of a record or batch that has none.
pub const NO_TIMESTAMP: i64 = -1;
/// Sequence number of a batch whose producer is not idempotent.
pub const NO_SEQUENCE: i32 = -1;
