//! ListOffsets (key 2): finds offsets by timestamp, and the ends of logs. Versions 1 to 11.
//!
//! All partitions are asked at once. A partition that is down or restarting is answered 6 or 56,
//! never -1, on which consumers would give up.
//!
//! | version | what it added here |
//! |---|---|
//! | 2 | isolation level |
//! | 4 | leader epochs both ways |
//! | 5 | 78 while a new leader is not sure of the end (before: 5) |
//! | 7, 8, 9, 11 | timestamps -3, -4, -5, -6 (in older versions: 35) |
//! | 10 | time limit |

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use kabuki_partition::{FindOffset, Isolation, OffsetTarget};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::LeaderEpoch;
use kabuki_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse, TIMESTAMP_EARLIEST, TIMESTAMP_EARLIEST_LOCAL,
    TIMESTAMP_EARLIEST_PENDING_UPLOAD, TIMESTAMP_LATEST, TIMESTAMP_LATEST_TIERED, TIMESTAMP_MAX,
};

use crate::ports::ask_partition;
use crate::refusals::{code_of, find_unanswered};
use crate::request::{Answer, RequestContext};
use crate::routes::Routes;

pub(super) async fn answer(request: ListOffsetsRequest, context: RequestContext) -> Answer {
    let isolation = match request.isolation_level {
        0 => Isolation::ReadUncommitted,
        1 => Isolation::ReadCommitted,
        _ => return context.reply(&failure(request)),
    };
    let wait = wait(request.timeout_ms, &context);
    let duplicates = duplicates(&request);
    // One that stands more than once is answered once, as by Kafka.
    let mut answered = HashSet::new();
    let mut is_due = |name: &str, index: i32| {
        let key = (name.to_owned(), index);
        !duplicates.contains(&key) || answered.insert(key)
    };
    let mut routes = Routes::new(&context.services);
    let lookups = request.topics.into_iter().map(|topic| {
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .filter(|asked| is_due(&topic.name, asked.partition_index))
            .map(|asked| {
                let is_twice = duplicates.contains(&(topic.name.clone(), asked.partition_index));
                look_up(
                    &topic.name,
                    asked,
                    is_twice,
                    isolation,
                    wait,
                    &mut routes,
                    &context,
                )
            })
            .collect();
        async move {
            ListOffsetsTopicResponse {
                name: topic.name,
                partitions: join_all(partitions).await,
            }
        }
    });
    let lookups: Vec<_> = lookups.collect();
    let mut topics = join_all(lookups).await;
    topics.retain(|topic| !topic.partitions.is_empty());
    context.reply(&ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    })
}

/// Kafka fails on other levels of isolation, and tells so for each partition, as often as it stands there.
fn failure(request: ListOffsetsRequest) -> ListOffsetsResponse {
    let failed = |asked: &ListOffsetsPartition| ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: ErrorCode::UnknownServerError.code(),
        ..ListOffsetsPartitionResponse::default()
    };
    let topics = request.topics.into_iter();
    let topics = topics.map(|topic| ListOffsetsTopicResponse {
        partitions: topic.partitions.iter().map(failed).collect(),
        name: topic.name,
    });
    ListOffsetsResponse {
        topics: topics.collect(),
        ..ListOffsetsResponse::default()
    }
}

/// Version 10 names a time; nobody waits longer than the node's own limit.
fn wait(timeout_ms: i32, context: &RequestContext) -> Duration {
    let limit = context.services.limits.request_timeout;
    match u64::try_from(timeout_ms) {
        Ok(asked) if asked > 0 => Duration::from_millis(asked).min(limit),
        _ => limit,
    }
}

/// Partitions that stand more than once are refused, each time.
fn duplicates(request: &ListOffsetsRequest) -> HashSet<(String, i32)> {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = (topic.name.clone(), partition.partition_index);
            if !seen.insert(key.clone()) {
                twice.insert(key);
            }
        }
    }
    twice
}

fn look_up(
    topic: &str,
    asked: &ListOffsetsPartition,
    is_twice: bool,
    isolation: Isolation,
    wait: Duration,
    routes: &mut Routes,
    context: &RequestContext,
) -> impl Future<Output = ListOffsetsPartitionResponse> + use<> {
    let partition_index = asked.partition_index;
    let current_leader_epoch = LeaderEpoch(asked.current_leader_epoch);
    let target = match is_twice {
        true => Err(ErrorCode::InvalidRequest),
        false => target(asked.timestamp, context.version),
    };
    let found = target.and_then(|target| {
        let route = routes
            .by_name(topic, &context.services)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let topic_id = route.topic.id;
        let port = route
            .port(partition_index, &context.services)
            .map_err(code_of)?;
        Ok(ask_partition(port, &port.find_offset, wait, move |reply| {
            FindOffset {
                topic_id,
                target,
                isolation,
                current_leader_epoch,
                reply,
            }
        }))
    });
    let version = context.version;
    async move {
        let failed = |code: ErrorCode| ListOffsetsPartitionResponse {
            partition_index,
            error_code: code.code(),
            ..ListOffsetsPartitionResponse::default()
        };
        let answered = match found {
            Ok(asking) => asking.await,
            Err(code) => return failed(code),
        };
        match answered {
            Ok(Ok(found)) => ListOffsetsPartitionResponse {
                partition_index,
                timestamp: found.timestamp,
                offset: found.offset.get(),
                leader_epoch: found.leader_epoch.get(),
                ..ListOffsetsPartitionResponse::default()
            },
            Ok(Err(refused)) => failed(match code_of(&refused) {
                ErrorCode::OffsetNotAvailable if version < 5 => ErrorCode::LeaderNotAvailable,
                code => code,
            }),
            Err(error) => failed(find_unanswered(error)),
        }
    }
}

/// What a timestamp stands for; special values that are too new for the version are refused.
fn target(timestamp: i64, version: i16) -> Result<OffsetTarget, ErrorCode> {
    let since = |first: i16, target: OffsetTarget| {
        if version >= first {
            Ok(target)
        } else {
            Err(ErrorCode::UnsupportedVersion)
        }
    };
    match timestamp {
        TIMESTAMP_LATEST => Ok(OffsetTarget::Latest),
        TIMESTAMP_EARLIEST => Ok(OffsetTarget::Earliest),
        TIMESTAMP_MAX => since(7, OffsetTarget::MaxTimestamp),
        TIMESTAMP_EARLIEST_LOCAL => since(8, OffsetTarget::EarliestLocal),
        TIMESTAMP_LATEST_TIERED => since(9, OffsetTarget::LatestTiered),
        TIMESTAMP_EARLIEST_PENDING_UPLOAD => since(11, OffsetTarget::EarliestPendingUpload),
        0.. => Ok(OffsetTarget::Timestamp(timestamp)),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_timestamps_have_a_first_version() {
        for (timestamp, first) in [
            (-1, 1),
            (-2, 1),
            (-3, 7),
            (-4, 8),
            (-5, 9),
            (-6, 11),
            (5, 1),
        ] {
            for version in 1..=11 {
                let is_known = target(timestamp, version).is_ok();
                assert_eq!(
                    is_known,
                    version >= first,
                    "{timestamp} in version {version}"
                );
            }
        }
        assert_eq!(target(-7, 11), Err(ErrorCode::UnsupportedVersion));
    }
}
