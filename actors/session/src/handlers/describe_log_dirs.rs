//! DescribeLogDirs (key 35): names the log directories of this node, the room on their file systems and
//! the sizes of the partitions in them. Versions 1 to 5.
//!
//! A directory that was left out at the start, stands still or does not answer is 56. A partition that
//! is being recovered, or is parked, is in no directory until it is back: its size is not known.
//!
//! | version | what it added here |
//! |---|---|
//! | 3 | error of the whole request, never set: there is no authorizer |
//! | 4 | size of the file system, and what is left of it |
//! | 5 | cordoned directories: none, they are not built |
//!
//! Source: KIP-113, KIP-827, KIP-1066.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kabuki_controller::image::TopicImage;
use kabuki_partition::{DescribePartition, PartitionDescription, PartitionPhase};
use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::TopicName;
use kabuki_protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kabuki_replica::{DescribeLogDir, LogDirDescription};

use crate::ports::{LogDirPort, ask, ask_partition};
use crate::request::{Answer, RequestContext};

/// How long a partition or a disk may take: what needs longer is as good as not there.
const WAIT: Duration = Duration::from_secs(5);

/// Partitions that are asked at the same time: with ten thousand of them others get their turns between.
const PARTITIONS_AT_ONCE: usize = 64;

/// Partitions of one directory, by topic.
type Held = BTreeMap<TopicName, Vec<DescribeLogDirsPartition>>;

pub(super) async fn answer(request: DescribeLogDirsRequest, context: RequestContext) -> Answer {
    let mut held: BTreeMap<PathBuf, Held> = BTreeMap::new();
    for some in asked(&request, &context).chunks(PARTITIONS_AT_ONCE) {
        let descriptions = some
            .iter()
            .map(|(topic, index)| describe(topic, *index, &context));
        for description in join_all(descriptions).await.into_iter().flatten() {
            let Some(directory) = description.dir.parent() else {
                continue;
            };
            let held = held.entry(directory.to_owned()).or_default();
            let topic = held.entry(description.partition.topic.clone());
            topic.or_default().push(row(&description));
        }
    }
    // The directories last: one that hangs has kept its partitions from answering.
    let directories = context.services.log_dirs.iter();
    let results = directories.map(|directory| {
        let held = held.remove(&directory.path).unwrap_or_default();
        async move { result(directory, held, room(directory).await) }
    });
    let results: Vec<_> = results.collect();
    context.reply(&DescribeLogDirsResponse {
        results: join_all(results).await,
        ..DescribeLogDirsResponse::default()
    })
}

/// Partitions that are asked for and known, each once.
fn asked(
    request: &DescribeLogDirsRequest,
    context: &RequestContext,
) -> Vec<(Arc<TopicImage>, i32)> {
    let image = context.services.image();
    let Some(topics) = &request.topics else {
        let all = image.topics_by_name().into_iter().flat_map(|topic| {
            let indexes = (0..).take(topic.partitions.len());
            indexes.map(|index| (topic.clone(), index))
        });
        return all.collect();
    };
    let mut named: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for topic in topics {
        named
            .entry(&topic.topic)
            .or_default()
            .extend(&topic.partitions);
    }
    let known = named
        .into_iter()
        .filter_map(|(name, indexes)| Some((image.topic(name)?, indexes)));
    known
        .flat_map(|(topic, indexes)| indexes.into_iter().map(|index| (topic.clone(), index)))
        .collect()
}

/// What a partition says of itself, if this node has it and its log is open.
async fn describe(
    topic: &TopicImage,
    index: i32,
    context: &RequestContext,
) -> Option<PartitionDescription> {
    topic.partition(index)?;
    let port = context.services.partition(&topic.partition_id(index))?;
    let asking = ask_partition(&port, &port.describe, WAIT, |reply| DescribePartition {
        reply,
    });
    let description = asking.await.ok()?;
    let is_meant = description.topic_id == topic.id;
    (is_meant && description.phase != PartitionPhase::Recovering).then_some(description)
}

fn row(description: &PartitionDescription) -> DescribeLogDirsPartition {
    let lag = description.high_watermark.get() - description.log_end.get();
    DescribeLogDirsPartition {
        partition_index: description.partition.partition,
        partition_size: i64::try_from(description.size_bytes).unwrap_or(i64::MAX),
        offset_lag: lag.max(0),
        is_future_key: false,
    }
}

/// The room on a directory's file system; `None` when nothing can be said of it.
async fn room(directory: &LogDirPort) -> Option<LogDirDescription> {
    let describe = directory.describe.as_ref()?;
    let answered = ask(describe, WAIT, |reply| DescribeLogDir { reply }).await;
    answered.ok()?.ok()
}

fn result(
    directory: &LogDirPort,
    held: Held,
    room: Option<LogDirDescription>,
) -> DescribeLogDirsResult {
    let log_dir = directory.name.clone();
    let Some(room) = room else {
        return DescribeLogDirsResult {
            error_code: ErrorCode::KafkaStorageError.code(),
            log_dir,
            ..DescribeLogDirsResult::default()
        };
    };
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let topics = held
        .into_iter()
        .map(|(name, partitions)| DescribeLogDirsTopic {
            name: name.to_string(),
            partitions,
        });
    DescribeLogDirsResult {
        log_dir,
        topics: topics.collect(),
        total_bytes: bytes(room.total_bytes),
        usable_bytes: bytes(room.usable_bytes),
        ..DescribeLogDirsResult::default()
    }
}
