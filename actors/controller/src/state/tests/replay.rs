//! Invariant 3: what is replayed equals what was live, from the log and from a snapshot.

use std::sync::Arc;

use kabuki_protocol::ids::{LeaderEpoch, NodeId, TopicId, TopicName};

use super::{Bench, new_topic};
use crate::features::GROUP_VERSION;
use crate::image::{DirectoryId, MetadataImage};
use crate::messages::{
    ConfigAction, ConfigAlteration, ConfigChange, ConfigOperation, ConfigResource, FeatureUpdate,
    PartitionRef, TopicRef, UpgradeType,
};
use crate::records::MetadataRecord;
use crate::state::{apply, snapshot_records};

/// A cluster in which everything happened once.
fn busy() -> Bench {
    let mut bench = Bench::with_brokers(2);
    let first = bench.topic("first", 3, 2);
    bench.create(new_topic("co.x", 1, 1));
    bench.create(new_topic("gone_x", 1, 1));
    let decision = bench
        .metadata
        .delete_topics(&[TopicRef::Name("gone_x".into())]);
    bench.take(decision);
    for resource in [
        ConfigResource::Topic("first".into()),
        ConfigResource::Broker(NodeId(1)),
        ConfigResource::Group("readers".into()),
    ] {
        let key = match resource {
            ConfigResource::Topic(_) => "retention.ms",
            ConfigResource::Group(_) => "consumer.assignment.interval.ms",
            _ => "log.retention.ms",
        };
        let operation = ConfigOperation {
            key: key.to_owned(),
            action: ConfigAction::Set,
            value: Some("5".to_owned()),
        };
        let asked = [ConfigAlteration {
            resource,
            change: ConfigChange::Operations(vec![operation]),
        }];
        let decision = bench.metadata.alter_configs(&asked, false);
        assert_eq!(bench.take(decision), [Ok(())]);
    }
    let at = PartitionRef {
        topic: first,
        partition: 1,
    };
    let decision = bench
        .metadata
        .assign_directories(NodeId(1), &[(at, DirectoryId([1; 16]))]);
    bench.take(decision).unwrap();
    bench.register(1, 2, &[1]);
    let decision = bench.metadata.mark_offline(NodeId(2), at);
    bench.take(decision).unwrap();
    let decision = bench.metadata.allocate_producer_id();
    bench.take(decision);
    let lowered = FeatureUpdate {
        feature: GROUP_VERSION.to_owned(),
        level: 0,
        upgrade_type: Some(UpgradeType::SafeDowngrade),
    };
    let decision = bench.metadata.update_features(&[lowered], false);
    bench.take(decision).unwrap();
    bench
}

/// Everything visible of an image, in a fixed order.
fn shown(image: &MetadataImage) -> String {
    let folded: Vec<String> = ["co_x", "gone_x"]
        .map(|name| format!("{:?}", image.folded_names.get(name)))
        .to_vec();
    format!(
        "{:#?} {:#?} {:#?} {:#?} {:#?} {:?} {:?} {:?} {folded:?}",
        image.brokers,
        image.topics_by_name(),
        image.broker_configs,
        image.default_broker_configs,
        image.group_configs,
        image.next_producer_id,
        image.feature_levels,
        image.quorum_leader(),
    )
}

#[test]
fn replay_of_the_log_equals_the_live_image() {
    let bench = busy();
    let mut replayed = MetadataImage::empty("test-cluster");
    bench
        .log
        .iter()
        .for_each(|record| apply(&mut replayed, record).unwrap());
    assert_eq!(shown(&replayed), shown(&bench.metadata.image));
    assert_eq!(replayed.offset(), bench.metadata.image.offset());
}

#[test]
fn replay_of_a_snapshot_equals_the_live_image() {
    let bench = busy();
    let records = snapshot_records(&bench.metadata.image);
    let mut replayed = MetadataImage::empty("test-cluster");
    records
        .iter()
        .for_each(|record| apply(&mut replayed, record).unwrap());
    assert_eq!(shown(&replayed), shown(&bench.metadata.image));
    assert_eq!(
        snapshot_records(&replayed),
        records,
        "equal images give equal snapshots"
    );
}

#[test]
fn a_change_copies_its_topic_and_leaves_the_others_shared() {
    let mut bench = Bench::with_brokers(1);
    for name in 0..200 {
        bench.topic(&format!("t{name}"), 1, 1);
    }
    let before = bench.metadata.image.clone();
    let topic = before.topic("t7").unwrap().id;
    let decision = bench.metadata.mark_offline(
        NodeId(1),
        PartitionRef {
            topic,
            partition: 0,
        },
    );
    bench.take(decision).unwrap();
    let after = &bench.metadata.image;
    for topic in before.topics() {
        let is_shared = Arc::ptr_eq(topic, after.topic(&topic.name).unwrap());
        assert_eq!(is_shared, &*topic.name != "t7", "{}", topic.name);
    }
    assert!(
        before.partition("t7", 0).unwrap().is_online(),
        "published images never change"
    );
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let mut bench = Bench::with_brokers(1);
    let topic = bench.topic("orders", 1, 1);
    let led = |leader, epoch| MetadataRecord::LeaderChanged {
        topic,
        partition: 0,
        leader: NodeId(leader),
        leader_epoch: LeaderEpoch(epoch),
    };
    let other = TopicId([9; 16]);
    let bad = [
        led(1, 0),
        led(5, 1),
        MetadataRecord::ClusterFormatted {
            cluster_id: "another".into(),
        },
        MetadataRecord::TopicDeleted { id: other },
        MetadataRecord::TopicCreated {
            name: TopicName::new("orders").unwrap(),
            id: other,
        },
        MetadataRecord::TopicCreated {
            name: TopicName::new("heir").unwrap(),
            id: topic,
        },
        MetadataRecord::ProducerIdsReserved {
            next: kabuki_protocol::ids::ProducerId(-5),
        },
        MetadataRecord::QuorumLeaderChanged {
            leader: NodeId(1),
            leader_epoch: LeaderEpoch(1),
        },
    ];
    for record in bad {
        let mut image = bench.metadata.image.clone();
        let offset = image.offset();
        let broken = apply(&mut image, &record).unwrap_err();
        assert_eq!(broken.offset, offset + 1, "{broken}");
        assert_eq!(image.offset(), offset);
    }
}
