//! DescribeCluster (key 60): names the brokers or the controllers of a cluster (KIP-700).
//!
//! | version | change |
//! |---|---|
//! | 0 | first, flexible |
//! | 1 | brokers or controllers (KIP-919) |
//! | 2 | fenced brokers too (KIP-1073) |

use super::{OPERATIONS_NOT_ASKED, exchange};
use crate::codec::Message;

/// Endpoint type of brokers.
pub const ENDPOINT_BROKERS: i8 = 1;
/// Endpoint type of controllers.
pub const ENDPOINT_CONTROLLERS: i8 = 2;

/// What to name.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterRequest {
    /// Whether to tell what the client may do with the cluster.
    pub include_cluster_authorized_operations: bool,
    /// One of the constants of this file.
    #[kafka(versions = "1+", default = ENDPOINT_BROKERS)]
    pub endpoint_type: i8,
    /// Whether to name brokers that are registered but not in service.
    #[kafka(versions = "2+")]
    pub include_fenced_brokers: bool,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterResponse {
    /// How long the client should hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// Error code, 0 for none.
    pub error_code: i16,
    /// What is wrong, for a person.
    pub error_message: Option<String>,
    /// One of the constants of this file.
    #[kafka(versions = "1+", default = ENDPOINT_BROKERS)]
    pub endpoint_type: i8,
    /// Id of the cluster.
    pub cluster_id: String,
    /// Broker that takes admin requests, or the active controller; -1 for none.
    #[kafka(default = -1)]
    pub controller_id: i32,
    /// The nodes.
    pub brokers: Vec<DescribeClusterBroker>,
    /// What the client may do with the cluster, one bit an operation.
    #[kafka(default = OPERATIONS_NOT_ASKED)]
    pub cluster_authorized_operations: i32,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeClusterBroker {
    /// Node id.
    pub broker_id: i32,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: i32,
    /// Rack, if the node has one.
    pub rack: Option<String>,
    /// Whether it is registered but not in service.
    #[kafka(versions = "2+")]
    pub is_fenced: bool,
}

exchange!(DescribeCluster: DescribeClusterRequest => DescribeClusterResponse);
