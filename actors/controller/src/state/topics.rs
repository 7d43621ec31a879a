//! Creating and deleting topics.

use std::collections::HashMap;
use std::sync::Arc;

use kabuki_protocol::ids::{TopicId, TopicName};

use super::apply::folded;
use super::configs::check_size;
use super::placement::{check_assignment, new_partition, place, usable_brokers};
use super::{Decision, Metadata, PARTITIONS_PER_REQUEST_MAX};
use crate::catalogue::{ConfigRefused, check_topic_configs};
use crate::image::ConfigOverrides;
use crate::messages::{NewTopic, TopicCreated, TopicDeleted, TopicRef};
use crate::records::{MetadataRecord, NodeList, RecordResource, Records};
use crate::refusal::{AssignmentRefused, CreateTopicRefused, DeleteTopicRefused};

/// Kafka's topic of its own metadata, which clients never may create.
const METADATA_TOPIC: &str = "__cluster_metadata";

type Created = Result<TopicCreated, CreateTopicRefused>;
type Deleted = Result<TopicDeleted, DeleteTopicRefused>;

fn refused_as_one(topics: &[NewTopic], refused: &CreateTopicRefused) -> Decision<Vec<Created>> {
    Decision {
        answer: topics.iter().map(|_| Err(refused.clone())).collect(),
        records: Records::new(),
    }
}

impl Metadata {
    /// Judges each topic against the image *before* the request, as Kafka does: two names that collide
    /// with each other only are both created.
    pub(crate) fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
        mut new_id: impl FnMut() -> TopicId,
    ) -> Decision<Vec<Created>> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for topic in topics {
            *seen.entry(&topic.name).or_default() += 1;
        }
        let is_judged = |topic: &&NewTopic| seen[&*topic.name] == 1 && topic.name != METADATA_TOPIC;
        if let Err(refused) = self.check_total(topics.iter().filter(is_judged)) {
            return refused_as_one(topics, &refused);
        }
        let (mut partition_count, mut other_count) = (0, 0);
        let mut records = Records::new();
        let answer: Vec<Created> = topics
            .iter()
            .map(|topic| {
                if seen[&*topic.name] > 1 {
                    let name = topic.name.clone();
                    return Err(CreateTopicRefused::DuplicateName { name });
                }
                let plan = self.plan_topic(topic)?;
                partition_count += plan.partition_count();
                other_count += 1 + plan.configs.len() as i32;
                let id = if validate_only {
                    TopicId::ZERO
                } else {
                    self.unused_id(&mut new_id)
                };
                let created = plan.created(id);
                if !validate_only {
                    self.record_topic(plan, id, &mut records);
                }
                Ok(created)
            })
            .collect();
        // As Kafka, which bounds the records of a request: one a topic, key and partition.
        if partition_count + other_count > PARTITIONS_PER_REQUEST_MAX {
            let refused = CreateTopicRefused::TooManyPartitions {
                partition_count,
                partition_count_max: PARTITIONS_PER_REQUEST_MAX - other_count,
            };
            return refused_as_one(topics, &refused);
        }
        Decision { answer, records }
    }

    fn unused_id(&self, new_id: &mut impl FnMut() -> TopicId) -> TopicId {
        loop {
            let id = new_id();
            let is_reserved = id == TopicId::ZERO || id == TopicId::METADATA;
            if !is_reserved && self.image.topic_names.get(&id).is_none() {
                return id;
            }
        }
    }

    /// Whatever becomes of the topics: a request that asks for too many partitions is refused as one.
    fn check_total<'a>(
        &self,
        topics: impl Iterator<Item = &'a NewTopic>,
    ) -> Result<(), CreateTopicRefused> {
        let counts = topics.map(|topic| match topic.partition_count {
            _ if !topic.assignments.is_empty() => topic.assignments.len() as i64,
            -1 => i64::from(self.settings.partition_count),
            count => i64::from(count.max(0)),
        });
        let total: i64 = counts.sum();
        if total <= i64::from(PARTITIONS_PER_REQUEST_MAX) {
            return Ok(());
        }
        Err(CreateTopicRefused::TooManyPartitions {
            partition_count: i32::try_from(total).unwrap_or(i32::MAX),
            partition_count_max: PARTITIONS_PER_REQUEST_MAX,
        })
    }

    fn plan_topic(&self, topic: &NewTopic) -> Result<TopicPlan, CreateTopicRefused> {
        let name = self.check_name(&topic.name)?;
        let configs = check_configs(&topic.configs)?;
        let replicas = if topic.assignments.is_empty() {
            self.place_topic(topic)?
        } else {
            self.check_assignments(topic)?
        };
        Ok(TopicPlan {
            name,
            configs,
            replicas,
        })
    }

    fn check_name(&self, name: &str) -> Result<TopicName, CreateTopicRefused> {
        if name == METADATA_TOPIC {
            return Err(CreateTopicRefused::Reserved {
                name: name.to_owned(),
            });
        }
        let legal = TopicName::new(name).map_err(|refused| CreateTopicRefused::InvalidName {
            name: name.to_owned(),
            cause: refused.to_string(),
        })?;
        if self.image.topic(name).is_some() {
            return Err(CreateTopicRefused::Exists { name: legal });
        }
        let colliding = folded(name).and_then(|folded| self.image.folded_names.get(&folded));
        match colliding.and_then(|names| names.first()) {
            Some(existing) => Err(CreateTopicRefused::Collides {
                name: legal,
                existing: existing.clone(),
            }),
            None => Ok(legal),
        }
    }

    fn place_topic(&self, topic: &NewTopic) -> Result<Vec<NodeList>, CreateTopicRefused> {
        let replication_factor = match topic.replication_factor {
            -1 => self.settings.replication_factor,
            factor if factor > 0 => factor,
            replication_factor => {
                return Err(CreateTopicRefused::InvalidReplicationFactor { replication_factor });
            }
        };
        let partition_count = match topic.partition_count {
            -1 => self.settings.partition_count,
            count if count > 0 => count,
            partition_count => {
                return Err(CreateTopicRefused::InvalidPartitionCount { partition_count });
            }
        };
        self.check_partition_count(partition_count)?;
        let brokers = usable_brokers(&self.image);
        let factor = usize::try_from(replication_factor).unwrap_or(usize::MAX);
        if factor > brokers.len() {
            let broker_count = brokers.len();
            return Err(CreateTopicRefused::TooFewBrokers {
                replication_factor,
                broker_count,
            });
        }
        // Topics begin at different brokers, or the first ones would lead all topics of one partition.
        let first = self.image.topic_count() % brokers.len();
        Ok(place(&brokers, factor, first, partition_count as usize))
    }

    fn check_partition_count(&self, partition_count: i32) -> Result<(), CreateTopicRefused> {
        let partition_count_max = self.settings.partition_count_max;
        if partition_count <= partition_count_max {
            return Ok(());
        }
        Err(CreateTopicRefused::TooManyPartitions {
            partition_count,
            partition_count_max,
        })
    }

    fn check_assignments(&self, topic: &NewTopic) -> Result<Vec<NodeList>, CreateTopicRefused> {
        let counts = [
            ("replication factor", i32::from(topic.replication_factor)),
            ("number of partitions", topic.partition_count),
        ];
        if let Some((what, value)) = counts.into_iter().find(|(_, value)| *value != -1) {
            return Err(CreateTopicRefused::CountWithAssignment { what, value });
        }
        let count = topic.assignments.len();
        self.check_partition_count(i32::try_from(count).unwrap_or(i32::MAX))?;
        let mut lists: Vec<Option<NodeList>> = vec![None; count];
        let mut expected = None;
        for (partition, replicas) in &topic.assignments {
            let list = check_assignment(&self.image, *partition, replicas, expected)?;
            expected = Some(list.len());
            // An index past the end leaves a gap below, which is told then.
            let Some(slot) = usize::try_from(*partition)
                .ok()
                .and_then(|at| lists.get_mut(at))
            else {
                continue;
            };
            if slot.replace(list).is_some() {
                return Err(AssignmentRefused::DuplicatePartition {
                    partition: *partition,
                }
                .into());
            }
        }
        let numbered = (0..).zip(lists);
        let found = numbered.map(|(missing, list)| {
            list.ok_or_else(|| AssignmentRefused::NotConsecutive { missing }.into())
        });
        found.collect()
    }

    fn record_topic(&self, plan: TopicPlan, id: TopicId, records: &mut Records) {
        records.push(MetadataRecord::TopicCreated {
            name: plan.name,
            id,
        });
        for (partition, replicas) in (0..).zip(plan.replicas) {
            let image = new_partition(&self.image, replicas);
            records.push(MetadataRecord::PartitionCreated {
                topic: id,
                partition,
                image,
            });
        }
        let resource = RecordResource::Topic(id);
        records.extend(
            plan.configs
                .iter()
                .map(|(key, value)| MetadataRecord::ConfigChanged {
                    resource: resource.clone(),
                    key: key.clone(),
                    value: Some(value.clone()),
                }),
        );
    }

    /// Judges each topic; one that stands twice, by whatever name, is not deleted at all.
    pub(crate) fn delete_topics(&self, topics: &[TopicRef]) -> Decision<Vec<Deleted>> {
        if !self.settings.can_delete_topics {
            let refused = topics
                .iter()
                .map(|_| Err(DeleteTopicRefused::Disabled))
                .collect();
            return Decision::unchanged(refused);
        }
        let found: Vec<Deleted> = topics.iter().map(|topic| self.find_topic(topic)).collect();
        let mut seen: HashMap<TopicId, usize> = HashMap::new();
        for deleted in found.iter().flatten() {
            *seen.entry(deleted.id).or_default() += 1;
        }
        let mut sent: HashMap<&TopicRef, usize> = HashMap::new();
        for topic in topics {
            *sent.entry(topic).or_default() += 1;
        }
        let mut records = Records::new();
        let answer = topics
            .iter()
            .zip(found)
            .map(|(topic, found)| {
                let is_repeated = match &found {
                    Ok(deleted) => seen[&deleted.id] > 1,
                    Err(_) => sent[topic] > 1,
                };
                if is_repeated {
                    return Err(DeleteTopicRefused::Duplicate);
                }
                let deleted = found?;
                records.push(MetadataRecord::TopicDeleted { id: deleted.id });
                Ok(deleted)
            })
            .collect();
        Decision { answer, records }
    }

    fn find_topic(&self, topic: &TopicRef) -> Deleted {
        let found = match topic {
            TopicRef::Name(name) => self
                .image
                .topic(name)
                .ok_or(DeleteTopicRefused::UnknownName)?,
            TopicRef::Id(id) => self
                .image
                .topic_by_id(*id)
                .ok_or(DeleteTopicRefused::UnknownId)?,
        };
        Ok(TopicDeleted {
            name: found.name.clone(),
            id: found.id,
        })
    }
}

/// A topic that passed all checks.
struct TopicPlan {
    name: TopicName,
    configs: Arc<ConfigOverrides>,
    replicas: Vec<NodeList>,
}

impl TopicPlan {
    /// At most [`PARTITIONS_PER_REQUEST_MAX`].
    fn partition_count(&self) -> i32 {
        self.replicas.len() as i32
    }

    fn created(&self, id: TopicId) -> TopicCreated {
        let factor = self.replicas.first().map_or(0, |list| list.len());
        TopicCreated {
            name: self.name.clone(),
            id,
            partition_count: self.partition_count(),
            replication_factor: factor as i16,
            configs: self.configs.clone(),
        }
    }
}

fn check_configs(
    configs: &[(String, Option<String>)],
) -> Result<Arc<ConfigOverrides>, ConfigRefused> {
    let mut overrides = ConfigOverrides::new();
    for (key, value) in configs {
        let Some(value) = value else {
            return Err(ConfigRefused::NullValue { key: key.clone() });
        };
        overrides.insert(key.clone(), value.clone());
    }
    check_topic_configs(&overrides)?;
    check_size(&overrides)?;
    Ok(Arc::new(overrides))
}
