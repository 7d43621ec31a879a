//! The sending side of a connection under load: bytes that go out in as few writes as the socket
//! takes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;

/// A buffer of frames; loaded again when all of it has been sent.
pub(super) struct Train {
    bytes: Vec<u8>,
    sent: usize,
    end: usize,
}

impl Train {
    /// A train of copies of one frame.
    pub(super) fn of_copies(frame: &[u8], count: usize) -> Self {
        Self {
            bytes: frame.repeat(count),
            sent: 0,
            end: 0,
        }
    }

    /// True when there is nothing left to send.
    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.end
    }

    /// Puts the first `bytes` of the buffer on the way, which the caller may change before.
    pub(super) fn load(&mut self, bytes: usize) -> &mut [u8] {
        assert!(self.is_sent(), "a train is loaded only when it is empty");
        (self.sent, self.end) = (0, bytes);
        &mut self.bytes[..bytes]
    }

    /// Appends one frame.
    pub(super) fn append(&mut self, frame: &[u8]) {
        if self.is_sent() {
            (self.sent, self.end) = (0, 0);
        }
        self.bytes.truncate(self.end);
        self.bytes.extend_from_slice(frame);
        self.end = self.bytes.len();
    }

    /// Sends what the socket takes; ready when all is sent.
    pub(super) fn poll_send(
        &mut self,
        socket: &mut TcpStream,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_sent() {
            let rest = &self.bytes[self.sent..self.end];
            match ready!(Pin::new(&mut *socket).poll_write(task, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_appended_behind_those_that_wait() {
        let mut train = Train::of_copies(b"", 0);
        assert!(train.is_sent());
        train.append(b"ab");
        train.append(b"c");
        assert_eq!((&train.bytes[..], train.end), (&b"abc"[..], 3));
        train.sent = 3;
        train.append(b"d");
        assert_eq!((&train.bytes[..], train.sent, train.end), (&b"d"[..], 0, 1));
    }

    #[test]
    fn copies_are_loaded_from_the_front() {
        let mut train = Train::of_copies(b"xy", 3);
        train.load(4)[0] = b'z';
        assert!(!train.is_sent());
        assert_eq!((&train.bytes[..], train.end), (&b"zyxyxy"[..], 4));
    }
}
