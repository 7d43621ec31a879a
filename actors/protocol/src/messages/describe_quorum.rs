//! DescribeQuorum (key 55): who leads the metadata log, who votes, and how far each has got (KIP-595).
//!
//! | version | change |
//! |---|---|
//! | 0 | first, flexible |
//! | 1 | when each replica fetched, and when it had caught up (KIP-836) |
//! | 2 | texts for errors, directories of voters, listeners of nodes (KIP-853) |

use super::exchange;
use crate::codec::Message;
use crate::ids::TopicId;

/// The one topic that has a quorum; its one partition is 0.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// What to describe.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumRequest {
    /// Topics that have a quorum.
    pub topics: Vec<DescribedTopic>,
}

/// A topic to describe.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedTopic {
    /// Its name.
    pub topic_name: String,
    /// Its partitions.
    pub partitions: Vec<DescribedPartition>,
}

/// A partition to describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
pub struct DescribedPartition {
    /// Its index.
    pub partition_index: i32,
}

/// The quorums.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person.
    #[kafka(versions = "2+", ignorable)]
    pub error_message: Option<String>,
    /// The topics that were asked about.
    pub topics: Vec<QuorumTopic>,
    /// Nodes of the quorums and how they are reached.
    #[kafka(versions = "2+")]
    pub nodes: Vec<QuorumNode>,
}

/// Quorums of a topic's partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct QuorumTopic {
    /// Its name.
    pub topic_name: String,
    /// Its partitions.
    pub partitions: Vec<QuorumPartition>,
}

/// Quorum of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct QuorumPartition {
    /// Its index.
    pub partition_index: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person.
    #[kafka(versions = "2+", ignorable)]
    pub error_message: Option<String>,
    /// Who leads; -1 for nobody.
    pub leader_id: i32,
    /// Since which epoch.
    pub leader_epoch: i32,
    /// First offset that is not committed.
    pub high_watermark: i64,
    /// Replicas that vote.
    pub current_voters: Vec<ReplicaState>,
    /// Replicas that follow without a vote.
    pub observers: Vec<ReplicaState>,
}

/// How far a replica has got.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicaState {
    /// Its node.
    pub replica_id: i32,
    /// Its directory; zero where voters are told apart by their nodes alone.
    #[kafka(versions = "2+")]
    pub replica_directory_id: TopicId,
    /// Last offset that it holds, plus one.
    pub log_end_offset: i64,
    /// When it fetched last, in milliseconds since 1970; -1 for never. For a leader, now.
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    /// When it had all there was, in milliseconds since 1970; -1 for never. For a leader, now.
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
}

/// A node of the quorum.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct QuorumNode {
    /// Its id.
    #[kafka(versions = "2+")]
    pub node_id: i32,
    /// How it is reached.
    #[kafka(versions = "2+")]
    pub listeners: Vec<QuorumListener>,
}

/// A listener of a node.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct QuorumListener {
    /// Its name.
    #[kafka(versions = "2+")]
    pub name: String,
    /// Host name or address.
    #[kafka(versions = "2+")]
    pub host: String,
    /// TCP port.
    #[kafka(versions = "2+")]
    pub port: u16,
}

exchange!(DescribeQuorum: DescribeQuorumRequest => DescribeQuorumResponse);
