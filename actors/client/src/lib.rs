//! Async client of a Kafka-compatible broker: connections, administration, a producer, and consumers
//! alone and in groups.
//!
//! # Duty
//! Lets a program use a cluster without knowing who leads what, and says plainly what went wrong.
//!
//! # Messages
//! | type | does |
//! |---|---|
//! | [`Connection`] | one broker: requests and answers, pipelined |
//! | [`Client`] | one cluster: brokers, topics, leaders, connections |
//! | [`Admin`] | topics, configuration, offsets, groups, actors of a Kabuki node |
//! | [`Producer`] | records in, batches out, in order, once |
//! | [`Consumer`] | records of assigned partitions from given offsets |
//! | [`GroupConsumer`] | records of the partitions that its group gives it, and commits |
//!
//! # Restart
//! Nothing is kept on disk. A lost connection is opened again when it is next needed; what was in
//! flight on it has an unknown outcome, which an idempotent producer resolves by sending it again.
//!
//! # Invariants
//! 1. Memory is bounded: frames, queued records and answers all have limits.
//! 2. Every wait has an end: an answer, a deadline or the loss of the connection.
//! 3. A producer keeps one batch of a partition in flight, so a retry cannot change the order.
//! 4. A consumer never steps over a batch it cannot read.
//!
//! # Source
//! Kafka protocol guide; KIP-511 (ApiVersions), KIP-98 (idempotent producer), KIP-480 (sticky
//! partitioner), KIP-320 (leader epochs in fetches), KIP-848 (consumer groups).

mod admin;
mod cluster;
mod connection;
mod consumer;
mod error;
mod group;
mod producer;

pub use admin::{
    Admin, ClusterDescription, CommittedOffset, ConfigChange, ConfigEntry, ConfigResource,
    ConfigSource, CreatedTopic, FoundOffset, GroupDescription, GroupListing, GroupMember, NewTopic,
    OffsetSpec, TopicPartition,
};
pub use cluster::{Broker, Client, ClientOptions, Partition, Topic};
pub use connection::{Connection, ConnectionOptions};
pub use consumer::{ConsumedRecord, Consumer, ConsumerOptions, PartitionPosition, StartAt};
pub use error::ClientError;
pub use group::{AssignmentChange, GroupConsumer, GroupOptions, LossCause};
pub use producer::{
    Acks, Delivery, NewRecord, Producer, ProducerOptions, RecordDelivered, partition_for_key,
};
