//! DeleteRecords (key 21): moves the log start of partitions. Versions 0 to 2.
//!
//! Answered once the new log start is durable, so it does not come back after a crash. Topics
//! that are only compacted refuse it (44), internal ones too (17).
//! Source: KIP-107.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use kabuki_controller::catalogue::{ConfigLayers, TopicConfig};
use kabuki_controller::image::TopicImage;
use kabuki_partition::TrimLog;
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::Offset;
use kabuki_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use kabuki_runtime::{AskError, Undelivered};

use crate::ports::ask_partition;
use crate::refusals::code_of;
use crate::request::{Answer, RequestContext};
use crate::routes::Routes;

pub(super) async fn answer(request: DeleteRecordsRequest, context: RequestContext) -> Answer {
    let wait = super::admin_wait(request.timeout_ms);
    // A topic is answered once, and of a partition that stands more than once the last one counts, as in
    // Kafka.
    let mut asked: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
    for topic in request.topics {
        let partitions = topic.partitions.iter();
        let offsets: Vec<(i32, i64)> = partitions
            .map(|asked| (asked.partition_index, asked.offset))
            .collect();
        if !offsets.is_empty() {
            asked.entry(topic.name).or_default().extend(offsets);
        }
    }
    let mut routes = Routes::new(&context.services);
    let mut trims = Vec::with_capacity(asked.len());
    for (name, offsets) in asked {
        let partitions: Vec<_> = offsets
            .into_iter()
            .map(|(partition_index, offset)| {
                let asked = DeleteRecordsPartition {
                    partition_index,
                    offset,
                };
                trim(&name, &asked, wait, &mut routes, &context)
            })
            .collect();
        trims.push(async move {
            DeleteRecordsTopicResult {
                name,
                partitions: join_all(partitions).await,
            }
        });
    }
    let topics = join_all(trims).await;
    context.reply(&DeleteRecordsResponse {
        topics,
        ..DeleteRecordsResponse::default()
    })
}

fn trim(
    topic: &str,
    asked: &DeleteRecordsPartition,
    wait: Duration,
    routes: &mut Routes,
    context: &RequestContext,
) -> impl Future<Output = DeleteRecordsPartitionResult> + use<> {
    let DeleteRecordsPartition {
        partition_index,
        offset,
    } = *asked;
    let asking = routes
        .by_name(topic, &context.services)
        .ok_or(ErrorCode::UnknownTopicOrPartition)
        .and_then(|route| {
            if route.topic.partition(partition_index).is_none() {
                return Err(ErrorCode::UnknownTopicOrPartition);
            }
            check_topic(&route.topic, context)?;
            let topic_id = route.topic.id;
            let port = route
                .port(partition_index, &context.services)
                .map_err(code_of)?;
            let before = Offset(offset);
            Ok(ask_partition(port, &port.trim, wait, move |reply| {
                TrimLog {
                    topic_id,
                    before,
                    reply,
                }
            }))
        });
    async move {
        let failed = |code: ErrorCode| DeleteRecordsPartitionResult {
            partition_index,
            error_code: code.code(),
            ..DeleteRecordsPartitionResult::default()
        };
        match asking {
            Err(code) => failed(code),
            Ok(asking) => match asking.await {
                Ok(Ok(trimmed)) => DeleteRecordsPartitionResult {
                    partition_index,
                    low_watermark: trimmed.low_watermark.get(),
                    ..DeleteRecordsPartitionResult::default()
                },
                Ok(Err(refused)) => failed(code_of(&refused)),
                Err(AskError::NotDone(Undelivered::Stopped)) => {
                    failed(ErrorCode::NotLeaderOrFollower)
                }
                Err(AskError::NotDone(_)) => failed(ErrorCode::KafkaStorageError),
                Err(AskError::Lost | AskError::DeadlinePassed) => {
                    failed(ErrorCode::RequestTimedOut)
                }
            },
        }
    }
}

fn check_topic(topic: &TopicImage, context: &RequestContext) -> Result<(), ErrorCode> {
    if topic.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    let image = context.services.image();
    let config = TopicConfig::effective(&ConfigLayers {
        topic: Some(&topic.configs),
        dynamic_broker: &image.broker_configs(context.services.node()),
        dynamic_default: image.default_broker_configs(),
        static_broker: context.services.config.values(),
    });
    let policy = config.cleanup_policy;
    if policy.compact && !policy.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    Ok(())
}
