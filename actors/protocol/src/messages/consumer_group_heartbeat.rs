//! ConsumerGroupHeartbeat (key 68): everything a member of the new protocol does, from joining to
//! leaving (KIP-848).
//!
//! | version | change |
//! |---|---|
//! | 0 | first, flexible |
//! | 1 | topics by regular expression; the client makes its member id (KIP-1082) |

use super::exchange;
use crate::codec::Message;
use crate::ids::TopicId;

/// Epoch with which a member joins.
pub const EPOCH_JOIN: i32 = 0;
/// Epoch with which a member leaves.
pub const EPOCH_LEAVE: i32 = -1;
/// Epoch with which a static member leaves for a while: its partitions stay its own.
pub const EPOCH_LEAVE_STATIC: i32 = -2;

/// A sign of life; of what is null or -1 nothing has changed since the last one.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatRequest {
    /// The group.
    pub group_id: String,
    /// The member; made by the client, in version 0 by the broker upon an empty one.
    pub member_id: String,
    /// Epoch that the member is at, or one of the constants of this file.
    pub member_epoch: i32,
    /// Name that the member keeps over restarts, if it is static.
    pub instance_id: Option<String>,
    /// Rack of the consumer.
    pub rack_id: Option<String>,
    /// How long the member may take to give up partitions, in milliseconds.
    #[kafka(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// Names of the topics wanted.
    pub subscribed_topic_names: Option<Vec<String>>,
    /// Topics wanted, as a regular expression in RE2's syntax.
    #[kafka(versions = "1+")]
    pub subscribed_topic_regex: Option<String>,
    /// Assignor wanted of the broker.
    pub server_assignor: Option<String>,
    /// Partitions that the member owns.
    pub topic_partitions: Option<Vec<TopicPartitions>>,
}

/// What the member is to do.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person.
    pub error_message: Option<String>,
    /// The member, where there is no error.
    pub member_id: Option<String>,
    /// Epoch that the member is at now.
    pub member_epoch: i32,
    /// Time to the next heartbeat, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// Partitions that the member shall own; null where nothing has changed.
    pub assignment: Option<Assignment>,
}

/// Partitions that a member shall own.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Assignment {
    /// The partitions by topic.
    pub topic_partitions: Vec<TopicPartitions>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicPartitions {
    /// Id of the topic.
    pub topic_id: TopicId,
    /// Numbers of the partitions.
    pub partitions: Vec<i32>,
}

exchange!(ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse);
