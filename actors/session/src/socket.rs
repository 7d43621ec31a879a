//! The socket of one connection with its two buffers: bytes on their way in become frames, answers
//! on their way out leave in one vectored write. Never waits.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;

use crate::state::frames::{FrameBuffer, FrameRefused};
use crate::state::outbox::Outbox;
use crate::state::receive_pool::ReceivePool;

thread_local! {
    /// Of all connections on this arbiter.
    static RECEIVE_POOL: RefCell<ReceivePool> = RefCell::default();
}

/// A non-blocking connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    frames: FrameBuffer,
    outbox: Outbox,
}

impl Socket {
    /// Takes over a socket on the arbiter it is to be polled on.
    pub(crate) fn new(stream: std::net::TcpStream, frame_bytes_max: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        // An answer is one write; waiting for more would only delay it.
        stream.set_nodelay(true)?;
        let frames = FrameBuffer::new(frame_bytes_max);
        Ok(Self {
            stream,
            frames,
            outbox: Outbox::default(),
        })
    }

    /// Reads what has come, at most `bytes_max`; `Ok(0)` says that the client will send no more.
    pub(crate) fn poll_fill(
        &mut self,
        bytes_max: usize,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.stream.poll_read_ready(task))?;
        let room = RECEIVE_POOL.with_borrow_mut(|pool| self.frames.room(pool));
        let mut room = room.limit(bytes_max);
        // Takes note of a read that left room, as `try_read_buf` does not: the socket is empty then
        // and need not be asked again to say so.
        pin!(self.stream.read_buf(&mut room)).poll(task)
    }

    /// Gives back the memory that is not needed before the next read.
    pub(crate) fn rest(&mut self, is_idle: bool) {
        RECEIVE_POOL.with_borrow_mut(|pool| self.frames.rest(is_idle, pool));
    }

    /// Takes the next complete frame.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameRefused> {
        self.frames.next_frame()
    }

    /// Queues an answer.
    pub(crate) fn push(&mut self, chunks: Vec<Bytes>) {
        self.outbox.push(chunks);
    }

    /// Writes as much as the socket takes; `Pending` while some is left. Bytes written.
    pub(crate) fn poll_flush(&mut self, task: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut written = 0;
        while !self.outbox.is_empty() {
            match self.stream.try_write_vectored(&self.outbox.slices()) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.outbox.advance(count);
                    written += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.stream.poll_write_ready(task) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending if written > 0 => return Poll::Ready(Ok(written)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(written))
    }

    /// Whether the client will send no more than what has come already.
    pub(crate) fn is_read_closed(&self) -> bool {
        let mut task = Context::from_waker(Waker::noop());
        let ready = pin!(self.stream.ready(Interest::READABLE)).poll(&mut task);
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Bytes received that are not yet a taken frame.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.frames.buffered_bytes()
    }

    /// Bytes of answers that the socket has not taken.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.outbox.bytes()
    }
}
