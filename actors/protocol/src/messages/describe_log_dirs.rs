//! DescribeLogDirs (key 35): names the log directories of a broker and what lies in them (KIP-113).
//!
//! | version | change |
//! |---|---|
//! | 1 | the client holds back for the throttle time (KIP-219) |
//! | 2 | flexible (KIP-482) |
//! | 3 | error of the whole request |
//! | 4 | size of the disk and what is free of it (KIP-827) |
//! | 5 | whether a directory takes new partitions (KIP-1066) |

use super::exchange;
use crate::codec::Message;

/// Which partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsRequest {
    /// Partitions by topic; `None` for all.
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribableLogDirTopic {
    /// Name of the topic.
    pub topic: String,
    /// Numbers of the partitions.
    pub partitions: Vec<i32>,
}

/// The directories.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// Error code of the whole request, 0 for none.
    #[kafka(versions = "3+", ignorable)]
    pub error_code: i16,
    /// The directories.
    pub results: Vec<DescribeLogDirsResult>,
}

/// One directory.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeLogDirsResult {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Its absolute path.
    pub log_dir: String,
    /// Partitions in it, by topic.
    pub topics: Vec<DescribeLogDirsTopic>,
    /// Size of the file system that it lies on, in bytes; -1 where that is not known.
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub total_bytes: i64,
    /// What the broker may still write to it, in bytes; -1 where that is not known.
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub usable_bytes: i64,
    /// Whether it takes no new partitions.
    #[kafka(versions = "5+", ignorable)]
    pub is_cordoned: bool,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeLogDirsTopic {
    /// Name of the topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeLogDirsPartition {
    /// Number of the partition.
    pub partition_index: i32,
    /// Bytes of its segments.
    pub partition_size: i64,
    /// How far its log end lies behind the high watermark, or behind the replica it is to replace.
    pub offset_lag: i64,
    /// Whether it is to replace the replica in another directory.
    pub is_future_key: bool,
}

exchange!(DescribeLogDirs: DescribeLogDirsRequest => DescribeLogDirsResponse);
