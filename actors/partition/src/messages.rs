//! What a partition hears, and what it tells upwards. Hot messages carry a reply port and are
//! answered in `settle()`; Kafka's error codes do not appear here, the session maps refusals.

mod append;
mod lead;
mod not_served;
mod producers;
mod read;
mod seek;
mod upward;

pub(crate) use append::batch_fingerprint;
pub use append::{AppendRecords, AppendRefused, RecordsAppended, RequiredAcks};
pub use lead::{
    AwaitLeadership, AwaitRefused, BecomeLeader, BecomeLeaderRefused, DescribePartition,
    LeadershipHeld, LeadershipTaken, LogReconfigured, PartitionDescription, PartitionPhase,
    PartitionStopped, ReconfigureLog, ResignLeadership, StopPartition, StopRefused,
};
pub use not_served::NotServed;
pub use producers::DescribeProducers;
pub use read::{
    Isolation, PartitionMoved, ReadRecords, ReadRefused, RecordsRead, UnwatchPartition,
    WatchPartition, WatcherId,
};
pub use seek::{
    EpochEnd, FindEpochEnd, FindOffset, FindRefused, LogTrimmed, OffsetFound, OffsetTarget,
    TrimLog, TrimRefused,
};
pub use upward::{
    CheckpointFailed, CheckpointPartition, PartitionCheckpointed, PartitionEvent, PartitionFact,
};
