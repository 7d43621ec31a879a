//! One file an API, named after it: its request and its response in every version of Kafka 4.3.
//! Field names are Kafka's in snake case; what a broker does with them is told at its handlers.

pub mod api_versions;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod fetch;
pub mod find_coordinator;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod list_offsets;
pub mod metadata;
pub mod offset_for_leader_epoch;
pub mod produce;

pub use api_versions::{ApiVersionsRequest, ApiVersionsResponse};
pub use create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
pub use create_topics::{CreateTopicsRequest, CreateTopicsResponse};
pub use delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
pub use delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
pub use describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
pub use describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
pub use fetch::{FetchRequest, FetchResponse};
pub use find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
pub use incremental_alter_configs::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
pub use init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
pub use list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
pub use metadata::{MetadataRequest, MetadataResponse};
pub use offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
pub use produce::{ProduceRequest, ProduceResponse};

/// Value of `…_authorized_operations` where they were not asked for.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

/// Ties a request to its response and both to their API.
macro_rules! exchange {
    ($key:ident: $request:ident => $response:ident) => {
        impl $crate::header::Request for $request {
            const KEY: $crate::api::ApiKey = $crate::api::ApiKey::$key;
            type Response = $response;
        }

        impl $crate::header::Response for $response {
            const KEY: $crate::api::ApiKey = $crate::api::ApiKey::$key;
        }
    };
}
use exchange;
