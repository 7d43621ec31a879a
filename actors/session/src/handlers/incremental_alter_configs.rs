//! IncrementalAlterConfigs (key 44): changes single configuration keys. Versions 0 and 1, alike.
//!
//! Source: rule A6; KIP-339.

use kabuki_controller::messages::{ConfigAction, ConfigChange, ConfigOperation};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::incremental_alter_configs::{
    AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::config_changes::{AskedChange, Unchanged, make};
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(
    request: IncrementalAlterConfigsRequest,
    context: RequestContext,
) -> Answer {
    let asked = request.resources.into_iter().map(|resource| {
        let operations: Result<_, _> = resource.configs.into_iter().map(operation).collect();
        AskedChange {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            change: operations.map(ConfigChange::Operations),
        }
    });
    let responses = make(asked.collect(), request.validate_only, &context).await;
    context.reply(&IncrementalAlterConfigsResponse {
        responses,
        ..IncrementalAlterConfigsResponse::default()
    })
}

fn operation(asked: AlterableConfig) -> Result<ConfigOperation, Unchanged> {
    let AlterableConfig {
        name,
        config_operation,
        value,
    } = asked;
    // Kafka fails on a number that it does not know, and has no text for it.
    let action =
        ConfigAction::from_code(config_operation).ok_or((ErrorCode::UnknownServerError, None))?;
    Ok(ConfigOperation {
        key: name,
        action,
        value,
    })
}
