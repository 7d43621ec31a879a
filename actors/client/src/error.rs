//! What can go wrong between a program and a cluster. Kafka's error codes end here: callers see what
//! was asked, what the broker said, and whether another try can help.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kabuki_protocol::api::ApiKey;
use kabuki_protocol::codec::{DecodeError, EncodeError};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::private::{PrivateDecodeError, PrivateRefused};
use kabuki_protocol::records::BatchError;
use thiserror::Error;

/// Why a request, or the whole of a longer doing, did not succeed.
///
/// ```
/// use kabuki_client::ClientError;
///
/// fn is_worth_another_try(error: &ClientError) -> bool {
///     error.is_retriable()
/// }
/// # let refused = ClientError::Refused { what: "topic orders".into(), code: 3, message: None };
/// # assert!(is_worth_another_try(&refused));
/// # assert_eq!(refused.to_string(), "topic orders: the broker knows no such topic or partition (UNKNOWN_TOPIC_OR_PARTITION)");
/// ```
#[derive(Debug, Clone, Error)]
pub enum ClientError {
    /// No connection could be opened.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// None of the bootstrap addresses gave an answer.
    #[error("no broker answers at {addresses}; last of all: {last}")]
    NoBroker {
        /// The addresses, parted by commas.
        addresses: String,
        /// Why the last one did not.
        last: Box<ClientError>,
    },
    /// The connection ended with requests in flight; whether they took effect is unknown.
    #[error("connection to {address} lost: {cause}")]
    ConnectionLost {
        /// Host and port.
        address: String,
        /// Why.
        cause: String,
    },
    /// No answer came in time; whether the request took effect is unknown.
    #[error("{what} was not answered within {} ms", after.as_millis())]
    DeadlinePassed {
        /// What was asked.
        what: String,
        /// How long the client waited.
        after: Duration,
    },
    /// The broker does not speak this API in a version that the client knows.
    #[error("{address} does not offer {api} in versions {min} to {max}")]
    Unsupported {
        /// Host and port.
        address: String,
        /// The API.
        api: ApiKey,
        /// Lowest version that would do.
        min: i16,
        /// Highest version that would do.
        max: i16,
    },
    /// The request cannot be said in the version that the broker speaks.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The answer is not what it should be.
    #[error("answer to {what} cannot be read: {cause}")]
    Malformed {
        /// What was asked.
        what: String,
        /// What is wrong.
        cause: String,
    },
    /// The broker said no.
    #[error("{what}: {}", refusal_text(*code, message.as_deref()))]
    Refused {
        /// What was asked for.
        what: String,
        /// Kafka's error code.
        code: i16,
        /// What the broker added.
        message: Option<String>,
    },
    /// A Kabuki node refused one of its own requests.
    #[error(transparent)]
    Private(#[from] PrivateRefused),
    /// A partition has no leader, for as long as the client was willing to wait.
    #[error("partition {topic}-{partition} has no leader")]
    NoLeader {
        /// Topic of the partition.
        topic: String,
        /// Its number.
        partition: i32,
    },
    /// The topic has no partition of that number.
    #[error("topic {topic} has {count} partitions and no partition {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The number asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// Records cannot be packed or unpacked.
    #[error("records of {what}: {source}")]
    Records {
        /// Which ones.
        what: String,
        /// What is wrong.
        #[source]
        source: BatchError,
    },
    /// One record is larger than a request of this producer may be.
    #[error("record of {bytes} bytes is larger than the {bytes_max} bytes of a request")]
    RecordTooLarge {
        /// Size of the record.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The client, or the part of it that was asked, has ended.
    #[error("{what} has ended")]
    Ended {
        /// What has ended.
        what: &'static str,
    },
}

impl ClientError {
    /// The error of a Kafka code; `Ok` for 0.
    pub(crate) fn check(
        code: i16,
        message: Option<&str>,
        what: impl FnOnce() -> String,
    ) -> Result<(), Self> {
        if code == 0 {
            return Ok(());
        }
        Err(Self::Refused {
            what: what(),
            code,
            message: message.map(str::to_owned),
        })
    }

    pub(crate) fn malformed(what: impl ToString, cause: impl ToString) -> Self {
        Self::Malformed {
            what: what.to_string(),
            cause: cause.to_string(),
        }
    }

    /// Kafka's code, where the broker gave one that this client knows.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => ErrorCode::from_code(*code),
            _ => None,
        }
    }

    /// True where the same request may succeed later, possibly at another broker.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::NoBroker { .. }
            | Self::ConnectionLost { .. }
            | Self::DeadlinePassed { .. }
            | Self::NoLeader { .. } => true,
            Self::Refused { .. } => self
                .code()
                .is_some_and(|code| code.is_retriable() || shows_stale_metadata(code)),
            _ => false,
        }
    }

    /// True where what the client believes about leaders and ids has to be asked again.
    pub(crate) fn stales_metadata(&self) -> bool {
        match self.code() {
            None => self.is_retriable(),
            Some(code) => shows_stale_metadata(code),
        }
    }
}

impl From<DecodeError> for ClientError {
    fn from(error: DecodeError) -> Self {
        Self::malformed("a request", error)
    }
}

impl From<PrivateDecodeError> for ClientError {
    fn from(error: PrivateDecodeError) -> Self {
        Self::malformed("a private request", error)
    }
}

/// Codes that say: ask again who leads, and which id the topic has.
fn shows_stale_metadata(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::KafkaStorageError
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
    )
}

fn refusal_text(code: i16, message: Option<&str>) -> String {
    let Some(known) = ErrorCode::from_code(code) else {
        return format!(
            "{} (error {code})",
            message.unwrap_or("an error this client does not know")
        );
    };
    match message {
        Some(message) if !message.is_empty() => format!("{message} ({})", known.name()),
        _ => format!("{} ({})", known.message(), known.name()),
    }
}
