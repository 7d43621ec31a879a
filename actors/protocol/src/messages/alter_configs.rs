//! AlterConfigs (key 33): replaces whole configurations (KIP-133); `IncrementalAlterConfigs` came after it.
//!
//! | version | change |
//! |---|---|
//! | 1 | the client holds back for the throttle time (KIP-219) |
//! | 2 | flexible (KIP-482) |

use super::exchange;
use crate::codec::Message;

/// Configurations that replace others.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsRequest {
    /// New configurations by resource.
    pub resources: Vec<AlterConfigsResource>,
    /// Check everything and change nothing.
    pub validate_only: bool,
}

/// The new configuration of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterConfigsResource {
    /// What it is: see [`describe_configs::resource`](super::describe_configs::resource).
    pub resource_type: i8,
    /// Its name, or empty for the default of all brokers.
    pub resource_name: String,
    /// All keys that it is to have; every other goes back to its default.
    pub configs: Vec<AlterableConfig>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterableConfig {
    /// The key.
    pub name: String,
    /// Its value; null is refused.
    pub value: Option<String>,
}

/// What became of each resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// The resources.
    pub responses: Vec<AlterConfigsResourceResponse>,
}

/// What became of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterConfigsResourceResponse {
    /// Error code, 0 for none.
    pub error_code: i16,
    /// Why it was refused, for a person.
    pub error_message: Option<String>,
    /// What it is.
    pub resource_type: i8,
    /// Its name.
    pub resource_name: String,
}

exchange!(AlterConfigs: AlterConfigsRequest => AlterConfigsResponse);
