//! One request as it came from a connection, what its handler is told, and what it answers with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::codec::{DecodeError, Decoder, EncodedFrame, Field, Message};
use kabuki_protocol::header::{Request, RequestHeader, Response, encode_response};
use kabuki_protocol::messages::offset_commit::OffsetCommitRequest;

use crate::services::SessionServices;
use crate::state::closings::CloseSort;
use crate::state::pipeline::Overlap;

/// Largest frame of a request that carries no records: two hundred thousand partitions of a Fetch.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many times its frame a request may take once it is read: an empty text is one byte of a frame
/// and 24 of memory, and handlers keep it twice while they wait.
const GROWTH_MAX: usize = 32;

/// A frame that waits for its turn.
#[derive(Debug)]
pub(crate) enum Incoming {
    Request(Received),
    /// The frame has no readable header, or asks what nobody here answers. The connection is closed
    /// in its turn, after the answers to what came before it.
    Unreadable {
        cause: String,
    },
}

/// A request whose header was read.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) header: RequestHeader,
    /// Stands at the body.
    pub(crate) body: Decoder,
}

impl Incoming {
    /// Reads the header of a frame.
    pub(crate) fn read(frame: Bytes) -> Self {
        let bytes = frame.len();
        let mut body = Decoder::new(frame);
        match RequestHeader::decode(&mut body) {
            Ok(header) if bytes > BYTES_MAX && header.api() != Some(ApiKey::Produce) => {
                let api_key = header.api_key;
                Self::Unreadable {
                    cause: format!(
                        "request of {bytes} bytes for api key {api_key}, at most {BYTES_MAX} are accepted"
                    ),
                }
            }
            Ok(header) => Self::Request(Received { header, body }),
            Err(error) => Self::Unreadable {
                cause: error.to_string(),
            },
        }
    }

    /// Bytes it may take from its start to its answer, beside its frame. Requests about records keep
    /// those in the frame, and say themselves what they read; all others grow when they are decoded.
    pub(crate) fn growth_bytes(&self) -> usize {
        match self {
            Self::Request(received) => match received.header.api() {
                Some(ApiKey::Produce | ApiKey::Fetch) => 0,
                _ => received.body.left_bytes() * GROWTH_MAX,
            },
            Self::Unreadable { .. } => 0,
        }
    }

    /// Whether it may run next to others of its connection.
    pub(crate) fn overlap(&self) -> Overlap {
        let Self::Request(received) = self else {
            return Overlap::Alone;
        };
        match received.header.api() {
            Some(ApiKey::Produce) => Overlap::Produce,
            Some(ApiKey::OffsetCommit) => received
                .committing_group()
                .map_or(Overlap::Alone, |group| Overlap::Commit { group }),
            _ => Overlap::Alone,
        }
    }
}

impl Received {
    /// Reads the body. Bytes left over behind it are ignored, as Kafka does.
    pub(crate) fn decode<R: Request>(mut self) -> Result<R, DecodeError> {
        R::decode(&mut self.body, self.header.api_version)
    }

    /// Stands for the group of an OffsetCommit, whose id is the first field in every version; `None` for
    /// a body that cannot be read.
    fn committing_group(&self) -> Option<u64> {
        let form = OffsetCommitRequest::form(self.header.api_version);
        let group = String::read(&mut self.body.clone(), form).ok()?;
        let mut hasher = DefaultHasher::new();
        group.hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// What a handler leaves for the connection.
#[derive(Debug)]
pub(crate) enum Answer {
    Frame(EncodedFrame),
    /// Produce with acks=0 that went well: not a byte.
    Nothing,
    /// Nothing more is answered on this connection.
    Close {
        sort: CloseSort,
        cause: String,
    },
}

/// What a handler knows beside the request itself.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) services: Arc<SessionServices>,
    /// Listener the client came in by: clients are told the endpoints of the same name.
    pub(crate) listener: Arc<str>,
    pub(crate) peer: SocketAddr,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    /// Null is taken for the empty text.
    pub(crate) client_id: Arc<str>,
}

impl RequestContext {
    /// Encodes a response to this request.
    pub(crate) fn reply<R: Response + Message>(&self, response: &R) -> Answer {
        self.reply_in(self.version, response)
    }

    /// Encodes a response in another version than that of the request.
    pub(crate) fn reply_in<R: Response + Message>(&self, version: i16, response: &R) -> Answer {
        match encode_response(version, self.correlation_id, response) {
            Ok(frame) => Answer::Frame(frame),
            // A bug of the handler. The client learns by the closed connection; an empty answer
            // would shift all that follow.
            Err(error) => Answer::Close {
                sort: CloseSort::Unanswerable,
                cause: format!("answer cannot be encoded: {error}"),
            },
        }
    }
}
