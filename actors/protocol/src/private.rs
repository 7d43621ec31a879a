//! Kabuki's own APIs, from key 10000 on: the actor tree, crashes on request, the supervision log.
//! They share the listeners with Kafka's, are not named in ApiVersions, and are answered to loopback
//! peers only until there is authentication.
//!
//! A request is Kafka's frame with a header of version 1, then a postcard body; an answer is the
//! correlation id, then a postcard `Result`. A body of a version never changes: a field more is a
//! version more. The golden bytes in this file's tests hold that.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, Decoder, EncodeError, EncodedFrame, Encoder};
use crate::header::{RequestHeader, ResponseHeader};

/// A private request and the version this crate speaks.
pub trait PrivateRequest: Serialize + DeserializeOwned {
    /// Key of the API.
    const KEY: i16;
    /// Version of request and answer.
    const VERSION: i16;
    /// What it is answered with, unless refused.
    type Answer: Serialize + DeserializeOwned;
}

/// Asks for the actors at and below a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeActors {
    /// Path that the wanted actors begin with, `/` for all.
    pub prefix: String,
}

/// The actors, in the order of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ActorsDescribed {
    /// One row an actor.
    pub actors: Vec<ActorRow>,
}

/// One actor as the runtime accounts for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ActorRow {
    /// Where it stands in the tree, `/replicas/orders-3`.
    pub path: String,
    /// `running`, `restarting`, `parked` and so on, in the runtime's words.
    pub state: String,
    /// Counts instances, from 1.
    pub incarnation: u64,
    /// Restarts since the first instance.
    pub restarts: u64,
    /// The last crash in words, empty for none.
    pub last_cause: String,
    /// Messages that wait.
    pub mailbox_depth: u64,
    /// How long the oldest of them has waited, in milliseconds.
    pub oldest_age_ms: u64,
    /// Messages handled by all instances.
    pub messages: u64,
    /// Time spent in it by all instances, in milliseconds.
    pub busy_ms: u64,
    /// Thread that it runs on.
    pub arbiter: String,
    /// What the actor says of itself, one line.
    pub detail: String,
}

/// Crashes the running instance of one actor; refused unless `kabuki.chaos.enable` is true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashActor {
    /// Its whole path.
    pub path: String,
}

/// The instance was told to crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorCrashed {
    /// The instance.
    pub incarnation: u64,
}

/// Asks for entries of the supervision log that the node still has in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadSupervisionLog {
    /// First sequence number wanted; 0 for the oldest kept.
    pub from_seq: u64,
    /// Most events to answer.
    pub events_max: u32,
    /// Path that the actors of the events begin with, `/` for all.
    pub prefix: String,
    /// How long to wait for the first event, in milliseconds; 0 answers at once.
    pub wait_ms: u32,
}

/// Entries of the supervision log, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SupervisionLogRead {
    /// The events.
    pub events: Vec<SupervisionRow>,
    /// Where to read on; above the last event's number plus one when others did not match.
    pub next_seq: u64,
}

/// One entry of the supervision log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SupervisionRow {
    /// Counts up by one; a gap was lost.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// `restarted`, `panicked` and so on, in the runtime's words.
    pub kind: String,
    /// Path of the actor.
    pub actor: String,
    /// Instance of the actor.
    pub incarnation: u64,
    /// One word for a crash, free text for a report.
    pub cause: String,
    /// Text of the panic or fault.
    pub detail: String,
    /// `file:line` of the panic or fault.
    pub place: String,
    /// Message in hand.
    pub message: String,
    /// How long the next instance waits or has waited, in milliseconds.
    pub backoff_ms: u64,
    /// Restarts that count against the budget.
    pub restarts_in_window: u32,
    /// The budget.
    pub restarts_max: u32,
    /// Like events that were counted instead of written.
    pub repeated: u64,
}

impl PrivateRequest for DescribeActors {
    const KEY: i16 = 10_000;
    const VERSION: i16 = 0;
    type Answer = ActorsDescribed;
}

impl PrivateRequest for CrashActor {
    const KEY: i16 = 10_001;
    const VERSION: i16 = 0;
    type Answer = ActorCrashed;
}

impl PrivateRequest for ReadSupervisionLog {
    const KEY: i16 = 10_002;
    const VERSION: i16 = 0;
    type Answer = SupervisionLogRead;
}

/// Why a private request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PrivateRefused {
    /// The node speaks other versions of this API.
    #[error("the node speaks versions {min} to {max} of this request")]
    Version {
        /// Lowest, inclusive.
        min: i16,
        /// Highest, inclusive.
        max: i16,
    },
    /// The body is not one of this API.
    #[error("the request cannot be read")]
    Malformed,
    /// No actor at this path.
    #[error("no actor at {path}")]
    NoSuchActor {
        /// The path asked for.
        path: String,
    },
    /// The actor has no running instance.
    #[error("actor {path} is {state}")]
    NotRunning {
        /// The path asked for.
        path: String,
        /// What it is instead.
        state: String,
    },
    /// Crashes on request are switched off.
    #[error("kabuki.chaos.enable is not true on this node")]
    ChaosDisabled,
}

/// A private frame that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateDecodeError {
    /// The header in front.
    #[error(transparent)]
    Header(#[from] DecodeError),
    /// The postcard body.
    #[error("private body: {0}")]
    Body(#[from] postcard::Error),
}

/// A whole request frame: length, header, body.
pub fn encode_private_request<R: PrivateRequest>(
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
) -> Result<EncodedFrame, EncodeError> {
    let header = RequestHeader {
        api_key: R::KEY,
        api_version: R::VERSION,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    let mut encoder = Encoder::new_frame();
    header.encode(&mut encoder)?;
    encoder.put_slice(&to_postcard(request));
    encoder.finish_frame()
}

/// Reads the body of a request of version [`PrivateRequest::VERSION`], behind its header.
///
/// `None` stands for [`PrivateRefused::Malformed`]: it is answered, since the header was sound.
pub fn decode_private_request<R: PrivateRequest>(decoder: &Decoder) -> Option<R> {
    postcard::from_bytes(&decoder.rest()).ok()
}

/// A whole answer frame: length, correlation id, body.
pub fn encode_private_answer<T: Serialize>(
    correlation_id: i32,
    answer: &Result<T, PrivateRefused>,
) -> Result<EncodedFrame, EncodeError> {
    let mut encoder = Encoder::new_frame();
    ResponseHeader { correlation_id }.encode(&mut encoder, 0);
    encoder.put_slice(&to_postcard(answer));
    encoder.finish_frame()
}

/// What a node answered: the correlation id, and the answer to `R` or its refusal.
pub type PrivateAnswer<R> = (
    ResponseHeader,
    Result<<R as PrivateRequest>::Answer, PrivateRefused>,
);

/// Reads an answer frame without its four bytes of length.
pub fn decode_private_answer<R: PrivateRequest>(
    frame: Bytes,
) -> Result<PrivateAnswer<R>, PrivateDecodeError> {
    let mut decoder = Decoder::new(frame);
    let header = ResponseHeader::decode(&mut decoder, 0)?;
    Ok((header, postcard::from_bytes(&decoder.rest())?))
}

fn to_postcard<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain structs into a growing vector always serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> ActorRow {
        ActorRow {
            path: "/a".into(),
            state: "running".into(),
            incarnation: 2,
            restarts: 1,
            last_cause: "panic".into(),
            mailbox_depth: 3,
            oldest_age_ms: 4,
            messages: 300,
            busy_ms: 5,
            arbiter: "data-0".into(),
            detail: String::new(),
        }
    }

    #[test]
    fn requests_have_their_golden_bytes() {
        let frame = |frame: Result<EncodedFrame, EncodeError>| frame.unwrap().to_bytes();
        let describe = DescribeActors {
            prefix: "/a".into(),
        };
        assert_eq!(
            frame(encode_private_request(7, Some("k"), &describe))[..],
            *b"\0\0\0\x0e\x27\x10\0\0\0\0\0\x07\0\x01k\x02/a"
        );
        let crash = CrashActor { path: "/a".into() };
        assert_eq!(
            frame(encode_private_request(7, None, &crash))[..],
            *b"\0\0\0\x0d\x27\x11\0\0\0\0\0\x07\xff\xff\x02/a"
        );
        let read = ReadSupervisionLog {
            from_seq: 1,
            events_max: 300,
            prefix: "/".into(),
            wait_ms: 2,
        };
        assert_eq!(
            frame(encode_private_request(7, None, &read))[..],
            *b"\0\0\0\x10\x27\x12\0\0\0\0\0\x07\xff\xff\x01\xac\x02\x01/\x02"
        );
    }

    #[test]
    fn answers_have_their_golden_bytes() {
        let answer = Ok(ActorsDescribed {
            actors: vec![row()],
        });
        let frame = encode_private_answer(7, &answer).unwrap().to_bytes();
        assert_eq!(
            frame[..],
            *b"\0\0\0\x26\0\0\0\x07\0\x01\x02/a\x07running\x02\x01\x05panic\x03\x04\xac\x02\x05\x06data-0\0"
        );
        let (header, decoded) = decode_private_answer::<DescribeActors>(frame.slice(4..)).unwrap();
        assert_eq!((header.correlation_id, decoded), (7, answer));

        let event = SupervisionRow {
            seq: 1,
            kind: "restarted".into(),
            ..Default::default()
        };
        let read = SupervisionLogRead {
            events: vec![event],
            next_seq: 2,
        };
        let frame = encode_private_answer(1, &Ok(read)).unwrap().to_bytes();
        assert_eq!(
            frame[..],
            *b"\0\0\0\x1d\0\0\0\x01\0\x01\x01\0\x09restarted\0\0\0\0\0\0\0\0\0\0\x02"
        );
        let refused: Result<ActorCrashed, _> = Err(PrivateRefused::ChaosDisabled);
        let frame = encode_private_answer(1, &refused).unwrap().to_bytes();
        assert_eq!(frame[..], *b"\0\0\0\x06\0\0\0\x01\x01\x04");
    }

    #[test]
    fn cut_and_lying_bodies_are_refused() {
        let frame = encode_private_request(
            7,
            None,
            &DescribeActors {
                prefix: "/a".into(),
            },
        )
        .unwrap()
        .to_bytes();
        for end in 14..frame.len() {
            let mut decoder = Decoder::new(frame.slice(4..end));
            RequestHeader::decode(&mut decoder).unwrap();
            assert_eq!(decode_private_request::<DescribeActors>(&decoder), None);
        }
        // An array that claims 2^63 rows.
        let lie = Bytes::from_static(b"\0\0\0\x01\0\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
        assert!(decode_private_answer::<DescribeActors>(lie).is_err());
    }
}
