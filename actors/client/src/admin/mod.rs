//! Questions and orders about a cluster: topics, configuration, offsets, and what a Kabuki node tells
//! of its actors. Each is one request to the right broker, or one to each broker concerned.

mod actors;
mod configs;
mod group_offsets;
mod groups;
mod offsets;
mod topics;

pub(crate) use group_offsets::{Committer, commit_offsets, fetch_offsets};
pub(crate) use offsets::find_offsets;

pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
pub use group_offsets::{CommittedOffset, TopicPartition};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use offsets::{FoundOffset, OffsetSpec};
pub use topics::{CreatedTopic, NewTopic};

use kabuki_protocol::ids::NodeId;
use kabuki_protocol::messages::DescribeClusterRequest;

use crate::cluster::{Broker, Client};
use crate::error::ClientError;

/// Longest time that a broker is given to carry out an order, in milliseconds. Below the time that
/// the client waits for an answer, so that "not in time" comes from the broker.
const ORDER_TIMEOUT_MS: i32 = 25_000;

/// Administers a cluster.
///
/// ```no_run
/// use kabuki_client::{Admin, Client, ClientOptions, NewTopic};
///
/// # async fn example() -> Result<(), kabuki_client::ClientError> {
/// let admin = Admin::new(Client::connect(ClientOptions::at("127.0.0.1:9092")).await?);
/// let created = admin.create_topic(&NewTopic::named("orders").partitions(8)).await?;
/// println!("orders has id {}", created.id);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
}

/// A cluster, as its brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Id of the cluster.
    pub cluster_id: String,
    /// Broker that takes orders, `None` where there is none at the moment.
    pub controller: Option<NodeId>,
    /// The live brokers.
    pub brokers: Vec<Broker>,
}

impl Admin {
    /// Administers the cluster of that client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client it works through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Names the cluster, its controller and its brokers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        let connection = self.client.any_connection().await?;
        let answer = connection.call(&DescribeClusterRequest::default()).await?;
        let what = || "describe cluster".to_owned();
        ClientError::check(answer.error_code, answer.error_message.as_deref(), what)?;
        let brokers = answer.brokers.into_iter().map(|broker| Broker {
            id: NodeId(broker.broker_id),
            host: broker.host,
            port: broker.port,
            rack: broker.rack,
        });
        Ok(ClusterDescription {
            cluster_id: answer.cluster_id,
            controller: (answer.controller_id >= 0).then_some(NodeId(answer.controller_id)),
            brokers: brokers.collect(),
        })
    }
}
