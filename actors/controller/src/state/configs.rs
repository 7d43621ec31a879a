//! Changing configurations key by key. Rule A6, KIP-339.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Decision, Metadata};
use crate::catalogue::{
    ConfigKey, ConfigKind, ConfigRefused, broker_key, check_broker_value, check_topic_configs,
    list_entries, topic_key,
};
use crate::image::ConfigOverrides;
use crate::messages::{ConfigAction, ConfigAlteration, ConfigOperation, ConfigResource};
use crate::records::{MetadataRecord, RecordResource, Records};
use crate::refusal::AlterConfigsRefused;

type Altered = Result<(), AlterConfigsRefused>;

/// Broker keys that Kafka can change while it runs and this broker can not: taking a value without
/// acting on it would promise protection that is not there.
const FIXED_PREFIXES: [&str; 5] = [
    "ssl.",
    "sasl.",
    "listener",
    "principal.",
    "config.providers",
];

impl Metadata {
    /// Judges each resource by itself; one that stands twice is not changed at all.
    pub(crate) fn alter_configs(
        &self,
        resources: &[ConfigAlteration],
        validate_only: bool,
    ) -> Decision<Vec<Altered>> {
        let mut seen: HashMap<&ConfigResource, usize> = HashMap::new();
        for alteration in resources {
            *seen.entry(&alteration.resource).or_default() += 1;
        }
        let mut records = Records::new();
        let answer = resources
            .iter()
            .map(|alteration| {
                if seen[&alteration.resource] > 1 {
                    return Err(AlterConfigsRefused::DuplicateResource);
                }
                let (resource, old) = self.find_resource(&alteration.resource)?;
                let new = altered(resource, &old, &alteration.operations)?;
                if !validate_only {
                    record_changes(resource, &old, &new, &mut records);
                }
                Ok(())
            })
            .collect();
        Decision { answer, records }
    }

    fn find_resource(
        &self,
        resource: &ConfigResource,
    ) -> Result<(RecordResource, Arc<ConfigOverrides>), AlterConfigsRefused> {
        match resource {
            ConfigResource::Topic(name) => {
                let topic = self
                    .image
                    .topic(name)
                    .ok_or(AlterConfigsRefused::UnknownTopic)?;
                Ok((RecordResource::Topic(topic.id), topic.configs.clone()))
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
        }
    }
}

/// The overrides after all operations, checked as a whole.
fn altered(
    resource: RecordResource,
    old: &ConfigOverrides,
    operations: &[ConfigOperation],
) -> Result<ConfigOverrides, AlterConfigsRefused> {
    let mut new = old.clone();
    let mut seen = HashSet::new();
    for operation in operations {
        let name = &operation.key;
        if !seen.insert(name) {
            return Err(AlterConfigsRefused::DuplicateKey { key: name.clone() });
        }
        if operation.action == ConfigAction::Delete && new.remove(name).is_some() {
            // Also a key this version does not know: an older one may have stored it.
            continue;
        }
        let key = find_key(resource, name)?;
        if let Some(value) = operated(key, operation, new.get(name))? {
            if !matches!(resource, RecordResource::Topic(_)) {
                check_broker_value(name, &value)?;
            }
            new.insert(name.clone(), value);
        }
    }
    if matches!(resource, RecordResource::Topic(_)) {
        check_topic_configs(&new)?;
    }
    Ok(new)
}

fn find_key(resource: RecordResource, name: &str) -> Result<&'static ConfigKey, ConfigRefused> {
    let key = name.to_owned();
    if let RecordResource::Topic(_) = resource {
        return topic_key(name).ok_or(ConfigRefused::UnknownKey {
            scope: "topic",
            key,
        });
    }
    let known = broker_key(name).ok_or_else(|| ConfigRefused::UnknownKey {
        scope: "broker",
        key: key.clone(),
    })?;
    let is_fixed = FIXED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if known.read_only || is_fixed {
        return Err(ConfigRefused::ReadOnly { key });
    }
    Ok(known)
}

/// The value after one operation; `None` leaves the key as it is.
fn operated(
    key: &ConfigKey,
    operation: &ConfigOperation,
    old: Option<&String>,
) -> Result<Option<String>, AlterConfigsRefused> {
    if operation.action == ConfigAction::Delete {
        return Ok(None);
    }
    let name = key.name.to_owned();
    let Some(value) = operation.value.as_deref() else {
        return Err(AlterConfigsRefused::NullValue { key: name });
    };
    if operation.action == ConfigAction::Set {
        return Ok(Some(value.to_owned()));
    }
    if key.kind != ConfigKind::List {
        return Err(ConfigRefused::NotAList { key: name }.into());
    }
    let old = old.map(String::as_str).or(key.default).unwrap_or("");
    let mut entries: Vec<&str> = list_entries(old).collect();
    if operation.action == ConfigAction::Append {
        for entry in list_entries(value) {
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
    } else {
        let taken: Vec<&str> = list_entries(value).collect();
        entries.retain(|entry| !taken.contains(entry));
    }
    Ok(Some(entries.join(",")))
}

fn record_changes(
    resource: RecordResource,
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
                resource,
                key: key.clone(),
                value,
            }),
    );
}
