//! DescribeCluster (key 60): names the brokers of the cluster. Versions 0 to 2.
//!
//! | version | what it added here |
//! |---|---|
//! | 1 | brokers or controllers: controllers are not told on this listener (114) |
//! | 2 | fenced brokers too, if asked |
//!
//! Source: KIP-700, KIP-919, KIP-1073.

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse, ENDPOINT_BROKERS,
    ENDPOINT_CONTROLLERS,
};

use super::Started;
use super::metadata::{CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, controller_id};
use crate::request::RequestContext;

pub(super) fn answer(request: &DescribeClusterRequest, context: &RequestContext) -> Started {
    let image = context.services.image();
    let refused = match request.endpoint_type {
        ENDPOINT_BROKERS => None,
        ENDPOINT_CONTROLLERS => Some(ErrorCode::MismatchedEndpointType),
        _ => Some(ErrorCode::UnsupportedEndpointType),
    };
    if let Some(code) = refused {
        return Started::Answered(context.reply(&DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(code.message().to_owned()),
            ..DescribeClusterResponse::default()
        }));
    }
    let is_shown = |is_fenced: bool| !is_fenced || request.include_fenced_brokers;
    let brokers = image
        .brokers()
        .filter(|broker| is_shown(broker.is_fenced))
        .filter_map(|broker| {
            let endpoint = broker.endpoint(&context.listener)?;
            Some(DescribeClusterBroker {
                broker_id: broker.id.get(),
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
                // Not expressible below version 2, where fenced brokers are never shown.
                is_fenced: broker.is_fenced,
            })
        })
        .collect();
    let cluster_authorized_operations = match request.include_cluster_authorized_operations {
        true => CLUSTER_OPERATIONS,
        false => OPERATIONS_NOT_ASKED,
    };
    Started::Answered(context.reply(&DescribeClusterResponse {
        cluster_id: image.cluster_id().to_owned(),
        controller_id: controller_id(&image, context.services.node()),
        brokers,
        cluster_authorized_operations,
        ..DescribeClusterResponse::default()
    }))
}
