//! One hosted replica of a topic partition, as a supervised actor.

mod actor;
pub mod messages;
mod spec;

pub use messages::*;
pub use actor::Partition;
pub use spec::{ConfigSource, LeadershipSource, PartitionConfig, PartitionSpec, WallClock, spec};
