//! DeleteTopics (key 20): deletes topics, each by itself. Versions 1 to 6.
//!
//! The answer is held back until the partitions have left the stage here, so that a topic created
//! next under the same name does not meet those of the old one.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | 73 when deletion is switched off (before: 42) |
//! | 5 | error message |
//! | 6 | topics by name or by id, one of both |
//!
//! Source: KIP-4, KIP-516.

use std::collections::HashSet;

use kabuki_controller::image::MetadataImage;
use kabuki_controller::messages::{DeleteTopics, TopicRef};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{PartitionId, TopicId};
use kabuki_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::{admin_wait, hosting};
use crate::ports::ask;
use crate::refusals::{change_unanswered, code_of};
use crate::request::{Answer, RequestContext};

pub(super) async fn answer(request: DeleteTopicsRequest, context: RequestContext) -> Answer {
    let services = context.services.clone();
    let wait = admin_wait(request.timeout_ms);
    let asked = asked(request, context.version);
    let mut responses: Vec<DeletableTopicResult> = asked.iter().map(named).collect();
    let mut places = Vec::new();
    let mut topics = Vec::new();
    let mut partitions = Vec::new();
    let image = services.image();
    let twice = by_name_and_by_id(&asked, &image);
    for (place, asked) in asked.into_iter().enumerate() {
        let is_one_way = asked.name.is_some() == asked.topic_id.is_zero();
        let known = match &asked.name {
            Some(name) => image.topic(name),
            None => image.topic_by_id(asked.topic_id),
        };
        if let Some(topic) = known.filter(|topic| is_one_way && twice.contains(&topic.id)) {
            responses[place].name = Some(topic.name.to_string());
            responses[place].topic_id = topic.id;
            fail(&mut responses[place], ErrorCode::InvalidRequest, None);
            continue;
        }
        let topic = match (asked.name, asked.topic_id.is_zero()) {
            (Some(name), true) => TopicRef::Name(name),
            (None, false) => TopicRef::Id(asked.topic_id),
            // Both or neither.
            _ => {
                fail(&mut responses[place], ErrorCode::InvalidRequest, None);
                continue;
            }
        };
        let known = match &topic {
            TopicRef::Name(name) => image.topic(name),
            TopicRef::Id(id) => image.topic_by_id(*id),
        };
        let indexes = known.iter().flat_map(|topic| (0..).zip(&topic.partitions));
        let ids: Vec<PartitionId> = indexes
            .filter_map(|(index, _)| Some(known?.partition_id(index)))
            .collect();
        places.push(place);
        topics.push(topic);
        partitions.push(ids);
    }
    let answered = ask(&services.controller.delete_topics, wait, |reply| {
        DeleteTopics { topics, reply }
    })
    .await;
    match answered {
        Err(error) => {
            for place in places {
                fail(&mut responses[place], change_unanswered(error), None);
            }
        }
        Ok(outcomes) => {
            let mut leaving = Vec::new();
            for ((place, partitions), outcome) in places.into_iter().zip(partitions).zip(outcomes) {
                let response = &mut responses[place];
                match outcome {
                    Ok(deleted) => {
                        leaving.extend(partitions);
                        response.name = Some(deleted.name.to_string());
                        response.topic_id = deleted.id;
                    }
                    Err(refused) => {
                        let code = match code_of(&refused) {
                            ErrorCode::TopicDeletionDisabled if context.version < 3 => {
                                ErrorCode::InvalidRequest
                            }
                            code => code,
                        };
                        fail(response, code, Some(refused.to_string()));
                    }
                }
            }
            hosting::wait_until_gone(&services, &leaving).await;
        }
    }
    // What stands more than once is answered once, as by Kafka.
    let mut refused = HashSet::new();
    let is_duplicate = ErrorCode::InvalidRequest.code();
    responses.retain(|topic| {
        topic.error_code != is_duplicate || refused.insert((topic.name.clone(), topic.topic_id))
    });
    context.reply(&DeleteTopicsResponse {
        responses,
        ..DeleteTopicsResponse::default()
    })
}

/// Topics that are asked for in both ways: refused, as by Kafka.
fn by_name_and_by_id(asked: &[DeleteTopicState], image: &MetadataImage) -> HashSet<TopicId> {
    let by_id: HashSet<TopicId> = asked.iter().map(|asked| asked.topic_id).collect();
    asked
        .iter()
        .filter(|asked| asked.topic_id.is_zero())
        .filter_map(|asked| Some(image.topic(asked.name.as_ref()?)?.id))
        .filter(|id| by_id.contains(id))
        .collect()
}

fn asked(request: DeleteTopicsRequest, version: i16) -> Vec<DeleteTopicState> {
    if version >= 6 {
        return request.topics;
    }
    let by_name = |name| DeleteTopicState {
        name: Some(name),
        topic_id: TopicId::ZERO,
    };
    request.topic_names.into_iter().map(by_name).collect()
}

fn named(asked: &DeleteTopicState) -> DeletableTopicResult {
    DeletableTopicResult {
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        ..DeletableTopicResult::default()
    }
}

fn fail(response: &mut DeletableTopicResult, code: ErrorCode, message: Option<String>) {
    response.error_code = code.code();
    response.error_message = Some(message.unwrap_or_else(|| code.message().to_owned()));
}
