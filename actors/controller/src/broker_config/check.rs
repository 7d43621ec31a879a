//! Whether a node can be started with a configuration, and what its operator should be told.

use std::collections::BTreeMap;

use kabuki_protocol::ids::NodeId;
use thiserror::Error;

/// Why a node does not start with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokerConfigRefused {
    /// A `kabuki.*` key that does not exist.
    #[error("unknown key {key}; did you mean {nearest}?")]
    UnknownOwnKey {
        /// The key.
        key: String,
        /// The known key most like it.
        nearest: &'static str,
    },
    /// A value that its key's rule forbids.
    #[error("{key} = {value:?} {cause}")]
    InvalidValue {
        /// The key.
        key: String,
        /// The value, not shown for sensitive keys.
        value: String,
        /// The rule.
        cause: String,
    },
    /// A key that asks for protection which is not built: starting without it would fail open.
    #[error(
        "{key} asks for {protection}, which this version does not have; remove the key to start without it"
    )]
    ProtectionNotBuilt {
        /// The key.
        key: String,
        /// What it asks for.
        protection: &'static str,
    },
    /// A listener that can not be used.
    #[error("{key}: {cause}")]
    BadListener {
        /// `listeners` or `advertised.listeners`.
        key: &'static str,
        /// What is wrong, with the listener's text.
        cause: String,
    },
    /// `node.id` and `broker.id` differ.
    #[error("node.id = {node} and broker.id = {broker} differ; set one of them")]
    TwoNodeIds {
        /// `node.id`.
        node: i32,
        /// `broker.id`.
        broker: i32,
    },
}

/// What an operator should know about a configuration that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The key.
    pub key: String,
    /// Why it has no effect.
    pub cause: String,
}

/// Checks every key and value by itself.
pub(super) fn check(
    _values: &BTreeMap<String, String>,
) -> Result<Vec<ConfigWarning>, BrokerConfigRefused> {
    Ok(Vec::new())
}

/// `node.id`, else `broker.id`.
pub(super) fn node_id(
    _values: &BTreeMap<String, String>,
) -> Result<Option<NodeId>, BrokerConfigRefused> {
    Ok(None)
}
