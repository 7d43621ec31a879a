//! What is kept in memory for each segment, and the names of its files. A sealed segment costs a few
//! words; the active one has its index state besides.

use std::path::{Path, PathBuf};

use kabuki_protocol::ids::Offset;

use super::reserve::Reserve;
use crate::index::IndexTail;

/// Largest `.log` file: Kafka keeps positions in signed 32 bits.
pub(crate) const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

/// The files of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentFile {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
}

impl SegmentFile {
    /// All kinds, the log last: what removes a segment keeps the log until the end.
    pub(crate) const ALL: [Self; 4] = [
        Self::OffsetIndex,
        Self::TimeIndex,
        Self::TxnIndex,
        Self::Log,
    ];

    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
        }
    }

    /// Name of this file of the segment at `base`.
    pub(crate) fn name(self, base: Offset) -> String {
        format!("{:020}{}", base.get(), self.suffix())
    }

    /// Path of this file of the segment at `base`.
    pub(crate) fn path(self, dir: &Path, base: Offset) -> PathBuf {
        dir.join(self.name(base))
    }
}

/// Base offset in a file name such as `00000000000000000042.log`, if it has that form.
pub(crate) fn base_in_name(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != 20 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Offset)
}

/// A segment that is no longer appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedSegment {
    pub(crate) base: Offset,
    /// Bytes of the `.log` file.
    pub(crate) bytes: u64,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub(crate) base: Offset,
    /// Bytes of the `.log` file that are whole batches.
    pub(crate) bytes: u64,
    pub(crate) index: IndexTail,
    /// Largest timestamp of the first batch: `segment.ms` counts from here. `None` while the segment
    /// is empty.
    pub(crate) first_timestamp: Option<i64>,
    /// When the segment was made or found, in milliseconds: `segment.ms` counts from here where
    /// records have no timestamp.
    pub(crate) created_ms: i64,
    /// The file may be longer than `bytes`: a failed append could not be cut.
    pub(crate) is_torn: bool,
    /// Space beyond the end, for the next appends.
    pub(crate) reserve: Option<Reserve>,
}

impl ActiveSegment {
    pub(crate) fn new(base: Offset, interval_bytes: u32, now_ms: i64) -> Self {
        Self {
            base,
            bytes: 0,
            index: IndexTail::new(base, interval_bytes),
            first_timestamp: None,
            created_ms: now_ms,
            is_torn: false,
            reserve: None,
        }
    }

    pub(crate) fn sealed(&self) -> SealedSegment {
        SealedSegment {
            base: self.base,
            bytes: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_have_twenty_digits_and_nothing_else_is_a_segment() {
        let dir = Path::new("/d");
        let path = SegmentFile::TimeIndex.path(dir, Offset(42));
        assert_eq!(path, Path::new("/d/00000000000000000042.timeindex"));
        assert_eq!(
            base_in_name("00000000000000000042.log", ".log"),
            Some(Offset(42))
        );
        for name in [
            "42.log",
            "0000000000000000004x.log",
            "00000000000000000042.log.swap",
            "log",
        ] {
            assert_eq!(base_in_name(name, ".log"), None, "{name}");
        }
        assert_eq!(
            base_in_name("99999999999999999999.log", ".log"),
            None,
            "past 2^63 - 1"
        );
    }
}
