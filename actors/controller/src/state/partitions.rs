//! Adding partitions to topics.

use std::collections::HashMap;

use super::placement::{check_assignment, new_partition, place, usable_brokers};
use super::{Decision, Metadata, PARTITIONS_PER_REQUEST_MAX};
use crate::image::TopicImage;
use crate::messages::{PartitionsCreated, PartitionsWanted};
use crate::records::{MetadataRecord, NodeList, Records};
use crate::refusal::{AssignmentRefused, CreatePartitionsRefused};

type Created = Result<PartitionsCreated, CreatePartitionsRefused>;

impl Metadata {
    /// Judges each topic by itself; a name that stands twice gets nothing.
    pub(crate) fn create_partitions(
        &self,
        topics: &[PartitionsWanted],
        validate_only: bool,
    ) -> Decision<Vec<Created>> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for wanted in topics {
            *seen.entry(&wanted.name).or_default() += 1;
        }
        let mut room = PARTITIONS_PER_REQUEST_MAX;
        let mut records = Records::new();
        let answer = topics
            .iter()
            .map(|wanted| {
                if seen[&*wanted.name] > 1 {
                    let name = wanted.name.clone();
                    return Err(CreatePartitionsRefused::DuplicateName { name });
                }
                let topic = self.image.topic(&wanted.name);
                let topic = topic.ok_or(CreatePartitionsRefused::UnknownTopic)?;
                let added = self.plan_partitions(topic, wanted, room)?;
                room -= added.len() as i32;
                if !validate_only {
                    let first = topic.partitions.len() as i32;
                    records.extend((first..).zip(added).map(|(partition, replicas)| {
                        let image = new_partition(&self.image, replicas);
                        MetadataRecord::PartitionCreated {
                            topic: topic.id,
                            partition,
                            image,
                        }
                    }));
                }
                let (name, partition_count) = (topic.name.clone(), wanted.partition_count);
                Ok(PartitionsCreated {
                    name,
                    partition_count,
                })
            })
            .collect();
        Decision { answer, records }
    }

    fn plan_partitions(
        &self,
        topic: &TopicImage,
        wanted: &PartitionsWanted,
        room: i32,
    ) -> Result<Vec<NodeList>, CreatePartitionsRefused> {
        // Only this controller makes partitions, and never more than fit the limit below.
        let current = topic.partitions.len() as i32;
        let partition_count = wanted.partition_count;
        if partition_count <= current {
            let wanted = partition_count;
            return Err(CreatePartitionsRefused::NotAnIncrease { current, wanted });
        }
        let added = (partition_count - current) as usize;
        let assigned_count = wanted.assignments.as_ref().map(Vec::len);
        if let Some(count) = assigned_count.filter(|count| *count != added) {
            return Err(AssignmentRefused::WrongCount { count, added }.into());
        }
        let partition_count_max = self
            .settings
            .partition_count_max
            .min(current.saturating_add(room));
        if partition_count > partition_count_max {
            return Err(CreatePartitionsRefused::TooManyPartitions {
                partition_count,
                partition_count_max,
            });
        }
        let factor = topic
            .partitions
            .first()
            .map_or(1, |partition| partition.replicas.len());
        let Some(assignments) = &wanted.assignments else {
            let brokers = usable_brokers(&self.image);
            if factor > brokers.len() {
                let (replication_factor, broker_count) = (factor as i16, brokers.len());
                return Err(CreatePartitionsRefused::TooFewBrokers {
                    replication_factor,
                    broker_count,
                });
            }
            return Ok(place(&brokers, factor, current as usize, added));
        };
        let numbered = (current..).zip(assignments);
        let lists = numbered.map(|(partition, replicas)| {
            Ok(check_assignment(
                &self.image,
                partition,
                replicas,
                Some(factor),
            )?)
        });
        lists.collect()
    }
}
