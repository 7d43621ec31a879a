//! The xerial block framing around raw snappy, which Java writes; raw snappy is read as well.
//!
//! Stream: magic `82 53 4e 41 50 50 59 00`, int32 version 1, int32 compatible version 1, then
//! blocks of int32 length and raw snappy. librdkafka sends one raw block without any framing.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const PREAMBLE_BYTES: usize = 16;
const LENGTH_BYTES: usize = 4;
/// Uncompressed bytes of a block we write; Java's default.
const BLOCK_BYTES: usize = 32 * 1024;
/// No snappy element yields more than 64 bytes of 3, so a larger claim is a lie.
const RATIO_MAX: usize = 22;

/// Decompresses block by block; memory is one block, at most 22 times its compressed bytes.
#[derive(Debug)]
pub(crate) struct SnappyReader {
    input: Bytes,
    is_framed: bool,
    block: Vec<u8>,
    block_at: usize,
}

impl SnappyReader {
    pub(crate) fn new(input: Bytes) -> Self {
        let is_framed = input.len() >= PREAMBLE_BYTES && input.starts_with(&MAGIC);
        Self {
            input,
            is_framed,
            block: Vec::new(),
            block_at: 0,
        }
    }

    /// The compressed bytes of the next block; `None` at the end of the stream.
    fn next_block(&mut self) -> io::Result<Option<Bytes>> {
        if !self.is_framed {
            let block = std::mem::take(&mut self.input);
            return Ok((!block.is_empty()).then_some(block));
        }
        // Concatenated streams repeat the preamble.
        while self.input.starts_with(&MAGIC) && self.input.len() >= PREAMBLE_BYTES {
            self.input.advance(PREAMBLE_BYTES);
        }
        if self.input.is_empty() {
            return Ok(None);
        }
        if self.input.len() < LENGTH_BYTES {
            return Err(invalid("block length is cut"));
        }
        let block_bytes = self.input.get_u32() as usize;
        if block_bytes > self.input.len() {
            return Err(invalid("block is longer than the bytes left"));
        }
        Ok(Some(self.input.split_to(block_bytes)))
    }
}

impl Read for SnappyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.block_at == self.block.len() {
            let Some(packed) = self.next_block()? else {
                return Ok(0);
            };
            let claimed = snap::raw::decompress_len(&packed).map_err(io::Error::other)?;
            if claimed > packed.len().saturating_mul(RATIO_MAX) {
                return Err(invalid("block claims more bytes than it can expand to"));
            }
            self.block.resize(claimed, 0);
            self.block_at = 0;
            let decoded = snap::raw::Decoder::new().decompress(&packed, &mut self.block);
            self.block.truncate(decoded.map_err(io::Error::other)?);
        }
        let left = &self.block[self.block_at..];
        let count = left.len().min(out.len());
        out[..count].copy_from_slice(&left[..count]);
        self.block_at += count;
        Ok(count)
    }
}

/// Compresses into xerial blocks of 32 KiB.
#[derive(Debug)]
pub(crate) struct SnappyWriter<W: Write> {
    inner: W,
    encoder: snap::raw::Encoder,
    pending: Vec<u8>,
    packed: Vec<u8>,
}

impl<W: Write> SnappyWriter<W> {
    /// Writes the preamble.
    pub(crate) fn new(mut inner: W) -> io::Result<Self> {
        inner.write_all(&MAGIC)?;
        inner.write_all(&1i32.to_be_bytes())?;
        inner.write_all(&1i32.to_be_bytes())?;
        let encoder = snap::raw::Encoder::new();
        let packed = vec![0; snap::raw::max_compress_len(BLOCK_BYTES)];
        Ok(Self {
            inner,
            encoder,
            pending: Vec::with_capacity(BLOCK_BYTES),
            packed,
        })
    }

    /// Writes the last block.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.write_block()?;
        Ok(self.inner)
    }

    fn write_block(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let packed = self.encoder.compress(&self.pending, &mut self.packed);
        let packed_bytes = packed.map_err(io::Error::other)?;
        let length = u32::try_from(packed_bytes).expect("a packed block is below 64 KiB");
        self.inner.write_all(&length.to_be_bytes())?;
        self.inner.write_all(&self.packed[..packed_bytes])?;
        self.pending.clear();
        Ok(())
    }
}

impl<W: Write> Write for SnappyWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK_BYTES - self.pending.len();
        let count = room.min(bytes.len());
        self.pending.extend_from_slice(&bytes[..count]);
        if self.pending.len() == BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(count)
    }

    /// Does nothing: a flush in the middle would only shorten a block.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(plain: &[u8]) -> Bytes {
        let mut writer = SnappyWriter::new(Vec::new()).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap().into()
    }

    fn read_all(input: Bytes) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        SnappyReader::new(input).read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn framed_raw_and_concatenated_streams_are_read() {
        let plain: Vec<u8> = (0..100_000u32).map(|n| (n / 7) as u8).collect();
        assert_eq!(read_all(framed(&plain)).unwrap(), plain);

        let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        assert_eq!(read_all(raw.into()).unwrap(), plain);

        let twice = [framed(&plain), framed(&plain)].concat();
        assert_eq!(
            read_all(twice.into()).unwrap(),
            [plain.clone(), plain].concat()
        );
    }

    #[test]
    fn a_block_that_claims_gigabytes_is_refused_before_they_are_allocated() {
        let claim_of_4_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        assert!(read_all(Bytes::copy_from_slice(&claim_of_4_gib)).is_err());
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let whole = framed(&[7; 1_000]);
        for end in PREAMBLE_BYTES + 1..whole.len() {
            assert!(read_all(whole.slice(..end)).is_err(), "cut at {end}");
        }
    }
}
