//! The rules a topic sets for what a client may append, and the answer when they are broken.

use std::borrow::Cow;

use super::{BatchError, Compression, DECOMPRESSED_BYTES_MAX, TimestampType};

/// Most record errors that one refusal lists.
///
/// A batch of a million records without keys would otherwise be answered with tens of megabytes;
/// clients show the first few, and treat unlisted records as refused with their batch.
pub const RECORD_ERRORS_MAX: usize = 1_000;

/// First Produce version that may carry zstd. Source: KIP-110.
pub(super) const PRODUCE_VERSION_ZSTD: i16 = 7;

/// What a topic and a Produce version allow, as far as a batch alone can break it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendRules {
    /// `max.message.bytes`: largest whole batch, header included, as it came and as it is stored.
    pub max_message_bytes: usize,
    /// `segment.bytes`: a batch larger than a segment has no home.
    pub segment_bytes: usize,
    /// `cleanup.policy` contains `compact`: every record needs a key.
    pub is_compacted: bool,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's time may lie back.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a record's time may lie ahead.
    pub timestamp_after_max_ms: i64,
    /// `compression.type` with its level; `None` is `producer`: keep what came.
    pub compression: Option<(Compression, i32)>,
    /// Version of the Produce request; zstd is refused below 7.
    pub produce_version: i16,
    /// Most bytes that compressed records may expand to before the check gives up. The limit for
    /// everybody is [`DECOMPRESSED_BYTES_MAX`]; who checks where nothing may take long sets a lower
    /// one, and checks what [expands beyond it](RefusedKind::ExpandsTooFar) elsewhere.
    pub expanded_bytes_max: u64,
}

impl Default for AppendRules {
    /// The defaults of Kafka 4.3 for a topic, under the newest Produce version.
    fn default() -> Self {
        Self {
            max_message_bytes: 1_048_588,
            segment_bytes: 1_073_741_824,
            is_compacted: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compression: None,
            produce_version: 13,
            expanded_bytes_max: DECOMPRESSED_BYTES_MAX,
        }
    }
}

/// Why a batch was refused, as far as its answer differs.
///
/// The session maps it to Kafka's error codes, given here for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedKind {
    /// Null, empty, cut, of an old format, or more than one batch (87, log start -1).
    NotOneBatch,
    /// Not even where the batch ends can be read (2, log start -1, and the answer says why).
    Unmeasurable,
    /// The checksum or a length is wrong (2, log start -1).
    Corrupt,
    /// The codec is unknown (-1, log start is told from Produce version 7 on: below, Kafka looks for
    /// zstd before it knows the log, and fails).
    UnknownCodec,
    /// The codec does not take the bytes (-1, log start is told).
    Undecodable,
    /// zstd under Produce before version 7 (76, log start -1).
    UnsupportedCompression,
    /// Larger than `max.message.bytes` (10, log start -1).
    BatchTooLarge,
    /// Larger than `segment.bytes` (18, log start -1).
    BatchLargerThanSegment,
    /// Header or records break a rule (87, log start is told).
    InvalidRecord,
    /// The records expand beyond the limit (87, log start is told).
    ExpandsTooFar,
    /// A timestamp is out of bounds or of the wrong type (32, log start is told).
    InvalidTimestamp,
}

impl RefusedKind {
    /// Whether the answer to this version of Produce tells the partition's real log start offset, or -1.
    pub const fn answers_log_start(self, produce_version: i16) -> bool {
        match self {
            Self::UnknownCodec => produce_version >= PRODUCE_VERSION_ZSTD,
            Self::Undecodable
            | Self::InvalidRecord
            | Self::ExpandsTooFar
            | Self::InvalidTimestamp => true,
            Self::NotOneBatch
            | Self::Unmeasurable
            | Self::Corrupt
            | Self::UnsupportedCompression
            | Self::BatchTooLarge
            | Self::BatchLargerThanSegment => false,
        }
    }
}

/// One record that was the reason to refuse its batch.
///
/// Source: KIP-467.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Place of the record in the batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub message: Cow<'static, str>,
}

/// A client's batch breaks a rule; nothing of it was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RecordRefused {
    /// Decides the error code.
    pub kind: RefusedKind,
    /// What is wrong, for the log; Kafka puts it into the answer only beside record errors, and of a batch
    /// that it cannot measure.
    pub message: String,
    /// The records at fault, at most [`RECORD_ERRORS_MAX`]; empty when the batch as such is.
    pub record_errors: Vec<RecordError>,
}

impl RecordRefused {
    /// A refusal of the batch as such.
    pub(crate) fn batch(kind: RefusedKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            record_errors: Vec::new(),
        }
    }
}

impl From<BatchError> for RecordRefused {
    fn from(error: BatchError) -> Self {
        let kind = match error {
            BatchError::Cut { .. } | BatchError::Magic { .. } => RefusedKind::NotOneBatch,
            BatchError::Length { .. } | BatchError::Crc { .. } => RefusedKind::Corrupt,
            BatchError::UnknownCodec { .. } => RefusedKind::UnknownCodec,
            BatchError::Decompression { .. } => RefusedKind::Undecodable,
            BatchError::TooLarge { .. } => RefusedKind::BatchTooLarge,
            // Clients resend what is called corrupt; these bytes will never be better.
            BatchError::Expansion { .. } => RefusedKind::ExpandsTooFar,
            BatchError::Record { .. }
            | BatchError::Leftover { .. }
            | BatchError::Compression { .. } => RefusedKind::InvalidRecord,
        };
        Self::batch(kind, error.to_string())
    }
}
