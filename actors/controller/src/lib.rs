//! The metadata of the cluster: proposed, logged, committed, published as an image.

pub mod broker_config;
pub mod catalogue;
pub mod image;
pub mod messages;

pub mod refusal;
mod sharded;
