//! Streaming compression into a buffer of bounded size.

use std::io::{self, ErrorKind, Write};

use super::snappy::SnappyWriter;
use super::{BatchError, Compression, HEADER_BYTES};

/// Level of `compression.lz4.level` that means liblz4's fast mode, as in Java's lz4.
const LZ4_LEVEL_FAST: i32 = 9;
/// Below 3, liblz4 takes its fast mode; Java's levels other than 9 all mean the high-ratio mode.
const LZ4_LEVEL_HIGH_MIN: i32 = 3;
/// Highest level of liblz4; Java's go on to 17 without a gain.
const LZ4_LEVEL_HIGH_MAX: i32 = 12;
/// zlib's default level, which `compression.gzip.level` -1 asks for.
const GZIP_LEVEL_DEFAULT: u32 = 6;

/// A growing batch: 61 bytes for the header, then what the codec writes.
#[derive(Debug)]
pub(crate) struct BatchBuffer {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl BatchBuffer {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes: vec![0; HEADER_BYTES],
            bytes_max,
        }
    }
}

impl Write for BatchBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.bytes_max.saturating_sub(self.bytes.len()) {
            // Told apart from the codec's own errors by this kind, which no codec raises.
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Codec {
    None(BatchBuffer),
    Gzip(flate2::write::GzEncoder<BatchBuffer>),
    Snappy(Box<SnappyWriter<BatchBuffer>>),
    Lz4(lz4::Encoder<BatchBuffer>),
    Zstd(zstd::Encoder<'static, BatchBuffer>),
}

/// Compresses records as they are written; gives up once the batch passes its limit.
pub(crate) struct Compressor {
    compression: Compression,
    bytes_max: usize,
    codec: Codec,
}

impl Compressor {
    /// Starts a batch of at most `bytes_max` bytes, its header included.
    ///
    /// `level` is in the numbers of Kafka's `compression.*.level`; out of range, the nearest counts.
    pub(crate) fn new(
        compression: Compression,
        level: i32,
        bytes_max: usize,
    ) -> Result<Self, BatchError> {
        let codec = Self::open(compression, level, BatchBuffer::new(bytes_max));
        let codec = codec.map_err(|error| fault(compression, bytes_max, &error))?;
        Ok(Self {
            compression,
            bytes_max,
            codec,
        })
    }

    fn open(compression: Compression, level: i32, buffer: BatchBuffer) -> io::Result<Codec> {
        Ok(match compression {
            Compression::None => Codec::None(buffer),
            Compression::Gzip => {
                // zlib's 0 would store; Kafka's levels are 1 to 9, and -1 for the default.
                let level = match level {
                    1.. => level.min(9).unsigned_abs(),
                    _ => GZIP_LEVEL_DEFAULT,
                };
                let level = flate2::Compression::new(level);
                Codec::Gzip(flate2::write::GzEncoder::new(buffer, level))
            }
            Compression::Snappy => Codec::Snappy(Box::new(SnappyWriter::new(buffer)?)),
            Compression::Lz4 => Codec::Lz4(
                // Java's decoder takes independent blocks only.
                lz4::EncoderBuilder::new()
                    .level(lz4_level(level))
                    .block_size(lz4::BlockSize::Max64KB)
                    .block_mode(lz4::BlockMode::Independent)
                    .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
                    .checksum(lz4::ContentChecksum::NoChecksum)
                    .build(buffer)?,
            ),
            Compression::Zstd => Codec::Zstd(zstd::Encoder::new(buffer, level)?),
        })
    }

    /// Appends bytes of records.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), BatchError> {
        let written = match &mut self.codec {
            Codec::None(writer) => writer.write_all(bytes),
            Codec::Gzip(writer) => writer.write_all(bytes),
            Codec::Snappy(writer) => writer.write_all(bytes),
            Codec::Lz4(writer) => writer.write_all(bytes),
            Codec::Zstd(writer) => writer.write_all(bytes),
        };
        written.map_err(|error| fault(self.compression, self.bytes_max, &error))
    }

    /// Ends the stream: 61 zero bytes, then the compressed records.
    pub(crate) fn finish(self) -> Result<Vec<u8>, BatchError> {
        let finished = match self.codec {
            Codec::None(buffer) => Ok(buffer),
            Codec::Gzip(writer) => writer.finish(),
            Codec::Snappy(writer) => writer.finish(),
            Codec::Lz4(writer) => {
                let (buffer, result) = writer.finish();
                result.map(|()| buffer)
            }
            Codec::Zstd(writer) => writer.finish(),
        };
        let finished = finished.map_err(|error| fault(self.compression, self.bytes_max, &error))?;
        Ok(finished.bytes)
    }
}

fn lz4_level(level: i32) -> u32 {
    let level = match level {
        LZ4_LEVEL_FAST => 0,
        _ => level.clamp(LZ4_LEVEL_HIGH_MIN, LZ4_LEVEL_HIGH_MAX),
    };
    level.unsigned_abs()
}

fn fault(codec: Compression, bytes_max: usize, error: &io::Error) -> BatchError {
    if error.kind() == ErrorKind::FileTooLarge {
        return BatchError::TooLarge { bytes_max };
    }
    BatchError::Compression {
        codec,
        cause: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(compression: Compression, level: i32, plain: &[u8]) -> Result<Vec<u8>, BatchError> {
        let mut compressor = Compressor::new(compression, level, 1 << 20)?;
        compressor.write(plain)?;
        compressor.finish()
    }

    #[test]
    fn every_level_of_every_codec_compresses() {
        let plain: Vec<u8> = (0..50_000u32).map(|n| (n / 5 % 97) as u8).collect();
        for compression in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
            for level in -131_072..=-131_070 {
                assert!(
                    packed(compression, level, &plain).is_ok(),
                    "{compression} {level}"
                );
            }
            for level in -1..=23 {
                let bytes = packed(compression, level, &plain).unwrap();
                assert!(
                    bytes.len() < plain.len() / 2,
                    "{compression} {level}: {}",
                    bytes.len()
                );
            }
        }
    }

    #[test]
    fn a_batch_past_its_limit_is_given_up() {
        let mut noise = Vec::new();
        let mut state = 1u64;
        while noise.len() < 2 << 20 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            noise.extend_from_slice(&state.to_be_bytes());
        }
        for compression in Compression::ALL {
            let result = packed(compression, compression.default_level(), &noise);
            assert_eq!(
                result,
                Err(BatchError::TooLarge { bytes_max: 1 << 20 }),
                "{compression}"
            );
        }
    }

    #[test]
    fn lz4_frames_have_independent_64_kib_blocks_and_no_checksums() {
        let frame = &packed(Compression::Lz4, 9, b"frame").unwrap()[HEADER_BYTES..];
        // Magic; flags: version 1, independent; descriptor: 64 KiB; header checksum of those two.
        assert_eq!(frame[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
    }
}
