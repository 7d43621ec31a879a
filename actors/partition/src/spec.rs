//! What the replica keeper says when it puts a partition on stage.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, Offset, PartitionId, TopicId};
use kabuki_runtime::{ChildSpec, Policy, Recipient, Restart};
use kabuki_storage::{Disk, FileSystem, LogConfig, LogFault, ProducerLimits};

use crate::actor::{Continuity, Partition};
use crate::messages::{CheckpointPartition, PartitionEvent};

/// Configuration of one partition; the effective topic configuration, as far as a log needs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionConfig {
    /// Segments, indexes, `flush.messages` and `flush.ms`.
    pub log: LogConfig,
    /// `producer.id.expiration.ms`, and how many producers are remembered.
    pub producers: ProducerLimits,
}

/// Says in which epoch this node leads the partition now, or `None` when it does not. Asked at
/// each (re)start, so that a restarted partition serves again without an order; reads the
/// metadata image, so it must not block.
pub type LeadershipSource = Arc<dyn Fn() -> Option<LeaderEpoch> + Send + Sync>;

/// Says the configuration in force. Asked at each (re)start; must not block.
pub type ConfigSource = Arc<dyn Fn() -> PartitionConfig + Send + Sync>;

/// What the checkpoint files of the log directory hold for a partition; 0 where they do not name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredMarks {
    /// Offset up to which the log is on the medium; recovery scans from there.
    pub recovery_point: Offset,
    /// First offset of the log.
    pub log_start: Offset,
}

/// Says what the checkpoint files hold now. Asked at each (re)start in the pool of the directory, so
/// it may read them; a copy that is known to equal them saves each partition of the directory from
/// reading the lines of all.
pub type MarksSource = Arc<dyn Fn(&dyn FileSystem) -> Result<StoredMarks, LogFault> + Send + Sync>;

/// Milliseconds since 1970 as the partition should see them; the wall clock outside of tests.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Everything a partition is built from, at its first start and at every restart.
#[derive(Clone)]
pub struct PartitionSpec {
    /// Which partition.
    pub id: PartitionId,
    /// Id of its topic; a directory of another topic is not opened.
    pub topic_id: TopicId,
    /// Its directory. It must exist: a missing or empty one is never re-created here,
    /// the keeper creates the directories of new partitions with `Log::create`.
    pub dir: PathBuf,
    /// The log directory that holds it.
    pub disk: Disk,
    /// What the checkpoint files of the log directory say of it.
    pub stored: MarksSource,
    /// The configuration to start with; `ReconfigureLog` changes it between starts.
    pub config: ConfigSource,
    /// Whether and in which epoch this node leads.
    pub leadership: LeadershipSource,
    /// The log directory: makes recovery point and log start durable.
    pub checkpoint: Recipient<CheckpointPartition>,
    /// The keeper: hears what happens here.
    pub events: Recipient<PartitionEvent>,
    /// Time for producer expiry and segment age.
    pub clock: WallClock,
}

impl fmt::Debug for PartitionSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PartitionSpec")
            .field("id", &self.id)
            .field("topic_id", &self.topic_id)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// The child to start in the supervised group of partitions, named `<topic>-<partition>`.
///
/// The caller adds the arbiter of the log directory with `.on(..)`.
pub fn spec(spec: PartitionSpec) -> ChildSpec<Partition> {
    let name = spec.id.to_string();
    let continuity = Arc::new(Continuity::new());
    // A partition that stopped itself, because it was told to go, does not come back.
    let policy = Policy {
        restart: Restart::Transient,
        ..Policy::default()
    };
    ChildSpec::new(name, move || {
        Partition::new(spec.clone(), Arc::clone(&continuity))
    })
    .policy(policy)
}
