//! Why a replica does not serve a request, whatever the request wants of its log.

use kabuki_protocol::ids::{LeaderEpoch, TopicId};

/// Why a request that names a topic and a leader epoch is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// The partition of this name belongs to another topic: the one that was meant is deleted, or
    /// not on stage yet. Kafka: 3 where topics are named, 100 or 103 where their ids are used.
    #[error("topic {asked} was meant, this is a partition of topic {hosted}")]
    ForeignTopic {
        /// Id of the topic that was meant.
        asked: TopicId,
        /// Id of the topic whose partition this is.
        hosted: TopicId,
    },
    /// This replica does not lead. Kafka: 6.
    #[error("this replica does not lead, its last known epoch is {leader_epoch}")]
    NotLeader {
        /// Last epoch this replica knows of, -1 if none.
        leader_epoch: LeaderEpoch,
    },
    /// The sender's leader epoch is older than ours. Kafka: 74.
    #[error("leader epoch {sent} is older than {current}")]
    FencedLeaderEpoch {
        /// Epoch of the request.
        sent: LeaderEpoch,
        /// Epoch of this replica.
        current: LeaderEpoch,
    },
    /// The sender's leader epoch is newer than ours. Kafka: 75.
    #[error("leader epoch {sent} is newer than {current}")]
    UnknownLeaderEpoch {
        /// Epoch of the request.
        sent: LeaderEpoch,
        /// Epoch of this replica.
        current: LeaderEpoch,
    },
}
