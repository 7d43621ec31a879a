//! The receiving side of a connection under load: one buffer that is filled by few large reads and
//! cut into frames. Frames are handed out as ranges, so nothing is copied.

use std::io::{self, Read};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use super::BenchError;

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// A buffer with the bytes that have come and are not yet looked at.
pub(super) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    frame_bytes_max: usize,
}

impl Inbox {
    /// A buffer of `bytes` that grows for a larger frame, but never beyond `frame_bytes_max`.
    pub(super) fn new(bytes: usize, frame_bytes_max: usize) -> Self {
        Self {
            buffer: vec![0; bytes.max(LENGTH_BYTES)],
            start: 0,
            end: 0,
            frame_bytes_max,
        }
    }

    /// Reads what has come, once; 0 bytes stand for the end of the stream.
    pub(super) fn poll_fill(
        &mut self,
        socket: &mut TcpStream,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let mut room = ReadBuf::new(&mut self.buffer[self.end..]);
        ready!(Pin::new(socket).poll_read(task, &mut room))?;
        let count = room.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// The same on a blocking socket.
    pub(super) fn fill(&mut self, mut socket: impl Read) -> io::Result<usize> {
        self.make_room();
        let count = socket.read(&mut self.buffer[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// Takes the next whole frame out, without its length; `None` until it is there.
    pub(super) fn next_frame(&mut self) -> Result<Option<Range<usize>>, BenchError> {
        let Some(length) = self.frame_length()? else {
            return Ok(None);
        };
        let from = self.start + LENGTH_BYTES;
        if self.end < from + length {
            return Ok(None);
        }
        self.start = from + length;
        Ok(Some(from..from + length))
    }

    /// The bytes of a frame; valid until the next read.
    pub(super) fn frame(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    fn frame_length(&self) -> Result<Option<usize>, BenchError> {
        let Some(prefix) = self.buffer[self.start..self.end].first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let announced = i32::from_be_bytes(*prefix);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length < size_of::<i32>() || length > self.frame_bytes_max {
            return Err(BenchError::Answer {
                what: "a request".to_owned(),
                cause: format!(
                    "announces {announced} bytes, outside 4 to {}",
                    self.frame_bytes_max
                ),
            });
        }
        Ok(Some(length))
    }

    /// Moves what is left to the front when the rest of its frame has no room behind it.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        // A length out of bounds is told by `next_frame`, which every caller asks first.
        let length = self.frame_length().ok().flatten().unwrap_or_default();
        let wanted = LENGTH_BYTES + length;
        if self.start + wanted <= self.buffer.len() && self.end < self.buffer.len() {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames_of(mut inbox: Inbox, bytes: &[u8], per_read: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut rest = bytes;
        loop {
            while let Some(range) = inbox.next_frame().unwrap() {
                frames.push(inbox.frame(range).to_vec());
            }
            let (mut now, _) = rest.split_at(per_read.min(rest.len()));
            let count = inbox.fill(&mut now).unwrap();
            if count == 0 {
                return frames;
            }
            rest = &rest[count..];
        }
    }

    #[test]
    fn frames_are_cut_the_same_however_the_bytes_come() {
        let wanted: Vec<Vec<u8>> = [4, 9, 200, 5, 64].map(|length| vec![7; length]).into();
        let mut bytes = Vec::new();
        for frame in &wanted {
            bytes.extend((frame.len() as u32).to_be_bytes());
            bytes.extend(frame);
        }
        for per_read in [1, 3, 8, 50, 1_000] {
            for buffer in [1, 16, 4_096] {
                let found = frames_of(Inbox::new(buffer, 200), &bytes, per_read);
                assert_eq!(found, wanted, "{per_read} at a time into {buffer}");
            }
        }
    }

    #[test]
    fn a_frame_beyond_the_bound_is_refused_before_it_is_read() {
        for length in [201_i32, 3, -1, i32::MAX] {
            let mut inbox = Inbox::new(16, 200);
            inbox.fill(&length.to_be_bytes()[..]).unwrap();
            assert!(inbox.next_frame().is_err(), "{length}");
        }
    }
}
