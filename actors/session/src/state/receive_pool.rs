//! Buffers that connections receive into, used again once the frames cut from them are gone: fresh
//! memory costs a page fault for every 4 KiB, and is in no cache.

use bytes::BytesMut;

/// Size of a buffer: seven batches of 16 KiB, more than a producer keeps in flight by default, so
/// that one read takes all that has come.
pub(crate) const READ_BYTES: usize = 128 * 1024;

/// Buffers kept for the next connection that reads, 2 MiB together. Those of an arbiter that turns
/// over more at once are freed.
const KEPT_MAX: usize = 16;

/// The buffers of all connections of one arbiter that nobody receives into now. Frames cut from them
/// may still be in use.
#[derive(Debug, Default)]
pub(crate) struct ReceivePool {
    /// Given back last at the end.
    kept: Vec<BytesMut>,
}

impl ReceivePool {
    /// An empty buffer with room for [`READ_BYTES`]: the one used last that is free, else a new one.
    pub(crate) fn take(&mut self) -> BytesMut {
        let free = self
            .kept
            .iter_mut()
            .rposition(|buffer| buffer.try_reclaim(READ_BYTES));
        match free {
            Some(at) => self.kept.remove(at),
            None => BytesMut::with_capacity(READ_BYTES),
        }
    }

    /// Keeps a buffer that [`ReceivePool::take`] gave out.
    pub(crate) fn give_back(&mut self, mut buffer: BytesMut) {
        if self.kept.len() == KEPT_MAX {
            self.kept.remove(0);
        }
        buffer.clear();
        self.kept.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_its_frames_are_gone() {
        let mut pool = ReceivePool::default();
        let mut buffer = pool.take();
        let memory = buffer.as_ptr();
        buffer.extend_from_slice(&[7; 100]);
        let frame = buffer.split_to(100).freeze();
        pool.give_back(buffer);

        let other = pool.take();
        assert_ne!(other.as_ptr(), memory, "the frame is in use");
        assert_eq!(frame, [7; 100][..]);
        drop(frame);
        let again = pool.take();
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
        assert!(again.capacity() >= READ_BYTES);
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut pool = ReceivePool::default();
        for _ in 0..2 * KEPT_MAX {
            pool.give_back(BytesMut::with_capacity(READ_BYTES));
        }
        assert_eq!(pool.kept.len(), KEPT_MAX);
    }
}
