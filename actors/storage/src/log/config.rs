//! What a log is opened with and what its opening reports.

use std::path::PathBuf;

use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};

use crate::epochs::EpochCache;
use crate::log::Log;
use crate::producers::{ProducerLimits, ProducerTable};

/// The part of a topic's configuration that shapes its files. Defaults are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is rolled before it would grow past this.
    pub segment_bytes: u32,
    /// `segment.ms`: span of record time in one segment, in milliseconds.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: at most this much is taken off `segment_ms`, different for each segment.
    pub segment_jitter_ms: i64,
    /// `index.interval.bytes`: more than this many bytes lie between two index entries.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: largest size of an index file; a full one rolls the segment.
    pub segment_index_bytes: u32,
    /// `flush.messages`: records after which [`Log::must_flush`] asks for a flush.
    pub flush_messages: i64,
    /// `flush.ms`: milliseconds after which [`Log::must_flush`] asks for a flush.
    pub flush_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
        }
    }
}

/// What [`Log::open`] needs to know.
#[derive(Debug, Clone)]
pub struct OpenLog {
    /// Directory of the partition, `<log dir>/<topic>-<partition>`.
    pub dir: PathBuf,
    /// Topic the directory must belong to.
    pub topic_id: TopicId,
    /// Shape of the files.
    pub config: LogConfig,
    /// Bounds of the producer table.
    pub producers: ProducerLimits,
    /// All before this offset is synced and is not read again; 0 where the checkpoint has none.
    pub recovery_point: Offset,
    /// First offset that clients may read, from the checkpoint; 0 where it has none.
    pub log_start: Offset,
    /// Whether the page cache may have been lost since the log was last written.
    pub page_cache: PageCache,
    /// Time for producer expiry and for the age of the active segment, in milliseconds since 1970.
    pub now_ms: i64,
}

/// Whether bytes that were written and not synced must still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCache {
    /// The machine ran on: only the actor or the process ended. Whatever is wrong before the last
    /// valid batch is corruption.
    Kept,
    /// The machine may have gone down: pages of the unsynced tail may be missing, in any order. The
    /// log is cut at the first hole past the recovery point, even if later pages survived.
    MayBeLost,
    /// A sync has failed since the log was last synced up to `synced_end`: the kernel may have dropped
    /// pages behind it, and shows old content or anything else in their place. The log is cut at the
    /// first bad batch from there on, and before it at a hole. See [`Log::is_tail_doubtful`].
    ///
    /// [`Log::is_tail_doubtful`]: crate::Log::is_tail_doubtful
    Doubtful {
        /// Offset behind the last record that is known to be on the medium.
        synced_end: Offset,
    },
}

/// An open log and what was rebuilt with it.
#[derive(Debug)]
pub struct Recovered {
    /// The log, ready for appends.
    pub log: Log,
    /// Leader epochs, in agreement with the log.
    pub epochs: EpochCache,
    /// The newest epoch that the epoch file holds, -1 for none. Later ones are known from the batches
    /// past the recovery point; the owner stores them before it stores a recovery point past those.
    pub stored_epoch: LeaderEpoch,
    /// Producers as they were after the last batch.
    pub producers: ProducerTable,
    /// What was found and done.
    pub report: RecoveryReport,
}

/// What opening a log found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Bytes found past the recovery point, those that were cut included.
    pub scanned_bytes: u64,
    /// Bytes cut off the tail, over all segments.
    pub cut_bytes: u64,
    /// Where the log was cut: its new end. `None` if nothing was cut.
    pub cut_at: Option<Offset>,
    /// The log ends here although the recovery point said that more had been synced. Offsets that
    /// were acknowledged are missing: the caller raises the leader epoch before it appends.
    pub ends_before_recovery_point: Option<Offset>,
    /// Segments whose indexes were written again.
    pub rebuilt_indexes: usize,
    /// Batches read to bring the producers up to date.
    pub replayed_batches: u64,
    /// Leftovers of interrupted work that were removed or finished.
    pub leftovers: usize,
}
