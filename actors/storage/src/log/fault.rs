//! What can go wrong with the files of one log, told apart so that the owner can act on it. Holds no
//! policy: which fault degrades, retries or ends a partition is decided by its actor.

use std::io;
use std::path::{Path, PathBuf};

use kabuki_protocol::ids::{Offset, TopicId};
use thiserror::Error;

use crate::fault::{FaultClass, classify};

/// A fault of the files of one log.
#[derive(Debug, Error)]
pub enum LogFault {
    /// The file system refused or failed an operation. The log is as it was before the call.
    #[error("{operation} failed on {}: {source}", path.display())]
    Io {
        /// What was tried, such as `append` or `roll`.
        operation: &'static str,
        /// File or directory it was tried on.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A write failed and the file could not be cut back: it is trustworthy up to `log_end`, what
    /// follows there is the beginning of a batch that was never acknowledged. The next append cuts
    /// first and is refused for as long as that fails.
    #[error("append failed on {} and its tail could not be cut: {source}", path.display())]
    TornAppend {
        /// The `.log` file.
        path: PathBuf,
        /// End of what is trustworthy.
        log_end: Offset,
        /// What the operating system said to the write.
        #[source]
        source: io::Error,
    },
    /// A batch that cannot be what was written, with valid batches behind it: nothing is cut,
    /// because acknowledged records would be lost.
    #[error("corrupt batch in {} at {position}: {reason}", path.display())]
    CorruptBatch {
        /// The `.log` file.
        path: PathBuf,
        /// Byte position of the batch in the file.
        position: u64,
        /// Offset that was expected there, or the first after it.
        offset: Offset,
        /// What is wrong with it.
        reason: BadBatch,
    },
    /// The directory is missing, empty, or was left by a creation that did not finish. It is never
    /// filled again silently: an unmounted disk looks the same.
    #[error("{} holds no log", dir.display())]
    NoLog {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory belongs to another topic of the same name.
    #[error("{} belongs to topic id {found}, not {expected}", dir.display())]
    ForeignTopic {
        /// The directory.
        dir: PathBuf,
        /// Id in `partition.metadata`.
        found: TopicId,
        /// Id that was asked for.
        expected: TopicId,
    },
    /// A small file (`partition.metadata`) does not parse.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl LogFault {
    /// Names operation and path for an error of the file system.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Lets a change pass that the disk refuses for now (full, read-only, not permitted) and that the
    /// next opening makes up for: a log opens for readers on such a disk too. False if it was refused.
    pub(crate) fn unless_refused(changed: Result<(), Self>) -> Result<bool, Self> {
        match changed {
            Ok(()) => Ok(true),
            Err(fault) if fault.class().is_degrading() => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// True if the file it was tried on is not there.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// How the fault is to be treated; content that is wrong counts as [`FaultClass::Io`].
    pub fn class(&self) -> FaultClass {
        match self {
            Self::Io { source, .. } | Self::TornAppend { source, .. } => classify(source),
            Self::CorruptBatch { .. } | Self::Malformed { .. } => FaultClass::Io,
            Self::NoLog { .. } => FaultClass::Gone,
            Self::ForeignTopic { .. } => FaultClass::Other,
        }
    }
}

/// What is wrong with a batch on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadBatch {
    /// Fewer bytes are left in the file than a header has.
    #[error("{bytes} bytes are no batch header")]
    ShortHeader {
        /// Bytes left.
        bytes: u64,
    },
    /// The length field is below the size of a header, or the batch ends past the file.
    #[error("batch length {length} with {available} bytes left")]
    Length {
        /// Length field, in bytes after the field.
        length: i32,
        /// Bytes left in the file from the start of the batch.
        available: u64,
    },
    /// Not the record format version 2.
    #[error("magic {magic} is not 2")]
    Magic {
        /// The byte found.
        magic: i8,
    },
    /// Offsets fall back, run past the segment, or the count is negative.
    #[error("offsets {base} to {last} where {expected} or more was due")]
    Offsets {
        /// First offset of the batch.
        base: Offset,
        /// Last offset of the batch.
        last: Offset,
        /// Lowest offset that would be in order.
        expected: Offset,
    },
    /// The bytes do not match their CRC-32C.
    #[error("CRC is {found:#010x}, the header says {stored:#010x}")]
    Crc {
        /// Value in the header.
        stored: u32,
        /// Value of the bytes.
        found: u32,
    },
    /// The records inside do not decode.
    #[error("records do not decode")]
    Records,
    /// Offsets are missing between two segments.
    #[error("segment starts at {found} where {expected} was due")]
    Gap {
        /// First offset of the segment.
        found: Offset,
        /// End of the segment before it.
        expected: Offset,
    },
}
