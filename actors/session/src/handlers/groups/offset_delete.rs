//! OffsetDelete (key 47): forgets offsets of topics that the group does not read. Version 0.
//!
//! Source: KIP-496.

use std::sync::Arc;

use kabuki_group::messages::{Answer as GroupAnswer, DeleteOffsets, Request};
use kabuki_group::names::GroupId;
use kabuki_group::records::OffsetKey;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse,
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::{NotAnswered, ask, foreign};
use crate::group_refusals::Asked;
use crate::refusals::code_of;
use crate::request::{Answer, RequestContext};

pub(in crate::handlers) async fn answer(
    request: OffsetDeleteRequest,
    context: RequestContext,
) -> Answer {
    let response = match delete(request, &context).await {
        Ok(topics) => OffsetDeleteResponse {
            topics,
            ..OffsetDeleteResponse::default()
        },
        Err(code) => OffsetDeleteResponse {
            error_code: code.code(),
            ..OffsetDeleteResponse::default()
        },
    };
    context.reply(&response)
}

async fn delete(
    request: OffsetDeleteRequest,
    context: &RequestContext,
) -> Result<Vec<OffsetDeleteResponseTopic>, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let group = GroupId::new(&request.group_id);
    let image = context.services.image();
    let keys = request.topics.iter().flat_map(|topic| {
        let known = image.topic(&topic.name);
        let name: Arc<str> = Arc::from(&*topic.name);
        let partitions = topic.partitions.iter().map(|asked| asked.partition_index);
        partitions
            .filter(move |index| known.is_some_and(|topic| topic.partition(*index).is_some()))
            .map(move |partition| OffsetKey {
                topic: name.clone(),
                partition,
            })
    });
    // Asked although no partition is known: an unknown group is the graver error.
    let delete = Request::DeleteOffsets(DeleteOffsets {
        keys: keys.collect(),
    });
    let error = match ask(&group, delete, context).await {
        Ok(GroupAnswer::DeleteOffsets(Ok(deleted))) => {
            let mut deleted = deleted.into_iter();
            // As Kafka does, a topic that is there is left out when none of its partitions is named.
            let is_told = |topic: &OffsetDeleteRequestTopic| {
                !topic.partitions.is_empty() || image.topic(&topic.name).is_none()
            };
            let topics = request.topics.into_iter().filter(is_told).map(|topic| {
                let known = image.topic(&topic.name);
                let is_known = |index| known.is_some_and(|topic| topic.partition(index).is_some());
                let partitions = topic.partitions.iter().map(|asked| {
                    let index = asked.partition_index;
                    let code = match is_known(index).then(|| deleted.next()).flatten() {
                        Some(Ok(())) => ErrorCode::None,
                        Some(Err(refused)) => code_of(&refused),
                        None => ErrorCode::UnknownTopicOrPartition,
                    };
                    OffsetDeleteResponsePartition {
                        partition_index: index,
                        error_code: code.code(),
                    }
                });
                OffsetDeleteResponseTopic {
                    partitions: partitions.collect(),
                    name: topic.name,
                }
            });
            return Ok(topics.collect());
        }
        Ok(GroupAnswer::DeleteOffsets(Err(refused))) => NotAnswered::Refused(refused),
        Ok(other) => foreign(&other),
        Err(error) => error,
    };
    Err(error.code(Asked::Other))
}
