//! Whether a node can be started with a configuration, and what its operator should be told.

use std::collections::BTreeMap;

use kabuki_protocol::ids::NodeId;
use thiserror::Error;

use crate::catalogue::{
    ConfigRefused, ListenerKey, broker_key, broker_keys, check_broker_value, list_entries,
};

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
    /// A key that speaks of other nodes.
    #[error("{key} = {value:?} describes a cluster, and this version runs a single node only")]
    ClusterNotBuilt {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
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

/// Checks every key and value by itself, and says what has no effect.
pub(super) fn check(
    values: &BTreeMap<String, String>,
) -> Result<Vec<ConfigWarning>, BrokerConfigRefused> {
    let mut warnings = Vec::new();
    for (name, value) in values {
        if name.starts_with("kabuki.") && broker_key(name).is_none() {
            return Err(BrokerConfigRefused::UnknownOwnKey {
                key: name.clone(),
                nearest: nearest_own_key(name),
            });
        }
        check_protection(name, value.trim())?;
        if let Err(ConfigRefused::InvalidValue { key, value, cause }) =
            check_broker_value(name, value)
        {
            return Err(BrokerConfigRefused::InvalidValue { key, value, cause });
        }
        if let Some(cause) = without_effect(name, value) {
            warnings.push(ConfigWarning {
                key: name.clone(),
                cause: cause.to_owned(),
            });
        }
    }
    check_log_dirs(values)?;
    check_lone_node(values)?;
    Ok(warnings)
}

/// `node.id`, else `broker.id`.
pub(super) fn node_id(
    values: &BTreeMap<String, String>,
) -> Result<Option<NodeId>, BrokerConfigRefused> {
    let number = |name: &str| {
        let value = values.get(name)?.trim().parse::<i32>().ok()?;
        // -1 is Kafka's "not set" for broker.id.
        (value >= 0).then_some(value)
    };
    match (number("node.id"), number("broker.id")) {
        (Some(node), Some(broker)) if node != broker => {
            Err(BrokerConfigRefused::TwoNodeIds { node, broker })
        }
        (node, broker) => Ok(node.or(broker).map(NodeId)),
    }
}

/// Keys whose value promises protection. Starting without it would fail open.
fn check_protection(name: &str, value: &str) -> Result<(), BrokerConfigRefused> {
    let protection = match name {
        "authorizer.class.name" if !value.is_empty() => "authorization",
        "ssl.client.auth" if value != "none" => "client certificates",
        "security.inter.broker.protocol" if value != "PLAINTEXT" => "protection between brokers",
        "create.topic.policy.class.name" if !value.is_empty() => "a policy for new topics",
        "alter.config.policy.class.name" if !value.is_empty() => {
            "a policy for configuration changes"
        }
        "client.quota.callback.class" if !value.is_empty() => "quotas of your own",
        "connections.max.reauth.ms" if value != "0" => "re-authentication",
        _ => return Ok(()),
    };
    Err(BrokerConfigRefused::ProtectionNotBuilt {
        key: name.to_owned(),
        protection,
    })
}

/// A list that names no directory, or one twice, is a slip of the pen.
fn check_log_dirs(values: &BTreeMap<String, String>) -> Result<(), BrokerConfigRefused> {
    for key in ["log.dirs", "log.dir"] {
        let Some(value) = values.get(key) else {
            continue;
        };
        let mut dirs: Vec<&str> = list_entries(value).collect();
        let count = dirs.len();
        dirs.sort_unstable();
        dirs.dedup();
        let cause = match (count, dirs.len()) {
            (0, _) => "names no directory",
            (count, unique) if count != unique => "names a directory twice",
            _ => continue,
        };
        return Err(BrokerConfigRefused::InvalidValue {
            key: key.to_owned(),
            value: value.clone(),
            cause: cause.to_owned(),
        });
    }
    Ok(())
}

/// A node that is told of others must not found a cluster of its own beside theirs.
fn check_lone_node(values: &BTreeMap<String, String>) -> Result<(), BrokerConfigRefused> {
    let given = |name: &str| values.get(name).map_or("", |value| value.trim());
    let refuse = |key: &'static str| {
        let value = given(key).to_owned();
        Err(BrokerConfigRefused::ClusterNotBuilt { key, value })
    };
    let mut roles: Vec<&str> = given("process.roles").split(',').map(str::trim).collect();
    roles.sort_unstable();
    if !matches!(roles.as_slice(), [""] | ["broker", "controller"]) {
        return refuse("process.roles");
    }
    for key in [
        "controller.quorum.voters",
        "controller.quorum.bootstrap.servers",
    ] {
        if given(key).contains(',') {
            return refuse(key);
        }
    }
    Ok(())
}

/// Why a value does nothing on this node; `None` when it does something, or is what holds anyway.
fn without_effect(name: &str, value: &str) -> Option<&'static str> {
    const REMOVED: &[(&str, &str)] = &[
        (
            "zookeeper.",
            "there is no ZooKeeper: metadata is in the node's own log",
        ),
        (
            "log.message.format.version",
            "removed from Kafka; batches are always format 2",
        ),
        (
            "inter.broker.protocol.version",
            "removed from Kafka with ZooKeeper",
        ),
        (
            "broker.id.generation.enable",
            "removed from Kafka with ZooKeeper",
        ),
        ("super.users", "there is no authorizer"),
        ("allow.everyone.if.no.acl.found", "there is no authorizer"),
    ];
    match broker_key(name) {
        Some(key) => key.idle_at(value),
        None if ListenerKey::parse(name).is_some_and(|own| own.has_effect()) => None,
        None => REMOVED
            .iter()
            .find(|(prefix, _)| name.starts_with(prefix))
            .map(|(_, reason)| *reason)
            .or(Some("not a key of this broker")),
    }
}

/// The `kabuki.*` key that takes the fewest changes to reach.
fn nearest_own_key(name: &str) -> &'static str {
    let own = broker_keys()
        .iter()
        .map(|key| key.name)
        .filter(|key| key.starts_with("kabuki."));
    own.min_by_key(|key| edit_distance(name, key))
        .expect("the table of own keys is not empty")
}

/// Insertions, deletions and replacements of bytes that lead from `left` to `right`.
fn edit_distance(left: &str, right: &str) -> usize {
    let right = right.as_bytes();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, byte) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(byte != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}
