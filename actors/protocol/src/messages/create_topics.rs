//! CreateTopics (key 19): creates topics.
//!
//! | version | change |
//! |---|---|
//! | 2 | throttle time in the answer (KIP-124) |
//! | 3 | the client holds back for the throttle time (KIP-219) |
//! | 4 | -1 asks for the broker's own number of partitions and replicas (KIP-464) |
//! | 5 | flexible (KIP-482); the answer has the topic's shape and configuration (KIP-525) |
//! | 6 | error 89 may be answered (KIP-599) |
//! | 7 | the answer has the topic id (KIP-516) |

use super::exchange;
use crate::codec::Message;
use crate::ids::TopicId;

/// Topics to create.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsRequest {
    /// The topics.
    pub topics: Vec<CreatableTopic>,
    /// Longest wait for the topics, in milliseconds.
    #[kafka(default = 60_000)]
    pub timeout_ms: i32,
    /// Check everything and create nothing.
    pub validate_only: bool,
}

/// One topic to create.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions; -1 for the broker's own, and with assignments.
    pub num_partitions: i32,
    /// Replicas of each partition; -1 for the broker's own, and with assignments.
    pub replication_factor: i16,
    /// Replicas by partition, empty to let the controller choose.
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// Configuration of the topic.
    pub configs: Vec<CreatableTopicConfig>,
}

/// Replicas of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableReplicaAssignment {
    /// Number of the partition.
    pub partition_index: i32,
    /// Node ids, the preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// One key of a topic's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopicConfig {
    /// The key.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
}

/// What became of each topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<CreatableTopicResult>,
}

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopicResult {
    /// Its name.
    pub name: String,
    /// Its id.
    #[kafka(versions = "7+", ignorable)]
    pub topic_id: TopicId,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Why it was refused, for a person.
    #[kafka(versions = "1+", ignorable)]
    pub error_message: Option<String>,
    /// Why the four fields below are missing: 29 without the right to read configuration.
    #[kafka(versions = "5+", tag = 0, ignorable)]
    pub topic_config_error_code: i16,
    /// Number of partitions, -1 where not told.
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub num_partitions: i32,
    /// Replicas of each partition, -1 where not told.
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub replication_factor: i16,
    /// Configuration in force, null where not told.
    #[kafka(versions = "5+", ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

/// One key of the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopicConfigs {
    /// The key.
    pub name: String,
    /// Its value, null for a secret.
    pub value: Option<String>,
    /// Whether nobody can change it.
    pub read_only: bool,
    /// Where the value comes from: see [`describe_configs::source`](super::describe_configs::source).
    #[kafka(default = -1)]
    pub config_source: i8,
    /// Whether it is a secret.
    pub is_sensitive: bool,
}

exchange!(CreateTopics: CreateTopicsRequest => CreateTopicsResponse);
