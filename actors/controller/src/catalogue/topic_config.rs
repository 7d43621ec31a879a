//! The typed configuration of a topic after all layers: what a partition is opened with.

use super::layers::ConfigLayers;
use super::validator::parse_double;

/// Every topic key with its effective value. Units are in the names; a limit of -1 means none where Kafka says so.
///
/// Keys that are only described and have no effect here (tiered storage, follower throttles) are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type` with the level of that codec.
    pub compression: CompressionType,
    /// `delete.retention.ms`: how long compaction keeps tombstones.
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `flush.messages`; `i64::MAX` leaves flushing to the operating system.
    pub flush_messages: i64,
    /// `flush.ms`; `i64::MAX` leaves flushing to the operating system.
    pub flush_ms: i64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: i32,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `max.message.bytes`: largest batch.
    pub max_message_bytes: i32,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`, 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`, not yet capped by the replication factor.
    pub min_insync_replicas: i32,
    /// `preallocate`.
    pub preallocate: bool,
    /// `retention.bytes` of each partition; -1 for no limit.
    pub retention_bytes: i64,
    /// `retention.ms`; -1 for no limit.
    pub retention_ms: i64,
    /// `segment.bytes`.
    pub segment_bytes: i32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: i32,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
}

/// `cleanup.policy`. Kafka 4.3 allows none: then nothing is ever cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments go by time and size.
    pub delete: bool,
    /// Only the newest record of each key stays; records without key are refused.
    pub compact: bool,
}

/// `compression.type` and the level that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// Whatever the producer sent is kept.
    Producer,
    /// Stored without compression.
    Uncompressed,
    /// With `compression.gzip.level`; -1 is the codec's own default.
    Gzip {
        /// -1 or 1 to 9.
        level: i32,
    },
    /// Snappy has no levels.
    Snappy,
    /// With `compression.lz4.level`.
    Lz4 {
        /// 1 to 17.
        level: i32,
    },
    /// With `compression.zstd.level`.
    Zstd {
        /// -131072 to 22.
        level: i32,
    },
}

/// `message.timestamp.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's time, code 0.
    CreateTime,
    /// The broker's time at the append, code 1.
    LogAppendTime,
}

impl TopicConfig {
    /// The values in effect. A stored value that no longer parses (a file edited by hand, an older
    /// version's rule) falls back to the next layer, so that one bad value never takes a partition down.
    pub fn effective(layers: &ConfigLayers<'_>) -> Self {
        let number = |name: &str| layers.effective_i64(name);
        // The validators keep each int key inside the range of its type.
        let int = |name: &str| i32::try_from(number(name)).unwrap_or(i32::MAX);
        let text = |name: &str| layers.effective(name);
        let policy = text("cleanup.policy");
        let policies: Vec<&str> = policy.split(',').map(str::trim).collect();
        Self {
            cleanup_policy: CleanupPolicy {
                delete: policies.contains(&"delete"),
                compact: policies.contains(&"compact"),
            },
            compression: match text("compression.type").as_str() {
                "uncompressed" => CompressionType::Uncompressed,
                "gzip" => CompressionType::Gzip {
                    level: int("compression.gzip.level"),
                },
                "snappy" => CompressionType::Snappy,
                "lz4" => CompressionType::Lz4 {
                    level: int("compression.lz4.level"),
                },
                "zstd" => CompressionType::Zstd {
                    level: int("compression.zstd.level"),
                },
                _ => CompressionType::Producer,
            },
            delete_retention_ms: number("delete.retention.ms"),
            file_delete_delay_ms: number("file.delete.delay.ms"),
            flush_messages: number("flush.messages"),
            flush_ms: number("flush.ms"),
            index_interval_bytes: int("index.interval.bytes"),
            max_compaction_lag_ms: number("max.compaction.lag.ms"),
            max_message_bytes: int("max.message.bytes"),
            message_timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            message_timestamp_type: match text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: parse_double(&text("min.cleanable.dirty.ratio"))
                .unwrap_or(0.5),
            min_compaction_lag_ms: number("min.compaction.lag.ms"),
            min_insync_replicas: int("min.insync.replicas"),
            preallocate: text("preallocate") == "true",
            retention_bytes: number("retention.bytes"),
            retention_ms: number("retention.ms"),
            segment_bytes: int("segment.bytes"),
            segment_index_bytes: int("segment.index.bytes"),
            segment_jitter_ms: number("segment.jitter.ms"),
            segment_ms: number("segment.ms"),
            unclean_leader_election_enable: text("unclean.leader.election.enable") == "true",
        }
    }
}
