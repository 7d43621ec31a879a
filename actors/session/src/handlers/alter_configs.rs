//! AlterConfigs (key 33): replaces whole configurations. Versions 0 to 2, alike.
//!
//! What a request does not name goes back to its default: who wants to change one key uses
//! IncrementalAlterConfigs. Source: KIP-133.

use kabuki_controller::messages::ConfigChange;
use kabuki_protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::config_changes::{AskedChange, outcomes};
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(request: AlterConfigsRequest, context: RequestContext) -> Answer {
    let mut responses = Vec::with_capacity(request.resources.len());
    let mut asked = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        responses.push(AlterConfigsResourceResponse {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..AlterConfigsResourceResponse::default()
        });
        let configs = resource.configs.into_iter();
        asked.push(AskedChange {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            change: Ok(ConfigChange::Replacement(
                configs.map(|config| (config.name, config.value)).collect(),
            )),
        });
    }
    let outcomes = outcomes(asked, request.validate_only, &context).await;
    for (response, outcome) in responses.iter_mut().zip(outcomes) {
        if let Err((code, cause)) = outcome {
            response.error_code = code.code();
            response.error_message = cause;
        }
    }
    context.reply(&AlterConfigsResponse {
        responses,
        ..AlterConfigsResponse::default()
    })
}
