//! One connection to a broker: frames out, frames in.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::wire::{Reader, Writer};

/// Longer than any answer takes; only a broker that stands still lets it pass.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// Largest answer that is read.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What comes on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrived {
    Frame { correlation_id: i32, rest: Vec<u8> },
    Closed,
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: Option<TcpStream>,
    next_correlation_id: i32,
}

impl Connection {
    /// A connection that cannot be made counts as closed.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).ok();
        if let Some(stream) = &stream {
            // Refuses only what is no socket.
            let _ = stream.set_nodelay(true);
        }
        Self {
            stream,
            next_correlation_id: 1,
        }
    }

    /// Sends a request; returns its correlation id and the frame without its length.
    pub(crate) fn send(
        &mut self,
        key: i16,
        version: i16,
        head: &Head,
        body: &[u8],
    ) -> (i32, Vec<u8>) {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let mut frame = Writer::default();
        frame.int16(key);
        frame.int16(version);
        frame.int32(correlation_id);
        frame.text_length(head.client_id.as_ref().map(Vec::len), false);
        frame.put(head.client_id.as_deref().unwrap_or_default());
        frame.put(&head.tags);
        frame.put(body);
        let end = frame.bytes.len().saturating_sub(head.cut);
        frame.bytes.truncate(end);
        let mut framed = Writer::default();
        framed.int32(end as i32);
        framed.put(&frame.bytes);
        if let Some(stream) = &mut self.stream {
            // A connection that has ended is told of by the next read.
            let _ = stream.write_all(&framed.bytes);
        }
        (correlation_id, frame.bytes)
    }

    /// Waits for a frame, for as long as any answer takes or only for `patience`. A connection on which
    /// nothing came is given up: its answer could come later and be taken for another one.
    pub(crate) fn receive(&mut self, patience: Option<Duration>) -> Arrived {
        let Some(stream) = &mut self.stream else {
            return Arrived::Closed;
        };
        // Refuses only what is no socket, or no time at all.
        let _ = stream.set_read_timeout(Some(patience.unwrap_or(ANSWER_WAIT)));
        match read_frame(stream) {
            Ok(frame) => {
                let mut reader = Reader { left: &frame };
                match reader.int32() {
                    Ok(correlation_id) => Arrived::Frame {
                        correlation_id,
                        rest: reader.left.to_vec(),
                    },
                    Err(_) => Arrived::Closed,
                }
            }
            Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.stream = None;
                Arrived::Nothing
            }
            Err(_) => {
                self.stream = None;
                Arrived::Closed
            }
        }
    }

    /// True if something has come, or comes within `wait`; an end of the connection counts.
    pub(crate) fn is_readable(&mut self, wait: Duration) -> bool {
        let Some(stream) = &self.stream else {
            return true;
        };
        // Refuses only what is no socket, or no time at all.
        let _ = stream.set_read_timeout(Some(wait));
        match stream.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }
}

/// What stands around a body.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) client_id: Option<Vec<u8>>,
    /// Its tagged fields; none where the head of this version has none.
    pub(crate) tags: Vec<u8>,
    /// Bytes to leave out at the end of the frame.
    pub(crate) cut: usize,
}

fn read_frame(stream: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut length = [0; 4];
    stream
        .read_exact(&mut length)
        .map_err(|error| error.kind())?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(ErrorKind::InvalidData);
    }
    let mut frame = vec![0; length];
    stream
        .read_exact(&mut frame)
        .map_err(|error| error.kind())?;
    Ok(frame)
}
