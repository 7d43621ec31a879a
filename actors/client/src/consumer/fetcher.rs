//! One Fetch request to one broker, and what its answer says of each partition. Without a fetch
//! session: a consumer of few partitions gains nothing by one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicId};
use kabuki_protocol::messages::FetchRequest;
use kabuki_protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};

use super::ConsumerOptions;
use super::position::PartitionKey;
use crate::cluster::Client;
use crate::error::ClientError;

/// First version of Fetch that names topics by id.
const VERSION_BY_ID: i16 = 13;

/// A partition and where to read it.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) key: PartitionKey,
    pub(super) assignment: u64,
    pub(super) topic_id: TopicId,
    pub(super) offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
}

/// What came back for one partition.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) key: PartitionKey,
    pub(super) result: Result<FetchedPart, ClientError>,
}

/// What a partition's part of the answer says.
#[derive(Debug)]
pub(super) struct FetchedPart {
    pub(super) high_watermark: Offset,
    pub(super) log_start: Offset,
    pub(super) records: Bytes,
}

impl Fetched {
    pub(super) fn failed(key: PartitionKey, error: ClientError) -> Self {
        Self {
            key,
            result: Err(error),
        }
    }
}

/// Reads from the broker that leads the partitions.
pub(super) async fn fetch(
    client: Client,
    leader: NodeId,
    wanted: Vec<Wanted>,
    options: ConsumerOptions,
) -> Result<Vec<Fetched>, ClientError> {
    let connection = client.connection_to(leader).await?;
    let has_ids = wanted.iter().all(|one| !one.topic_id.is_zero());
    let version_max = if has_ids { i16::MAX } else { VERSION_BY_ID - 1 };
    let version = connection.version_within(ApiKey::Fetch, version_max)?;

    let names: HashMap<TopicId, Arc<str>> = wanted
        .iter()
        .map(|one| (one.topic_id, one.key.0.clone()))
        .collect();
    let mut topics: BTreeMap<Arc<str>, FetchTopic> = BTreeMap::new();
    for Wanted {
        key: (topic, partition),
        topic_id,
        offset,
        leader_epoch,
        ..
    } in wanted
    {
        let asked = topics.entry(topic.clone()).or_insert_with(|| FetchTopic {
            topic: topic.to_string(),
            topic_id,
            partitions: Vec::new(),
        });
        asked.partitions.push(FetchPartition {
            partition,
            current_leader_epoch: leader_epoch.get(),
            fetch_offset: offset.get(),
            partition_max_bytes: options.partition_bytes_max,
            ..FetchPartition::default()
        });
    }
    let request = FetchRequest {
        max_wait_ms: i32::try_from(options.fetch_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: options.bytes_min,
        max_bytes: options.bytes_max,
        topics: topics.into_values().collect(),
        ..FetchRequest::default()
    };
    let answer = connection
        .call_in(version, &request, options.fetch_wait)
        .await?;
    ClientError::check(answer.error_code, None, || {
        format!("fetch from broker {leader}")
    })?;

    let mut fetched = Vec::new();
    for topic in answer.responses {
        let by_id = || {
            names
                .get(&topic.topic_id)
                .cloned()
                .unwrap_or_else(|| Arc::from(""))
        };
        let name = if topic.topic.is_empty() {
            by_id()
        } else {
            Arc::from(topic.topic)
        };
        for data in topic.partitions {
            let key = (name.clone(), data.partition_index);
            fetched.push(Fetched {
                key,
                result: part(&name, data),
            });
        }
    }
    Ok(fetched)
}

fn part(topic: &str, data: PartitionData) -> Result<FetchedPart, ClientError> {
    let what = || format!("read of {topic}-{}", data.partition_index);
    ClientError::check(data.error_code, None, what)?;
    Ok(FetchedPart {
        high_watermark: Offset(data.high_watermark),
        log_start: Offset(data.log_start_offset),
        records: data.records.unwrap_or_default(),
    })
}
