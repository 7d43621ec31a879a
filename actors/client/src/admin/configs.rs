//! Configuration of topics, groups and brokers: read, and changed key by key.

use std::fmt;

use kabuki_protocol::ids::NodeId;
use kabuki_protocol::messages::describe_configs::{DescribeConfigsResource, resource, source};
use kabuki_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, operation,
};
use kabuki_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::Admin;
use crate::connection::Connection;
use crate::error::ClientError;

/// What has a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A group, whether or not it exists.
    Group(String),
    /// One broker.
    Broker(NodeId),
    /// What all brokers have that do not say otherwise.
    AllBrokers,
}

impl ConfigResource {
    fn parts(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (resource::TOPIC, name.clone()),
            Self::Group(id) => (resource::GROUP, id.clone()),
            Self::Broker(id) => (resource::BROKER, id.to_string()),
            Self::AllBrokers => (resource::BROKER, String::new()),
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Group(id) => write!(f, "group {id}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("all brokers"),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on the group.
    Group,
    /// Set on the broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefaultBroker,
    /// From what the broker was started with: file, environment, command line.
    StaticBroker,
    /// Nobody has set it.
    Default,
    /// Any other place, by Kafka's number.
    Other(i8),
}

impl From<i8> for ConfigSource {
    fn from(number: i8) -> Self {
        match number {
            source::TOPIC => Self::Topic,
            source::GROUP => Self::Group,
            source::DYNAMIC_BROKER => Self::DynamicBroker,
            source::DYNAMIC_DEFAULT_BROKER => Self::DynamicDefaultBroker,
            source::STATIC_BROKER => Self::StaticBroker,
            source::DEFAULT => Self::Default,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Topic => "topic",
            Self::Group => "group",
            Self::DynamicBroker => "broker, dynamic",
            Self::DynamicDefaultBroker => "all brokers, dynamic",
            Self::StaticBroker => "broker, static",
            Self::Default => "default",
            Self::Other(_) => "other",
        })
    }
}

/// One key of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub key: String,
    /// Its value in force, `None` for a secret and for keys that have none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed while the broker runs.
    pub is_read_only: bool,
    /// Whether it is a secret.
    pub is_sensitive: bool,
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// Give it this value.
    Set(String, String),
    /// Go back to the default.
    Unset(String),
    /// Add to a list.
    Append(String, String),
    /// Take from a list.
    Subtract(String, String),
}

impl From<&ConfigChange> for AlterableConfig {
    fn from(change: &ConfigChange) -> Self {
        let (name, config_operation, value) = match change {
            ConfigChange::Set(key, value) => (key, operation::SET, Some(value)),
            ConfigChange::Unset(key) => (key, operation::DELETE, None),
            ConfigChange::Append(key, value) => (key, operation::APPEND, Some(value)),
            ConfigChange::Subtract(key, value) => (key, operation::SUBTRACT, Some(value)),
        };
        Self {
            name: name.clone(),
            config_operation,
            value: value.cloned(),
        }
    }
}

impl Admin {
    /// The configuration of a resource, by key; all keys where `keys` is empty.
    ///
    /// ```no_run
    /// # async fn example(admin: kabuki_client::Admin) -> Result<(), kabuki_client::ClientError> {
    /// let orders = kabuki_client::ConfigResource::Topic("orders".into());
    /// for entry in admin.describe_configs(&orders, &["retention.ms"]).await? {
    ///     println!("{} = {:?} ({})", entry.key, entry.value, entry.source);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_configs(
        &self,
        of: &ConfigResource,
        keys: &[&str],
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        let (resource_type, resource_name) = of.parts();
        let keys = keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let configuration_keys = (!keys.is_empty()).then_some(keys);
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name,
                configuration_keys,
            }],
            include_synonyms: false,
            include_documentation: false,
        };
        let answer = self.connection_for(of).await?.call(&request).await?;
        let mut entries = Vec::new();
        for result in answer.results {
            let what = || format!("describe configs of {of}");
            ClientError::check(result.error_code, result.error_message.as_deref(), what)?;
            entries.extend(result.configs.into_iter().map(|config| ConfigEntry {
                key: config.name,
                value: config.value,
                source: config.config_source.into(),
                is_read_only: config.read_only,
                is_sensitive: config.is_sensitive,
            }));
        }
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    /// Changes single keys of a configuration; keys that are not named stay as they are.
    pub async fn alter_configs(
        &self,
        of: &ConfigResource,
        changes: &[ConfigChange],
    ) -> Result<(), ClientError> {
        let (resource_type, resource_name) = of.parts();
        let configs = changes.iter().map(AlterableConfig::from).collect();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type,
                resource_name,
                configs,
            }],
            validate_only: false,
        };
        let answer = self.connection_for(of).await?.call(&request).await?;
        for result in answer.responses {
            let what = || format!("alter configs of {of}");
            ClientError::check(result.error_code, result.error_message.as_deref(), what)?;
        }
        Ok(())
    }

    /// A broker answers for itself alone, any of them for everything else.
    async fn connection_for(&self, of: &ConfigResource) -> Result<Connection, ClientError> {
        match of {
            ConfigResource::Broker(id) => self.client.connection_to(*id).await,
            ConfigResource::Topic(_) | ConfigResource::Group(_) | ConfigResource::AllBrokers => {
                self.client.any_connection().await
            }
        }
    }
}
