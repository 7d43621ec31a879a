//! Kafka's error code for each refusal, in one place per refusal. What a client does upon a code
//! decides, not how near its name is.

use kabuki_controller::messages::{
    AlterConfigsRefused, CreatePartitionsRefused, CreateTopicRefused, DeleteTopicRefused,
    NotCommitted, UpdateFeaturesRefused,
};
use kabuki_partition::{AppendRefused, FindRefused, NotServed, ReadRefused, TrimRefused};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::records::{RecordRefused, RefusedKind};
use kabuki_runtime::{AskError, NoReply, Undelivered};

use crate::routes::Unrouted;
use crate::state::fetch_sessions::FetchSessionRefused;

/// Code and `log_start_offset` of a batch that a partition refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProduceFailure {
    pub(crate) code: ErrorCode,
    pub(crate) log_start: Offset,
}

impl From<&AppendRefused> for ProduceFailure {
    fn from(refused: &AppendRefused) -> Self {
        let without = |code| Self {
            code,
            log_start: Offset::NONE,
        };
        let with = |code, log_start: Offset| Self { code, log_start };
        match *refused {
            // For requests that name topics by id, `produce` answers 100 instead.
            AppendRefused::ForeignTopic { .. } => without(ErrorCode::UnknownTopicOrPartition),
            AppendRefused::NotLeader { .. } => without(ErrorCode::NotLeaderOrFollower),
            AppendRefused::OutOfOrderSequence { log_start, .. } => {
                with(ErrorCode::OutOfOrderSequenceNumber, log_start)
            }
            AppendRefused::InvalidProducerEpoch { log_start, .. } => {
                with(ErrorCode::InvalidProducerEpoch, log_start)
            }
            // The state is the suspect: the batch may be good and is asked for again.
            AppendRefused::Poisonous {
                state_suspect: true,
                ..
            } => without(ErrorCode::KafkaStorageError),
            AppendRefused::Poisonous {
                state_suspect: false,
                log_start,
            } => with(ErrorCode::InvalidRecord, log_start),
            AppendRefused::Storage { .. } => without(ErrorCode::KafkaStorageError),
        }
    }
}

/// Code of a batch that is wrong in itself.
pub(crate) fn record_refused(refused: &RecordRefused) -> ErrorCode {
    match refused.kind {
        RefusedKind::NotOneBatch | RefusedKind::InvalidRecord | RefusedKind::ExpandsTooFar => {
            ErrorCode::InvalidRecord
        }
        RefusedKind::Unmeasurable | RefusedKind::Corrupt => ErrorCode::CorruptMessage,
        RefusedKind::UnknownCodec | RefusedKind::Undecodable => ErrorCode::UnknownServerError,
        RefusedKind::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
        RefusedKind::BatchTooLarge => ErrorCode::MessageTooLarge,
        RefusedKind::BatchLargerThanSegment => ErrorCode::RecordListTooLarge,
        RefusedKind::InvalidTimestamp => ErrorCode::InvalidTimestamp,
    }
}

/// Produce whose partition did not answer: 7 says "may be written", 56 and 6 "surely not".
pub(crate) fn append_unanswered(no_reply: NoReply) -> ErrorCode {
    match no_reply {
        NoReply::Lost => ErrorCode::RequestTimedOut,
        // The replica has left this node, or its topic was deleted: look for the leader again.
        NoReply::NotDone(Undelivered::Stopped) => ErrorCode::NotLeaderOrFollower,
        NoReply::NotDone(_) => ErrorCode::KafkaStorageError,
    }
}

/// A read whose partition did not answer. Never 7, on which a Java consumer throws.
pub(crate) fn read_unanswered(no_reply: NoReply) -> ErrorCode {
    match no_reply {
        NoReply::NotDone(Undelivered::Stopped) => ErrorCode::NotLeaderOrFollower,
        NoReply::Lost | NoReply::NotDone(_) => ErrorCode::KafkaStorageError,
    }
}

/// A look-up whose partition did not answer.
pub(crate) fn find_unanswered(error: AskError) -> ErrorCode {
    match error {
        AskError::NotDone(Undelivered::Stopped) => ErrorCode::NotLeaderOrFollower,
        AskError::NotDone(_) | AskError::Lost | AskError::DeadlinePassed => {
            ErrorCode::KafkaStorageError
        }
    }
}

/// A change whose outcome is unknown is 7, one that was not made for lack of a controller is 41 to
/// those who retry it at another broker; here that is the same broker a moment later.
pub(crate) fn change_unanswered(error: AskError) -> ErrorCode {
    match error {
        AskError::NotDone(_) => ErrorCode::NotController,
        AskError::Lost | AskError::DeadlinePassed => ErrorCode::RequestTimedOut,
    }
}

impl From<Unrouted> for ErrorCodeOf {
    fn from(unrouted: Unrouted) -> Self {
        Self(match unrouted {
            Unrouted::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            Unrouted::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
            Unrouted::StandsStill => ErrorCode::KafkaStorageError,
        })
    }
}

/// The code of a refusal that needs nothing beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorCodeOf(pub(crate) ErrorCode);

/// The code of anything that has one.
pub(crate) fn code_of(refusal: impl Into<ErrorCodeOf>) -> ErrorCode {
    refusal.into().0
}

/// The code of a request that this replica does not serve; `foreign` stands for a foreign topic.
pub(crate) fn not_served(why: &NotServed, foreign: ErrorCode) -> ErrorCode {
    match why {
        NotServed::ForeignTopic { .. } => foreign,
        NotServed::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
        NotServed::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        NotServed::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
    }
}

impl From<&ReadRefused> for ErrorCodeOf {
    fn from(refused: &ReadRefused) -> Self {
        Self(match refused {
            // For requests that name topics, `fetch` answers 3 instead.
            ReadRefused::NotServed(why) => not_served(why, ErrorCode::InconsistentTopicId),
            ReadRefused::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadRefused::Corrupt { .. } => ErrorCode::CorruptMessage,
            ReadRefused::Storage { .. } => ErrorCode::KafkaStorageError,
        })
    }
}

impl From<&FindRefused> for ErrorCodeOf {
    fn from(refused: &FindRefused) -> Self {
        Self(match refused {
            FindRefused::NotServed(why) => not_served(why, ErrorCode::UnknownTopicOrPartition),
            FindRefused::OffsetNotAvailable { .. } => ErrorCode::OffsetNotAvailable,
            FindRefused::Storage { .. } => ErrorCode::KafkaStorageError,
        })
    }
}

impl From<&TrimRefused> for ErrorCodeOf {
    fn from(refused: &TrimRefused) -> Self {
        Self(match refused {
            TrimRefused::ForeignTopic { .. } => ErrorCode::UnknownTopicOrPartition,
            TrimRefused::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
            TrimRefused::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            TrimRefused::Storage { .. } => ErrorCode::KafkaStorageError,
        })
    }
}

impl From<&FetchSessionRefused> for ErrorCodeOf {
    fn from(refused: &FetchSessionRefused) -> Self {
        Self(match refused {
            FetchSessionRefused::UnknownId { .. } => ErrorCode::FetchSessionIdNotFound,
            FetchSessionRefused::EpochMismatch { .. } => ErrorCode::InvalidFetchSessionEpoch,
            FetchSessionRefused::TopicReferenceChanged { .. } => {
                ErrorCode::FetchSessionTopicIdError
            }
        })
    }
}

impl From<&NotCommitted> for ErrorCodeOf {
    fn from(refused: &NotCommitted) -> Self {
        // Kafka has no code for a metadata log without space. 41 is what every client sends again
        // and no client takes for a fault of its request.
        let (NotCommitted::LogFull | NotCommitted::LogUnwritable { .. }) = refused;
        Self(ErrorCode::NotController)
    }
}

impl From<&CreateTopicRefused> for ErrorCodeOf {
    fn from(refused: &CreateTopicRefused) -> Self {
        use CreateTopicRefused as Refused;
        Self(match refused {
            Refused::DuplicateName { .. }
            | Refused::Reserved { .. }
            | Refused::CountWithAssignment { .. } => ErrorCode::InvalidRequest,
            Refused::Exists { .. } => ErrorCode::TopicAlreadyExists,
            Refused::InvalidName { .. } | Refused::Collides { .. } => {
                ErrorCode::InvalidTopicException
            }
            Refused::InvalidPartitionCount { .. } => ErrorCode::InvalidPartitions,
            // Kafka's own limit is a policy, too.
            Refused::TooManyPartitions { .. } => ErrorCode::PolicyViolation,
            Refused::InvalidReplicationFactor { .. } | Refused::TooFewBrokers { .. } => {
                ErrorCode::InvalidReplicationFactor
            }
            Refused::InvalidAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            Refused::InvalidConfig(_) => ErrorCode::InvalidConfig,
            Refused::NotCommitted(cause) => code_of(cause),
        })
    }
}

impl From<&DeleteTopicRefused> for ErrorCodeOf {
    fn from(refused: &DeleteTopicRefused) -> Self {
        Self(match refused {
            DeleteTopicRefused::Duplicate => ErrorCode::InvalidRequest,
            DeleteTopicRefused::UnknownName => ErrorCode::UnknownTopicOrPartition,
            DeleteTopicRefused::UnknownId => ErrorCode::UnknownTopicId,
            DeleteTopicRefused::Disabled => ErrorCode::TopicDeletionDisabled,
            DeleteTopicRefused::NotCommitted(cause) => code_of(cause),
        })
    }
}

impl From<&CreatePartitionsRefused> for ErrorCodeOf {
    fn from(refused: &CreatePartitionsRefused) -> Self {
        use CreatePartitionsRefused as Refused;
        Self(match refused {
            Refused::DuplicateName { .. } => ErrorCode::InvalidRequest,
            Refused::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
            Refused::NotAnIncrease { .. } | Refused::TooManyPartitions { .. } => {
                ErrorCode::InvalidPartitions
            }
            Refused::TooFewBrokers { .. } => ErrorCode::InvalidReplicationFactor,
            Refused::InvalidAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            Refused::NotCommitted(cause) => code_of(cause),
        })
    }
}

impl From<&AlterConfigsRefused> for ErrorCodeOf {
    fn from(refused: &AlterConfigsRefused) -> Self {
        use AlterConfigsRefused as Refused;
        Self(match refused {
            Refused::DuplicateResource
            | Refused::DuplicateKey { .. }
            | Refused::NullValue { .. }
            | Refused::NoName
            | Refused::UnknownAction
            | Refused::UnknownBroker { .. } => ErrorCode::InvalidRequest,
            Refused::UnknownActionInRequest => ErrorCode::UnknownServerError,
            Refused::InvalidTopicName { .. } => ErrorCode::InvalidTopicException,
            Refused::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
            Refused::InvalidConfig(_) => ErrorCode::InvalidConfig,
            Refused::NotCommitted(cause) => code_of(cause),
        })
    }
}

impl From<&UpdateFeaturesRefused> for ErrorCodeOf {
    fn from(refused: &UpdateFeaturesRefused) -> Self {
        Self(match refused {
            UpdateFeaturesRefused::NotCommitted(cause) => code_of(cause),
            _ => ErrorCode::InvalidUpdateVersion,
        })
    }
}
