//! Produce (key 0): appends one batch to each of several partitions.
//!
//! | version | change |
//! |---|---|
//! | 3 | record batches of format 2, transactional id (KIP-98) |
//! | 4 | storage errors may be answered (KIP-112) |
//! | 5 | answer has the log start offset (KIP-107) |
//! | 6 | the client holds back for the throttle time (KIP-219) |
//! | 7 | zstd (KIP-110) |
//! | 8 | answer names refused records and has a message (KIP-467) |
//! | 9 | flexible (KIP-482) |
//! | 10 | answer may name the current leader and its endpoint (KIP-951) |
//! | 11 | error 120 may be answered (KIP-890) |
//! | 12 | the leader adds partitions to the transaction by itself (KIP-890) |
//! | 13 | topics by id (KIP-516) |

use bytes::Bytes;

use super::exchange;
use crate::codec::Message;
use crate::ids::TopicId;

/// Batches for partitions, one each.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "3-13", flexible = "9+")]
pub struct ProduceRequest {
    /// Set by transactional producers.
    pub transactional_id: Option<String>,
    /// Copies to wait for: 0 no answer at all, 1 the leader's, -1 all in-sync ones.
    pub acks: i16,
    /// Longest wait for the other replicas, in milliseconds.
    pub timeout_ms: i32,
    /// Batches by topic.
    pub topic_data: Vec<TopicProduceData>,
}

/// Batches for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicProduceData {
    /// Name of the topic, up to version 12.
    #[kafka(versions = "0-12", ignorable)]
    pub name: String,
    /// Id of the topic, from version 13 on.
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// Batches by partition.
    pub partition_data: Vec<PartitionProduceData>,
}

/// The batch for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionProduceData {
    /// Number of the partition.
    pub index: i32,
    /// The batch, sharing the request's memory. Null and empty are refused by the broker.
    pub records: Option<Bytes>,
}

/// What became of each batch.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "3-13", flexible = "9+")]
pub struct ProduceResponse {
    /// Outcomes by topic.
    pub responses: Vec<TopicProduceResponse>,
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// Endpoints of the leaders named in `current_leader`.
    #[kafka(versions = "10+", tag = 0, ignorable)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// Outcomes for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicProduceResponse {
    /// Name of the topic, up to version 12.
    #[kafka(versions = "0-12", ignorable)]
    pub name: String,
    /// Id of the topic, from version 13 on.
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// Outcomes by partition.
    pub partition_responses: Vec<PartitionProduceResponse>,
}

/// What became of the batch for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionProduceResponse {
    /// Number of the partition.
    pub index: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Offset of the batch's first record; -1 on an error.
    #[kafka(default = -1)]
    pub base_offset: i64,
    /// Time of the append where the topic has LogAppendTime, else -1.
    #[kafka(versions = "2+", default = -1, ignorable)]
    pub log_append_time_ms: i64,
    /// First offset of the log; -1 where unknown.
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Records that made the broker refuse the batch.
    #[kafka(versions = "8+", ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// Why the batch was refused, for a person.
    #[kafka(versions = "8+", ignorable)]
    pub error_message: Option<String>,
    /// Who leads now, when the answer is error 6.
    #[kafka(versions = "10+", tag = 0, ignorable)]
    pub current_leader: LeaderIdAndEpoch,
}

/// One record that made the broker refuse its batch.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct BatchIndexAndErrorMessage {
    /// Position of the record in its batch, from 0.
    pub batch_index: i32,
    /// Why, for a person.
    pub batch_index_error_message: Option<String>,
}

/// A partition's leader; both -1 where unknown.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct LeaderIdAndEpoch {
    /// Node id of the leader.
    #[kafka(default = -1)]
    pub leader_id: i32,
    /// Its epoch.
    #[kafka(default = -1)]
    pub leader_epoch: i32,
}

/// Where a leader can be reached, on the listener that the request came in on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct NodeEndpoint {
    /// Node id.
    pub node_id: i32,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: i32,
    /// Rack, if the node has one.
    pub rack: Option<String>,
}

exchange!(Produce: ProduceRequest => ProduceResponse);
