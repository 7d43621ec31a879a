//! Streaming decompression of a batch's records with fixed memory.
//!
//! The largest state is zstd's window, up to 128 MiB for a frame that asks for it and really
//! expands that far (`compression.zstd.level` 22 does ask); gzip, lz4 and xerial blocks take less
//! than 10 MiB, raw snappy 22 times its compressed bytes.

use std::fmt;
use std::io::{self, BufRead, Cursor, Read};

use bytes::Bytes;

use super::snappy::SnappyReader;
use super::{BatchError, Compression};

/// Most bytes that the records of one batch may expand to.
///
/// Two and a half times the largest request that Kafka takes by default. It bounds the time a
/// hostile batch costs; memory is bounded by streaming.
pub const DECOMPRESSED_BYTES_MAX: u64 = 256 << 20;

/// Window of the largest zstd level, and what Java's decoder accepts.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

enum Codec {
    None(Cursor<Bytes>),
    Gzip(GzipReader),
    Snappy(SnappyReader),
    Lz4(lz4::Decoder<Cursor<Bytes>>),
    Zstd(zstd::Decoder<'static, Cursor<Bytes>>),
}

/// The decompressed bytes of a batch's records, up to a limit.
pub(crate) struct Decompressor {
    compression: Compression,
    codec: Codec,
    expanded_bytes: u64,
    expanded_bytes_max: u64,
}

impl Decompressor {
    /// Opens `packed`, the bytes behind the header of a batch.
    pub(crate) fn new(
        compression: Compression,
        packed: Bytes,
        expanded_bytes_max: u64,
    ) -> Result<Self, BatchError> {
        let codec = Self::open(compression, Cursor::new(packed));
        let codec = codec.map_err(|error| fault(compression, &error))?;
        Ok(Self {
            compression,
            codec,
            expanded_bytes: 0,
            expanded_bytes_max,
        })
    }

    fn open(compression: Compression, packed: Cursor<Bytes>) -> io::Result<Codec> {
        Ok(match compression {
            Compression::None => Codec::None(packed),
            Compression::Gzip => Codec::Gzip(GzipReader::new(packed)),
            Compression::Snappy => Codec::Snappy(SnappyReader::new(packed.into_inner())),
            Compression::Lz4 => Codec::Lz4(lz4::Decoder::new(packed)?),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Codec::Zstd(decoder)
            }
        })
    }

    /// Reads the next bytes into `out`; 0 is the end of the stream, also if it was cut there.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, BatchError> {
        let count = match &mut self.codec {
            Codec::None(reader) => reader.read(out),
            Codec::Gzip(reader) => reader.read(out),
            Codec::Snappy(reader) => reader.read(out),
            Codec::Lz4(reader) => reader.read(out),
            Codec::Zstd(reader) => reader.read(out),
        };
        let count = count.map_err(|error| fault(self.compression, &error))?;
        self.expanded_bytes += count as u64;
        let bytes_max = self.expanded_bytes_max;
        if self.expanded_bytes > bytes_max && self.compression != Compression::None {
            return Err(BatchError::Expansion { bytes_max });
        }
        Ok(count)
    }
}

/// The members of a gzip stream, one after another. What follows them is ignored, as Java does.
struct GzipReader {
    member: Option<Box<flate2::bufread::GzDecoder<Cursor<Bytes>>>>,
}

impl GzipReader {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];

    fn new(packed: Cursor<Bytes>) -> Self {
        Self {
            member: Some(Box::new(flate2::bufread::GzDecoder::new(packed))),
        }
    }
}

impl Read for GzipReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let count = member.read(out)?;
            if count > 0 || out.is_empty() {
                self.member = Some(member);
                return Ok(count);
            }
            let mut rest = member.into_inner();
            if rest.fill_buf()?.starts_with(&Self::MAGIC) {
                *self = Self::new(rest);
            }
        }
        Ok(0)
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor")
            .field("compression", &self.compression)
            .field("expanded_bytes", &self.expanded_bytes)
            .finish_non_exhaustive()
    }
}

fn fault(codec: Compression, error: &io::Error) -> BatchError {
    BatchError::Decompression {
        codec,
        cause: error.to_string(),
    }
}
