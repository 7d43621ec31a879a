//! What one node was started with: `key -> value` strings, checked once, with typed access for what
//! the node uses.

mod check;
mod listener;

use std::collections::BTreeMap;
use std::path::PathBuf;

use kabuki_protocol::ids::NodeId;

use crate::catalogue::broker_key;
use crate::image::ConfigOverrides;

pub use check::{BrokerConfigRefused, ConfigWarning};
pub use listener::Listener;

/// The static configuration of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig {
    values: ConfigOverrides,
    listeners: Vec<Listener>,
    node: NodeId,
}

impl BrokerConfig {
    /// Checks and keeps a configuration; the warnings are for the node's log.
    ///
    /// # Errors
    /// The first of: a value that its key's rule forbids; an unknown `kabuki.*` key, with the nearest
    /// known one; a key that asks for protection this node can not give; listeners that do not fit.
    pub fn parse(
        values: BTreeMap<String, String>,
    ) -> Result<(Self, Vec<ConfigWarning>), BrokerConfigRefused> {
        let warnings = check::check(&values)?;
        let uname = rustix::system::uname();
        let host_name = uname.nodename().to_string_lossy();
        let listeners = listener::parse(&values, &host_name)?;
        let mut config = Self {
            values,
            listeners,
            node: NodeId(1),
        };
        if let Some(node) = check::node_id(&config.values)? {
            config.node = node;
            // As in Kafka, who sets the one has set the other.
            for key in ["node.id", "broker.id"] {
                config.values.insert(key.to_owned(), node.to_string());
            }
        }
        Ok((config, warnings))
    }

    /// The values as given: the static layer of every configuration (source 4).
    pub fn values(&self) -> &ConfigOverrides {
        &self.values
    }

    /// `node.id` or `broker.id`; 1 when neither is set.
    pub fn node_id(&self) -> NodeId {
        self.node
    }

    /// The listeners of clients, in the order of `listeners`.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// `log.dirs`, else `log.dir`, else `./kabuki-data`.
    pub fn log_dirs(&self) -> Vec<PathBuf> {
        let set = |name: &str| {
            self.values
                .get(name)
                .filter(|value| !value.trim().is_empty())
        };
        let dirs = set("log.dirs").or_else(|| set("log.dir"));
        let dirs = dirs.map_or("./kabuki-data", String::as_str);
        dirs.split(',')
            .map(str::trim)
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
            .collect()
    }

    /// `metadata.log.dir`, else the first of the log directories.
    pub fn metadata_dir(&self) -> PathBuf {
        match self.values.get("metadata.log.dir") {
            Some(dir) if !dir.trim().is_empty() => PathBuf::from(dir.trim()),
            _ => self.log_dirs().swap_remove(0),
        }
    }

    /// `broker.rack`.
    pub fn rack(&self) -> Option<&str> {
        self.text("broker.rack")
    }

    /// Value of a key, or its default; `None` for null.
    ///
    /// # Panics
    /// When the key is not in the table of broker keys: a bug of the caller.
    pub fn text(&self, name: &str) -> Option<&str> {
        let key = broker_key(name).expect("the caller names a key of the table");
        self.values
            .get(name)
            .map(|value| value.trim())
            .or(key.default)
    }

    /// Value of a key whose type is an integer and whose default is not null.
    ///
    /// # Panics
    /// When the key is not in the table, is no number or may be null: a bug of the caller.
    pub fn number(&self, name: &str) -> i64 {
        let text = self.text(name).expect("the key has a default");
        text.parse()
            .expect("the value was checked when the configuration was read")
    }

    /// Value of a key whose type is an integer and that may be unset.
    pub fn number_if_set(&self, name: &str) -> Option<i64> {
        self.text(name)
            .filter(|text| !text.is_empty())?
            .parse()
            .ok()
    }

    /// Value of a boolean key.
    pub fn is_on(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}
