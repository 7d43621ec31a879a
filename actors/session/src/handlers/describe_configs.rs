//! DescribeConfigs (key 32): reads the configuration of topics, groups and this broker. Versions 1 to 4.
//!
//! Values come with their source and, if asked, every layer's value as synonyms; sensitive ones are
//! null. A broker resource with an empty name shows what is set for all brokers while they run.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | type of each key; documentation, if asked |
//!
//! Source: KIP-226, KIP-569.

use std::collections::{HashMap, HashSet};

use kabuki_controller::catalogue::{ConfigEntry, ConfigLayers};
use kabuki_controller::image::MetadataImage;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::TopicName;
use kabuki_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym, resource,
};

use super::Started;
use crate::request::RequestContext;

pub(super) fn answer(request: &DescribeConfigsRequest, context: &RequestContext) -> Started {
    let image = context.services.image();
    // A resource that is named again and again is looked up once, and the same question answered
    // once; else a small request would have an answer of any size.
    let has_unknown_type = request
        .resources
        .iter()
        .any(|asked| !resource::ALL.contains(&asked.resource_type));
    let mut described = HashMap::new();
    let mut seen = HashSet::new();
    let resources = request.resources.iter();
    let results = resources
        .filter(|asked| {
            let keys = asked.configuration_keys.as_deref();
            seen.insert((asked.resource_type, &asked.resource_name, keys))
        })
        .map(|asked| {
            let resource = (asked.resource_type, &asked.resource_name);
            let described = described
                .entry(resource)
                .or_insert_with(|| match has_unknown_type {
                    // For all of the request, as by Kafka.
                    true => Err((
                        ErrorCode::InvalidRequest,
                        "a resource is of a type that nobody knows".to_owned(),
                    )),
                    false => entries(asked, &image, context),
                });
            let (error_code, error_message, entries) = match described {
                // Kafka's "no error" has an empty text here, not none.
                Ok(entries) => (0, Some(String::new()), entries.as_slice()),
                Err((code, message)) => (code.code(), Some(message.clone()), &[][..]),
            };
            let is_asked = |entry: &&ConfigEntry| match &asked.configuration_keys {
                None => true,
                Some(keys) if keys.is_empty() => true,
                Some(keys) => keys.iter().any(|key| key == entry.name),
            };
            DescribeConfigsResult {
                error_code,
                error_message,
                resource_type: asked.resource_type,
                resource_name: asked.resource_name.clone(),
                configs: entries
                    .iter()
                    .filter(is_asked)
                    .map(|entry| row(entry, request))
                    .collect(),
            }
        })
        .collect();
    let response = DescribeConfigsResponse {
        results,
        ..DescribeConfigsResponse::default()
    };
    Started::Answered(context.reply(&response))
}

fn entries(
    asked: &DescribeConfigsResource,
    image: &MetadataImage,
    context: &RequestContext,
) -> Result<Vec<ConfigEntry>, (ErrorCode, String)> {
    let node = context.services.node();
    let dynamic_broker = image.broker_configs(node);
    let layers = |topic| ConfigLayers {
        topic,
        dynamic_broker: &dynamic_broker,
        dynamic_default: image.default_broker_configs(),
        static_broker: context.services.config.values(),
    };
    let name = &asked.resource_name;
    match asked.resource_type {
        resource::TOPIC => match image.topic(name) {
            Some(topic) => Ok(layers(Some(&topic.configs)).describe_topic()),
            None => {
                Err(match TopicName::new(name) {
                    // Kafka has no text for this one.
                    Ok(_) => (ErrorCode::UnknownTopicOrPartition, String::new()),
                    Err(cause) => (ErrorCode::InvalidTopicException, cause.to_string()),
                })
            }
        },
        resource::BROKER if name.is_empty() => Ok(layers(None).describe_all_brokers()),
        resource::BROKER if *name == node.to_string() => Ok(layers(None).describe_broker()),
        resource::BROKER => Err((
            ErrorCode::InvalidRequest,
            format!("broker {name:?} is not the broker asked, which is {node}"),
        )),
        resource::GROUP if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "a group has a name".to_owned()))
        }
        resource::GROUP => Ok(layers(None).describe_group(image.group_overrides(name))),
        other => Err((
            ErrorCode::InvalidRequest,
            format!(
                "the configuration of {} is not supported",
                resource::name_of(other)
            ),
        )),
    }
}

fn row(entry: &ConfigEntry, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.iter().filter(|_| request.include_synonyms);
    DescribeConfigsResourceResult {
        name: entry.name.to_owned(),
        value: entry.value.clone(),
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.is_sensitive,
        synonyms: synonyms
            .map(|synonym| DescribeConfigsSynonym {
                name: synonym.name.to_owned(),
                value: synonym.value.clone(),
                source: synonym.source.code(),
            })
            .collect(),
        config_type: entry.kind.code(),
        documentation: request
            .include_documentation
            .then(|| entry.documentation.to_owned()),
    }
}
