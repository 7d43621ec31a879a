//! The two ends of Fetch: what its request asks of a fetch session, and its answer. Versions and
//! behaviour are told in `fetch`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use kabuki_controller::image::MetadataImage;
use kabuki_partition::Isolation;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicId};
use kabuki_protocol::messages::fetch::{
    EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use tokio::time::Instant;

use crate::refusals::code_of;
use crate::request::{Answer, RequestContext};
use crate::state::fetch_round::PartitionFetched;
use crate::state::fetch_sessions::{
    FetchAsk, FetchContext, FetchKey, FetchSeen, FetchTopic, SessionAsk,
};

/// What a request asks of its fetch session.
pub(super) fn session_ask(request: FetchRequest, version: i16) -> SessionAsk {
    let uses_topic_ids = version >= 13;
    let key = |topic: FetchTopic, partition: i32| FetchKey { topic, partition };
    let mut partitions = Vec::new();
    for topic in request.topics {
        let named = reference(uses_topic_ids, &topic.topic, topic.topic_id);
        let asked = topic.partitions.iter();
        partitions.extend(asked.map(|ask| (key(named.clone(), ask.partition), fetch_ask(ask))));
    }
    let mut forgotten = Vec::new();
    for topic in request.forgotten_topics_data {
        let named = reference(uses_topic_ids, &topic.topic, topic.topic_id);
        forgotten.extend(
            topic
                .partitions
                .iter()
                .map(|index| key(named.clone(), *index)),
        );
    }
    let replica_id = if version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    SessionAsk {
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        uses_topic_ids,
        is_follower: replica_id >= 0,
        partitions,
        forgotten,
    }
}

fn reference(uses_topic_ids: bool, name: &str, id: TopicId) -> FetchTopic {
    if uses_topic_ids {
        FetchTopic::Id(id)
    } else {
        FetchTopic::Name(Arc::from(name))
    }
}

fn fetch_ask(partition: &FetchPartition) -> FetchAsk {
    FetchAsk {
        fetch_offset: Offset(partition.fetch_offset),
        bytes_max: partition.partition_max_bytes,
        // Here alone any negative epoch stands for none.
        current_leader_epoch: LeaderEpoch(partition.current_leader_epoch.max(-1)),
        last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
    }
}

/// An answer without partitions. Before version 7 there is no place for the code.
pub(super) fn refusal(context: &RequestContext, code: ErrorCode) -> Answer {
    context.reply(&FetchResponse {
        error_code: code.code(),
        ..FetchResponse::default()
    })
}

/// The answer to a request that Kafka fails on: up to version 12 every partition has the code too.
pub(super) fn failure(context: &RequestContext, code: ErrorCode, request: FetchRequest) -> Answer {
    let failed = |partition: &FetchPartition| {
        let (isolation, version) = (Isolation::ReadUncommitted, context.version);
        let failed = PartitionFetched::failed(code);
        let data = partition_data(
            partition.partition,
            failed,
            isolation,
            version,
            &mut HashMap::new(),
        );
        PartitionData {
            aborted_transactions: Some(Vec::new()),
            ..data
        }
    };
    let session_id = request.session_id;
    let responses = request
        .topics
        .into_iter()
        .filter(|_| context.version < 13)
        .map(|topic| {
            let partitions = topic.partitions.iter().map(failed).collect();
            FetchableTopicResponse {
                topic: topic.topic,
                topic_id: topic.topic_id,
                partitions,
            }
        });
    context.reply(&FetchResponse {
        error_code: code.code(),
        session_id,
        responses: responses.collect(),
        ..FetchResponse::default()
    })
}

/// The answer; its fetch session notes it, and leaves out what did not move.
pub(super) fn answer(
    context: &RequestContext,
    image: &MetadataImage,
    (isolation, is_follower): (Isolation, bool),
    session: FetchContext,
    fetched: Vec<PartitionFetched>,
    now: Instant,
) -> Answer {
    let keys: Vec<FetchKey> = session
        .partitions
        .iter()
        .map(|(key, _)| key.clone())
        .collect();
    let seen: Vec<FetchSeen> = fetched.iter().map(seen).collect();
    let fresh_id = || rand::random_range(1..=i32::MAX);
    let sessions = &context.services.fetch_sessions;
    let outcome = match sessions.finish(session, &seen, now, fresh_id) {
        Ok(outcome) => outcome,
        Err(refused) => return refusal(context, code_of(&refused)),
    };
    let mut told: Vec<(FetchKey, PartitionFetched)> = keys
        .into_iter()
        .zip(fetched)
        .zip(outcome.included)
        .filter_map(|(told, is_included)| is_included.then_some(told))
        .collect();
    told.sort_by_key(|(_, fetched)| rank(fetched));
    let mut leaders = HashMap::new();
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    // A topic is named again when another one lies between two of its partitions.
    let mut last: Option<FetchTopic> = None;
    for (key, fetched) in told {
        let data = partition_data(
            key.partition,
            fetched,
            isolation,
            context.version,
            &mut leaders,
        );
        if last.as_ref() != Some(&key.topic) {
            let (topic, topic_id) = match &key.topic {
                FetchTopic::Name(name) => (name.to_string(), TopicId::ZERO),
                FetchTopic::Id(id) => (String::new(), *id),
            };
            responses.push(FetchableTopicResponse {
                topic,
                topic_id,
                partitions: Vec::new(),
            });
            last = Some(key.topic);
        }
        if let Some(response) = responses.last_mut() {
            response.partitions.push(data);
        }
    }
    // A replica knows the leaders' addresses from the metadata.
    let node_endpoints = match is_follower {
        true => Vec::new(),
        false => endpoints(&leaders, image, &context.listener),
    };
    context.reply(&FetchResponse {
        session_id: outcome.session_id,
        responses,
        node_endpoints,
        ..FetchResponse::default()
    })
}

/// Kafka tells first of partitions that it knows, then of topic ids that it does not know, then of
/// other unknown partitions.
fn rank(fetched: &PartitionFetched) -> u8 {
    match fetched {
        PartitionFetched::Failed { code, .. } => match code {
            ErrorCode::UnknownTopicId => 1,
            ErrorCode::UnknownTopicOrPartition => 2,
            _ => 0,
        },
        PartitionFetched::Read { .. } | PartitionFetched::StandsStill => 0,
    }
}

fn seen(fetched: &PartitionFetched) -> FetchSeen {
    match fetched {
        PartitionFetched::Read {
            records,
            high_watermark,
            log_start,
            diverging,
            ..
        } => FetchSeen {
            has_records: !records.is_empty(),
            has_error: false,
            diverges: diverging.is_some(),
            high_watermark: *high_watermark,
            log_start: *log_start,
        },
        PartitionFetched::Failed { .. } | PartitionFetched::StandsStill => FetchSeen {
            has_records: false,
            has_error: true,
            diverges: false,
            high_watermark: Offset::NONE,
            log_start: Offset::NONE,
        },
    }
}

fn partition_data(
    partition_index: i32,
    fetched: PartitionFetched,
    isolation: Isolation,
    version: i16,
    leaders: &mut HashMap<NodeId, LeaderEpoch>,
) -> PartitionData {
    let empty = PartitionData {
        partition_index,
        // Null here is not "no records": clients take the field for present.
        records: Some(Bytes::new()),
        ..PartitionData::default()
    };
    match fetched {
        PartitionFetched::Read {
            records,
            high_watermark,
            last_stable_offset,
            log_start,
            diverging,
        } => PartitionData {
            high_watermark: high_watermark.get(),
            last_stable_offset: last_stable_offset.get(),
            log_start_offset: log_start.get(),
            diverging_epoch: diverging.map_or_else(EpochEndOffset::default, |(epoch, end)| {
                EpochEndOffset {
                    epoch: epoch.get(),
                    end_offset: end.get(),
                }
            }),
            // No transaction can be open or aborted yet: none is listed.
            aborted_transactions: match isolation {
                Isolation::ReadUncommitted => None,
                Isolation::ReadCommitted => Some(Vec::new()),
            },
            records: Some(records),
            ..empty
        },
        PartitionFetched::StandsStill => {
            let failed = PartitionFetched::failed(ErrorCode::KafkaStorageError);
            partition_data(partition_index, failed, isolation, version, leaders)
        }
        PartitionFetched::Failed { code, leader } => {
            let code = match code {
                ErrorCode::KafkaStorageError if version < 6 => ErrorCode::NotLeaderOrFollower,
                code => code,
            };
            let leader = leader.filter(|(leader, _)| version >= 16 && !leader.is_none());
            leaders.extend(leader);
            PartitionData {
                error_code: code.code(),
                current_leader: leader.map_or_else(LeaderIdAndEpoch::default, |(node, epoch)| {
                    LeaderIdAndEpoch {
                        leader_id: node.get(),
                        leader_epoch: epoch.get(),
                    }
                }),
                // So Kafka answers for what it does not know, and null for what it could not read.
                aborted_transactions: is_unknown(code).then(Vec::new),
                ..empty
            }
        }
    }
}

fn is_unknown(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId
    )
}

fn endpoints(
    leaders: &HashMap<NodeId, LeaderEpoch>,
    image: &MetadataImage,
    listener: &str,
) -> Vec<NodeEndpoint> {
    let mut nodes: Vec<NodeId> = leaders.keys().copied().collect();
    nodes.sort_unstable();
    let endpoint = |node: NodeId| {
        let broker = image.broker(node)?;
        let endpoint = broker.endpoint(listener)?;
        Some(NodeEndpoint {
            node_id: node.get(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
        })
    };
    nodes.into_iter().filter_map(endpoint).collect()
}
