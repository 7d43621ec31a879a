//! Streaming decompression with fixed memory.

/// Most bytes that the records of one batch may expand to.
///
/// Ten times the largest request Kafka takes by default. Decompression streams through a fixed
/// window, so this bounds the time that a hostile batch costs, not memory.
pub const DECOMPRESSED_BYTES_MAX: u64 = 1 << 30;
