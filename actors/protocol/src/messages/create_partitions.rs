//! CreatePartitions (key 37): adds partitions to topics (KIP-195).
//!
//! | version | change |
//! |---|---|
//! | 1 | the client holds back for the throttle time (KIP-219) |
//! | 2 | flexible (KIP-482) |
//! | 3 | error 89 may be answered (KIP-599) |

use super::exchange;
use crate::codec::Message;

/// Topics to grow.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsRequest {
    /// The topics.
    pub topics: Vec<CreatePartitionsTopic>,
    /// Longest wait for the partitions, in milliseconds.
    pub timeout_ms: i32,
    /// Check everything and create nothing.
    pub validate_only: bool,
}

/// One topic to grow.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatePartitionsTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions that it shall have, old ones included.
    pub count: i32,
    /// Replicas of the new partitions in their order; null to let the controller choose.
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// Replicas of one new partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatePartitionsAssignment {
    /// Node ids, the preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// What became of each topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// The topics.
    pub results: Vec<CreatePartitionsTopicResult>,
}

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatePartitionsTopicResult {
    /// Its name.
    pub name: String,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Why it was refused, for a person.
    pub error_message: Option<String>,
}

exchange!(CreatePartitions: CreatePartitionsRequest => CreatePartitionsResponse);
