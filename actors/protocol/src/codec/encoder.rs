//! Builds a frame as a list of chunks, so that record bytes are shared and never copied.

use bytes::Bytes;

use super::EncodeError;

/// Shared bytes up to this size are copied all the same: a chunk of its own costs a reference count
/// and an entry in the vectored write, about as much as copying this many bytes.
const INLINE_BYTES_MAX: usize = 512;

/// Bytes that a new encoder has room for; most answers other than Fetch and Metadata fit.
const BUFFER_BYTES: usize = 512;

/// A growing frame: one buffer of its own and shared bytes cut into it.
#[derive(Debug)]
pub struct Encoder {
    buffer: Vec<u8>,
    /// Shared bytes, each to stand in front of the buffer's byte at that position; ascending.
    cuts: Vec<(usize, Bytes)>,
    shared_bytes: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An empty frame.
    pub fn new() -> Self {
        Self::with_capacity(BUFFER_BYTES)
    }

    /// An empty frame with room for `bytes` of its own, shared bytes not counted.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(bytes),
            cuts: Vec::new(),
            shared_bytes: 0,
        }
    }

    /// Bytes written so far, shared ones included.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.shared_bytes
    }

    /// True when nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes by copying them.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends bytes by sharing them; short ones are copied.
    #[inline]
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() <= INLINE_BYTES_MAX {
            self.put_slice(bytes);
        } else {
            self.shared_bytes += bytes.len();
            self.cuts.push((self.buffer.len(), bytes.clone()));
        }
    }

    /// One signed byte.
    #[inline]
    pub fn put_i8(&mut self, value: i8) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Two bytes, big-endian.
    #[inline]
    pub fn put_i16(&mut self, value: i16) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Two bytes, big-endian.
    #[inline]
    pub fn put_u16(&mut self, value: u16) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Four bytes, big-endian.
    #[inline]
    pub fn put_i32(&mut self, value: i32) {
        self.put_slice(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    #[inline]
    pub fn put_i64(&mut self, value: i64) {
        self.put_slice(&value.to_be_bytes());
    }

    /// An unsigned varint, seven bits a byte, lowest first.
    #[inline]
    pub fn put_uvarint(&mut self, value: u32) {
        if value < 0x80 {
            return self.buffer.push(value as u8);
        }
        let (bytes, count) = uvarint(value);
        self.put_slice(&bytes[..count]);
    }

    /// One tagged field: tag, size, and what `write` writes.
    pub fn put_tagged_field(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.put_uvarint(tag);
        let (start, first_cut, len_before) = (self.buffer.len(), self.cuts.len(), self.len());
        write(self)?;
        let length = self.len() - len_before;
        let size = u32::try_from(length).map_err(|_| EncodeError::TooLong { field: "", length })?;
        // The size stands in front and is known only now: make room by moving the field, which is
        // small; shared bytes move with the positions they are cut in at.
        let (bytes, count) = uvarint(size);
        self.buffer
            .splice(start..start, bytes[..count].iter().copied());
        for (position, _) in &mut self.cuts[first_cut..] {
            *position += count;
        }
        Ok(())
    }

    /// Reserves four bytes for the length of what follows; see [`Encoder::finish_frame`].
    pub(crate) fn new_frame() -> Self {
        let mut encoder = Self::new();
        encoder.put_i32(0);
        encoder
    }

    /// Closes a frame begun with [`Encoder::new_frame`]: writes its length in front.
    pub(crate) fn finish_frame(mut self) -> Result<EncodedFrame, EncodeError> {
        let length = self.len() - 4;
        let prefix = i32::try_from(length).map_err(|_| EncodeError::TooLong {
            field: "frame",
            length,
        })?;
        self.buffer[..4].copy_from_slice(&prefix.to_be_bytes());
        Ok(self.finish())
    }

    /// Closes the list of chunks.
    pub fn finish(self) -> EncodedFrame {
        let len = self.len();
        let buffer = Bytes::from(self.buffer);
        let mut chunks = Vec::with_capacity(2 * self.cuts.len() + 1);
        let mut start = 0;
        for (position, shared) in self.cuts {
            if position > start {
                chunks.push(buffer.slice(start..position));
            }
            chunks.push(shared);
            start = position;
        }
        if start < buffer.len() {
            chunks.push(buffer.slice(start..));
        }
        EncodedFrame { chunks, len }
    }
}

fn uvarint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut count = 0;
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes[count] = if value == 0 { low } else { low | 0x80 };
        count += 1;
        if value == 0 {
            return (bytes, count);
        }
    }
}

/// A finished frame: chunks to be written one after another, best with one vectored write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodedFrame {
    chunks: Vec<Bytes>,
    len: usize,
}

impl EncodedFrame {
    /// The chunks in order; none is empty.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The chunks in order, by value.
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.chunks
    }

    /// Bytes of all chunks together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for a frame without a byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All chunks copied into one piece; for tests and for small frames.
    pub fn to_bytes(&self) -> Bytes {
        match self.chunks.as_slice() {
            [one] => one.clone(),
            many => Bytes::from(many.concat()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bytes_are_shared_and_short_ones_copied() {
        let (long, short) = (Bytes::from(vec![1; 4096]), Bytes::from(vec![2; 10]));
        let mut encoder = Encoder::new();
        encoder.put_i8(9);
        encoder.put_shared(&short);
        encoder.put_shared(&long);
        encoder.put_shared(&long);
        encoder.put_i8(8);
        let frame = encoder.finish();
        assert_eq!(frame.len(), 1 + 10 + 2 * 4096 + 1);
        let lengths: Vec<_> = frame.chunks().iter().map(Bytes::len).collect();
        assert_eq!(lengths, [11, 4096, 4096, 1]);
        assert_eq!(frame.chunks()[1].as_ptr(), long.as_ptr());
    }

    #[test]
    fn a_tagged_field_may_hold_shared_bytes() {
        let long = Bytes::from(vec![1; 600]);
        let mut encoder = Encoder::new();
        encoder
            .put_tagged_field(3, |encoder| {
                encoder.put_i8(7);
                encoder.put_shared(&long);
                Ok(())
            })
            .unwrap();
        let bytes = encoder.finish().to_bytes();
        // Tag 3, then 601 as a varint of two bytes.
        assert_eq!(bytes[..4], [3, 0xd9, 0x04, 7]);
        assert_eq!(bytes[4..], long[..]);
    }

    #[test]
    fn frames_begin_with_the_length_of_the_rest() {
        let mut encoder = Encoder::new_frame();
        encoder.put_i16(5);
        assert_eq!(
            encoder.finish_frame().unwrap().to_bytes()[..],
            [0, 0, 0, 2, 0, 5]
        );
    }
}
