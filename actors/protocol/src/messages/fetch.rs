//! Fetch (key 1): reads batches from partitions and may wait for new ones.
//!
//! | version | change |
//! |---|---|
//! | 4 | isolation level, aborted transactions, record batches of format 2 (KIP-98) |
//! | 5 | log start offset both ways (KIP-107) |
//! | 6 | storage errors may be answered (KIP-112) |
//! | 7 | fetch sessions (KIP-227) |
//! | 8 | the client holds back for the throttle time (KIP-219) |
//! | 9 | the client states the leader epoch it knows (KIP-320) |
//! | 10 | zstd (KIP-110) |
//! | 11 | rack of the client, preferred replica (KIP-392) |
//! | 12 | flexible (KIP-482); last fetched epoch and truncation by it (KIP-595) |
//! | 13 | topics by id (KIP-516) |
//! | 14 | records may have moved to tiered storage (KIP-405) |
//! | 15 | replica state takes the place of the replica id (KIP-903) |
//! | 16 | answer may have endpoints of current leaders (KIP-951) |
//! | 17 | followers state their directory id (KIP-853) |
//! | 18 | followers state their high watermark (KIP-1166) |

use bytes::Bytes;

use super::exchange;
use crate::codec::Message;
use crate::ids::TopicId;

/// What to read and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "4-18", flexible = "12+")]
pub struct FetchRequest {
    /// Cluster that the sender belongs to; only nodes of a quorum set it.
    #[kafka(versions = "12+", tag = 0, ignorable)]
    pub cluster_id: Option<String>,
    /// Node id of a follower, -1 for a consumer; up to version 14.
    #[kafka(versions = "0-14", default = -1)]
    pub replica_id: i32,
    /// The same from version 15 on, with the follower's broker epoch.
    #[kafka(versions = "15+", tag = 1)]
    pub replica_state: ReplicaState,
    /// Longest wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// Fewest bytes that end the wait.
    pub min_bytes: i32,
    /// Most bytes to answer; the first batch comes whole even if it is larger.
    #[kafka(versions = "3+", default = i32::MAX, ignorable)]
    pub max_bytes: i32,
    /// 0 reads up to the high watermark, 1 up to the last stable offset.
    #[kafka(versions = "4+", ignorable)]
    pub isolation_level: i8,
    /// Fetch session, 0 for none.
    #[kafka(versions = "7+", ignorable)]
    pub session_id: i32,
    /// Epoch of the session: 0 asks for a new one, -1 ends it.
    #[kafka(versions = "7+", default = -1, ignorable)]
    pub session_epoch: i32,
    /// Partitions to read, by topic; in a session those that are new or changed.
    pub topics: Vec<FetchTopic>,
    /// Partitions to take out of the session.
    #[kafka(versions = "7+")]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// Rack of the consumer, empty for none.
    #[kafka(versions = "11+", ignorable)]
    pub rack_id: String,
}

/// The follower that fetches.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicaState {
    /// Node id of a follower, -1 for a consumer.
    #[kafka(default = -1)]
    pub replica_id: i32,
    /// Epoch of its broker registration, -1 for none.
    #[kafka(default = -1)]
    pub replica_epoch: i64,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FetchTopic {
    /// Name of the topic, up to version 12.
    #[kafka(versions = "0-12", ignorable)]
    pub topic: String,
    /// Id of the topic, from version 13 on.
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<FetchPartition>,
}

/// Where to read in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FetchPartition {
    /// Number of the partition.
    pub partition: i32,
    /// Leader epoch that the client knows; -1 asks for no check.
    #[kafka(versions = "9+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// First offset wanted.
    pub fetch_offset: i64,
    /// Epoch of the record before `fetch_offset`; -1 for none.
    #[kafka(versions = "12+", default = -1)]
    pub last_fetched_epoch: i32,
    /// Log start of the follower; -1 for a consumer.
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Most bytes from this partition.
    pub partition_max_bytes: i32,
    /// Log directory of the follower.
    #[kafka(versions = "17+", tag = 0, ignorable)]
    pub replica_directory_id: TopicId,
    /// High watermark that the follower knows; 2^63 - 1 where it states none.
    #[kafka(versions = "18+", tag = 1, default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

/// Partitions of one topic to take out of the session.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ForgottenTopic {
    /// Name of the topic, up to version 12.
    #[kafka(versions = "0-12", ignorable)]
    pub topic: String,
    /// Id of the topic, from version 13 on.
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// Numbers of the partitions.
    pub partitions: Vec<i32>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "4-18", flexible = "12+")]
pub struct FetchResponse {
    /// How long the client should hold back, in milliseconds.
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the whole request: those of fetch sessions.
    #[kafka(versions = "7+", ignorable)]
    pub error_code: i16,
    /// Fetch session, 0 for none.
    #[kafka(versions = "7+")]
    pub session_id: i32,
    /// Partitions by topic.
    pub responses: Vec<FetchableTopicResponse>,
    /// Endpoints of the leaders named in `current_leader`.
    #[kafka(versions = "16+", tag = 0, ignorable)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// What was read of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FetchableTopicResponse {
    /// Name of the topic, up to version 12.
    #[kafka(versions = "0-12", ignorable)]
    pub topic: String,
    /// Id of the topic, from version 13 on.
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// What was read of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// Number of the partition.
    pub partition_index: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// High watermark; -1 on an error.
    #[kafka(default = -1)]
    pub high_watermark: i64,
    /// Last stable offset; -1 on an error.
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub last_stable_offset: i64,
    /// First offset of the log; -1 on an error.
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Where the sender's log parts from the leader's.
    #[kafka(versions = "12+", tag = 0)]
    pub diverging_epoch: EpochEndOffset,
    /// Who leads now, when the answer is error 6 or 74.
    #[kafka(versions = "12+", tag = 1, ignorable)]
    pub current_leader: LeaderIdAndEpoch,
    /// Snapshot to fetch instead; only in the metadata log.
    #[kafka(versions = "12+", tag = 2)]
    pub snapshot_id: SnapshotId,
    /// Aborted transactions in the range; null when uncommitted records are read.
    #[kafka(versions = "4+", ignorable)]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// Replica that the consumer should read from; -1 for this one.
    #[kafka(versions = "11+", default = -1)]
    pub preferred_read_replica: i32,
    /// The batches, shared and not copied. Kafka answers an error with empty records, not with null.
    pub records: Option<Bytes>,
}

/// Last offset of an epoch; both -1 for none.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct EpochEndOffset {
    /// Largest epoch known up to the one asked for.
    #[kafka(default = -1)]
    pub epoch: i32,
    /// Offset after its last record.
    #[kafka(default = -1)]
    pub end_offset: i64,
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

/// A snapshot of the metadata log; both -1 for none.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SnapshotId {
    /// Offset after the last record in the snapshot.
    #[kafka(default = -1)]
    pub end_offset: i64,
    /// Epoch of that record.
    #[kafka(default = -1)]
    pub epoch: i32,
}

/// A transaction whose records are to be left out.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Its first offset.
    pub first_offset: i64,
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

exchange!(Fetch: FetchRequest => FetchResponse);
