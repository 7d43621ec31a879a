//! The one way in which the image changes, live and at replay.

use std::sync::Arc;

use kabuki_protocol::ids::{NodeId, TopicId};
use thiserror::Error;

use crate::image::{ConfigOverrides, MetadataImage, PartitionImage, TopicImage};
use crate::records::{MetadataRecord, RecordResource};

/// A record does not fit the image it is to change. Live, it is a bug of the state and nothing was
/// written; at replay, the log was written by a bug, and the node must not guess.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("metadata record {offset} does not fit: {cause}")]
pub(crate) struct ImageBroken {
    pub(crate) offset: i64,
    pub(crate) cause: String,
}

/// Changes the image by one record and counts it.
pub(crate) fn apply(image: &mut MetadataImage, record: &MetadataRecord) -> Result<(), ImageBroken> {
    let offset = image.offset + 1;
    apply_to(image, record).map_err(|cause| ImageBroken { offset, cause })?;
    image.offset = offset;
    Ok(())
}

fn apply_to(image: &mut MetadataImage, record: &MetadataRecord) -> Result<(), String> {
    match record {
        MetadataRecord::ClusterFormatted { cluster_id } => {
            ensure(**cluster_id == *image.cluster_id, || {
                format!(
                    "the log belongs to cluster {cluster_id}, this is {}",
                    image.cluster_id
                )
            })
        }
        MetadataRecord::BrokerRegistered(broker) => {
            image.brokers.insert(broker.id, Arc::new(broker.clone()));
            Ok(())
        }
        MetadataRecord::TopicCreated { name, id } => create_topic(image, name.clone(), *id),
        MetadataRecord::PartitionCreated {
            topic,
            partition,
            image: created,
        } => create_partition(image, *topic, *partition, created),
        MetadataRecord::LeaderChanged {
            topic,
            partition,
            leader,
            leader_epoch,
        } => change_partition(image, *topic, *partition, |changed| {
            ensure(changed.leader_epoch < *leader_epoch, || {
                format!(
                    "leader epoch {leader_epoch} is not above {}",
                    changed.leader_epoch
                )
            })?;
            let is_replica = *leader == NodeId::NONE || changed.isr.contains(leader);
            ensure(is_replica, || format!("leader {leader} is not in sync"))?;
            changed.leader = *leader;
            changed.leader_epoch = *leader_epoch;
            Ok(())
        }),
        MetadataRecord::DirectoryAssigned {
            topic,
            partition,
            node,
            directory,
        } => change_partition(image, *topic, *partition, |changed| {
            let at = changed.replicas.iter().position(|replica| replica == node);
            let at = at.ok_or_else(|| format!("{node} is no replica"))?;
            Arc::make_mut(&mut changed.directories)[at] = *directory;
            Ok(())
        }),
        MetadataRecord::TopicDeleted { id } => delete_topic(image, *id),
        MetadataRecord::ConfigChanged {
            resource,
            key,
            value,
        } => change_config(image, resource, key, value.as_deref()),
        MetadataRecord::ProducerIdsReserved { next } => {
            ensure(image.next_producer_id <= *next, || {
                "producer ids went back".to_owned()
            })?;
            image.next_producer_id = *next;
            Ok(())
        }
        MetadataRecord::FeatureLevelChanged { name, level } => {
            Arc::make_mut(&mut image.feature_levels).insert(name.clone(), *level);
            Ok(())
        }
        MetadataRecord::QuorumLeaderChanged {
            leader,
            leader_epoch,
        } => {
            let current = image.quorum_leader_epoch;
            ensure(current < *leader_epoch, || {
                format!("epoch {leader_epoch} of the quorum is not above {current}")
            })?;
            image.quorum_leader = *leader;
            image.quorum_leader_epoch = *leader_epoch;
            Ok(())
        }
    }
}

fn create_topic(
    image: &mut MetadataImage,
    name: kabuki_protocol::ids::TopicName,
    id: TopicId,
) -> Result<(), String> {
    ensure(image.topics.get(&*name).is_none(), || {
        format!("topic {name} exists")
    })?;
    ensure(image.topic_names.get(&id).is_none(), || {
        format!("topic id {id} exists")
    })?;
    if let Some(folded) = folded(&name) {
        let mut names = image.folded_names.get(&folded).cloned().unwrap_or_default();
        names.push(name.clone());
        image.folded_names.insert(folded, names);
    }
    image.topic_names.insert(id, name.clone());
    let topic = TopicImage {
        name: name.clone(),
        id,
        partitions: Vec::new(),
        configs: Arc::default(),
    };
    image.topics.insert(name, Arc::new(topic));
    Ok(())
}

fn create_partition(
    image: &mut MetadataImage,
    topic: TopicId,
    partition: i32,
    created: &PartitionImage,
) -> Result<(), String> {
    let topic = topic_mut(image, topic)?;
    let expected = topic.partitions.len();
    ensure(usize::try_from(partition) == Ok(expected), || {
        format!(
            "partition {partition} of {} follows {expected} others",
            topic.name
        )
    })?;
    ensure(created.directories.len() == created.replicas.len(), || {
        format!(
            "partition {partition} of {} has no directory per replica",
            topic.name
        )
    })?;
    topic.partitions.push(created.clone());
    image.partition_count += 1;
    Ok(())
}

fn delete_topic(image: &mut MetadataImage, id: TopicId) -> Result<(), String> {
    let name = image
        .topic_names
        .remove(&id)
        .ok_or_else(|| format!("no topic {id}"))?;
    let topic = image.topics.remove(&*name);
    let topic = topic.filter(|topic| topic.id == id);
    let topic = topic.ok_or_else(|| format!("{name} has another id"))?;
    image.partition_count -= topic.partitions.len();
    if let Some(folded) = folded(&name) {
        let mut names = image.folded_names.remove(&folded).unwrap_or_default();
        names.retain(|other| *other != name);
        if !names.is_empty() {
            image.folded_names.insert(folded, names);
        }
    }
    Ok(())
}

fn change_config(
    image: &mut MetadataImage,
    resource: &RecordResource,
    key: &str,
    value: Option<&str>,
) -> Result<(), String> {
    match resource {
        RecordResource::Topic(id) => set(&mut topic_mut(image, *id)?.configs, key, value),
        RecordResource::Broker(node) => {
            let configs = image.broker_configs.entry(*node).or_default();
            set(configs, key, value);
            if configs.is_empty() {
                image.broker_configs.remove(node);
            }
        }
        RecordResource::DefaultBroker => set(&mut image.default_broker_configs, key, value),
        RecordResource::Group(group) => {
            let mut configs = image.group_configs.remove(group).unwrap_or_default();
            set(&mut configs, key, value);
            if !configs.is_empty() {
                image.group_configs.insert(group.clone(), configs);
            }
        }
    }
    Ok(())
}

fn set(configs: &mut Arc<ConfigOverrides>, key: &str, value: Option<&str>) {
    let configs = Arc::make_mut(configs);
    match value {
        Some(value) => configs.insert(key.to_owned(), value.to_owned()),
        None => configs.remove(key),
    };
}

fn change_partition(
    image: &mut MetadataImage,
    topic: TopicId,
    partition: i32,
    change: impl FnOnce(&mut PartitionImage) -> Result<(), String>,
) -> Result<(), String> {
    let topic = topic_mut(image, topic)?;
    let changed = usize::try_from(partition)
        .ok()
        .and_then(|at| topic.partitions.get_mut(at));
    let changed = changed.ok_or_else(|| format!("no partition {partition}"))?;
    change(changed)?;
    changed.partition_epoch += 1;
    Ok(())
}

fn topic_mut(image: &mut MetadataImage, id: TopicId) -> Result<&mut TopicImage, String> {
    let name = image
        .topic_names
        .get(&id)
        .ok_or_else(|| format!("no topic {id}"))?
        .clone();
    let topic = image
        .topics
        .get_mut(&*name)
        .ok_or_else(|| format!("no topic {name}"))?;
    Ok(Arc::make_mut(topic))
}

fn ensure(is_so: bool, cause: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(cause()) }
}

/// The name with '_' for each '.', for names that hold one of them.
pub(super) fn folded(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}
