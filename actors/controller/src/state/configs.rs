//! Changing configurations, key by key (KIP-339) or as a whole (KIP-133).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kabuki_protocol::ids::{TopicId, TopicName};

use super::{Decision, Metadata};
use crate::catalogue::{
    BrokerChange, ConfigKey, ConfigKind, ConfigLayers, ConfigRefused, ListenerKey, broker_key,
    check_broker_value, check_group_configs, check_topic_configs, group_key, is_fixed,
    list_entries, topic_key,
};
use crate::image::ConfigOverrides;
use crate::messages::{
    ConfigAction, ConfigAlteration, ConfigChange, ConfigOperation, ConfigResource,
};
use crate::records::{MetadataRecord, RecordResource, Records};
use crate::refusal::AlterConfigsRefused;

/// Keys and values that one resource may have together. Kafka has no such limit; the longest sound
/// configurations, lists of replicas that are throttled, come to a tenth of it.
const OVERRIDES_BYTES_MAX: usize = 64 * 1024;

/// A topic that does not exist.
const NO_TOPIC: RecordResource = RecordResource::Topic(TopicId::ZERO);

/// A key of the whole cluster, as in a Kafka with eligible leader replicas.
const QUORUM_OF_REPLICAS: &str = "min.insync.replicas";

type Altered = Result<(), AlterConfigsRefused>;

/// Broker keys of this broker's own: a misspelt one is told, as it is at the start of a node.
const OWN_PREFIX: &str = "kabuki.";

impl Metadata {
    /// Judges each resource by itself, in Kafka's order of checks; one that stands twice is not changed at
    /// all, and none is where an operation for a topic or a group is unknown.
    pub(crate) fn alter_configs(
        &self,
        resources: &[ConfigAlteration],
        validate_only: bool,
    ) -> Decision<Vec<Altered>> {
        let mut seen: HashMap<&ConfigResource, usize> = HashMap::new();
        for alteration in resources {
            *seen.entry(&alteration.resource).or_default() += 1;
        }
        let check_form = |alteration: &ConfigAlteration| {
            if seen[&alteration.resource] > 1 {
                return Err(AlterConfigsRefused::DuplicateResource);
            }
            check_form(&alteration.change)
        };
        let fails = |alteration: &ConfigAlteration| {
            !names_broker(&alteration.resource)
                && has_unknown_action(&alteration.change)
                && check_form(alteration).is_ok()
        };
        let is_failed = resources.iter().any(fails);
        let mut records = Records::new();
        let answer = resources
            .iter()
            .map(|alteration| {
                check_form(alteration)?;
                if names_broker(&alteration.resource) && has_unknown_action(&alteration.change) {
                    return Err(AlterConfigsRefused::UnknownAction);
                }
                if is_failed {
                    return Err(AlterConfigsRefused::UnknownActionInRequest);
                }
                let (resource, old) = self.find_resource(&alteration.resource)?;
                check_lists(&resource, &alteration.change)?;
                check_name(&alteration.resource)?;
                let new = match &alteration.change {
                    ConfigChange::Operations(operations) => operated(&resource, &old, operations)?,
                    ConfigChange::Replacement(configs) => replaced(&resource, &old, configs)?,
                };
                self.check(&resource, &old, &new)?;
                if resource == NO_TOPIC {
                    return Err(AlterConfigsRefused::UnknownTopic);
                }
                if !validate_only {
                    record_changes(&resource, &old, &new, &mut records);
                }
                Ok(())
            })
            .collect();
        Decision { answer, records }
    }

    /// What is to be configured, and how it is now. A topic that does not exist is none yet: as in Kafka,
    /// what is asked for it is judged first.
    fn find_resource(
        &self,
        resource: &ConfigResource,
    ) -> Result<(RecordResource, Arc<ConfigOverrides>), AlterConfigsRefused> {
        match resource {
            ConfigResource::Topic(name) => {
                let topic = self.image.topic(name);
                Ok(topic.map_or((NO_TOPIC, Arc::default()), |topic| {
                    (RecordResource::Topic(topic.id), topic.configs.clone())
                }))
            }
            ConfigResource::Broker(node) => {
                let node = *node;
                self.image
                    .broker(node)
                    .ok_or(AlterConfigsRefused::UnknownBroker { node })?;
                Ok((
                    RecordResource::Broker(node),
                    self.image.broker_configs(node),
                ))
            }
            ConfigResource::DefaultBroker => {
                let configs = self.image.default_broker_configs().clone();
                Ok((RecordResource::DefaultBroker, configs))
            }
            ConfigResource::Group(name) => {
                let configs = self.image.group_overrides(name).clone();
                Ok((RecordResource::Group(name.clone()), Arc::new(configs)))
            }
        }
    }

    /// Checks a configuration as a whole.
    fn check(
        &self,
        resource: &RecordResource,
        old: &ConfigOverrides,
        new: &ConfigOverrides,
    ) -> Result<(), ConfigRefused> {
        match resource {
            RecordResource::Topic(_) => check_topic_configs(new)?,
            RecordResource::Group(_) => {
                let broker = &self.settings.broker;
                check_group_configs(new, &ConfigLayers::of_broker(&self.image, broker), broker)?;
            }
            RecordResource::Broker(_) => self.check_broker(old, new, false)?,
            RecordResource::DefaultBroker => self.check_broker(old, new, true)?,
        }
        // What is too large already may shrink.
        if size(new) > size(old) {
            check_size(new)?;
        }
        Ok(())
    }

    fn check_broker(
        &self,
        old: &ConfigOverrides,
        new: &ConfigOverrides,
        is_for_all: bool,
    ) -> Result<(), ConfigRefused> {
        let broker = &self.settings.broker;
        let before = ConfigLayers::of_broker(&self.image, broker);
        let mut after = before;
        if is_for_all {
            after.dynamic_default = new;
        } else {
            after.dynamic_broker = new;
        }
        let log_dirs = broker.log_dirs();
        let change = BrokerChange {
            old,
            new,
            before,
            after,
            is_for_all,
            log_dirs: log_dirs
                .iter()
                .map(|dir| dir.display().to_string())
                .collect(),
        };
        change.check()
    }
}

/// Refuses a key that stands twice or lacks its value, before anything is asked about the key.
fn check_form(change: &ConfigChange) -> Result<(), AlterConfigsRefused> {
    let (keys, valueless): (Vec<&String>, Option<&String>) = match change {
        ConfigChange::Operations(operations) => {
            let lacks_value = |operation: &&ConfigOperation| {
                operation.action != ConfigAction::Delete && operation.value.is_none()
            };
            let valueless = operations.iter().find(lacks_value);
            (
                operations.iter().map(|operation| &operation.key).collect(),
                valueless.map(|operation| &operation.key),
            )
        }
        ConfigChange::Replacement(configs) => {
            let valueless = configs.iter().find(|(_, value)| value.is_none());
            (
                configs.iter().map(|(key, _)| key).collect(),
                valueless.map(|(key, _)| key),
            )
        }
    };
    if let Some(key) = valueless {
        return Err(AlterConfigsRefused::NullValue { key: key.clone() });
    }
    let mut seen = HashSet::new();
    match keys.into_iter().find(|key| !seen.insert(*key)) {
        Some(key) => Err(AlterConfigsRefused::DuplicateKey { key: key.clone() }),
        None => Ok(()),
    }
}

fn has_unknown_action(change: &ConfigChange) -> bool {
    let ConfigChange::Operations(operations) = change else {
        return false;
    };
    operations
        .iter()
        .any(|operation| operation.action == ConfigAction::Unknown)
}

fn names_broker(resource: &ConfigResource) -> bool {
    matches!(
        resource,
        ConfigResource::Broker(_) | ConfigResource::DefaultBroker
    )
}

/// Refuses entries for what is no list: Kafka looks at that before it looks at the resource's name.
fn check_lists(resource: &RecordResource, change: &ConfigChange) -> Result<(), ConfigRefused> {
    let ConfigChange::Operations(operations) = change else {
        return Ok(());
    };
    let is_of_list = |operation: &&ConfigOperation| {
        matches!(
            operation.action,
            ConfigAction::Append | ConfigAction::Subtract
        )
    };
    for operation in operations.iter().filter(is_of_list) {
        if is_broker(resource) && is_fixed(&operation.key) {
            // Told as read only, with the values.
            continue;
        }
        let key = known_key(resource, &operation.key);
        if key.is_none_or(|key| key.kind != ConfigKind::List) {
            let key = operation.key.clone();
            return Err(ConfigRefused::NotAList { key });
        }
    }
    Ok(())
}

fn check_name(resource: &ConfigResource) -> Result<(), AlterConfigsRefused> {
    match resource {
        ConfigResource::Topic(name) | ConfigResource::Group(name) if name.is_empty() => {
            Err(AlterConfigsRefused::NoName)
        }
        ConfigResource::Topic(name) => match TopicName::new(name) {
            Ok(_) => Ok(()),
            Err(cause) => Err(AlterConfigsRefused::InvalidTopicName {
                cause: cause.to_string(),
            }),
        },
        _ => Ok(()),
    }
}

/// The overrides that take the place of all others; their form has been checked.
fn replaced(
    resource: &RecordResource,
    old: &ConfigOverrides,
    configs: &[(String, Option<String>)],
) -> Result<ConfigOverrides, ConfigRefused> {
    let given = configs.iter();
    let new: ConfigOverrides = given
        .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
        .collect();
    for (name, value) in &new {
        // What a broker has already is not asked for anew: it may be of another version.
        if old.get(name) != Some(value) {
            check_one(resource, name, value)?;
        }
    }
    Ok(new)
}

/// Whether a key may be changed, and to this value as far as that can be said of it alone.
fn check_one(resource: &RecordResource, name: &str, value: &str) -> Result<(), ConfigRefused> {
    let is_known = find_key(resource, name)?.is_some();
    let is_of_listener = ListenerKey::parse(name).is_some_and(|own| broker_key(own.key).is_some());
    if (is_known || is_of_listener) && is_broker(resource) {
        check_broker_value(name, value)?;
    }
    Ok(())
}

/// The overrides after all operations; their form has been checked.
fn operated(
    resource: &RecordResource,
    old: &ConfigOverrides,
    operations: &[ConfigOperation],
) -> Result<ConfigOverrides, ConfigRefused> {
    let mut new = old.clone();
    for operation in operations {
        let name = &operation.key;
        if operation.action == ConfigAction::Delete {
            if name == QUORUM_OF_REPLICAS && *resource == RecordResource::DefaultBroker {
                return Err(ConfigRefused::Kept { key: name.clone() });
            }
            // Also a key this version does not know, or that is read at the start only: as in Kafka it
            // is no error to take away what is not there.
            new.remove(name);
            continue;
        }
        let key = find_key(resource, name)?;
        if let Some(value) = value_after(key, operation, new.get(name)) {
            check_one(resource, name, &value)?;
            new.insert(name.clone(), value);
        }
    }
    Ok(new)
}

fn size(configs: &ConfigOverrides) -> usize {
    configs
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum()
}

/// Refuses more than a resource may have.
pub(super) fn check_size(configs: &ConfigOverrides) -> Result<(), ConfigRefused> {
    let (bytes, bytes_max) = (size(configs), OVERRIDES_BYTES_MAX);
    if bytes > bytes_max {
        return Err(ConfigRefused::TooLarge { bytes, bytes_max });
    }
    Ok(())
}

fn is_broker(resource: &RecordResource) -> bool {
    matches!(
        resource,
        RecordResource::Broker(_) | RecordResource::DefaultBroker
    )
}

fn known_key(resource: &RecordResource, name: &str) -> Option<&'static ConfigKey> {
    match resource {
        RecordResource::Group(_) => group_key(name),
        RecordResource::Topic(_) => topic_key(name),
        RecordResource::Broker(_) | RecordResource::DefaultBroker => broker_key(name),
    }
}

/// The key if it may be changed; `None` for one of a broker that nobody here knows: Kafka keeps
/// those for its plugins, and tools that set them everywhere are not to fail here.
fn find_key(
    resource: &RecordResource,
    name: &str,
) -> Result<Option<&'static ConfigKey>, ConfigRefused> {
    let key = name.to_owned();
    let own = match resource {
        RecordResource::Topic(_) => Some(("topic", topic_key(name))),
        RecordResource::Group(_) => Some(("group", group_key(name))),
        RecordResource::Broker(_) | RecordResource::DefaultBroker => None,
    };
    if let Some((scope, known)) = own {
        let known = known.ok_or(ConfigRefused::UnknownKey { scope, key });
        return known.map(Some);
    }
    let known = broker_key(name);
    if is_fixed(name) {
        return Err(ConfigRefused::ReadOnly { key });
    }
    if known.is_none() && name.starts_with(OWN_PREFIX) {
        let scope = "broker";
        return Err(ConfigRefused::UnknownKey { scope, key });
    }
    Ok(known)
}

/// The value after one operation; `None` leaves the key as it is.
fn value_after(
    key: Option<&ConfigKey>,
    operation: &ConfigOperation,
    old: Option<&String>,
) -> Option<String> {
    let value = operation.value.as_deref()?;
    let old = || {
        let default = key.and_then(|key| key.default);
        old.map(String::as_str).or(default).unwrap_or("")
    };
    match operation.action {
        ConfigAction::Set => Some(value.to_owned()),
        ConfigAction::Append => {
            let mut entries: Vec<&str> = list_entries(old()).collect();
            // An empty text adds an empty entry, as in Kafka, which most lists then refuse.
            for entry in value.split(',').map(str::trim) {
                if !entries.contains(&entry) {
                    entries.push(entry);
                }
            }
            Some(entries.join(","))
        }
        ConfigAction::Subtract => {
            let taken: Vec<&str> = list_entries(value).collect();
            let mut entries: Vec<&str> = list_entries(old()).collect();
            entries.retain(|entry| !taken.contains(entry));
            Some(entries.join(","))
        }
        ConfigAction::Delete | ConfigAction::Unknown => None,
    }
}

/// Keys that records set although they do nothing here, with the reason.
pub(crate) fn idle_keys(
    records: &[MetadataRecord],
) -> impl Iterator<Item = (&'static str, &'static str)> {
    records.iter().filter_map(|record| {
        let MetadataRecord::ConfigChanged {
            resource,
            key,
            value: Some(value),
        } = record
        else {
            return None;
        };
        match known_key(resource, key) {
            Some(known) => Some((known.name, known.idle_at(value)?)),
            None if ListenerKey::parse(key).is_some_and(|own| own.has_effect()) => None,
            // Any name may be set on a broker: they are told as one.
            None => Some(("unknown keys", "they are kept for plugins of other brokers")),
        }
    })
}

fn record_changes(
    resource: &RecordResource,
    old: &ConfigOverrides,
    new: &ConfigOverrides,
    records: &mut Records,
) {
    let removed = old
        .keys()
        .filter(|key| !new.contains_key(*key))
        .map(|key| (key, None));
    let set = new
        .iter()
        .filter(|(key, value)| old.get(*key) != Some(*value));
    let set = set.map(|(key, value)| (key, Some(value.clone())));
    records.extend(
        removed
            .chain(set)
            .map(|(key, value)| MetadataRecord::ConfigChanged {
                resource: resource.clone(),
                key: key.clone(),
                value,
            }),
    );
}
