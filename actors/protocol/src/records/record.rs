//! One record of a batch, as readers see it.

use bytes::Bytes;

/// One record of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Unused by format v2; 0 from every known writer.
    pub attributes: i8,
    /// Milliseconds from the base timestamp of the batch.
    pub timestamp_delta: i64,
    /// Offset from the base offset of the batch.
    pub offset_delta: i32,
    /// `None` is no key, which differs from an empty one.
    pub key: Option<Bytes>,
    /// `None` is a tombstone on a compacted topic.
    pub value: Option<Bytes>,
    /// Headers in their order, duplicate keys kept. Keys that are no UTF-8 come with U+FFFD.
    pub headers: Vec<(String, Option<Bytes>)>,
}
