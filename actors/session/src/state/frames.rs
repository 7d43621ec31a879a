//! Cuts the byte stream of a connection into request frames. Memory follows the bytes that came, not
//! the size a client announced; a size that is out of bounds is refused before anything is buffered.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::receive_pool::{READ_BYTES, ReceivePool};

/// Bytes of the big-endian size in front of every request.
const SIZE_BYTES: usize = 4;

/// A buffer with less room than this is not read into, unless a frame ends within it: a read costs
/// more than to take up another buffer.
const READ_BYTES_MIN: usize = 16 * 1024;

/// Bytes of a frame that has begun, which are moved out of a buffer of the pool when nothing else
/// happens: a client that sends slowly holds its own bytes, not a buffer.
const RESTING_BYTES_MAX: usize = 16 * 1024;

/// Room made at once for an announced frame. Up to here (Kafka's default of `max.message.bytes` plus
/// headers) a frame is received into one allocation; a larger one grows by doubling as it arrives.
const ANNOUNCED_BYTES_MAX: usize = 1024 * 1024 + 64 * 1024;

/// Why the stream cannot be cut any further. The connection is closed without an answer.
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
    /// The buffer has the size of those in the pool.
    is_pooled: bool,
    frame_bytes_max: usize,
}

impl FrameBuffer {
    /// `frame_bytes_max` is `socket.request.max.bytes`, without the four bytes of the size.
    pub(crate) fn new(frame_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            is_pooled: false,
            frame_bytes_max,
        }
    }

    /// Bytes received that belong to no complete frame yet, or to frames not taken yet.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The buffer with room for the next read. What is read is appended by the caller.
    pub(crate) fn room(&mut self, pool: &mut ReceivePool) -> &mut BytesMut {
        let have = self.buffer.len();
        let missing = match self.announced() {
            Some(size) if size > 0 => (SIZE_BYTES + size as usize).saturating_sub(have),
            _ => 0,
        };
        let wanted = missing.clamp(READ_BYTES_MIN, READ_BYTES);
        // Where the frames cut from the buffer are gone it starts at its front again, which the
        // processor's cache still holds.
        let is_enough = match have {
            0 => self.buffer.try_reclaim(READ_BYTES),
            _ => false,
        };
        if is_enough || self.buffer.try_reclaim(wanted) {
            return &mut self.buffer;
        }
        if have + missing > READ_BYTES {
            // A reserve copies what is there: a frame above the bound grows by doubling.
            self.buffer
                .reserve(missing.min(ANNOUNCED_BYTES_MAX.max(have)));
            self.is_pooled = false;
        } else {
            let mut next = pool.take();
            next.extend_from_slice(&self.buffer);
            self.replace(next, true, pool);
        }
        &mut self.buffer
    }

    /// Gives the buffer back if nothing cut from it is in use, so that a connection that waits in a
    /// Fetch holds none; one that has no request in hand (`is_idle`) keeps no more than the bytes of
    /// a frame that has begun.
    pub(crate) fn rest(&mut self, is_idle: bool, pool: &mut ReceivePool) {
        let have = self.buffer.len();
        let have_max = if is_idle { RESTING_BYTES_MAX } else { 0 };
        let is_unused = match self.is_pooled {
            true => have <= have_max && self.buffer.try_reclaim(READ_BYTES - have),
            false => have == 0,
        };
        if is_unused {
            let tail = BytesMut::from(&self.buffer[..]);
            self.replace(tail, false, pool);
        }
    }

    fn replace(&mut self, next: BytesMut, is_pooled: bool, pool: &mut ReceivePool) {
        let old = std::mem::replace(&mut self.buffer, next);
        if std::mem::replace(&mut self.is_pooled, is_pooled) {
            pool.give_back(old);
        }
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
        let mut pool = ReceivePool::default();
        frames.room(&mut pool).extend_from_slice(bytes);
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
        let room = frames.room(&mut ReceivePool::default());
        assert!(room.capacity() <= 2 * ANNOUNCED_BYTES_MAX);
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
        let mut pool = ReceivePool::default();
        while frames.buffered_bytes() < 4 + size {
            let before = frames.buffer.capacity();
            let room = frames.room(&mut pool);
            growths += usize::from(room.capacity() != before);
            let free = room.capacity() - room.len();
            let missing = 4 + size - room.len();
            room.extend_from_slice(&vec![0; free.min(missing).min(READ_BYTES)]);
        }
        assert!(growths <= 8, "{growths} growths");
        assert_eq!(frames.next_frame().unwrap().unwrap().len(), size);
    }

    #[test]
    fn frames_of_one_connection_are_received_into_the_same_memory() {
        let mut pool = ReceivePool::default();
        let mut frames = FrameBuffer::new(100);
        let mut places = Vec::new();
        for _ in 0..100 {
            frames.room(&mut pool).extend_from_slice(&framed(&[7; 100]));
            let frame = frames.next_frame().unwrap().unwrap();
            places.push(frame.as_ptr());
            drop(frame);
            frames.rest(true, &mut pool);
        }
        places.dedup();
        assert_eq!(places.len(), 1);
    }

    #[test]
    fn frames_in_use_do_not_take_a_buffer_each() {
        let mut pool = ReceivePool::default();
        let mut frames = FrameBuffer::new(100);
        let mut held = Vec::new();
        let mut buffers = 0;
        // A client that sends one small frame at a time and has none answered.
        for _ in 0..1_000 {
            let before = frames.buffer.as_ptr();
            let room = frames.room(&mut pool);
            buffers += usize::from(room.as_ptr() != before);
            room.extend_from_slice(&framed(&[7; 100]));
            held.push(frames.next_frame().unwrap().unwrap());
            frames.rest(false, &mut pool);
        }
        assert_eq!(buffers, 1, "1,000 frames of 104 bytes fit into one");
        assert!(held.iter().all(|frame| *frame == [7; 100][..]));
    }

    #[test]
    fn a_connection_at_rest_holds_what_it_has_sent_and_no_buffer() {
        let mut pool = ReceivePool::default();
        let mut frames = FrameBuffer::new(1 << 20);
        frames.room(&mut pool).extend_from_slice(&framed(b"whole"));
        let taken = frames.next_frame().unwrap();
        assert_eq!(taken.as_deref(), Some(&b"whole"[..]));
        drop(taken);
        frames.rest(true, &mut pool);
        assert_eq!(frames.buffer.capacity(), 0);

        let bytes = framed(&[5; 2_000]);
        let (begun, left) = bytes.split_at(1_000);
        frames.room(&mut pool).extend_from_slice(begun);
        assert_eq!(frames.next_frame(), Ok(None));
        frames.rest(true, &mut pool);
        assert!(frames.buffer.capacity() < 2 * begun.len());
        frames.room(&mut pool).extend_from_slice(left);
        assert_eq!(frames.next_frame().unwrap().unwrap(), [5; 2_000][..]);
    }

    #[test]
    fn a_request_that_keeps_no_bytes_keeps_no_buffer() {
        let mut pool = ReceivePool::default();
        let mut frames = FrameBuffer::new(100);
        frames.room(&mut pool).extend_from_slice(&framed(b"fetch"));
        let frame = frames.next_frame().unwrap();
        frames.rest(false, &mut pool);
        assert!(frames.buffer.capacity() > 0, "the frame is in use");
        drop(frame);
        frames.rest(false, &mut pool);
        assert_eq!(frames.buffer.capacity(), 0);
    }
}
