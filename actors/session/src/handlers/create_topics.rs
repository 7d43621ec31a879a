//! CreateTopics (key 19): creates topics, each by itself. Versions 2 to 7.
//!
//! The controller checks and decides. The answer is held back until the partitions led here serve, so
//! that the first request of a client that follows succeeds.
//!
//! | version | what it added here |
//! |---|---|
//! | 4 | -1 asks for the broker's own number of partitions and replicas |
//! | 5 | the answer has the topic's shape and configuration |
//! | 7 | the answer has the topic id |
//!
//! Source: KIP-4, KIP-464, KIP-525.

use std::collections::HashSet;

use kabuki_controller::catalogue::ConfigLayers;
use kabuki_controller::messages::{CreateTopics, NewTopic, TopicCreated};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{NodeId, TopicId};
use kabuki_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};

use super::{admin_wait, hosting};
use crate::ports::ask;
use crate::refusals::{change_unanswered, code_of};
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(request: CreateTopicsRequest, context: RequestContext) -> Answer {
    let services = context.services.clone();
    let CreateTopicsRequest {
        topics,
        timeout_ms,
        validate_only,
    } = request;
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let topics: Vec<NewTopic> = topics.into_iter().map(new_topic).collect();
    let wait = admin_wait(timeout_ms);
    let answered = ask(&services.controller.create_topics, wait, |reply| {
        CreateTopics {
            topics,
            validate_only,
            reply,
        }
    })
    .await;
    let topics = match answered {
        Err(error) => {
            let code = change_unanswered(error);
            let failed = |name| failed(name, code, code.message().to_owned());
            names.into_iter().map(failed).collect()
        }
        Ok(outcomes) => {
            let made: Vec<TopicId> = outcomes.iter().flatten().map(|topic| topic.id).collect();
            if !validate_only {
                hosting::wait_until_serving(&services, &made, wait).await;
            }
            let results = names
                .into_iter()
                .zip(outcomes)
                .map(|(name, outcome)| match outcome {
                    Ok(topic) => created(name, topic, &context),
                    Err(refused) => failed(name, code_of(&refused), refused.to_string()),
                });
            // A name that stands more than once is answered once, as by Kafka.
            let mut refused = HashSet::new();
            let is_duplicate = ErrorCode::InvalidRequest.code();
            results
                .filter(|topic| {
                    topic.error_code != is_duplicate || refused.insert(topic.name.clone())
                })
                .collect()
        }
    };
    context.reply(&CreateTopicsResponse {
        topics,
        ..CreateTopicsResponse::default()
    })
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    let assignments = topic.assignments.into_iter().map(|assignment| {
        let replicas = assignment.broker_ids.into_iter().map(NodeId).collect();
        (assignment.partition_index, replicas)
    });
    NewTopic {
        name: topic.name,
        partition_count: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| (config.name, config.value))
            .collect(),
    }
}

fn created(name: String, topic: TopicCreated, context: &RequestContext) -> CreatableTopicResult {
    let image = context.services.image();
    let entries = ConfigLayers {
        topic: Some(&topic.configs),
        dynamic_broker: &image.broker_configs(context.services.node()),
        dynamic_default: image.default_broker_configs(),
        static_broker: context.services.config.values(),
    }
    .describe_topic();
    let configs = entries
        .into_iter()
        .map(|entry| CreatableTopicConfigs {
            name: entry.name.to_owned(),
            value: entry.value,
            read_only: false,
            config_source: entry.source.code(),
            is_sensitive: entry.is_sensitive,
        })
        .collect();
    CreatableTopicResult {
        name,
        // Kafka answers an id also where it only checked, and that one is never seen again.
        topic_id: if topic.id.is_zero() {
            TopicId::random()
        } else {
            topic.id
        },
        num_partitions: topic.partition_count,
        replication_factor: topic.replication_factor,
        configs: Some(configs),
        ..CreatableTopicResult::default()
    }
}

fn failed(name: String, code: ErrorCode, message: String) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: code.code(),
        error_message: Some(message),
        configs: Some(Vec::new()),
        ..CreatableTopicResult::default()
    }
}
