//! AlterConfigs (key 33): replaces whole configurations. Versions 0 to 2, alike.
//!
//! What a request does not name goes back to its default: who wants to change one key uses
//! IncrementalAlterConfigs. Source: KIP-133.

use kabuki_controller::messages::ConfigChange;
use kabuki_protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResponse, AlterableConfig,
};

use super::config_changes::{AskedChange, make};
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(request: AlterConfigsRequest, context: RequestContext) -> Answer {
    let asked = request.resources.into_iter().map(|resource| AskedChange {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        change: ConfigChange::Replacement(pairs(resource.configs)),
    });
    let responses = make(asked.collect(), request.validate_only, &context).await;
    context.reply(&AlterConfigsResponse {
        responses,
        ..AlterConfigsResponse::default()
    })
}

fn pairs(configs: Vec<AlterableConfig>) -> Vec<(String, Option<String>)> {
    let pairs = configs.into_iter();
    pairs.map(|config| (config.name, config.value)).collect()
}
