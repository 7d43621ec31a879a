//! IncrementalAlterConfigs (key 44): changes single configuration keys (KIP-339).
//!
//! | version | change |
//! |---|---|
//! | 1 | flexible (KIP-482) |

use super::alter_configs::AlterConfigsResourceResponse;
use super::exchange;
use crate::codec::Message;

/// What is done to a key: the values of `config_operation`.
pub mod operation {
    /// Give it this value.
    pub const SET: i8 = 0;
    /// Go back to its default.
    pub const DELETE: i8 = 1;
    /// Add to a list.
    pub const APPEND: i8 = 2;
    /// Take from a list.
    pub const SUBTRACT: i8 = 3;
}

/// Changes.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsRequest {
    /// Changes by resource.
    pub resources: Vec<AlterConfigsResource>,
    /// Check everything and change nothing.
    pub validate_only: bool,
}

/// Changes to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterConfigsResource {
    /// What it is: see [`describe_configs::resource`](super::describe_configs::resource).
    pub resource_type: i8,
    /// Topic name, or node id, or empty for the default of all brokers.
    pub resource_name: String,
    /// The changes.
    pub configs: Vec<AlterableConfig>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterableConfig {
    /// The key.
    pub name: String,
    /// What to do with it: see [`operation`].
    pub config_operation: i8,
    /// The value; null only to delete.
    pub value: Option<String>,
}

/// What became of each resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// The resources.
    pub responses: Vec<AlterConfigsResourceResponse>,
}

exchange!(IncrementalAlterConfigs: IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse);
