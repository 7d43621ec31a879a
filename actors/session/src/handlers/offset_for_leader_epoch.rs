//! OffsetForLeaderEpoch (key 23): finds where a leader epoch ended. Versions 2 to 4.
//!
//! Consumers ask after a change of leader whether their position still exists. An epoch that is not
//! known is answered with -1 and -1 and no error.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | replica id, not looked at: there is no replication between nodes yet |
//!
//! Source: KIP-320.

use futures_util::future::join_all;
use kabuki_partition::FindEpochEnd;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::LeaderEpoch;
use kabuki_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};

use crate::ports::ask_partition;
use crate::refusals::{code_of, find_unanswered};
use crate::request::{Answer, RequestContext};
use crate::routes::Routes;

pub(super) async fn answer(
    request: OffsetForLeaderEpochRequest,
    context: RequestContext,
) -> Answer {
    let mut routes = Routes::new(&context.services);
    let mut lookups = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .map(|asked| look_up(&topic.topic, asked, &mut routes, &context))
            .collect();
        lookups.push(async move {
            OffsetForLeaderTopicResult {
                topic: topic.topic,
                partitions: join_all(partitions).await,
            }
        });
    }
    let topics = join_all(lookups).await;
    context.reply(&OffsetForLeaderEpochResponse {
        topics,
        ..OffsetForLeaderEpochResponse::default()
    })
}

fn look_up(
    topic: &str,
    asked: &OffsetForLeaderPartition,
    routes: &mut Routes,
    context: &RequestContext,
) -> impl Future<Output = EpochEndOffset> + use<> {
    let OffsetForLeaderPartition {
        partition,
        current_leader_epoch,
        leader_epoch,
    } = *asked;
    let services = &context.services;
    let asking = routes
        .by_name(topic, services)
        .ok_or(ErrorCode::UnknownTopicOrPartition)
        .and_then(|route| {
            let topic_id = route.topic.id;
            let port = route.port(partition, services).map_err(code_of)?;
            Ok(ask_partition(
                port,
                &port.find_epoch_end,
                services.limits.request_timeout,
                move |reply| FindEpochEnd {
                    topic_id,
                    current_leader_epoch: LeaderEpoch(current_leader_epoch),
                    leader_epoch: LeaderEpoch(leader_epoch),
                    reply,
                },
            ))
        });
    async move {
        let failed = |code: ErrorCode| EpochEndOffset {
            partition,
            error_code: code.code(),
            ..EpochEndOffset::default()
        };
        match asking {
            Err(code) => failed(code),
            Ok(asking) => match asking.await {
                Ok(Ok(found)) => EpochEndOffset {
                    partition,
                    leader_epoch: found.leader_epoch.get(),
                    end_offset: found.end_offset.get(),
                    ..EpochEndOffset::default()
                },
                Ok(Err(refused)) => failed(code_of(&refused)),
                Err(error) => failed(find_unanswered(error)),
            },
        }
    }
}
