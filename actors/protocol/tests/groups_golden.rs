//! The consumer protocol and the newest messages of groups against bytes that Kafka's own classes wrote.

#![allow(clippy::unwrap_used)] // in functions that the tests share

use bytes::Bytes;
use kabuki_protocol::codec::{Decoder, Encoder, Message};
use kabuki_protocol::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use kabuki_protocol::ids::TopicId;
use kabuki_protocol::messages::{
    ConsumerGroupHeartbeatResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, consumer_group_heartbeat, offset_commit, offset_fetch,
};

use golden::{TOPIC, golden_bytes};

mod golden;

fn subscribed(topic: &str, partitions: &[i32]) -> consumer_protocol::TopicPartition {
    consumer_protocol::TopicPartition {
        topic: topic.to_owned(),
        partitions: partitions.to_vec(),
    }
}

#[test]
fn subscriptions_are_those_of_kafkas_consumer() {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["other".to_owned(), "topic".to_owned()],
        user_data: Some(Bytes::from_static(&[1, 2, 3])),
        owned_partitions: vec![subscribed("other", &[5]), subscribed("topic", &[0, 2])],
        generation_id: 4,
        rack_id: Some("rack".to_owned()),
    };
    for version in 0..=3 {
        let golden = golden_bytes(&format!("subscription-v{version}"));
        assert_eq!(subscription.to_bytes(version).unwrap(), golden);
        let read = ConsumerProtocolSubscription::from_bytes(&golden).unwrap();
        assert_eq!(read.topics, subscription.topics);
        assert_eq!(read.owned_partitions.is_empty(), version < 1);
        assert_eq!(read.generation_id, if version < 2 { -1 } else { 4 });
        assert_eq!(read.rack_id.is_none(), version < 3);
        assert_eq!(read == subscription, version == 3);
    }
    let bare = ConsumerProtocolSubscription::default();
    let golden = golden_bytes("subscription-bare");
    assert_eq!(bare.to_bytes(3).unwrap(), golden);
    assert_eq!(
        ConsumerProtocolSubscription::from_bytes(&golden).unwrap(),
        bare
    );
}

#[test]
fn assignments_are_those_of_kafkas_consumer() {
    for version in 0..=3 {
        let assignment = ConsumerProtocolAssignment {
            assigned_partitions: vec![subscribed("topic", &[0, 2]), subscribed("other", &[5])],
            user_data: (version > 0).then(|| Bytes::from_static(&[7])),
        };
        let golden = golden_bytes(&format!("assignment-v{version}"));
        assert_eq!(assignment.to_bytes(version).unwrap(), golden);
        let read = ConsumerProtocolAssignment::from_bytes(&golden).unwrap();
        assert_eq!(read, assignment);
    }
}

/// Both ways; `lost` takes from the message what the version cannot carry.
fn agrees<T: Message + Clone + PartialEq + std::fmt::Debug>(
    name: &str,
    version: i16,
    message: &T,
    lost: impl Fn(&mut T),
) {
    let golden = golden_bytes(name);
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, version).unwrap();
    assert_eq!(encoder.finish().to_bytes(), golden, "{name}");
    let mut decoder = Decoder::new(golden);
    let read = T::decode(&mut decoder, version).unwrap();
    assert!(decoder.is_empty());
    let mut kept = message.clone();
    lost(&mut kept);
    assert_eq!(read, kept, "{name}");
}

/// A topic goes by its name up to version 9 and by its id from 10 on.
fn lose_topic(version: i16, name: &mut String, topic_id: &mut TopicId) {
    if version >= 10 {
        name.clear();
    } else {
        *topic_id = TopicId::ZERO;
    }
}

#[test]
fn offset_commits_have_kafkas_bytes() {
    let partition = |partition_index, committed_offset, epoch, metadata: Option<&str>| {
        offset_commit::OffsetCommitRequestPartition {
            partition_index,
            committed_offset,
            committed_leader_epoch: epoch,
            committed_metadata: metadata.map(str::to_owned),
        }
    };
    let request = OffsetCommitRequest {
        group_id: "group".to_owned(),
        generation_id_or_member_epoch: 5,
        member_id: "member".to_owned(),
        group_instance_id: Some("instance".to_owned()),
        topics: vec![offset_commit::OffsetCommitRequestTopic {
            name: "topic".to_owned(),
            topic_id: TOPIC,
            partitions: vec![partition(3, 42, 7, Some("meta")), partition(4, 0, -1, None)],
        }],
        ..OffsetCommitRequest::default()
    };
    let response = OffsetCommitResponse {
        throttle_time_ms: 6,
        topics: vec![offset_commit::OffsetCommitResponseTopic {
            name: "topic".to_owned(),
            topic_id: TOPIC,
            partitions: vec![offset_commit::OffsetCommitResponsePartition {
                partition_index: 3,
                error_code: 100,
            }],
        }],
    };
    for version in [9, 10] {
        let name = format!("OffsetCommitRequest-v{version}");
        agrees(&name, version, &request, |kept| {
            let topic = &mut kept.topics[0];
            lose_topic(version, &mut topic.name, &mut topic.topic_id);
        });
        let name = format!("OffsetCommitResponse-v{version}");
        agrees(&name, version, &response, |kept| {
            let topic = &mut kept.topics[0];
            lose_topic(version, &mut topic.name, &mut topic.topic_id);
        });
    }
}

#[test]
fn offset_fetches_have_kafkas_bytes() {
    let request = OffsetFetchRequest {
        groups: vec![
            offset_fetch::OffsetFetchRequestGroup {
                group_id: "group".to_owned(),
                member_id: Some("member".to_owned()),
                member_epoch: 5,
                topics: Some(vec![offset_fetch::OffsetFetchRequestTopics {
                    name: "topic".to_owned(),
                    topic_id: TOPIC,
                    partition_indexes: vec![3, 4],
                }]),
            },
            offset_fetch::OffsetFetchRequestGroup {
                group_id: "other".to_owned(),
                topics: None,
                ..Default::default()
            },
        ],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let partition = |partition_index, committed_offset, epoch, metadata: &str, error_code| {
        offset_fetch::OffsetFetchResponsePartitions {
            partition_index,
            committed_offset,
            committed_leader_epoch: epoch,
            metadata: Some(metadata.to_owned()),
            error_code,
        }
    };
    let response = OffsetFetchResponse {
        throttle_time_ms: 6,
        groups: vec![
            offset_fetch::OffsetFetchResponseGroup {
                group_id: "group".to_owned(),
                topics: vec![offset_fetch::OffsetFetchResponseTopics {
                    name: "topic".to_owned(),
                    topic_id: TOPIC,
                    partitions: vec![
                        partition(3, 42, 7, "meta", 0),
                        partition(4, offset_fetch::OFFSET_NOT_COMMITTED, -1, "", 88),
                    ],
                }],
                error_code: 0,
            },
            offset_fetch::OffsetFetchResponseGroup {
                group_id: "other".to_owned(),
                topics: vec![],
                error_code: 25,
            },
        ],
        ..OffsetFetchResponse::default()
    };
    for version in [9, 10] {
        let name = format!("OffsetFetchRequest-v{version}");
        agrees(&name, version, &request, |kept| {
            let topic = &mut kept.groups[0].topics.as_mut().unwrap()[0];
            lose_topic(version, &mut topic.name, &mut topic.topic_id);
        });
        let name = format!("OffsetFetchResponse-v{version}");
        agrees(&name, version, &response, |kept| {
            let topic = &mut kept.groups[0].topics[0];
            lose_topic(version, &mut topic.name, &mut topic.topic_id);
        });
    }
}

#[test]
fn an_assignment_that_has_not_changed_is_a_null_struct() {
    let unchanged = ConsumerGroupHeartbeatResponse {
        member_id: Some("member".to_owned()),
        member_epoch: 2,
        heartbeat_interval_ms: 5_000,
        ..Default::default()
    };
    let changed = ConsumerGroupHeartbeatResponse {
        assignment: Some(consumer_group_heartbeat::Assignment {
            topic_partitions: vec![consumer_group_heartbeat::TopicPartitions {
                topic_id: TOPIC,
                partitions: vec![0, 2],
            }],
        }),
        ..unchanged.clone()
    };
    agrees("ConsumerGroupHeartbeatResponse-v1", 1, &changed, |_| {});
    agrees(
        "ConsumerGroupHeartbeatResponse-v1-unchanged",
        1,
        &unchanged,
        |_| {},
    );
}

#[test]
fn every_byte_below_0_marks_a_null_struct_and_no_other() {
    let read = |name: &str, at_end: usize, mark: u8| {
        let mut bytes = golden_bytes(name).to_vec();
        let at = bytes.len() - at_end;
        bytes[at] = mark;
        let message = ConsumerGroupHeartbeatResponse::decode(&mut Decoder::new(bytes.into()), 1);
        message.unwrap().assignment
    };
    for mark in [0x80, 0xfe, 0xff] {
        assert_eq!(
            read("ConsumerGroupHeartbeatResponse-v1-unchanged", 2, mark),
            None
        );
    }
    // Behind the mark: the count of topics, an id, two partitions, three ends of structs.
    let at_end = 1 + 1 + 16 + 9 + 3;
    for mark in [0, 1, 0x7f] {
        let assignment = read("ConsumerGroupHeartbeatResponse-v1", at_end, mark).unwrap();
        assert_eq!(assignment.topic_partitions[0].topic_id, TOPIC);
    }
}
