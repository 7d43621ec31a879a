//! OffsetCommit (key 8): stores how far a group has come. Versions 2 to 10.
//!
//! Topics and partitions that do not exist are answered here and do not reach the group. An empty group id
//! is a group like any other.
//!
//! | version | what it added here |
//! |---|---|
//! | 2 to 4 | how long to keep the offsets |
//! | 7 | static members |
//! | 9 | members of the new protocol; 69 for an unknown group (before: 22) |
//! | 10 | topics by id; 100 for an unknown one |
//!
//! Source: KIP-211, KIP-345, KIP-848.

use std::sync::Arc;

use kabuki_group::messages::{
    Answer as GroupAnswer, CommitOffsets, CommittedPartition, OffsetToCommit, Request,
};
use kabuki_group::names::{GroupId, InstanceId, MemberId};
use kabuki_group::records::OffsetKey;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::{NotAnswered, ask_patiently, foreign};
use crate::group_refusals::{Asked, commit_refused};
use crate::request::{Answer, RequestContext};

/// First version that names topics by id.
const VERSION_WITH_IDS: i16 = 10;

/// Stands in the answer until the group has answered for the partition.
const UNANSWERED: ErrorCode = ErrorCode::UnknownServerError;

pub(in crate::handlers) async fn answer(
    request: OffsetCommitRequest,
    context: RequestContext,
) -> Answer {
    let mut offsets = Vec::new();
    let mut topics: Vec<OffsetCommitResponseTopic> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        topics.extend(check(topic, &context, &mut offsets));
    }
    if !offsets.is_empty() {
        let codes = commit(&request, offsets, &context).await;
        let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        let asked = partitions.filter(|partition| partition.error_code == UNANSWERED.code());
        for (partition, code) in asked.zip(codes) {
            partition.error_code = code.code();
        }
    }
    context.reply(&OffsetCommitResponse {
        topics,
        ..OffsetCommitResponse::default()
    })
}

/// Answers for partitions that do not exist; the others are put into `offsets`, in their order. As Kafka
/// does, a topic that is there is left out when none of its partitions is named.
fn check(
    asked: &OffsetCommitRequestTopic,
    context: &RequestContext,
    offsets: &mut Vec<OffsetToCommit>,
) -> Option<OffsetCommitResponseTopic> {
    let image = context.services.image();
    let is_by_id = context.version >= VERSION_WITH_IDS;
    let topic = match is_by_id {
        true => image.topic_by_id(asked.topic_id),
        false => image.topic(&asked.name),
    };
    if topic.is_some() && asked.partitions.is_empty() {
        return None;
    }
    let name: Option<Arc<str>> = topic.map(|topic| Arc::from(topic.name.as_str()));
    let partitions = asked.partitions.iter().map(|partition| {
        let index = partition.partition_index;
        let code = match (topic, &name) {
            (Some(topic), Some(name)) if topic.partition(index).is_some() => {
                offsets.push(OffsetToCommit {
                    key: OffsetKey {
                        topic: name.clone(),
                        partition: index,
                    },
                    topic_id: topic.id,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_deref().map(Arc::from),
                });
                UNANSWERED
            }
            (None, _) if is_by_id => ErrorCode::UnknownTopicId,
            _ => ErrorCode::UnknownTopicOrPartition,
        };
        OffsetCommitResponsePartition {
            partition_index: index,
            error_code: code.code(),
        }
    });
    Some(OffsetCommitResponseTopic {
        partitions: partitions.collect(),
        name: asked.name.clone(),
        topic_id: asked.topic_id,
    })
}

/// One code for each offset, in their order.
async fn commit(
    request: &OffsetCommitRequest,
    offsets: Vec<OffsetToCommit>,
    context: &RequestContext,
) -> Vec<ErrorCode> {
    let count = offsets.len();
    let group = GroupId::new(&request.group_id);
    let commit = Request::CommitOffsets(CommitOffsets {
        generation: request.generation_id_or_member_epoch,
        member_id: MemberId::new(&request.member_id),
        instance_id: request.group_instance_id.as_deref().map(InstanceId::new),
        version: context.version,
        retention_ms: request.retention_time_ms,
        offsets,
    });
    let error = match ask_patiently(&group, commit, context).await {
        Ok(GroupAnswer::CommitOffsets(Ok(committed))) => {
            return committed.iter().map(|one| code(one, context)).collect();
        }
        Ok(GroupAnswer::CommitOffsets(Err(refused))) => NotAnswered::Refused(refused),
        Ok(other) => foreign(&other),
        Err(error) => error,
    };
    vec![error.code(Asked::Commit); count]
}

fn code(committed: &CommittedPartition, context: &RequestContext) -> ErrorCode {
    match &committed.result {
        Ok(()) => ErrorCode::None,
        Err(refused) => commit_refused(refused, context.version >= VERSION_WITH_IDS),
    }
}
