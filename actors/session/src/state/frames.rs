//! Cuts the byte stream of a connection into request frames. Memory follows the bytes that came, not
//! the size a client announced; a size that is out of bounds is refused before anything is buffered.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Bytes of the big-endian size in front of every request.
const SIZE_BYTES: usize = 4;

/// Room made for one read when nothing is known of the next frame: a socket's usual receive burst.
const READ_BYTES: usize = 64 * 1024;

/// Room made at once for an announced frame. Up to here (Kafka's default of `max.message.bytes` plus
/// headers) a frame is received into one allocation; a larger one grows by doubling as it arrives.
const ANNOUNCED_BYTES_MAX: usize = 1024 * 1024 + 64 * 1024;

/// Why the stream cannot be cut any further. The connection is closed without an answer (F1).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FrameRefused {
    /// The announced size is negative or above `socket.request.max.bytes`.
    #[error("request of {announced} bytes announced, at most {bytes_max} are accepted")]
    SizeOutOfBounds { announced: i32, bytes_max: usize },
}

/// The bytes received and not yet cut into frames.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl FrameBuffer {
    /// `frame_bytes_max` is `socket.request.max.bytes`, without the four bytes of the size.
    pub(crate) fn new(frame_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            frame_bytes_max,
        }
    }

    /// Bytes received that belong to no complete frame yet, or to frames not taken yet.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The buffer with room for the next read. What is read is appended by the caller.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        let have = self.buffer.len();
        let wanted = match self.announced() {
            Some(size) if size > 0 => {
                let missing = (SIZE_BYTES + size as usize).saturating_sub(have);
                missing.min(ANNOUNCED_BYTES_MAX.max(have))
            }
            _ => READ_BYTES,
        };
        // A buffer that has most of its room left is used up first: a reserve would copy the tail
        // of a half received frame once per read.
        if self.buffer.capacity() - have < wanted.min(READ_BYTES) {
            self.buffer.reserve(wanted);
        }
        &mut self.buffer
    }

    /// Takes the next complete frame, without its size, or `None` when more bytes are needed.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameRefused> {
        let Some(announced) = self.announced() else {
            return Ok(None);
        };
        let bytes_max = self.frame_bytes_max;
        let size = usize::try_from(announced)
            .ok()
            .filter(|size| *size <= bytes_max)
            .ok_or(FrameRefused::SizeOutOfBounds {
                announced,
                bytes_max,
            })?;
        if self.buffer.len() < SIZE_BYTES + size {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(SIZE_BYTES + size);
        frame.advance(SIZE_BYTES);
        Ok(Some(frame.freeze()))
    }

    fn announced(&self) -> Option<i32> {
        let size = self.buffer.first_chunk::<SIZE_BYTES>()?;
        Some(i32::from_be_bytes(*size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(frames: &mut FrameBuffer, bytes: &[u8]) {
        frames.room().extend_from_slice(bytes);
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as i32).to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn frames_are_cut_whatever_the_reads_look_like() {
        let stream: Vec<u8> = [&b"one"[..], b"", b"three"]
            .iter()
            .flat_map(|b| framed(b))
            .collect();
        for step in 1..=stream.len() {
            let mut frames = FrameBuffer::new(100);
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                receive(&mut frames, piece);
                while let Some(frame) = frames.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, [&b"one"[..], b"", b"three"], "reads of {step} bytes");
            assert_eq!(frames.buffered_bytes(), 0);
        }
    }

    #[test]
    fn a_size_out_of_bounds_is_refused_before_its_bytes_come() {
        for announced in [-1, i32::MIN, 101, i32::MAX] {
            let mut frames = FrameBuffer::new(100);
            receive(&mut frames, &announced.to_be_bytes());
            let refused = FrameRefused::SizeOutOfBounds {
                announced,
                bytes_max: 100,
            };
            assert_eq!(frames.next_frame(), Err(refused));
        }
        let mut frames = FrameBuffer::new(100);
        receive(&mut frames, &framed(&[7; 100]));
        assert_eq!(frames.next_frame().unwrap().unwrap().len(), 100);
    }

    #[test]
    fn an_announced_size_alone_takes_no_memory_of_that_size() {
        let mut frames = FrameBuffer::new(100 << 20);
        receive(&mut frames, &(100_i32 << 20).to_be_bytes());
        assert!(frames.next_frame().unwrap().is_none());
        assert!(frames.room().capacity() <= 2 * ANNOUNCED_BYTES_MAX);
    }

    #[test]
    fn a_large_frame_grows_in_few_steps() {
        let mut frames = FrameBuffer::new(100 << 20);
        receive(
            &mut frames,
            &framed(&[]).iter().map(|_| 0).collect::<Vec<u8>>(),
        );
        assert_eq!(frames.next_frame().unwrap().unwrap().len(), 0);

        let size = 32 << 20;
        receive(&mut frames, &(size as i32).to_be_bytes());
        let mut growths = 0;
        while frames.buffered_bytes() < 4 + size {
            let before = frames.buffer.capacity();
            let room = frames.room();
            growths += usize::from(room.capacity() != before);
            let free = room.capacity() - room.len();
            let missing = 4 + size - room.len();
            room.extend_from_slice(&vec![0; free.min(missing).min(READ_BYTES)]);
        }
        assert!(growths <= 8, "{growths} growths");
        assert_eq!(frames.next_frame().unwrap().unwrap().len(), size);
    }
}
