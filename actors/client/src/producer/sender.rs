//! One Produce request to one broker, and what its answer says of each batch.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use kabuki_protocol::api::ApiKey;
use kabuki_protocol::ids::{NodeId, ProducerEpoch, ProducerId, TopicId};
use kabuki_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData,
};
use kabuki_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProduceResponse};

use super::pending::PartitionKey;
use crate::cluster::Client;
use crate::error::ClientError;

/// First version of Produce that names topics by id.
const VERSION_BY_ID: i16 = 13;

/// A batch and where it goes.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) key: PartitionKey,
    pub(super) topic_id: TopicId,
    pub(super) batch: Bytes,
}

/// Where a batch was written; -1 stands for what the broker does not tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) base_offset: i64,
    pub(super) log_append_time_ms: i64,
}

const NOT_TOLD: Written = Written {
    base_offset: -1,
    log_append_time_ms: -1,
};

/// Sends batches to the broker that leads their partitions; each gets its own outcome.
pub(super) async fn send(
    client: Client,
    leader: NodeId,
    acks: i16,
    timeout: Duration,
    parcels: Vec<Parcel>,
) -> Vec<(PartitionKey, Result<Written, ClientError>)> {
    let keys: Vec<PartitionKey> = parcels.iter().map(|parcel| parcel.key.clone()).collect();
    let ids: HashMap<TopicId, String> = parcels
        .iter()
        .map(|parcel| (parcel.topic_id, parcel.key.0.clone()))
        .collect();
    match request(&client, leader, acks, timeout, parcels).await {
        Ok(None) => keys.into_iter().map(|key| (key, Ok(NOT_TOLD))).collect(),
        Ok(Some(answer)) => {
            let mut outcomes = outcomes(answer, &ids);
            let outcome_of = |key: PartitionKey| {
                let missing = || Err(ClientError::malformed("Produce", "a partition is missing"));
                let outcome = outcomes.remove(&key).unwrap_or_else(missing);
                (key, outcome)
            };
            keys.into_iter().map(outcome_of).collect()
        }
        Err(error) => keys
            .into_iter()
            .map(|key| (key, Err(error.clone())))
            .collect(),
    }
}

async fn request(
    client: &Client,
    leader: NodeId,
    acks: i16,
    timeout: Duration,
    parcels: Vec<Parcel>,
) -> Result<Option<ProduceResponse>, ClientError> {
    let connection = client.connection_to(leader).await?;
    let has_ids = parcels.iter().all(|parcel| !parcel.topic_id.is_zero());
    let version_max = if has_ids { i16::MAX } else { VERSION_BY_ID - 1 };
    let version = connection.version_within(ApiKey::Produce, version_max)?;

    let mut topics: HashMap<String, TopicProduceData> = HashMap::new();
    for Parcel {
        key: (name, index),
        topic_id,
        batch,
    } in parcels
    {
        let topic = topics
            .entry(name.clone())
            .or_insert_with(|| TopicProduceData {
                name,
                topic_id,
                partition_data: Vec::new(),
            });
        topic.partition_data.push(PartitionProduceData {
            index,
            records: Some(batch),
        });
    }
    let request = ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
        topic_data: topics.into_values().collect(),
    };
    if acks == 0 {
        connection.tell_in(version, &request).await?;
        return Ok(None);
    }
    connection
        .call_in(version, &request, Duration::ZERO)
        .await
        .map(Some)
}

fn outcomes(
    answer: ProduceResponse,
    ids: &HashMap<TopicId, String>,
) -> HashMap<PartitionKey, Result<Written, ClientError>> {
    let mut outcomes = HashMap::new();
    for topic in answer.responses {
        let by_id = || ids.get(&topic.topic_id).cloned().unwrap_or_default();
        let name = if topic.name.is_empty() {
            by_id()
        } else {
            topic.name.clone()
        };
        for partition in topic.partition_responses {
            let key = (name.clone(), partition.index);
            outcomes.insert(key, outcome(&name, &partition));
        }
    }
    outcomes
}

fn outcome(topic: &str, answer: &PartitionProduceResponse) -> Result<Written, ClientError> {
    let first_record = answer.record_errors.first();
    let message = answer
        .error_message
        .as_deref()
        .or_else(|| first_record.and_then(|record| record.batch_index_error_message.as_deref()));
    let what = || format!("write to {topic}-{}", answer.index);
    ClientError::check(answer.error_code, message, what)?;
    let PartitionProduceResponse {
        base_offset,
        log_append_time_ms,
        ..
    } = *answer;
    Ok(Written {
        base_offset,
        log_append_time_ms,
    })
}

/// Asks for the identity of an idempotent producer.
pub(super) async fn identity(client: Client) -> Result<(ProducerId, ProducerEpoch), ClientError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        // Without a transactional id it has no meaning; Kafka's client says this.
        transaction_timeout_ms: i32::MAX,
        producer_id: -1,
        producer_epoch: -1,
    };
    let answer = client.any_connection().await?.call(&request).await?;
    ClientError::check(answer.error_code, None, || "producer id".to_owned())?;
    Ok((ProducerId(answer.producer_id), answer.producer_epoch))
}
