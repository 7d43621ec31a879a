//! OffsetFetch (key 9): reads how far groups have come. Versions 1 to 10.
//!
//! A partition without an offset, a partition that does not exist and a group that does not exist are no
//! errors: -1. There are no transactions yet, so no offset is unstable.
//!
//! | version | what it added here |
//! |---|---|
//! | 2 | null asks for all; error of the answer (before: of each partition) |
//! | 7 | the client may ask for stable offsets only |
//! | 8 | several groups, each with its error |
//! | 9 | member and epoch of the new protocol |
//! | 10 | topics by id: 100 for an unknown one, -1 for an offset of an older topic of that name |
//!
//! Source: KIP-88, KIP-447, KIP-709, KIP-848.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kabuki_group::messages::{Answer as GroupAnswer, FetchOffsets, FetchedOffset, Request};
use kabuki_group::names::{GroupId, MemberId};
use kabuki_group::records::{CommittedOffset, OffsetKey};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::TopicId;
use kabuki_protocol::messages::offset_fetch::{
    OFFSET_NOT_COMMITTED, OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::{NotAnswered, ask_patiently, for_each, foreign};
use crate::group_refusals::Asked;
use crate::request::{Answer, RequestContext};

/// First version that names several groups.
const VERSION_WITH_GROUPS: i16 = 8;

/// First version that names topics by id.
const VERSION_WITH_IDS: i16 = 10;

pub(in crate::handlers) async fn answer(
    request: OffsetFetchRequest,
    context: RequestContext,
) -> Answer {
    if context.version < VERSION_WITH_GROUPS {
        let asked = as_group(request);
        let topics_asked = asked.topics.clone().unwrap_or_default();
        let fetched = fetch(asked, &context).await;
        return context.reply(&in_old_form(fetched, &topics_asked, context.version));
    }
    let mut seen = HashSet::new();
    let mut asked = request.groups;
    asked.retain(|group| seen.insert(group.group_id.clone()));
    let groups = for_each(asked, |group| fetch(group, &context)).await;
    context.reply(&OffsetFetchResponse {
        groups,
        ..OffsetFetchResponse::default()
    })
}

/// The one group of an older request.
fn as_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics,
        ..OffsetFetchRequestGroup::default()
    }
}

/// The answer of versions 1 to 7. Version 1 has room for an error at partitions only; from 2 on Kafka names no
/// partition then. While the group cannot be asked they are named all the same: aiokafka looks at no other place,
/// and would begin anew where it has committed.
fn in_old_form(
    fetched: OffsetFetchResponseGroup,
    asked: &[OffsetFetchRequestTopics],
    version: i16,
) -> OffsetFetchResponse {
    let error_code = fetched.error_code;
    let not_ready = [
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::NotCoordinator,
    ];
    let is_ready = !not_ready.map(|one| one.code()).contains(&error_code);
    let is_refused = error_code != ErrorCode::None.code();
    let topics = if is_refused && (version < 2 || !is_ready) {
        let failed = asked.iter().map(|topic| {
            let partitions = topic.partition_indexes.iter();
            OffsetFetchResponseTopic {
                name: topic.name.clone(),
                partitions: partitions
                    .map(|index| OffsetFetchResponsePartition {
                        error_code,
                        ..in_old_partition(without_offset(*index, ErrorCode::None))
                    })
                    .collect(),
            }
        });
        failed.collect()
    } else {
        let topics = fetched
            .topics
            .into_iter()
            .map(|topic| OffsetFetchResponseTopic {
                name: topic.name,
                partitions: topic.partitions.into_iter().map(in_old_partition).collect(),
            });
        topics.collect()
    };
    OffsetFetchResponse {
        topics,
        error_code,
        ..OffsetFetchResponse::default()
    }
}

fn in_old_partition(partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    }
}

async fn fetch(
    asked: OffsetFetchRequestGroup,
    context: &RequestContext,
) -> OffsetFetchResponseGroup {
    let group = GroupId::new(&asked.group_id);
    let names = asked.topics.as_ref().map(|topics| names(topics, context));
    let fetch = Request::FetchOffsets(FetchOffsets {
        member_id: asked.member_id.as_deref().map(MemberId::new),
        member_epoch: asked.member_epoch,
        keys: names
            .as_ref()
            .zip(asked.topics.as_ref())
            .map(|(names, topics)| keys(names, topics)),
    });
    let error = match ask_patiently(&group, fetch, context).await {
        Ok(GroupAnswer::FetchOffsets(Ok(fetched))) => {
            let topics = match (names, asked.topics) {
                (Some(names), Some(topics)) => asked_topics(topics, &names, fetched),
                _ => all_topics(fetched, context),
            };
            return OffsetFetchResponseGroup {
                group_id: asked.group_id,
                topics,
                error_code: ErrorCode::None.code(),
            };
        }
        Ok(GroupAnswer::FetchOffsets(Err(refused))) => NotAnswered::Refused(refused),
        Ok(other) => foreign(&other),
        Err(error) => error,
    };
    OffsetFetchResponseGroup {
        group_id: asked.group_id,
        topics: Vec::new(),
        error_code: error.code(Asked::FetchOffsets).code(),
    }
}

/// The name of each topic; `None` for an id that nobody has.
fn names(topics: &[OffsetFetchRequestTopics], context: &RequestContext) -> Vec<Option<Arc<str>>> {
    let image = context.services.image();
    let is_by_id = context.version >= VERSION_WITH_IDS;
    let name = |topic: &OffsetFetchRequestTopics| {
        if !is_by_id {
            return Some(Arc::from(&*topic.name));
        }
        let known = image.topic_by_id(topic.topic_id)?;
        Some(Arc::from(known.name.as_str()))
    };
    topics.iter().map(name).collect()
}

fn keys(names: &[Option<Arc<str>>], topics: &[OffsetFetchRequestTopics]) -> Vec<OffsetKey> {
    let named = names.iter().zip(topics);
    let keys = named.filter_map(|(name, topic)| {
        let name = name.clone()?;
        let partitions = topic.partition_indexes.iter();
        Some(partitions.map(move |index| OffsetKey {
            topic: name.clone(),
            partition: *index,
        }))
    });
    keys.flatten().collect()
}

/// The offsets asked for, in the order of the request; `fetched` has them in that order.
fn asked_topics(
    topics: Vec<OffsetFetchRequestTopics>,
    names: &[Option<Arc<str>>],
    fetched: Vec<FetchedOffset>,
) -> Vec<OffsetFetchResponseTopics> {
    let mut fetched = fetched.into_iter();
    let topics = topics.into_iter().zip(names).map(|(topic, name)| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            if name.is_none() {
                return without_offset(*index, ErrorCode::UnknownTopicId);
            }
            let offset = fetched.next().and_then(|fetched| fetched.offset);
            match offset.filter(|offset| is_of(offset, topic.topic_id)) {
                Some(offset) => with_offset(*index, &offset),
                None => without_offset(*index, ErrorCode::None),
            }
        });
        OffsetFetchResponseTopics {
            partitions: partitions.collect(),
            name: topic.name,
            topic_id: topic.topic_id,
        }
    });
    topics.collect()
}

/// Whether an offset is of the topic with this id; a zero on either side says nothing against it.
fn is_of(offset: &CommittedOffset, topic_id: TopicId) -> bool {
    topic_id.is_zero() || offset.topic_id.is_zero() || offset.topic_id == topic_id
}

/// All offsets of a group, by topic. Where topics go by id, those that are gone have none.
fn all_topics(
    fetched: Vec<FetchedOffset>,
    context: &RequestContext,
) -> Vec<OffsetFetchResponseTopics> {
    let image = context.services.image();
    let mut topics: BTreeMap<Arc<str>, Vec<OffsetFetchResponsePartitions>> = BTreeMap::new();
    for FetchedOffset { key, offset } in fetched {
        let Some(offset) = offset else { continue };
        let partition = with_offset(key.partition, &offset);
        topics.entry(key.topic).or_default().push(partition);
    }
    let is_by_id = context.version >= VERSION_WITH_IDS;
    let topics = topics.into_iter().filter_map(|(name, partitions)| {
        let topic_id = match is_by_id {
            true => image.topic(&name)?.id,
            false => TopicId::default(),
        };
        Some(OffsetFetchResponseTopics {
            name: name.to_string(),
            topic_id,
            partitions,
        })
    });
    topics.collect()
}

fn with_offset(partition: i32, offset: &CommittedOffset) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: offset.offset.get(),
        committed_leader_epoch: offset.leader_epoch.get(),
        metadata: Some(offset.metadata.to_string()),
        error_code: ErrorCode::None.code(),
    }
}

fn without_offset(partition: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: OFFSET_NOT_COMMITTED,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: code.code(),
    }
}
