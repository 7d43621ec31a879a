//! The layers a configuration is made of, laid over each other as Kafka does it: topic or group, broker,
//! default broker, file, default; and what DescribeConfigs shows of them.

use super::check::{check_broker_value, check_group_value, check_topic_value};
use super::key::{
    ConfigKey, ConfigKind, ListenerKey, Synonym, broker_key, broker_keys, group_key, group_keys,
    topic_key, topic_keys,
};
use super::validator::{parse_double, show_double};
use crate::broker_config::BrokerConfig;
use crate::image::{ConfigOverrides, MetadataImage, TopicImage};

/// Where a value comes from, with Kafka's codes of DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic = 1,
    /// Set on this broker while it runs.
    DynamicBroker = 2,
    /// Set on all brokers while they run.
    DynamicDefaultBroker = 3,
    /// Set in the broker's file, by an override or by an environment variable.
    StaticBroker = 4,
    /// Built in.
    Default = 5,
    /// Set on the group.
    Group = 8,
}

impl ConfigSource {
    /// Code in DescribeConfigs.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// One key as DescribeConfigs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: &'static str,
    /// Value in effect; `None` for null and for every sensitive key.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Whether it can be changed only by a restart.
    pub read_only: bool,
    /// Whether its value is never shown.
    pub is_sensitive: bool,
    /// Every value that some layer holds, the one in effect first.
    pub synonyms: Vec<ConfigSynonym>,
    /// Type of the value.
    pub kind: ConfigKind,
    /// What the key does.
    pub documentation: &'static str,
}

/// A value of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Key in that layer.
    pub name: &'static str,
    /// Its value; `None` for sensitive keys.
    pub value: Option<String>,
    /// The layer.
    pub source: ConfigSource,
}

/// The layers over the built-in defaults. A layer that does not apply is an empty map.
#[derive(Debug, Clone, Copy)]
pub struct ConfigLayers<'a> {
    /// Overrides of the topic; `None` when a broker is described.
    pub topic: Option<&'a ConfigOverrides>,
    /// Dynamic configuration of the broker.
    pub dynamic_broker: &'a ConfigOverrides,
    /// Dynamic configuration of all brokers.
    pub dynamic_default: &'a ConfigOverrides,
    /// What the broker was started with.
    pub static_broker: &'a ConfigOverrides,
}

/// Whether a layer's value may be used: what no longer passes the rules is passed over.
type Check = fn(&str, &str) -> bool;

fn is_topic_value(name: &str, value: &str) -> bool {
    check_topic_value(name, value).is_ok()
}

fn is_group_value(name: &str, value: &str) -> bool {
    check_group_value(name, value).is_ok()
}

fn is_broker_value(name: &str, value: &str) -> bool {
    check_broker_value(name, value).is_ok()
}

impl<'a> ConfigLayers<'a> {
    /// The layers of a topic as the node of `config` sees them.
    pub fn of_topic(
        image: &'a MetadataImage,
        topic: &'a TopicImage,
        config: &'a BrokerConfig,
    ) -> Self {
        Self {
            topic: Some(&topic.configs),
            ..Self::of_broker(image, config)
        }
    }

    /// The layers of the broker of `config`.
    pub fn of_broker(image: &'a MetadataImage, config: &'a BrokerConfig) -> Self {
        Self {
            topic: None,
            dynamic_broker: image.broker_overrides(config.node_id()),
            dynamic_default: image.default_broker_configs(),
            static_broker: config.values(),
        }
    }

    /// All topic keys as DescribeConfigs shows them. The caller filters keys and drops
    /// synonyms and documentation that were not asked for.
    pub fn describe_topic(&self) -> Vec<ConfigEntry> {
        topic_keys()
            .iter()
            .map(|key| {
                let set = self.topic_override(key);
                self.entry_over_broker(key, set.map(|value| (value, ConfigSource::Topic)))
            })
            .collect()
    }

    /// All group keys as DescribeConfigs shows them for a group with these overrides.
    pub fn describe_group(&self, overrides: &ConfigOverrides) -> Vec<ConfigEntry> {
        group_keys()
            .iter()
            .map(|key| {
                let set = set_in(overrides, key.name, is_group_value);
                self.entry_over_broker(key, set.map(|value| (value, ConfigSource::Group)))
            })
            .collect()
    }

    /// All broker keys as DescribeConfigs shows them.
    pub fn describe_broker(&self) -> Vec<ConfigEntry> {
        broker_keys()
            .iter()
            .map(|key| self.broker_entry(key))
            .collect()
    }

    /// Value in effect of one topic key, in the form the tables have it; empty for null.
    ///
    /// # Panics
    /// When the key is not in the table of topic keys: a bug of the caller.
    pub fn effective(&self, name: &str) -> String {
        let key = topic_key(name).expect("the caller names a key of the table");
        self.value_over_broker(key, self.topic_override(key))
            .unwrap_or_default()
    }

    /// Value in effect of a broker key whose type is an integer and whose default is not null.
    ///
    /// # Panics
    /// When the key is not in the table of broker keys, or is no such number: a bug of the caller.
    pub fn broker_i64(&self, name: &str) -> i64 {
        self.broker_text(name)
            .and_then(|value| value.parse().ok())
            .expect("validators let only integers pass for integer keys")
    }

    /// Value of a broker key that one listener has for itself; `None` where it has none.
    pub fn listener_i64(&self, listener: &str, key: &str) -> Option<i64> {
        let name = ListenerKey::name(listener, key);
        let layers = self.broker_layers().into_iter();
        let value = layers.filter_map(|(_, layer)| set_in(layer, &name, is_broker_value));
        value.map(str::trim).next()?.parse().ok()
    }

    /// Value in effect of a broker key; `None` for null.
    ///
    /// # Panics
    /// When the key is not in the table of broker keys: a bug of the caller.
    pub fn broker_text(&self, name: &str) -> Option<&'a str> {
        let key = broker_key(name).expect("the caller names a key of the table");
        self.broker_layers()
            .into_iter()
            .find_map(|(_, layer)| set_in(layer, name, is_broker_value))
            .or(key.default)
            .map(str::trim)
    }

    /// Value in effect of a group key whose type is an integer, for a group with these overrides.
    pub(super) fn group_i64(&self, overrides: &ConfigOverrides, name: &str) -> i64 {
        let key = group_key(name).expect("the caller names a key of the table");
        let value = self.value_over_broker(key, set_in(overrides, name, is_group_value));
        value
            .and_then(|value| value.parse().ok())
            .expect("validators let only integers pass for integer keys")
    }

    /// Value in effect of a topic key whose type is an integer.
    ///
    /// # Panics
    /// When the key is not in the table of topic keys, or is no number: a bug of the caller.
    pub fn effective_i64(&self, name: &str) -> i64 {
        let value = self.effective(name);
        value
            .parse()
            .expect("validators let only integers pass for integer keys")
    }

    fn broker_layers(&self) -> [(ConfigSource, &'a ConfigOverrides); 3] {
        [
            (ConfigSource::DynamicBroker, self.dynamic_broker),
            (ConfigSource::DynamicDefaultBroker, self.dynamic_default),
            (ConfigSource::StaticBroker, self.static_broker),
        ]
    }

    fn topic_override(&self, key: &ConfigKey) -> Option<&'a str> {
        set_in(self.topic?, key.name, is_topic_value)
    }

    /// The override first, then the broker keys in their order, each through all layers, as Kafka merges
    /// its layers before it asks for milliseconds, minutes and hours; then the default.
    fn value_over_broker(&self, key: &ConfigKey, set: Option<&str>) -> Option<String> {
        if let Some(value) = set {
            return Some(normal(key.kind, value));
        }
        for synonym in &key.synonyms {
            for (_, layer) in self.broker_layers() {
                if let Some(value) = set_in(layer, synonym.name, is_broker_value) {
                    return Some(normal(key.kind, &scaled(value, *synonym)));
                }
            }
        }
        key.default.map(str::to_owned)
    }

    fn entry_over_broker(
        &self,
        key: &'static ConfigKey,
        set: Option<(&str, ConfigSource)>,
    ) -> ConfigEntry {
        let mut synonyms = Vec::new();
        // Kafka shows an override as it has read it, and the broker keys below as they were written.
        let own = set.map(|(value, source)| (normal(key.kind, value), source));
        if let Some((value, source)) = &own {
            synonyms.push((key.name, value.as_str(), *source));
        }
        let below = self.broker_synonyms(key.synonyms.iter().map(|synonym| synonym.name));
        synonyms.extend(below);
        let source = synonyms
            .first()
            .map_or(ConfigSource::Default, |(_, _, source)| *source);
        // Kafka shows the default of a group's key under its own name, and that of a topic's nowhere.
        if key.synonyms.is_empty()
            && is_group(key)
            && let Some(default) = key.default
        {
            synonyms.push((key.name, default, ConfigSource::Default));
        }
        let value = self.value_over_broker(key, set.map(|(value, _)| value));
        entry(key, value, source, synonyms)
    }

    fn broker_entry(&self, key: &'static ConfigKey) -> ConfigEntry {
        let stand_ins = topic_keys().iter().map(|topic| &topic.synonyms);
        let mut stand_ins =
            stand_ins.filter(|all| all[..].first().is_some_and(|own| own.name == key.name));
        let synonyms = match stand_ins.next() {
            Some(all) => self.broker_synonyms(all.iter().map(|synonym| synonym.name)),
            None => self.broker_synonyms([key.name].into_iter()),
        };
        let (value, source) = match synonyms.first() {
            Some((_, value, source)) => (Some(normal(key.kind, value)), *source),
            None => (None, ConfigSource::Default),
        };
        entry(key, value, source, synonyms)
    }

    /// What all layers and the defaults say of broker keys that stand in for each other. As in Kafka, what
    /// comes before the first word about the first of them is not shown.
    fn broker_synonyms(
        &self,
        names: impl Iterator<Item = &'static str> + Clone,
    ) -> Vec<(&'static str, &'a str, ConfigSource)> {
        let mut synonyms = Vec::new();
        for (source, layer) in self.broker_layers() {
            synonyms.extend(names.clone().filter_map(|name| {
                let value = set_in(layer, name, is_broker_value)?;
                Some((name, value, source))
            }));
        }
        synonyms.extend(names.clone().filter_map(|name| {
            let default = broker_key(name)?.default?;
            Some((name, default, ConfigSource::Default))
        }));
        let first = names.clone().next();
        let shown = synonyms.iter().position(|(name, ..)| Some(*name) == first);
        synonyms.split_off(shown.unwrap_or(synonyms.len()))
    }

    /// What is set for all brokers, as it was written.
    pub fn describe_all_brokers(&self) -> Vec<ConfigEntry> {
        let set = self.dynamic_default.iter();
        let known = set.filter_map(|(name, value)| Some((broker_key(name)?, value.as_str())));
        let source = ConfigSource::DynamicDefaultBroker;
        known
            .map(|(key, value)| {
                entry(
                    key,
                    Some(value.to_owned()),
                    source,
                    vec![(key.name, value, source)],
                )
            })
            .collect()
    }
}

fn entry(
    key: &'static ConfigKey,
    value: Option<String>,
    source: ConfigSource,
    synonyms: Vec<(&'static str, &str, ConfigSource)>,
) -> ConfigEntry {
    let shown = |value: &str| (!key.sensitive).then(|| value.to_owned());
    ConfigEntry {
        name: key.name,
        value: value.filter(|_| !key.sensitive),
        source,
        read_only: key.read_only,
        is_sensitive: key.sensitive,
        synonyms: synonyms
            .into_iter()
            .map(|(name, value, source)| ConfigSynonym {
                name,
                value: shown(value),
                source,
            })
            .collect(),
        kind: key.kind,
        documentation: key.documentation,
    }
}

/// Whether the key is one of groups: Kafka shows the default of those under their own name where no
/// broker key stands in for them, and that of a topic's nowhere.
fn is_group(key: &ConfigKey) -> bool {
    group_key(key.name).is_some_and(|group| std::ptr::eq(group, key))
}

fn set_in<'a>(layer: &'a ConfigOverrides, name: &str, check: Check) -> Option<&'a str> {
    layer
        .get(name)
        .map(String::as_str)
        .filter(|value| check(name, value))
}

fn scaled(value: &str, synonym: Synonym) -> String {
    if synonym.factor == 1 {
        return value.to_owned();
    }
    match value.trim().parse::<i64>() {
        // -1 hours is "no limit", not minus one hour.
        Ok(number) if number < 0 => "-1".to_owned(),
        Ok(number) => number.saturating_mul(synonym.factor).to_string(),
        Err(_) => value.to_owned(),
    }
}

/// Values as Kafka writes what it has read.
fn normal(kind: ConfigKind, value: &str) -> String {
    let value = value.trim();
    match kind {
        ConfigKind::Boolean => value.to_ascii_lowercase(),
        ConfigKind::Int | ConfigKind::Short | ConfigKind::Long => value
            .parse::<i64>()
            .map_or(value.to_owned(), |number| number.to_string()),
        ConfigKind::Double => parse_double(value).map_or(value.to_owned(), show_double),
        ConfigKind::List => {
            let entries: Vec<&str> = value.split(',').map(str::trim).collect();
            entries.join(",")
        }
        ConfigKind::String | ConfigKind::Class | ConfigKind::Password => value.to_owned(),
    }
}
