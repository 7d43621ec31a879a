//! The records of a group of the new protocol (KIP-848): one of the group, one a regular expression,
//! and of each member one for what it wants, one for what it shall own, one for what it owns.

use bytes::Bytes;

use crate::codec::Message;
use crate::ids::TopicId;

/// What a member's way to its target waits for.
pub mod member_state {
    /// Nothing: the member is at its target.
    pub const STABLE: i8 = 0;
    /// The member must give up partitions.
    pub const UNREVOKED_PARTITIONS: i8 = 1;
    /// Others must give up partitions.
    pub const UNRELEASED_PARTITIONS: i8 = 2;
}

/// Keys that name no more than a group.
macro_rules! group_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Message)]
        #[kafka(versions = "0")]
        pub struct $name {
            /// The group.
            pub group_id: String,
        }
    };
}

/// Keys that name a member of a group.
macro_rules! member_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Message)]
        #[kafka(versions = "0")]
        pub struct $name {
            /// The group.
            pub group_id: String,
            /// The member.
            pub member_id: String,
        }
    };
}

group_key! {
    /// Names a group.
    ConsumerGroupMetadataKey
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMetadataValue {
    /// Its epoch.
    pub epoch: i32,
    /// Hash over the topics that it subscribes to, as they were at that epoch; 0 for none.
    #[kafka(tag = 0)]
    pub metadata_hash: i64,
}

group_key! {
    /// Names the topics that a group subscribes to.
    ConsumerGroupPartitionMetadataKey
}

/// The topics that a group subscribes to, up to Kafka 4.0; the hash in
/// [`ConsumerGroupMetadataValue`] has taken its place.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupPartitionMetadataValue {
    /// The topics.
    pub topics: Vec<TopicMetadata>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicMetadata {
    /// Its id.
    pub topic_id: TopicId,
    /// Its name.
    pub topic_name: String,
    /// Number of its partitions.
    pub num_partitions: i32,
    /// Its partitions, where racks are known.
    pub partition_metadata: Vec<PartitionMetadata>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionMetadata {
    /// Its number.
    pub partition: i32,
    /// Racks of its replicas.
    pub racks: Vec<String>,
}

member_key! {
    /// Names a member.
    ConsumerGroupMemberMetadataKey
}

/// A member and what it wants.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMemberMetadataValue {
    /// Name that it keeps over restarts, if it is static.
    pub instance_id: Option<String>,
    /// Its rack, if it has one.
    pub rack_id: Option<String>,
    /// Client id of the member.
    pub client_id: String,
    /// Address of the member, `/127.0.0.1`.
    pub client_host: String,
    /// Names of the topics that it wants.
    pub subscribed_topic_names: Vec<String>,
    /// Topics that it wants, as a regular expression; for none Kafka writes empty, and reads null too.
    pub subscribed_topic_regex: Option<String>,
    /// How long it may take to give up partitions, in milliseconds.
    #[kafka(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// Assignor that it wants of the broker.
    pub server_assignor: Option<String>,
    /// What a member that speaks the classic protocol has said, null for others. Left out it would
    /// mean an empty one, not null: a schema of Kafka's that says so by mistake, but its records do too.
    #[kafka(tag = 0, default = Some(ClassicMemberMetadata::default()))]
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

/// What a member that speaks the classic protocol has said.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ClassicMemberMetadata {
    /// Longest silence before it is taken for gone, in milliseconds.
    pub session_timeout_ms: i32,
    /// Assignors that it knows, the one it likes best first.
    pub supported_protocols: Vec<ClassicProtocol>,
}

/// One assignor and what the member tells it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ClassicProtocol {
    /// Its name.
    pub name: String,
    /// A [`ConsumerProtocolSubscription`](crate::consumer_protocol::ConsumerProtocolSubscription).
    pub metadata: Bytes,
}

group_key! {
    /// Names the assignment that the members of a group move to.
    ConsumerGroupTargetAssignmentMetadataKey
}

/// The assignment that the members move to.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    /// Epoch of the group that it was made for.
    pub assignment_epoch: i32,
    /// When it was made, in milliseconds since 1970; 0 where unknown.
    #[kafka(tag = 0, ignorable)]
    pub assignment_timestamp: i64,
}

member_key! {
    /// Names what a member shall own.
    ConsumerGroupTargetAssignmentMemberKey
}

/// What a member shall own.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    /// The partitions by topic.
    pub topic_partitions: Vec<TopicPartition>,
}

/// Partitions of one topic that a member shall own.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicPartition {
    /// Id of the topic.
    pub topic_id: TopicId,
    /// Numbers of the partitions.
    pub partitions: Vec<i32>,
}

member_key! {
    /// Names what a member owns.
    ConsumerGroupCurrentMemberAssignmentKey
}

/// What a member owns.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    /// Epoch that the member is at.
    pub member_epoch: i32,
    /// Epoch that it was at before; with it a heartbeat whose answer was lost is known again.
    pub previous_member_epoch: i32,
    /// One of the constants in [`member_state`].
    pub state: i8,
    /// Partitions that it owns.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// Partitions that it must give up.
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}

/// Partitions of one topic that a member owns.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicPartitions {
    /// Id of the topic.
    pub topic_id: TopicId,
    /// Numbers of the partitions.
    pub partitions: Vec<i32>,
    /// Epoch at which the member came to own each of them, in their order; null or, where
    /// the record does not say, empty where unknown.
    #[kafka(tag = 0, default = Some(Vec::new()))]
    pub assignment_epochs: Option<Vec<i32>>,
}

/// Names a regular expression of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Message)]
#[kafka(versions = "0")]
pub struct ConsumerGroupRegularExpressionKey {
    /// The group.
    pub group_id: String,
    /// The expression.
    pub regular_expression: String,
}

/// The topics that a regular expression was resolved to.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ConsumerGroupRegularExpressionValue {
    /// Names of the topics.
    pub topics: Vec<String>,
    /// Version of the metadata that they were found in.
    pub version: i64,
    /// When they were found, in milliseconds since 1970.
    pub timestamp: i64,
}
