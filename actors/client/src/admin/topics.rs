//! Topics: create, delete, grow, and cut off their oldest records.

use std::collections::BTreeMap;

use kabuki_protocol::error::ErrorCode;
use kabuki_protocol::ids::{Offset, TopicId};
use kabuki_protocol::messages::create_partitions::CreatePartitionsTopic;
use kabuki_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use kabuki_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use kabuki_protocol::messages::delete_topics::DeleteTopicState;
use kabuki_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
};

use super::{Admin, ORDER_TIMEOUT_MS};
use crate::cluster::Topic;
use crate::error::ClientError;

/// A topic to be created.
///
/// ```
/// use kabuki_client::NewTopic;
///
/// let topic = NewTopic::named("orders").partitions(8).config("retention.ms", "3600000");
/// assert_eq!(topic.partitions, Some(8));
/// assert_eq!(topic.replication_factor, None, "the broker decides");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions, `None` for the broker's default.
    pub partitions: Option<i32>,
    /// Replicas of each partition, `None` for the broker's default.
    pub replication_factor: Option<i16>,
    /// Configuration that differs from the broker's default.
    pub configs: BTreeMap<String, String>,
    /// Check everything and create nothing.
    pub validate_only: bool,
}

impl NewTopic {
    /// A topic with all of the broker's defaults.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            partitions: None,
            replication_factor: None,
            configs: BTreeMap::new(),
            validate_only: false,
        }
    }

    /// Sets the number of partitions.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Sets the number of replicas of each partition.
    #[must_use]
    pub fn replication_factor(mut self, count: i16) -> Self {
        self.replication_factor = Some(count);
        self
    }

    /// Sets one key of the configuration.
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.configs.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// A topic that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero from brokers that have none.
    pub id: TopicId,
    /// Number of partitions, where the broker tells it.
    pub partitions: Option<i32>,
    /// Replicas of each partition, where the broker tells it.
    pub replication_factor: Option<i16>,
}

impl Admin {
    /// Creates a topic.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with code 36 if it exists, 17 for a bad name, 40 for a bad config.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, ClientError> {
        let configs = topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.clone(),
                value: Some(value.clone()),
            });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.name.clone(),
                num_partitions: topic.partitions.unwrap_or(-1),
                replication_factor: topic.replication_factor.unwrap_or(-1),
                assignments: Vec::new(),
                configs: configs.collect(),
            }],
            timeout_ms: ORDER_TIMEOUT_MS,
            validate_only: topic.validate_only,
        };
        let answer = self.client.any_connection().await?.call(&request).await?;
        let result = only(answer.topics, "CreateTopics")?;
        let what = || format!("create topic {}", topic.name);
        ClientError::check(result.error_code, result.error_message.as_deref(), what)?;
        Ok(CreatedTopic {
            id: result.topic_id,
            partitions: (result.num_partitions >= 0).then_some(result.num_partitions),
            replication_factor: (result.replication_factor >= 0)
                .then_some(result.replication_factor),
        })
    }

    /// Deletes a topic with all its records.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        // Both spellings: each version takes the one it has.
        let request = DeleteTopicsRequest {
            topics: Vec::new(),
            topic_names: vec![name.to_owned()],
            timeout_ms: ORDER_TIMEOUT_MS,
        };
        let connection = self.client.any_connection().await?;
        let version = connection.version_of(kabuki_protocol::api::ApiKey::DeleteTopics)?;
        let request = if version >= 6 {
            let state = DeleteTopicState {
                name: Some(name.to_owned()),
                topic_id: TopicId::ZERO,
            };
            DeleteTopicsRequest {
                topics: vec![state],
                topic_names: Vec::new(),
                ..request
            }
        } else {
            request
        };
        let answer = connection
            .call_in(version, &request, std::time::Duration::ZERO)
            .await?;
        self.client.forget_topic(name);
        let result = only(answer.responses, "DeleteTopics")?;
        let what = || format!("delete topic {name}");
        ClientError::check(result.error_code, result.error_message.as_deref(), what)
    }

    /// Adds partitions until the topic has `count` of them.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<(), ClientError> {
        let grown = CreatePartitionsTopic {
            name: topic.to_owned(),
            count,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: vec![grown],
            timeout_ms: ORDER_TIMEOUT_MS,
            validate_only: false,
        };
        let answer = self.client.any_connection().await?.call(&request).await?;
        self.client.forget_topic(topic);
        let result = only(answer.results, "CreatePartitions")?;
        let what = || format!("create partitions of {topic}");
        ClientError::check(result.error_code, result.error_message.as_deref(), what)
    }

    /// Describes one topic.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with code 3 if there is no such topic.
    pub async fn describe_topic(&self, name: &str) -> Result<Topic, ClientError> {
        let topic = only(
            self.client.describe_topics(Some(&[name])).await?,
            "Metadata",
        )?;
        let code = topic.error.map_or(0, ErrorCode::code);
        ClientError::check(code, None, || format!("topic {name}"))?;
        Ok(topic)
    }

    /// Describes all topics, those of the brokers' own included.
    pub async fn list_topics(&self) -> Result<Vec<Topic>, ClientError> {
        self.client.describe_topics(None).await
    }

    /// Deletes the records of a partition before `offset`, or all that are committed for `None`.
    /// Returns the offset of the first record that is left.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        offset: Option<Offset>,
    ) -> Result<Offset, ClientError> {
        let up_to = kabuki_protocol::messages::delete_records::UP_TO_HIGH_WATERMARK;
        let offset = offset.map_or(up_to, Offset::get);
        let deleted = DeleteRecordsPartition {
            partition_index: partition,
            offset,
        };
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: topic.to_owned(),
                partitions: vec![deleted],
            }],
            timeout_ms: ORDER_TIMEOUT_MS,
        };
        let (leader, _) = self.client.topic(topic).await?.leader(partition)?;
        let answer = self
            .client
            .connection_to(leader)
            .await?
            .call(&request)
            .await?;
        let result = only(
            only(answer.topics, "DeleteRecords")?.partitions,
            "DeleteRecords",
        )?;
        let what = || format!("delete records of {topic}-{partition}");
        let checked = ClientError::check(result.error_code, None, what);
        if checked.as_ref().is_err_and(ClientError::stales_metadata) {
            self.client.forget_topic(topic);
        }
        checked.map(|()| Offset(result.low_watermark))
    }
}

/// The one element of an answer to a request with one.
fn only<T>(elements: Vec<T>, what: &str) -> Result<T, ClientError> {
    let count = elements.len();
    let mut elements = elements.into_iter();
    match (elements.next(), elements.next()) {
        (Some(element), None) => Ok(element),
        _ => Err(ClientError::malformed(
            what,
            format!("{count} results for one question"),
        )),
    }
}
