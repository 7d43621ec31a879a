//! Every configuration key of Kafka 4.3: name, type, default, synonyms, and which values it takes;
//! what a topic, group or broker is configured with once all layers are laid over each other.

mod broker_changes;
mod check;
mod group_config;
mod key;
mod layers;
mod topic_config;
mod validator;

pub(crate) use broker_changes::BrokerChange;
pub(crate) use check::check_broker_value;
pub use check::{ConfigRefused, check_topic_configs};
pub use group_config::ConsumerGroupTimes;
pub(crate) use group_config::check_group_configs;
pub use key::{
    ConfigKey, ConfigKind, ListenerKey, broker_key, broker_keys, group_key, group_keys, is_fixed,
    topic_key, topic_keys,
};
pub use layers::{ConfigEntry, ConfigLayers, ConfigSource, ConfigSynonym};
pub use topic_config::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};

pub(crate) use validator::list_entries;
