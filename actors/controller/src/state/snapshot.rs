//! The records that lead from an empty image to a given one: the content of a snapshot.

use kabuki_protocol::ids::NodeId;

use crate::image::{ConfigOverrides, MetadataImage};
use crate::records::{MetadataRecord, RecordResource, Records};

/// Records whose replay gives the same image but for its offset, which the snapshot names itself.
///
/// Topics come in the order of their names, so that equal images give equal bytes.
pub(crate) fn snapshot_records(image: &MetadataImage) -> Records {
    let cluster_id = image.cluster_id.to_string();
    let mut records = vec![MetadataRecord::ClusterFormatted { cluster_id }];
    for broker in image.brokers() {
        records.push(MetadataRecord::BrokerRegistered((**broker).clone()));
    }
    for (node, configs) in &image.broker_configs {
        push_configs(&mut records, &RecordResource::Broker(*node), configs);
    }
    push_configs(
        &mut records,
        &RecordResource::DefaultBroker,
        &image.default_broker_configs,
    );
    for topic in image.topics_by_name() {
        let (name, id) = (topic.name.clone(), topic.id);
        records.push(MetadataRecord::TopicCreated { name, id });
        for (index, partition) in (0..).zip(&topic.partitions) {
            records.push(MetadataRecord::PartitionCreated {
                topic: id,
                partition: index,
                image: partition.clone(),
            });
        }
        push_configs(&mut records, &RecordResource::Topic(id), &topic.configs);
    }
    let mut groups: Vec<&str> = image.configured_groups().collect();
    groups.sort_unstable();
    for group in groups {
        let configs = image.group_overrides(group);
        push_configs(
            &mut records,
            &RecordResource::Group(group.to_owned()),
            configs,
        );
    }
    records.push(MetadataRecord::ProducerIdsReserved {
        next: image.next_producer_id,
    });
    for (name, level) in &*image.feature_levels {
        let (name, level) = (name.clone(), *level);
        records.push(MetadataRecord::FeatureLevelChanged { name, level });
    }
    let (leader, leader_epoch) = image.quorum_leader();
    if leader != NodeId::NONE {
        records.push(MetadataRecord::QuorumLeaderChanged {
            leader,
            leader_epoch,
        });
    }
    records
}

fn push_configs(records: &mut Records, resource: &RecordResource, configs: &ConfigOverrides) {
    records.extend(
        configs
            .iter()
            .map(|(key, value)| MetadataRecord::ConfigChanged {
                resource: resource.clone(),
                key: key.clone(),
                value: Some(value.clone()),
            }),
    );
}
