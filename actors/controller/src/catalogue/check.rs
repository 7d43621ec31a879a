//! Checks of single values and of whole sets of topic overrides.

use thiserror::Error;

use super::key::{ConfigKey, ListenerKey, broker_key, group_key, topic_key};
use crate::image::ConfigOverrides;

/// Why a configuration was refused. Code 40.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigRefused {
    /// No such key; keys that Kafka has removed count as unknown.
    #[error("unknown {scope} config name: {key}")]
    UnknownKey {
        /// `topic`, `group` or `broker`.
        scope: &'static str,
        /// The key as sent.
        key: String,
    },
    /// The value breaks the key's rule.
    #[error("invalid value {value:?} for configuration {key}: {cause}")]
    InvalidValue {
        /// The key.
        key: String,
        /// The value as sent, not shown for sensitive keys.
        value: String,
        /// The rule.
        cause: String,
    },
    /// Two values that contradict each other.
    #[error("{key} = {value} contradicts {other} = {other_value}")]
    Contradiction {
        /// The key.
        key: &'static str,
        /// Its value.
        value: i64,
        /// The other key.
        other: &'static str,
        /// Its value.
        other_value: i64,
    },
    /// A broker key that is read at the start only.
    #[error("configuration {key} can not be changed while the broker runs")]
    ReadOnly {
        /// The key.
        key: String,
    },
    /// A broker key that has one value in the whole cluster.
    #[error("configuration {key} can be set for all brokers only")]
    ForAllBrokers {
        /// The key.
        key: String,
    },
    /// A key that, once a cluster counts replicas that may lead, always has a value for all brokers.
    #[error("configuration {key} can not be taken away from all brokers")]
    Kept {
        /// The key.
        key: String,
    },
    /// A topic is created with a key that has no value.
    #[error("configuration {key} has no value")]
    NullValue {
        /// The key.
        key: String,
    },
    /// Keys and values of one resource together: every node holds them in memory.
    #[error("the configuration would have {bytes} bytes, at most {bytes_max} are kept")]
    TooLarge {
        /// Bytes of all keys and values after the change.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// APPEND or SUBTRACT on a key that is no list.
    #[error("configuration {key} is not a list, so entries can not be added or taken away")]
    NotAList {
        /// The key.
        key: String,
    },
}

/// Checks a complete set of topic overrides.
///
/// # Errors
/// The first key that is unknown or has a value its rule forbids, or a pair that contradicts itself.
pub fn check_topic_configs(configs: &ConfigOverrides) -> Result<(), ConfigRefused> {
    for (name, value) in configs {
        check_topic_value(name, value)?;
    }
    let number = |key: &str| {
        configs
            .get(key)
            .and_then(|value| value.trim().parse::<i64>().ok())
    };
    let (least, most) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
    if let (Some(low), Some(high)) = (number(least), number(most))
        && low > high
    {
        return Err(ConfigRefused::Contradiction {
            key: least,
            value: low,
            other: most,
            other_value: high,
        });
    }
    Ok(())
}

/// Checks one topic override and returns its key.
pub(crate) fn check_topic_value(
    name: &str,
    value: &str,
) -> Result<&'static ConfigKey, ConfigRefused> {
    let key = topic_key(name).ok_or_else(|| ConfigRefused::UnknownKey {
        scope: "topic",
        key: name.into(),
    })?;
    check_value(key, value).map(|()| key)
}

/// Checks one group override by itself and returns its key.
pub(crate) fn check_group_value(
    name: &str,
    value: &str,
) -> Result<&'static ConfigKey, ConfigRefused> {
    let key = group_key(name).ok_or_else(|| ConfigRefused::UnknownKey {
        scope: "group",
        key: name.into(),
    })?;
    check_value(key, value).map(|()| key)
}

/// Checks one broker value and returns its key, for a key of one listener that of all. Whether it may
/// change at run time is not asked here.
pub(crate) fn check_broker_value(
    name: &str,
    value: &str,
) -> Result<&'static ConfigKey, ConfigRefused> {
    let of_all = ListenerKey::parse(name).map_or(name, |own| own.key);
    let key = broker_key(of_all).ok_or_else(|| ConfigRefused::UnknownKey {
        scope: "broker",
        key: name.into(),
    })?;
    check_value(key, value).map(|()| key)
}

fn check_value(key: &ConfigKey, value: &str) -> Result<(), ConfigRefused> {
    key.validator
        .check(key.kind, value)
        .map_err(|cause| ConfigRefused::InvalidValue {
            key: key.name.into(),
            value: if key.sensitive {
                "(hidden)".into()
            } else {
                value.into()
            },
            cause,
        })
}
