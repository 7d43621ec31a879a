//! The metadata of the cluster: proposed, logged, committed, published as an image.
//!
//! # Duty
//! Decides every change of topics, partitions, leaders, configurations, brokers, features and producer
//! ids, makes it durable, and shows everybody the result as one immutable image.
//!
//! # Messages
//! | message | kind | from |
//! |---|---|---|
//! | [`messages::CreateTopics`], [`messages::DeleteTopics`], [`messages::CreatePartitions`], [`messages::AlterConfigs`] | command | sessions |
//! | [`messages::AllocateProducerId`], [`messages::UpdateFeatures`] | command | sessions |
//! | [`messages::RegisterBroker`] | command | the node, once per start |
//! | [`messages::AssignDirectories`], [`messages::RaiseLeaderEpoch`], [`messages::MarkPartitionOffline`], [`messages::MarkPartitionOnline`] | command | the replica keeper |
//!
//! What is read is read from the image ([`image::ImageWatch`]), without a message.
//!
//! # Restart
//! Everything is rebuilt from the snapshot and the log in `__cluster_metadata-0`. Commands that were in
//! hand are answered `Lost`: their change is there or not, whole or not at all. The image published last
//! stays visible meanwhile. Producer ids of a block that was begun are not handed out again.
//!
//! # Invariants
//! 1. Nothing is published or answered before it is durable.
//! 2. A refused change is not there, now and after any restart.
//! 3. Live changes and replay go through one function, so a replayed image equals the live one.
//! 4. Leader epochs (of partitions and of the quorum), partition epochs, producer ids and the image's offset never go back.
//! 5. A log that is damaged before its last write ends the node; it is never cut there.
//!
//! # Source
//! KIP-500 and KIP-631 for the roles of log, records and image; the formats are this crate's own.
//! KIP-516 (topic ids), KIP-339 (incremental configurations), KIP-858 (directory ids).

pub mod broker_config;
pub mod catalogue;
pub mod features;
pub mod image;
pub mod messages;
pub mod refusal;
pub mod spec;

mod actor;
mod records;
mod sharded;
mod state;
mod voter;

pub use actor::Controller;
pub use broker_config::BrokerConfig;
pub use image::{ImageWatch, MetadataImage};
pub use spec::{ControllerSpec, FailStop, spec};
