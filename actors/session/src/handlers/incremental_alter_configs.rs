//! IncrementalAlterConfigs (key 44): changes single configuration keys. Versions 0 and 1, alike.
//!
//! Topics, this broker, and the defaults of all brokers (empty name). Each resource succeeds or fails
//! as a whole and by itself. Source: rule A6; KIP-339.

use kabuki_controller::catalogue::ConfigRefused;
use kabuki_controller::messages::{
    AlterConfigs, AlterConfigsRefused, ConfigAction, ConfigAlteration, ConfigOperation,
    ConfigResource,
};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{NodeId, TopicName};
use kabuki_protocol::messages::describe_configs::resource;
use kabuki_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use crate::ports::ask;
use crate::refusals::{change_unanswered, code_of};
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(
    request: IncrementalAlterConfigsRequest,
    context: RequestContext,
) -> Answer {
    let services = context.services.clone();
    let mut responses = Vec::with_capacity(request.resources.len());
    let mut places = Vec::new();
    let mut resources = Vec::new();
    for (place, asked) in request.resources.into_iter().enumerate() {
        responses.push(AlterConfigsResourceResponse {
            resource_type: asked.resource_type,
            resource_name: asked.resource_name.clone(),
            ..AlterConfigsResourceResponse::default()
        });
        match alteration(asked, services.node()) {
            Ok(alteration) => {
                places.push(place);
                resources.push(alteration);
            }
            Err((code, cause)) => {
                responses[place].error_code = code.code();
                responses[place].error_message = cause;
            }
        }
    }
    let validate_only = request.validate_only;
    let wait = services.limits.request_timeout;
    let controller = &services.controller.alter_configs;
    let answered = ask(controller, wait, |reply| AlterConfigs {
        resources,
        validate_only,
        reply,
    })
    .await;
    match answered {
        Err(error) => {
            let code = change_unanswered(error);
            for place in places {
                fail(&mut responses[place], code, code.message().to_owned());
            }
        }
        Ok(outcomes) => {
            for (place, outcome) in places.into_iter().zip(outcomes) {
                if let Err(refused) = outcome {
                    let response = &mut responses[place];
                    let is_broker = response.resource_type == resource::BROKER;
                    let code = match (&refused, code_of(&refused)) {
                        // Kafka checks brokers' values elsewhere than topics', with another code.
                        (
                            AlterConfigsRefused::InvalidConfig(
                                ConfigRefused::ReadOnly { .. } | ConfigRefused::InvalidValue { .. },
                            ),
                            _,
                        ) if is_broker => ErrorCode::InvalidRequest,
                        (_, code) => code,
                    };
                    fail(response, code, refused.to_string());
                }
            }
        }
    }
    context.reply(&IncrementalAlterConfigsResponse {
        responses,
        ..IncrementalAlterConfigsResponse::default()
    })
}

fn fail(response: &mut AlterConfigsResourceResponse, code: ErrorCode, message: String) {
    response.error_code = code.code();
    response.error_message = Some(message);
}

/// Why a resource cannot be changed, in the terms of the answer.
type Unchanged = (ErrorCode, Option<String>);

/// The change in the controller's terms, or why it is none that this node can pass on.
fn alteration(asked: AlterConfigsResource, node: NodeId) -> Result<ConfigAlteration, Unchanged> {
    let invalid = |cause: String| (ErrorCode::InvalidRequest, Some(cause));
    let name = asked.resource_name;
    let resource = match asked.resource_type {
        resource::TOPIC if name.is_empty() => {
            return Err(invalid("a topic has a name".to_owned()));
        }
        resource::TOPIC => match TopicName::new(&name) {
            Ok(_) => ConfigResource::Topic(name),
            Err(cause) => {
                return Err((ErrorCode::InvalidTopicException, Some(cause.to_string())));
            }
        },
        resource::BROKER if name.is_empty() => ConfigResource::DefaultBroker,
        resource::BROKER if name == node.to_string() => ConfigResource::Broker(node),
        resource::BROKER => {
            return Err(invalid(format!(
                "broker {name:?} is not the broker asked, which is {node}"
            )));
        }
        other => {
            return Err(invalid(format!(
                "resources of type {other} can not be configured here"
            )));
        }
    };
    let operations = asked
        .configs
        .into_iter()
        .map(operation)
        .collect::<Result<_, _>>()?;
    Ok(ConfigAlteration {
        resource,
        operations,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(resource_type: i8, name: &str) -> Result<ConfigResource, Unchanged> {
        let asked = AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: Vec::new(),
        };
        alteration(asked, NodeId(3)).map(|alteration| alteration.resource)
    }

    #[test]
    fn only_topics_this_broker_and_all_brokers_can_be_configured() {
        assert_eq!(
            of(resource::TOPIC, "t"),
            Ok(ConfigResource::Topic("t".to_owned()))
        );
        assert_eq!(
            of(resource::BROKER, "3"),
            Ok(ConfigResource::Broker(NodeId(3)))
        );
        assert_eq!(of(resource::BROKER, ""), Ok(ConfigResource::DefaultBroker));
        for (resource_type, name) in [
            (resource::BROKER, "4"),
            (resource::BROKER, "x"),
            (resource::BROKER_LOGGER, "3"),
            (resource::GROUP, "g"),
            (99, ""),
        ] {
            assert!(of(resource_type, name).is_err(), "{resource_type} {name:?}");
        }
    }
}
