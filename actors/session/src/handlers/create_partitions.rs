//! CreatePartitions (key 37): adds partitions to topics, each by itself. Versions 0 to 3, all alike.
//!
//! The count asked for is that after the change. Source: KIP-195.

use std::collections::HashSet;

use kabuki_controller::messages::{CreatePartitions, CreatePartitionsRefused, PartitionsWanted};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{NodeId, TopicId};
use kabuki_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use super::{admin_wait, hosting};
use crate::ports::ask;
use crate::refusals::{change_unanswered, code_of};
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(request: CreatePartitionsRequest, context: RequestContext) -> Answer {
    let services = context.services.clone();
    let CreatePartitionsRequest {
        topics,
        timeout_ms,
        validate_only,
    } = request;
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let topics: Vec<PartitionsWanted> = topics.into_iter().map(wanted).collect();
    let wait = admin_wait(timeout_ms);
    let controller = &services.controller.create_partitions;
    let answered = ask(controller, wait, |reply| CreatePartitions {
        topics,
        validate_only,
        reply,
    })
    .await;
    let mut results = Vec::with_capacity(names.len());
    match answered {
        Err(error) => {
            let code = change_unanswered(error);
            let failed = |name| failed(name, code, code.message().to_owned());
            results.extend(names.into_iter().map(failed));
        }
        Ok(outcomes) => {
            let image = services.image();
            let made = outcomes.iter().flatten();
            let made: Vec<TopicId> = made
                .filter_map(|topic| Some(image.topic(&topic.name)?.id))
                .collect();
            if !validate_only {
                hosting::wait_until_serving(&services, &made, wait).await;
            }
            results.extend(
                names
                    .into_iter()
                    .zip(outcomes)
                    .map(|(name, outcome)| match outcome {
                        Ok(_) => CreatePartitionsTopicResult {
                            name,
                            ..Default::default()
                        },
                        Err(CreatePartitionsRefused::UnknownTopic) => CreatePartitionsTopicResult {
                            name,
                            error_code: ErrorCode::UnknownTopicOrPartition.code(),
                            error_message: None,
                        },
                        // Kafka fails on its own limit here, where CreateTopics refuses it.
                        Err(CreatePartitionsRefused::TooManyPartitions { .. }) => {
                            CreatePartitionsTopicResult {
                                name,
                                error_code: ErrorCode::UnknownServerError.code(),
                                error_message: None,
                            }
                        }
                        Err(refused) => failed(name, code_of(&refused), refused.to_string()),
                    }),
            );
            // A name that stands more than once is answered once, as by Kafka.
            let mut refused = HashSet::new();
            let is_duplicate = ErrorCode::InvalidRequest.code();
            results.retain(|topic| {
                topic.error_code != is_duplicate || refused.insert(topic.name.clone())
            });
        }
    }
    context.reply(&CreatePartitionsResponse {
        results,
        ..CreatePartitionsResponse::default()
    })
}

fn wanted(topic: CreatePartitionsTopic) -> PartitionsWanted {
    let assignments = topic.assignments.map(|assignments| {
        let replicas = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
        assignments
            .into_iter()
            .map(|assignment| replicas(assignment.broker_ids))
            .collect()
    });
    PartitionsWanted {
        name: topic.name,
        partition_count: topic.count,
        assignments,
    }
}

fn failed(name: String, code: ErrorCode, message: String) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult {
        name,
        error_code: code.code(),
        error_message: Some(message),
    }
}
