//! Why the controller refuses, with the numbers that explain it. The session maps each to a Kafka code;
//! the `Display` text is what a client reads as error message.

use kabuki_protocol::ids::{NodeId, TopicName};
use thiserror::Error;

use crate::catalogue::ConfigRefused;

/// The change was right but could not be made durable; nothing of it is visible. Retriable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotCommitted {
    /// No space on the metadata log's file system. The node lives on and takes changes again once there is room.
    #[error("the metadata log has no space left; no change was made, try again")]
    LogFull,
    /// The metadata log can not be written for another reason that may pass (read-only, denied).
    #[error("the metadata log can not be written ({cause}); no change was made, try again")]
    LogUnwritable {
        /// What the file system said.
        cause: String,
    },
}

/// Why one topic was not created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CreateTopicRefused {
    /// Code 42.
    #[error("topic {name:?} stands more than once in the request")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Code 36.
    #[error("topic '{name}' already exists")]
    Exists {
        /// The name.
        name: TopicName,
    },
    /// Code 17: not a legal name.
    #[error("topic name {name:?} is invalid: {cause}")]
    InvalidName {
        /// The name as sent.
        name: String,
        /// Which rule it breaks.
        cause: String,
    },
    /// Code 17: '.' and '_' count as one character when topics are told apart.
    #[error("topic '{name}' collides with existing topic '{existing}': '.' and '_' count as equal")]
    Collides {
        /// The name.
        name: TopicName,
        /// The topic that is there.
        existing: TopicName,
    },
    /// Code 42: `__cluster_metadata`.
    #[error("topic '{name}' belongs to the cluster itself and can not be created")]
    Reserved {
        /// The name.
        name: String,
    },
    /// Code 37.
    #[error("number of partitions must be positive or -1 for the default, not {partition_count}")]
    InvalidPartitionCount {
        /// The count as sent.
        partition_count: i32,
    },
    /// Code 44: more than one topic may have, or than one request may make.
    #[error(
        "{partition_count} partitions are more than the {partition_count_max} that are allowed"
    )]
    TooManyPartitions {
        /// The count as sent or defaulted.
        partition_count: i32,
        /// The limit.
        partition_count_max: i32,
    },
    /// Code 38.
    #[error("replication factor must be positive or -1 for the default, not {replication_factor}")]
    InvalidReplicationFactor {
        /// The factor as sent.
        replication_factor: i16,
    },
    /// Code 38.
    #[error(
        "replication factor {replication_factor} is larger than the {broker_count} broker(s) available"
    )]
    TooFewBrokers {
        /// The factor asked for.
        replication_factor: i16,
        /// Brokers that are registered and not fenced.
        broker_count: usize,
    },
    /// Code 42: counts and assignments exclude each other.
    #[error("{what} must be -1 when replicas are assigned by hand, not {value}")]
    CountWithAssignment {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: i32,
    },
    /// Code 39.
    #[error(transparent)]
    InvalidAssignment(#[from] AssignmentRefused),
    /// Code 40.
    #[error(transparent)]
    InvalidConfig(#[from] ConfigRefused),
    /// Retriable.
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
}

/// What is wrong with a replica assignment made by hand. Code 39.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AssignmentRefused {
    /// Indexes are not 0..n-1.
    #[error(
        "assigned partitions must be numbered from 0 without gaps; partition {missing} is missing"
    )]
    NotConsecutive {
        /// The first index that is missing.
        missing: i32,
    },
    /// An index stands twice.
    #[error("partition {partition} is assigned more than once")]
    DuplicatePartition {
        /// The index.
        partition: i32,
    },
    /// No replicas.
    #[error("partition {partition} has an empty replica list")]
    NoReplicas {
        /// The index.
        partition: i32,
    },
    /// A broker stands twice in one replica list.
    #[error("partition {partition} names broker {node} more than once")]
    DuplicateReplica {
        /// The index.
        partition: i32,
        /// The broker.
        node: NodeId,
    },
    /// A broker that is not registered.
    #[error("partition {partition} names broker {node}, which is not registered")]
    UnknownBroker {
        /// The index.
        partition: i32,
        /// The broker.
        node: NodeId,
    },
    /// Replica lists of different lengths.
    #[error("partition {partition} has {count} replica(s) where the others have {expected}")]
    UnequalSizes {
        /// The index.
        partition: i32,
        /// Its replicas.
        count: usize,
        /// Replicas of the others.
        expected: usize,
    },
    /// CreatePartitions: not one assignment per added partition.
    #[error("{count} assignment(s) for {added} added partition(s)")]
    WrongCount {
        /// Assignments sent.
        count: usize,
        /// Partitions to add.
        added: usize,
    },
}

/// Why one topic was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeleteTopicRefused {
    /// Code 42.
    #[error("the topic stands more than once in the request")]
    Duplicate,
    /// Code 3.
    #[error("no topic of this name exists")]
    UnknownName,
    /// Code 100.
    #[error("no topic of this id exists")]
    UnknownId,
    /// Code 73 (42 before v3).
    #[error("topic deletion is switched off by delete.topic.enable")]
    Disabled,
    /// Retriable.
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
}

/// Why one topic got no more partitions.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CreatePartitionsRefused {
    /// Code 42.
    #[error("topic {name:?} stands more than once in the request")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Code 3.
    #[error("no topic of this name exists")]
    UnknownTopic,
    /// Code 37.
    #[error("the topic has {current} partition(s), {wanted} would not be more")]
    NotAnIncrease {
        /// Partitions now.
        current: i32,
        /// Partitions wanted.
        wanted: i32,
    },
    /// Code -1, as Kafka fails on its own limit here.
    #[error(
        "{partition_count} partitions are more than the {partition_count_max} that are allowed"
    )]
    TooManyPartitions {
        /// The count wanted.
        partition_count: i32,
        /// The limit.
        partition_count_max: i32,
    },
    /// Code 38: fewer brokers now than the topic has replicas.
    #[error(
        "replication factor {replication_factor} is larger than the {broker_count} broker(s) available"
    )]
    TooFewBrokers {
        /// Replicas of the topic's partitions.
        replication_factor: i16,
        /// Brokers that are registered and not fenced.
        broker_count: usize,
    },
    /// Code 39.
    #[error(transparent)]
    InvalidAssignment(#[from] AssignmentRefused),
    /// Retriable.
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
}

/// Why one resource was not configured; nothing of it was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AlterConfigsRefused {
    /// Code 42.
    #[error("the resource stands more than once in the request")]
    DuplicateResource,
    /// Code 42.
    #[error("key {key:?} stands more than once")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// Code 42.
    #[error("key {key:?} needs a value")]
    NullValue {
        /// The key.
        key: String,
    },
    /// Code 42: only of a broker.
    #[error("an operation is none that is known")]
    UnknownAction,
    /// Code -1: of a topic or a group, and then nothing of the request is done.
    #[error("an operation of the request is none that is known")]
    UnknownActionInRequest,
    /// Code 42.
    #[error("the resource has no name")]
    NoName,
    /// Code 17.
    #[error("{cause}")]
    InvalidTopicName {
        /// What is wrong with it.
        cause: String,
    },
    /// Code 3.
    #[error("no topic of this name exists")]
    UnknownTopic,
    /// Code 42.
    #[error("broker {node} is not registered")]
    UnknownBroker {
        /// The broker.
        node: NodeId,
    },
    /// Code 40: unknown key, bad value, list action on what is no list, or a key that is read at the start only.
    #[error(transparent)]
    InvalidConfig(#[from] ConfigRefused),
    /// Retriable.
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
}

/// Why no feature got another level. Code 95, but for the last.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpdateFeaturesRefused {
    /// Neither up nor down.
    #[error("{name} can not be changed by an upgrade type that nobody knows")]
    UnknownUpgradeType {
        /// The feature.
        name: &'static str,
    },
    /// Not a feature of this version.
    #[error("feature {name:?} is not supported")]
    UnknownFeature {
        /// The feature as sent.
        name: String,
    },
    /// Not a level of the feature.
    #[error("{name} can not be set to {level}: levels {min} to {max} are supported")]
    UnsupportedLevel {
        /// The feature.
        name: &'static str,
        /// The level as sent.
        level: i16,
        /// Lowest level, inclusive.
        min: i16,
        /// Highest level, inclusive.
        max: i16,
    },
    /// Down by an upgrade, or up by a downgrade.
    #[error(
        "{name} is at level {current}, which an upgrade can not lower nor a downgrade raise to {level}"
    )]
    WrongDirection {
        /// The feature.
        name: &'static str,
        /// The level as sent.
        level: i16,
        /// The level now.
        current: i16,
    },
    /// The log would not be what the lower level promises.
    #[error(
        "metadata.version can not be lowered from {current} to {level}: the metadata log would stay as it is"
    )]
    MetadataDowngrade {
        /// The level as sent.
        level: i16,
        /// The level now.
        current: i16,
    },
    /// Retriable.
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
}

/// Why a change that the node itself asked for was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeRefused {
    /// The partition is not (or no longer) there.
    #[error("the partition is unknown")]
    UnknownPartition,
    /// The node that asks holds no replica of it.
    #[error("broker {node} holds no replica of the partition")]
    NotAReplica {
        /// The node.
        node: NodeId,
    },
    /// The node that asks does not lead it.
    #[error("broker {node} does not lead the partition, {leader} does")]
    NotLeader {
        /// The node.
        node: NodeId,
        /// The leader, or -1.
        leader: NodeId,
    },
    /// The node is not registered.
    #[error("broker {node} is not registered")]
    UnknownBroker {
        /// The node.
        node: NodeId,
    },
    /// Retriable.
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
}
