//! What the replica keeper says when it puts a partition on stage.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, PartitionId, TopicId};
use kabuki_runtime::{ChildSpec, Policy, Recipient, Restart};
use kabuki_storage::{Disk, LogConfig, ProducerLimits};

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

/// Milliseconds since 1970 as the partition should see them; the wall clock outside of tests.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Everything a partition is built from, at its first start and at every restart.
#[derive(Clone)]
pub struct PartitionSpec {
    /// Which partition.
    pub id: PartitionId,
    /// Id of its topic; a directory of another topic is not opened.
    pub topic_id: TopicId,
    /// Its directory. It must exist: a missing or empty one is never re-created here (rule V12),
    /// the keeper creates the directories of new partitions with `Log::create`.
    pub dir: PathBuf,
    /// The log directory that holds it. Its checkpoint files are read at each start.
    pub disk: Disk,
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
