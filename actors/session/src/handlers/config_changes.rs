//! What AlterConfigs and IncrementalAlterConfigs have in common: which resources can be configured,
//! the change itself, and its outcome in Kafka's codes.
//!
//! Topics, this broker, the defaults of all brokers (empty name), and groups. Each resource succeeds or
//! fails as a whole and by itself.

use kabuki_controller::catalogue::ConfigRefused;
use kabuki_controller::messages::{
    AlterConfigs, AlterConfigsRefused, ConfigAlteration, ConfigChange, ConfigResource,
};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::NodeId;
use kabuki_protocol::messages::alter_configs::AlterConfigsResourceResponse;
use kabuki_protocol::messages::describe_configs::resource;

use crate::ports::ask;
use crate::refusals::{change_unanswered, code_of};
use crate::request::RequestContext;

/// Why a resource was not changed: code and text of the answer.
pub(super) type Unchanged = (ErrorCode, Option<String>);

/// One resource of a request: what it is, and the change in the controller's terms.
pub(super) struct AskedChange {
    pub(super) resource_type: i8,
    pub(super) resource_name: String,
    pub(super) change: ConfigChange,
}

/// Makes the changes; answers in the order of the request.
pub(super) async fn make(
    asked: Vec<AskedChange>,
    validate_only: bool,
    context: &RequestContext,
) -> Vec<AlterConfigsResourceResponse> {
    let answers = asked.iter().map(|asked| AlterConfigsResourceResponse {
        resource_type: asked.resource_type,
        resource_name: asked.resource_name.clone(),
        ..AlterConfigsResourceResponse::default()
    });
    let mut answers: Vec<_> = answers.collect();
    let outcomes = outcomes(asked, validate_only, context).await;
    for (answer, outcome) in answers.iter_mut().zip(outcomes) {
        if let Err((code, cause)) = outcome {
            answer.error_code = code.code();
            answer.error_message = cause;
        }
    }
    answers
}

async fn outcomes(
    asked: Vec<AskedChange>,
    validate_only: bool,
    context: &RequestContext,
) -> Vec<Result<(), Unchanged>> {
    let services = context.services.clone();
    let mut outcomes = Vec::with_capacity(asked.len());
    let mut places = Vec::new();
    let mut resources = Vec::new();
    for (place, asked) in asked.into_iter().enumerate() {
        let kind = asked.resource_type;
        let named = resource_of(kind, asked.resource_name, services.node());
        outcomes.push(named.map(|resource| {
            places.push((place, kind));
            let change = asked.change;
            resources.push(ConfigAlteration { resource, change });
        }));
    }
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
            for (place, _) in places {
                outcomes[place] = Err((code, Some(code.message().to_owned())));
            }
        }
        Ok(changed) => {
            // Listeners that wait for room ask again only when they are woken.
            services.follow_connection_limits();
            for ((place, kind), changed) in places.into_iter().zip(changed) {
                outcomes[place] = changed.map_err(|refused| {
                    let code = code_for(kind, &refused);
                    // Kafka fails on a number that it does not know, and has no text for it.
                    let has_text = code != ErrorCode::UnknownServerError;
                    (code, has_text.then(|| refused.to_string()))
                });
            }
        }
    }
    outcomes
}

/// Kafka checks brokers' values elsewhere than topics', with another code.
fn code_for(resource_type: i8, refused: &AlterConfigsRefused) -> ErrorCode {
    let is_of_broker = matches!(
        refused,
        AlterConfigsRefused::InvalidConfig(
            ConfigRefused::ReadOnly { .. } | ConfigRefused::InvalidValue { .. },
        )
    );
    match resource_type {
        resource::BROKER if is_of_broker => ErrorCode::InvalidRequest,
        _ => code_of(refused),
    }
}

/// The resource in the controller's terms, or why it is none that this node can pass on.
fn resource_of(kind: i8, name: String, node: NodeId) -> Result<ConfigResource, Unchanged> {
    let invalid = |cause: String| Err((ErrorCode::InvalidRequest, Some(cause)));
    match kind {
        resource::TOPIC => Ok(ConfigResource::Topic(name)),
        resource::BROKER if name.is_empty() => Ok(ConfigResource::DefaultBroker),
        resource::BROKER if name == node.to_string() => Ok(ConfigResource::Broker(node)),
        resource::BROKER => invalid(format!(
            "broker {name:?} is not the broker asked, which is {node}"
        )),
        resource::GROUP => Ok(ConfigResource::Group(name)),
        other => invalid(format!(
            "the configuration of {} is not supported",
            resource::name_of(other)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: i8, name: &str) -> Result<ConfigResource, Unchanged> {
        resource_of(kind, name.to_owned(), NodeId(3))
    }

    #[test]
    fn only_topics_groups_this_broker_and_all_brokers_can_be_configured() {
        assert_eq!(
            of(resource::TOPIC, "t"),
            Ok(ConfigResource::Topic("t".to_owned()))
        );
        assert_eq!(
            of(resource::BROKER, "3"),
            Ok(ConfigResource::Broker(NodeId(3)))
        );
        assert_eq!(of(resource::BROKER, ""), Ok(ConfigResource::DefaultBroker));
        assert_eq!(
            of(resource::GROUP, "g"),
            Ok(ConfigResource::Group("g".to_owned()))
        );
        for (kind, name) in [
            (resource::BROKER, "4"),
            (resource::BROKER, "x"),
            (resource::BROKER_LOGGER, "3"),
            (resource::CLIENT_METRICS, "m"),
            (99, ""),
        ] {
            assert!(of(kind, name).is_err(), "{kind} {name:?}");
        }
    }
}
