//! ConsumerGroupDescribe (key 69): state and members of groups of the new protocol (KIP-848).
//!
//! | version | change |
//! |---|---|
//! | 0 | first, flexible |
//! | 1 | type of each member (KIP-1099) |

use super::{OPERATIONS_NOT_ASKED, exchange};
use crate::codec::Message;
use crate::ids::TopicId;

/// Type of a member that speaks the classic protocol in a group of the new one.
pub const MEMBER_TYPE_CLASSIC: i8 = 0;
/// Type of a member that speaks the new protocol.
pub const MEMBER_TYPE_CONSUMER: i8 = 1;

/// Groups to describe.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeRequest {
    /// The groups.
    pub group_ids: Vec<String>,
    /// Whether to tell what the client may do with each group.
    pub include_authorized_operations: bool,
}

/// The groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedGroup {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person.
    pub error_message: Option<String>,
    /// The group.
    pub group_id: String,
    /// Kafka's name of its state, `Reconciling`.
    pub group_state: String,
    /// Epoch of the group.
    pub group_epoch: i32,
    /// Epoch of the assignment that the members move to.
    pub assignment_epoch: i32,
    /// The assignor in use.
    pub assignor_name: String,
    /// Its members.
    pub members: Vec<Member>,
    /// What the client may do with the group, one bit an operation.
    #[kafka(default = OPERATIONS_NOT_ASKED)]
    pub authorized_operations: i32,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Member {
    /// The member.
    pub member_id: String,
    /// Name that it keeps over restarts, if it is static.
    pub instance_id: Option<String>,
    /// Its rack, if it has one.
    pub rack_id: Option<String>,
    /// Its epoch.
    pub member_epoch: i32,
    /// Client id of the member.
    pub client_id: String,
    /// Address of the member, `/127.0.0.1`.
    pub client_host: String,
    /// Names of the topics that it wants.
    pub subscribed_topic_names: Vec<String>,
    /// Topics that it wants, as a regular expression.
    pub subscribed_topic_regex: Option<String>,
    /// Partitions that it owns.
    pub assignment: Assignment,
    /// Partitions that it shall own.
    pub target_assignment: Assignment,
    /// One of the constants of this file, -1 where unknown.
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub member_type: i8,
}

/// Partitions of a member.
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
    /// Its name.
    pub topic_name: String,
    /// Numbers of the partitions.
    pub partitions: Vec<i32>,
}

exchange!(ConsumerGroupDescribe: ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse);
