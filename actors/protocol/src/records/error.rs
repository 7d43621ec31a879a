//! Why bytes are not a well-formed record batch.

use super::Compression;

/// The bytes are no well-formed record batch of format v2, or cannot be made one.
///
/// Raised for bytes from disk, peers and clients alike; what it means for the sender is decided by
/// whoever reads the batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the header or the batch length ask for.
    #[error("batch needs {needed} bytes and {available} are left")]
    Cut {
        /// Bytes that header and length ask for.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// `batch_length` cannot hold the header.
    #[error("batch length is {batch_length}, less than a header takes")]
    Length {
        /// The length field as it came.
        batch_length: i32,
    },
    /// A format other than v2.
    #[error("magic is {magic}, not 2")]
    Magic {
        /// The magic byte as it came.
        magic: i8,
    },
    /// The checksum over bytes 21 to the end does not hold.
    #[error("crc is {stored:#010x} in the header and {computed:#010x} of the bytes")]
    Crc {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// Bits 0 to 2 of the attributes name no codec.
    #[error("compression codec {code} is unknown")]
    UnknownCodec {
        /// The codec number, 5 to 7.
        code: u8,
    },
    /// The codec refused the compressed bytes.
    #[error("{codec} data does not decompress: {cause}")]
    Decompression {
        /// Codec of the batch.
        codec: Compression,
        /// What the codec said.
        cause: String,
    },
    /// The batch expands beyond the limit, which is at most
    /// [`DECOMPRESSED_BYTES_MAX`](super::DECOMPRESSED_BYTES_MAX).
    #[error("batch expands to more than {bytes_max} bytes")]
    Expansion {
        /// The limit.
        bytes_max: u64,
    },
    /// A record does not parse.
    #[error("record {index}: {why}")]
    Record {
        /// Place of the record in the batch, from 0.
        index: i32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Bytes are left after the last record that the header counts.
    #[error("bytes are left after the {record_count} records the header counts")]
    Leftover {
        /// `record_count` of the header.
        record_count: i32,
    },
    /// The batch to be built or rewritten is larger than allowed.
    #[error("batch takes more than {bytes_max} bytes")]
    TooLarge {
        /// The limit on the whole batch, header included.
        bytes_max: usize,
    },
    /// A codec refused to compress; its parameters are wrong or memory is out.
    #[error("{codec} does not compress: {cause}")]
    Compression {
        /// Codec asked for.
        codec: Compression,
        /// What the codec said.
        cause: String,
    },
}
