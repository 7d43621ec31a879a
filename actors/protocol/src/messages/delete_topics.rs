//! DeleteTopics (key 20): deletes topics with all their records.
//!
//! | version | change |
//! |---|---|
//! | 1 | throttle time (KIP-124) |
//! | 2 | the client holds back for the throttle time (KIP-219) |
//! | 3 | error 73 may be answered |
//! | 4 | flexible (KIP-482) |
//! | 5 | error message; error 89 may be answered (KIP-599) |
//! | 6 | topics by name or by id (KIP-516) |

use super::exchange;
use crate::codec::Message;
use crate::ids::TopicId;

/// Topics to delete.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsRequest {
    /// Topics by name or id, from version 6 on.
    #[kafka(versions = "6+")]
    pub topics: Vec<DeleteTopicState>,
    /// Topics by name, up to version 5.
    #[kafka(versions = "0-5", ignorable)]
    pub topic_names: Vec<String>,
    /// Longest wait for the deletion, in milliseconds.
    pub timeout_ms: i32,
}

/// One topic: exactly one of the two fields is set.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteTopicState {
    /// Its name.
    pub name: Option<String>,
    /// Its id, zero for none.
    pub topic_id: TopicId,
}

/// What became of each topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub responses: Vec<DeletableTopicResult>,
}

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeletableTopicResult {
    /// Its name; null when the id is unknown or the name is not the client's to know.
    #[kafka(nullable = "6+")]
    pub name: Option<String>,
    /// Its id.
    #[kafka(versions = "6+", ignorable)]
    pub topic_id: TopicId,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Why it was refused, for a person.
    #[kafka(versions = "5+", ignorable)]
    pub error_message: Option<String>,
}

exchange!(DeleteTopics: DeleteTopicsRequest => DeleteTopicsResponse);
