//! The quorum and the features of the cluster, as clients see and change them.

mod kit;

use kabuki_group::messages::{Answer, HeartbeatAnswer, Request};
use kabuki_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use kabuki_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use kabuki_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribedPartition, DescribedTopic, METADATA_TOPIC,
};
use kabuki_protocol::messages::update_features::{
    FeatureUpdateKey, UpdateFeaturesRequest, upgrade_type,
};
use kabuki_runtime::testing;
use kit::Node;
use kit::stub_groups::StubGroups;

fn quorum_of(topic: &str, partitions: &[i32]) -> DescribeQuorumRequest {
    let partitions = partitions.iter().map(|index| DescribedPartition {
        partition_index: *index,
    });
    DescribeQuorumRequest {
        topics: vec![DescribedTopic {
            topic_name: topic.to_owned(),
            partitions: partitions.collect(),
        }],
    }
}

#[test]
fn the_one_voter_leads_and_has_all_there_is() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        for version in 0..=2 {
            let answer = client.call(version, &quorum_of(METADATA_TOPIC, &[0])).await;
            assert_eq!(answer.error_code, 0);
            let partition = &answer.topics[0].partitions[0];
            assert_eq!(partition.error_code, 0);
            assert_eq!((partition.leader_id, partition.leader_epoch), (1, 1));
            let [voter] = &*partition.current_voters else {
                panic!("one voter: {partition:?}");
            };
            let committed = node.image.borrow().offset() + 1;
            assert_eq!(voter.replica_id, 1);
            assert_eq!(voter.log_end_offset, committed);
            assert_eq!(partition.high_watermark, committed);
            assert_eq!(voter.last_fetch_timestamp > 0, version >= 1);
            assert!(partition.observers.is_empty());
            assert_eq!(answer.nodes.len(), usize::from(version >= 2));
            for node in answer.nodes {
                assert_eq!((node.node_id, node.listeners.len()), (1, 1));
                assert_ne!(node.listeners[0].port, 0);
            }
        }
    });
}

#[test]
fn nothing_but_the_metadata_has_a_quorum() {
    testing::run(|stage| async move {
        let node = Node::start(&stage).await;
        let mut client = node.connect().await;
        for request in [
            quorum_of("orders", &[0]),
            quorum_of(METADATA_TOPIC, &[1]),
            quorum_of(METADATA_TOPIC, &[0, 1]),
        ] {
            let answer = client.call(2, &request).await;
            let partitions = &answer.topics[0].partitions;
            assert_eq!(partitions.len(), request.topics[0].partitions.len());
            assert!(partitions.iter().all(|partition| partition.error_code == 3));
        }
        let nothing = client.call(2, &quorum_of(METADATA_TOPIC, &[])).await;
        assert!(nothing.topics[0].partitions.is_empty());
    });
}

fn to_level(feature: &str, level: i16, upgrade_type: i8) -> UpdateFeaturesRequest {
    UpdateFeaturesRequest {
        feature_updates: vec![FeatureUpdateKey {
            feature: feature.to_owned(),
            max_version_level: level,
            upgrade_type,
            ..FeatureUpdateKey::default()
        }],
        ..UpdateFeaturesRequest::default()
    }
}

fn finalized(answer: &ApiVersionsResponse) -> Vec<(&str, i16)> {
    let features = answer.finalized_features.iter();
    features
        .map(|feature| (&*feature.name, feature.max_version_level))
        .collect()
}

#[test]
fn the_new_protocol_is_off_while_group_version_is_at_level_0() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, request| {
            let Request::ConsumerHeartbeat(_) = request else {
                return None;
            };
            Some(Ok(Answer::ConsumerHeartbeat(Ok(HeartbeatAnswer {
                member_id: "m".into(),
                member_epoch: 1,
                heartbeat_interval_ms: 5_000,
                assignment: None,
            }))))
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        let who = ApiVersionsRequest {
            client_software_name: "tests".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let beat = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: "m".to_owned(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        assert_eq!(client.call(1, &beat).await.error_code, 0);

        let down = to_level("group.version", 0, upgrade_type::SAFE_DOWNGRADE);
        assert_eq!(client.call(2, &down).await.error_code, 0);
        let shown = client.call(4, &who).await;
        assert_eq!(finalized(&shown), [("metadata.version", 30)]);
        assert_eq!(client.call(1, &beat).await.error_code, 35);

        let epoch = shown.finalized_features_epoch;
        let up = to_level("group.version", 1, upgrade_type::UPGRADE);
        assert_eq!(client.call(1, &up).await.error_code, 0);
        let shown = client.call(4, &who).await;
        assert_eq!(
            finalized(&shown),
            [("group.version", 1), ("metadata.version", 30)]
        );
        assert!(shown.finalized_features_epoch > epoch);
        assert_eq!(client.call(1, &beat).await.error_code, 0);

        let unknown = to_level("nobody.version", 1, upgrade_type::UPGRADE);
        let refused = client.call(1, &unknown).await;
        assert_eq!((refused.error_code, refused.results.len()), (95, 0));
        assert!(refused.error_message.is_some());
    });
}
