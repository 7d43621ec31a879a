//! ListConfigResources (key 74): names what has a configuration. Versions 0 and 1.
//!
//! Topics and brokers (with their loggers) are named all, groups where something is set on them. There
//! are no subscriptions of client metrics, which is all that version 0 asks for.
//!
//! Source: KIP-714, KIP-1142.

use kabuki_controller::image::MetadataImage;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::describe_configs::resource;
use kabuki_protocol::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::Started;
use crate::request::RequestContext;

/// In the order in which they are named.
const TYPES: [i8; 5] = [
    resource::GROUP,
    resource::CLIENT_METRICS,
    resource::BROKER_LOGGER,
    resource::BROKER,
    resource::TOPIC,
];

pub(super) fn answer(request: &ListConfigResourcesRequest, context: &RequestContext) -> Started {
    let asked = &request.resource_types;
    let mut response = ListConfigResourcesResponse::default();
    if asked.iter().any(|asked| !TYPES.contains(asked)) {
        response.error_code = ErrorCode::UnsupportedVersion.code();
    } else {
        let image = context.services.image();
        let wanted = TYPES.iter().filter(|kind| match context.version {
            0 => **kind == resource::CLIENT_METRICS,
            _ => asked.is_empty() || asked.contains(kind),
        });
        response.config_resources = wanted
            .flat_map(|kind| {
                names(*kind, &image)
                    .into_iter()
                    .map(|resource_name| ConfigResource {
                        resource_name,
                        resource_type: *kind,
                    })
            })
            .collect();
    }
    Started::Answered(context.reply(&response))
}

fn names(kind: i8, image: &MetadataImage) -> Vec<String> {
    match kind {
        resource::GROUP => image.configured_groups().map(str::to_owned).collect(),
        resource::BROKER | resource::BROKER_LOGGER => image
            .brokers()
            .map(|broker| broker.id.to_string())
            .collect(),
        resource::TOPIC => image.topics().map(|topic| topic.name.to_string()).collect(),
        _ => Vec::new(),
    }
}
