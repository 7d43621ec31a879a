//! ListConfigResources (key 74): names what can be configured (KIP-714, KIP-1142).
//!
//! | version | change |
//! |---|---|
//! | 0 | first, flexible; names subscriptions of client metrics only |
//! | 1 | resources of the types asked for |

use super::{describe_configs::resource, exchange};
use crate::codec::Message;

/// What to name.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesRequest {
    /// Types of [`resource`]; empty for all that can be named.
    #[kafka(versions = "1+")]
    pub resource_types: Vec<i8>,
}

/// Resources.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// The resources.
    pub config_resources: Vec<ConfigResource>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ConfigResource {
    /// Its name.
    pub resource_name: String,
    /// What it is.
    #[kafka(versions = "1+", default = resource::CLIENT_METRICS, ignorable)]
    pub resource_type: i8,
}

exchange!(ListConfigResources: ListConfigResourcesRequest => ListConfigResourcesResponse);
