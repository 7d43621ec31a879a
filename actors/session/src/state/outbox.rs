//! The bytes of answers that wait for the socket: a list of shared chunks, so that record bytes go
//! from the page cache read to the socket without a copy.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Chunks of one vectored write: Linux takes 1,024 (`IOV_MAX`), a write of 64 fills any socket buffer.
pub(crate) const SLICES_MAX: usize = 64;

/// Answer bytes in order, not yet taken by the socket.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, chunks: impl IntoIterator<Item = Bytes>) {
        for chunk in chunks {
            if !chunk.is_empty() {
                self.bytes += chunk.len();
                self.chunks.push_back(chunk);
            }
        }
    }

    /// Bytes that the socket has not taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The first chunks as slices of one vectored write, at most [`SLICES_MAX`].
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        self.chunks
            .iter()
            .take(SLICES_MAX)
            .map(|chunk| IoSlice::new(chunk))
            .collect()
    }

    /// Drops the first `count` bytes: the socket took them.
    pub(crate) fn advance(&mut self, mut count: usize) {
        assert!(
            count <= self.bytes,
            "the socket took {count} of {} bytes",
            self.bytes
        );
        self.bytes -= count;
        while count > 0 {
            let front = self
                .chunks
                .front_mut()
                .expect("the byte count covers these chunks");
            if front.len() > count {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_keep_order_and_count() {
        let mut outbox = Outbox::default();
        outbox.push([
            Bytes::from_static(b"abc"),
            Bytes::new(),
            Bytes::from_static(b"defg"),
        ]);
        assert_eq!(outbox.bytes(), 7);
        assert_eq!(outbox.slices().len(), 2);

        let mut written = Vec::new();
        for step in [2, 3, 1, 1] {
            let all: Vec<u8> = outbox
                .slices()
                .iter()
                .flat_map(|slice| slice.to_vec())
                .collect();
            written.extend_from_slice(&all[..step]);
            outbox.advance(step);
        }
        assert_eq!(written, b"abcdefg");
        assert!(outbox.is_empty());
        assert!(outbox.slices().is_empty());
    }

    #[test]
    fn one_write_offers_a_bounded_number_of_chunks() {
        let mut outbox = Outbox::default();
        outbox.push((0..1_000).map(|_| Bytes::from_static(b"x")));
        assert_eq!(outbox.slices().len(), SLICES_MAX);
    }
}
