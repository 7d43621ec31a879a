//! Kafka's error codes: number, name, text and whether a client may try again.
//! Only `session` and `client` map refusals to and from them; no other crate decides by them.

use std::fmt;

/// Builds [`ErrorCode`] from one line a code: number, wire name, variant, class, text.
macro_rules! error_codes {
    ($($code:literal $wire:ident $variant:ident $class:ident $text:literal;)*) => {
        /// A Kafka error code as responses carry it.
        ///
        /// The first line of each variant is also what [`ErrorCode::message`] says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = $text] $variant = $code,)*
        }

        impl ErrorCode {
            /// Every code, ascending.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The code of a number; `None` for 99 (unused) and for numbers of later releases.
            ///
            /// Kafka's Java client takes such a number for [`ErrorCode::UnknownServerError`].
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's own name, `OFFSET_OUT_OF_RANGE`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($wire),)*
                }
            }

            /// One sentence for a person, lower case and without a full stop.
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// True when Kafka's Java client sends the same request again upon this answer.
            ///
            /// What librdkafka and Java do with a code depends on the request too: see each handler.
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(Self::$variant => error_codes!(@is_retriable $class),)*
                }
            }
        }
    };
    (@is_retriable retriable) => { true };
    (@is_retriable final) => { false };
}

error_codes! {
    -1 UNKNOWN_SERVER_ERROR UnknownServerError final "the broker failed in a way it did not foresee";
    0 NONE None final "no error";
    1 OFFSET_OUT_OF_RANGE OffsetOutOfRange final "the offset lies outside the partition's log";
    2 CORRUPT_MESSAGE CorruptMessage retriable "the batch does not match its checksum or its length";
    3 UNKNOWN_TOPIC_OR_PARTITION UnknownTopicOrPartition retriable "the broker knows no such topic or partition";
    4 INVALID_FETCH_SIZE InvalidFetchSize final "the fetch size is not valid";
    5 LEADER_NOT_AVAILABLE LeaderNotAvailable retriable "the partition has no leader at the moment";
    6 NOT_LEADER_OR_FOLLOWER NotLeaderOrFollower retriable "the broker does not lead the partition, or holds no replica of it";
    7 REQUEST_TIMED_OUT RequestTimedOut retriable "the request was not finished in time, and may or may not have taken effect";
    8 BROKER_NOT_AVAILABLE BrokerNotAvailable final "the broker is not available";
    9 REPLICA_NOT_AVAILABLE ReplicaNotAvailable retriable "the replica is not available";
    10 MESSAGE_TOO_LARGE MessageTooLarge final "the batch is larger than the topic allows";
    11 STALE_CONTROLLER_EPOCH StaleControllerEpoch final "the controller has moved to another node";
    12 OFFSET_METADATA_TOO_LARGE OffsetMetadataTooLarge final "the text beside the committed offset is too long";
    13 NETWORK_EXCEPTION NetworkException retriable "the connection ended before the answer came";
    14 COORDINATOR_LOAD_IN_PROGRESS CoordinatorLoadInProgress retriable "the coordinator is still loading its state";
    15 COORDINATOR_NOT_AVAILABLE CoordinatorNotAvailable retriable "no coordinator is available";
    16 NOT_COORDINATOR NotCoordinator retriable "the broker does not coordinate this group or transaction";
    17 INVALID_TOPIC_EXCEPTION InvalidTopicException final "the topic name is not valid, or the topic is not open to this request";
    18 RECORD_LIST_TOO_LARGE RecordListTooLarge final "the batch is larger than a segment may be";
    19 NOT_ENOUGH_REPLICAS NotEnoughReplicas retriable "fewer replicas are in sync than the topic demands, nothing was written";
    20 NOT_ENOUGH_REPLICAS_AFTER_APPEND NotEnoughReplicasAfterAppend retriable "the batch was written, but to fewer in-sync replicas than the topic demands";
    21 INVALID_REQUIRED_ACKS InvalidRequiredAcks final "acks is none of -1, 0 and 1";
    22 ILLEGAL_GENERATION IllegalGeneration final "the group is not at this generation";
    23 INCONSISTENT_GROUP_PROTOCOL InconsistentGroupProtocol final "the member shares no protocol with the group, or named none";
    24 INVALID_GROUP_ID InvalidGroupId final "the group id is not valid";
    25 UNKNOWN_MEMBER_ID UnknownMemberId final "the group has no such member";
    26 INVALID_SESSION_TIMEOUT InvalidSessionTimeout final "the session timeout lies outside the broker's limits";
    27 REBALANCE_IN_PROGRESS RebalanceInProgress final "the group rebalances, the member must join again";
    28 INVALID_COMMIT_OFFSET_SIZE InvalidCommitOffsetSize final "the offset commit is too large for one batch";
    29 TOPIC_AUTHORIZATION_FAILED TopicAuthorizationFailed final "not authorized for the topic";
    30 GROUP_AUTHORIZATION_FAILED GroupAuthorizationFailed final "not authorized for the group";
    31 CLUSTER_AUTHORIZATION_FAILED ClusterAuthorizationFailed final "not authorized for the cluster";
    32 INVALID_TIMESTAMP InvalidTimestamp final "a record's timestamp lies outside the topic's limits";
    33 UNSUPPORTED_SASL_MECHANISM UnsupportedSaslMechanism final "the SASL mechanism is not enabled";
    34 ILLEGAL_SASL_STATE IllegalSaslState final "the request does not fit the state of the authentication";
    35 UNSUPPORTED_VERSION UnsupportedVersion final "the version of the request is not supported";
    36 TOPIC_ALREADY_EXISTS TopicAlreadyExists final "a topic of this name exists";
    37 INVALID_PARTITIONS InvalidPartitions final "the number of partitions is not valid";
    38 INVALID_REPLICATION_FACTOR InvalidReplicationFactor final "the replication factor is below 1 or above the number of brokers";
    39 INVALID_REPLICA_ASSIGNMENT InvalidReplicaAssignment final "the replica assignment is not valid";
    40 INVALID_CONFIG InvalidConfig final "a configuration key or value is not valid";
    41 NOT_CONTROLLER NotController retriable "the node is not the active controller";
    42 INVALID_REQUEST InvalidRequest final "the request contradicts itself or breaks a rule of its API";
    43 UNSUPPORTED_FOR_MESSAGE_FORMAT UnsupportedForMessageFormat final "the record format of the topic cannot do this";
    44 POLICY_VIOLATION PolicyViolation final "a policy of the cluster forbids it";
    45 OUT_OF_ORDER_SEQUENCE_NUMBER OutOfOrderSequenceNumber final "the batch does not follow the producer's last one";
    46 DUPLICATE_SEQUENCE_NUMBER DuplicateSequenceNumber final "the batch was written before";
    47 INVALID_PRODUCER_EPOCH InvalidProducerEpoch final "a newer instance of the producer has taken over";
    48 INVALID_TXN_STATE InvalidTxnState final "the transaction is in a state that does not allow this";
    49 INVALID_PRODUCER_ID_MAPPING InvalidProducerIdMapping final "the producer id does not belong to this transactional id";
    50 INVALID_TRANSACTION_TIMEOUT InvalidTransactionTimeout final "the transaction timeout is longer than the broker allows";
    51 CONCURRENT_TRANSACTIONS ConcurrentTransactions retriable "the previous step of the transaction is not finished yet";
    52 TRANSACTION_COORDINATOR_FENCED TransactionCoordinatorFenced final "a newer transaction coordinator has taken over";
    53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED TransactionalIdAuthorizationFailed final "not authorized for the transactional id";
    54 SECURITY_DISABLED SecurityDisabled final "no authorizer is configured";
    55 OPERATION_NOT_ATTEMPTED OperationNotAttempted final "not tried, because another part of the request failed";
    56 KAFKA_STORAGE_ERROR KafkaStorageError retriable "the storage of the partition is not usable at the moment";
    57 LOG_DIR_NOT_FOUND LogDirNotFound final "the broker has no such log directory";
    58 SASL_AUTHENTICATION_FAILED SaslAuthenticationFailed final "authentication failed";
    59 UNKNOWN_PRODUCER_ID UnknownProducerId final "the partition knows nothing of this producer";
    60 REASSIGNMENT_IN_PROGRESS ReassignmentInProgress final "the partition is being reassigned";
    61 DELEGATION_TOKEN_AUTH_DISABLED DelegationTokenAuthDisabled final "delegation tokens are not enabled";
    62 DELEGATION_TOKEN_NOT_FOUND DelegationTokenNotFound final "no such delegation token";
    63 DELEGATION_TOKEN_OWNER_MISMATCH DelegationTokenOwnerMismatch final "neither owner nor renewer of the delegation token";
    64 DELEGATION_TOKEN_REQUEST_NOT_ALLOWED DelegationTokenRequestNotAllowed final "delegation tokens cannot be managed over this connection";
    65 DELEGATION_TOKEN_AUTHORIZATION_FAILED DelegationTokenAuthorizationFailed final "not authorized for the delegation token";
    66 DELEGATION_TOKEN_EXPIRED DelegationTokenExpired final "the delegation token has expired";
    67 INVALID_PRINCIPAL_TYPE InvalidPrincipalType final "the type of the principal is not supported";
    68 NON_EMPTY_GROUP NonEmptyGroup final "the group has members";
    69 GROUP_ID_NOT_FOUND GroupIdNotFound final "no such group";
    70 FETCH_SESSION_ID_NOT_FOUND FetchSessionIdNotFound retriable "no such fetch session";
    71 INVALID_FETCH_SESSION_EPOCH InvalidFetchSessionEpoch retriable "the fetch session expects another epoch";
    72 LISTENER_NOT_FOUND ListenerNotFound retriable "the leader has no listener of the name this request came in on";
    73 TOPIC_DELETION_DISABLED TopicDeletionDisabled final "deleting topics is switched off";
    74 FENCED_LEADER_EPOCH FencedLeaderEpoch retriable "the sender's leader epoch is older than the broker's";
    75 UNKNOWN_LEADER_EPOCH UnknownLeaderEpoch retriable "the sender's leader epoch is newer than the broker's";
    76 UNSUPPORTED_COMPRESSION_TYPE UnsupportedCompressionType final "this version of the request cannot carry the compression of the batch";
    77 STALE_BROKER_EPOCH StaleBrokerEpoch final "the broker has registered anew since";
    78 OFFSET_NOT_AVAILABLE OffsetNotAvailable retriable "the new leader does not know the high watermark yet";
    79 MEMBER_ID_REQUIRED MemberIdRequired final "the member must join again with the id it was given";
    80 PREFERRED_LEADER_NOT_AVAILABLE PreferredLeaderNotAvailable retriable "the preferred leader is not available";
    81 GROUP_MAX_SIZE_REACHED GroupMaxSizeReached final "the group is full";
    82 FENCED_INSTANCE_ID FencedInstanceId final "another member has taken over the group instance id";
    83 ELIGIBLE_LEADERS_NOT_AVAILABLE EligibleLeadersNotAvailable retriable "no replica may become leader at the moment";
    84 ELECTION_NOT_NEEDED ElectionNotNeeded retriable "the partition has the leader asked for";
    85 NO_REASSIGNMENT_IN_PROGRESS NoReassignmentInProgress final "the partition is not being reassigned";
    86 GROUP_SUBSCRIBED_TO_TOPIC GroupSubscribedToTopic final "the group still consumes the topic whose offsets are to go";
    87 INVALID_RECORD InvalidRecord final "the batch or one of its records breaks a rule";
    88 UNSTABLE_OFFSET_COMMIT UnstableOffsetCommit retriable "offsets of an open transaction are not settled yet";
    89 THROTTLING_QUOTA_EXCEEDED ThrottlingQuotaExceeded retriable "the quota is used up";
    90 PRODUCER_FENCED ProducerFenced final "a newer producer with the same transactional id has taken over";
    91 RESOURCE_NOT_FOUND ResourceNotFound final "no such resource";
    92 DUPLICATE_RESOURCE DuplicateResource final "the resource is named twice";
    93 UNACCEPTABLE_CREDENTIAL UnacceptableCredential final "the credential does not meet the rules";
    94 INCONSISTENT_VOTER_SET InconsistentVoterSet final "the voter sets of the two sides differ";
    95 INVALID_UPDATE_VERSION InvalidUpdateVersion final "the feature cannot be set to this version";
    96 FEATURE_UPDATE_FAILED FeatureUpdateFailed final "the features could not be updated";
    97 PRINCIPAL_DESERIALIZATION_FAILURE PrincipalDeserializationFailure final "the forwarded principal could not be read";
    98 SNAPSHOT_NOT_FOUND SnapshotNotFound final "no such snapshot";
    100 UNKNOWN_TOPIC_ID UnknownTopicId retriable "the broker knows no topic of this id";
    101 DUPLICATE_BROKER_REGISTRATION DuplicateBrokerRegistration final "another live broker has this id";
    102 BROKER_ID_NOT_REGISTERED BrokerIdNotRegistered final "no broker of this id is registered";
    103 INCONSISTENT_TOPIC_ID InconsistentTopicId retriable "the topic id in the log differs from the one asked for";
    104 INCONSISTENT_CLUSTER_ID InconsistentClusterId final "the request is meant for another cluster";
    105 TRANSACTIONAL_ID_NOT_FOUND TransactionalIdNotFound final "no such transactional id";
    106 FETCH_SESSION_TOPIC_ID_ERROR FetchSessionTopicIdError retriable "the fetch session mixes topic names and topic ids";
    107 INELIGIBLE_REPLICA IneligibleReplica final "the replica may not join the in-sync set";
    108 NEW_LEADER_ELECTED NewLeaderElected final "the change led to another leader";
    109 OFFSET_MOVED_TO_TIERED_STORAGE OffsetMovedToTieredStorage final "the offset lies in tiered storage";
    110 FENCED_MEMBER_EPOCH FencedMemberEpoch final "the member is fenced and must join again";
    111 UNRELEASED_INSTANCE_ID UnreleasedInstanceId final "another member still holds the instance id";
    112 UNSUPPORTED_ASSIGNOR UnsupportedAssignor final "the group cannot use this assignor";
    113 STALE_MEMBER_EPOCH StaleMemberEpoch final "the member's epoch is stale, it must retry with the one from its heartbeat";
    114 MISMATCHED_ENDPOINT_TYPE MismatchedEndpointType final "the request went to a broker but asks for controllers, or the reverse";
    115 UNSUPPORTED_ENDPOINT_TYPE UnsupportedEndpointType final "no such type of endpoint";
    116 UNKNOWN_CONTROLLER_ID UnknownControllerId final "no controller of this id is known";
    117 UNKNOWN_SUBSCRIPTION_ID UnknownSubscriptionId final "the telemetry subscription has changed";
    118 TELEMETRY_TOO_LARGE TelemetryTooLarge final "the telemetry is larger than allowed";
    119 INVALID_REGISTRATION InvalidRegistration final "the registration of the node is not valid";
    120 TRANSACTION_ABORTABLE TransactionAbortable final "the transaction met an error and must be aborted";
    121 INVALID_RECORD_STATE InvalidRecordState final "the record is in a state that does not allow this acknowledgement";
    122 SHARE_SESSION_NOT_FOUND ShareSessionNotFound retriable "no such share session";
    123 INVALID_SHARE_SESSION_EPOCH InvalidShareSessionEpoch retriable "the share session expects another epoch";
    124 FENCED_STATE_EPOCH FencedStateEpoch final "the share state has moved to a newer epoch";
    125 INVALID_VOTER_KEY InvalidVoterKey final "the voter key names another replica";
    126 DUPLICATE_VOTER DuplicateVoter final "the node is a voter already";
    127 VOTER_NOT_FOUND VoterNotFound final "the node is not a voter";
    128 INVALID_REGULAR_EXPRESSION InvalidRegularExpression final "the regular expression is not valid";
    129 REBOOTSTRAP_REQUIRED RebootstrapRequired final "the client must start again from its bootstrap servers";
    130 STREAMS_INVALID_TOPOLOGY StreamsInvalidTopology final "the streams topology is not valid";
    131 STREAMS_INVALID_TOPOLOGY_EPOCH StreamsInvalidTopologyEpoch final "the epoch of the streams topology is not valid";
    132 STREAMS_TOPOLOGY_FENCED StreamsTopologyFenced final "a newer streams topology is in use";
    133 SHARE_SESSION_LIMIT_REACHED ShareSessionLimitReached retriable "the broker has no room for another share session";
    134 GROUP_DELETION_FAILED GroupDeletionFailed final "the group could not be deleted";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// True for everything but [`ErrorCode::None`].
    pub const fn is_error(self) -> bool {
        !matches!(self, Self::None)
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> Self {
        error.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_from_minus_1_to_134_but_99_is_a_code() {
        for number in -1..=134 {
            match ErrorCode::from_code(number) {
                Some(error) => assert_eq!(error.code(), number),
                None => assert_eq!(number, 99),
            }
        }
        assert_eq!(ErrorCode::ALL.len(), 135);
        assert_eq!(ErrorCode::from_code(135), None);
        assert_eq!(ErrorCode::from_code(-2), None);
    }

    #[test]
    fn codes_agree_with_the_oracle_on_what_is_retriable() {
        use kafka_protocol::error::ParseResponseErrorCode;
        for error in ErrorCode::ALL
            .iter()
            .filter(|e| e.is_error() && e.code() <= 133)
        {
            // Kafka 4 made concurrent transactions retriable (KIP-1050); the oracle is older.
            if *error != ErrorCode::ConcurrentTransactions {
                let oracle = error.code().err().unwrap();
                assert_eq!(error.is_retriable(), oracle.is_retriable(), "{error}");
            }
        }
    }

    #[test]
    fn errors_print_kafkas_name_and_number() {
        assert_eq!(
            ErrorCode::OffsetOutOfRange.to_string(),
            "OFFSET_OUT_OF_RANGE (1)"
        );
    }
}
