//! IncrementalAlterConfigs (key 44): changes single configuration keys. Versions 0 and 1, alike.
//!
//! Source: KIP-339.

use kabuki_controller::messages::{ConfigAction, ConfigChange, ConfigOperation};
use kabuki_protocol::messages::incremental_alter_configs::{
    AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::config_changes::{AskedChange, make};
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(
    request: IncrementalAlterConfigsRequest,
    context: RequestContext,
) -> Answer {
    let asked = request.resources.into_iter().map(|resource| {
        let operations = resource.configs.into_iter().map(operation);
        AskedChange {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            change: ConfigChange::Operations(operations.collect()),
        }
    });
    let responses = make(asked.collect(), request.validate_only, &context).await;
    context.reply(&IncrementalAlterConfigsResponse {
        responses,
        ..IncrementalAlterConfigsResponse::default()
    })
}

fn operation(asked: AlterableConfig) -> ConfigOperation {
    ConfigOperation {
        key: asked.name,
        action: ConfigAction::from_code(asked.config_operation),
        value: asked.value,
    }
}
