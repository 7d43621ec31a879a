//! DescribeProducers (key 61): names the producers whose sequences and transactions partitions
//! remember. Version 0.
//!
//! Source: KIP-664.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use kabuki_partition::DescribeProducers;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{Offset, TopicName};
use kabuki_protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};

use crate::ports::ask_partition;
use crate::refusals::{code_of, find_unanswered, not_served};
use crate::request::{Answer, RequestContext};
use crate::routes::Routes;

/// Producers in one answer, about 600 KB: those of four partitions that are flooded with them. Of a
/// partition that finds no room 6 is answered, upon which a client asks again for it and for no other.
const PRODUCERS_MAX: usize = 16_384;

/// Partitions that are asked at the same time, so that their answers are not all held at once.
const PARTITIONS_AT_ONCE: usize = 4;

pub(super) async fn answer(request: DescribeProducersRequest, context: RequestContext) -> Answer {
    let mut routes = Routes::new(&context.services);
    // A partition that is named again and again is answered once, or a small request would have an
    // answer of any size.
    let mut seen: HashMap<String, HashSet<i32>> = HashMap::new();
    let mut room = Room::default();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let seen = seen.entry(topic.name.clone()).or_default();
        let mut indexes = topic.partition_indexes;
        let is_bare = indexes.is_empty();
        indexes.retain(|index| seen.insert(*index));
        let mut partitions = Vec::with_capacity(indexes.len());
        for some in indexes.chunks(PARTITIONS_AT_ONCE) {
            if room.is_spent {
                partitions.extend(some.iter().map(|index| room.refuse(*index)));
                continue;
            }
            let asked: Vec<_> = some
                .iter()
                .map(|index| describe(&topic.name, *index, &mut routes, &context))
                .collect();
            let answered = join_all(asked).await.into_iter();
            partitions.extend(answered.map(|partition| room.take(partition)));
        }
        if is_bare || !partitions.is_empty() {
            topics.push(TopicResponse {
                name: topic.name,
                partitions,
            });
        }
    }
    context.reply(&DescribeProducersResponse {
        topics,
        ..DescribeProducersResponse::default()
    })
}

/// What an answer holds already.
#[derive(Default)]
struct Room {
    used: usize,
    /// A partition found no room: nobody is asked any more.
    is_spent: bool,
}

impl Room {
    /// The first partition with producers always finds room.
    fn take(&mut self, partition: PartitionResponse) -> PartitionResponse {
        let count = partition.active_producers.len();
        if self.used > 0 && self.used + count > PRODUCERS_MAX {
            self.is_spent = true;
            return self.refuse(partition.partition_index);
        }
        self.used += count;
        partition
    }

    fn refuse(&self, partition_index: i32) -> PartitionResponse {
        let why = format!("the answer holds {} producers already", self.used);
        let code = ErrorCode::NotLeaderOrFollower;
        failed(partition_index, code, Some(why))
    }
}

fn describe(
    topic: &str,
    partition_index: i32,
    routes: &mut Routes,
    context: &RequestContext,
) -> impl Future<Output = PartitionResponse> + use<> {
    let services = &context.services;
    // Kafka has words for a topic that it does not know, and none for a partition.
    let with_words =
        |code: ErrorCode| failed(partition_index, code, Some(code.message().to_owned()));
    let unknown = match TopicName::new(topic) {
        Ok(_) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    let asking = routes
        .by_name(topic, services)
        .ok_or_else(|| with_words(unknown))
        .and_then(|route| {
            let topic_id = route.topic.id;
            let port = route
                .port(partition_index, services)
                .map_err(|unrouted| failed(partition_index, code_of(unrouted), None))?;
            let wait = services.limits.request_timeout;
            Ok(ask_partition(
                port,
                &port.describe_producers,
                wait,
                move |reply| DescribeProducers { topic_id, reply },
            ))
        });
    async move {
        let failed = |code: ErrorCode| failed(partition_index, code, None);
        let known = match asking {
            Err(failed) => return failed,
            Ok(asking) => match asking.await {
                Ok(Ok(known)) => known,
                Ok(Err(why)) => {
                    return failed(not_served(&why, ErrorCode::UnknownTopicOrPartition));
                }
                Err(error) => return failed(find_unanswered(error)),
            },
        };
        let state = known.into_iter().map(|known| ProducerState {
            producer_id: known.producer_id.get(),
            producer_epoch: i32::from(known.producer_epoch),
            last_sequence: known.last_sequence,
            last_timestamp: known.last_timestamp,
            coordinator_epoch: known.coordinator_epoch,
            current_txn_start_offset: known.current_txn_first_offset.unwrap_or(Offset::NONE).get(),
        });
        PartitionResponse {
            partition_index,
            active_producers: state.collect(),
            ..PartitionResponse::default()
        }
    }
}

fn failed(partition_index: i32, code: ErrorCode, why: Option<String>) -> PartitionResponse {
    PartitionResponse {
        partition_index,
        error_code: code.code(),
        error_message: why,
        ..PartitionResponse::default()
    }
}
