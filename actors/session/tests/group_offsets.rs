//! Committed offsets and the view of administrators, against groups that do as they are told.

mod kit;

use std::sync::Arc;

use bytes::Bytes;
use kabuki_group::messages::{
    Answer, ClassicMemberView, ClassicView, CommittedPartition, ConsumerMemberView, ConsumerView,
    FetchedOffset, GroupListing, GroupState, Request,
};
use kabuki_group::records::{CommittedOffset, OffsetKey};
use kabuki_group::refusal::{CommitRefused, DeleteOffsetRefused, GroupRefused};
use kabuki_group::{CoordinatorRefused, GroupsListed, OFFSETS_TOPIC};
use kabuki_protocol::ids::{LeaderEpoch, Offset, TopicId};
use kabuki_protocol::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use kabuki_protocol::messages::delete_groups::DeleteGroupsRequest;
use kabuki_protocol::messages::describe_groups::DescribeGroupsRequest;
use kabuki_protocol::messages::find_coordinator::FindCoordinatorRequest;
use kabuki_protocol::messages::list_groups::ListGroupsRequest;
use kabuki_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kabuki_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kabuki_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kabuki_runtime::testing;
use kit::Node;
use kit::stub_groups::StubGroups;

fn to_commit(name: &str, topic_id: TopicId, partitions: &[i32]) -> OffsetCommitRequestTopic {
    let partition = |index: &i32| OffsetCommitRequestPartition {
        partition_index: *index,
        committed_offset: 5,
        committed_metadata: Some("x".repeat(*index as usize)),
        ..OffsetCommitRequestPartition::default()
    };
    OffsetCommitRequestTopic {
        name: name.to_owned(),
        topic_id,
        partitions: partitions.iter().map(partition).collect(),
    }
}

#[test]
fn a_commit_judges_each_partition_and_asks_the_group_for_those_that_are_there() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|group, request| {
            let Request::CommitOffsets(commit) = request else {
                return None;
            };
            if &**group == "unknown" {
                return Some(Ok(Answer::CommitOffsets(Err(GroupRefused::UnknownGroup))));
            }
            let committed = commit.offsets.iter().map(|offset| CommittedPartition {
                key: offset.key.clone(),
                result: match offset.key.partition {
                    2 => Err(CommitRefused::MetadataTooLarge {
                        bytes: 2,
                        bytes_max: 1,
                    }),
                    _ => Ok(()),
                },
            });
            Some(Ok(Answer::CommitOffsets(Ok(committed.collect()))))
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        node.create_topic("t", 3, &[]).await;
        let topic_id = node.topic_id("t");
        let mut client = node.connect().await;
        for version in 2..=10 {
            let is_by_id = version >= 10;
            let no_id = TopicId::default();
            let request = OffsetCommitRequest {
                group_id: String::new(),
                generation_id_or_member_epoch: 4,
                member_id: "m".to_owned(),
                retention_time_ms: if version <= 4 { 9 } else { -1 },
                topics: match is_by_id {
                    true => vec![
                        to_commit("", TopicId::random(), &[0]),
                        to_commit("", topic_id, &[1, 7, 2]),
                        to_commit("", no_id, &[0]),
                    ],
                    false => vec![
                        to_commit("other", no_id, &[0]),
                        to_commit("t", no_id, &[1, 7, 2]),
                        to_commit("t", no_id, &[]),
                        to_commit("", no_id, &[0]),
                    ],
                },
                ..OffsetCommitRequest::default()
            };
            let unknown = if is_by_id { 100 } else { 3 };
            let answer = client.call(version, &request).await;
            let codes: Vec<Vec<i16>> = answer
                .topics
                .iter()
                .map(|topic| topic.partitions.iter().map(|p| p.error_code).collect())
                .collect();
            assert_eq!(codes, [vec![unknown], vec![0, 3, 12], vec![unknown]]);
            let Request::CommitOffsets(asked) = groups.asked_once() else {
                panic!("a commit")
            };
            assert_eq!((asked.generation, asked.version), (4, version));
            assert_eq!(asked.retention_ms, if version <= 4 { 9 } else { -1 });
            let key = OffsetKey::new("t", 1);
            assert_eq!(
                (&asked.offsets[0].key, asked.offsets[0].topic_id),
                (&key, topic_id)
            );
            assert_eq!(asked.offsets.len(), 2);

            let refused = OffsetCommitRequest {
                group_id: "unknown".to_owned(),
                topics: request.topics[..2].to_vec(),
                ..request.clone()
            };
            let answer = client.call(version, &refused).await;
            let codes = answer.topics[1].partitions.iter().map(|p| p.error_code);
            assert_eq!(codes.collect::<Vec<_>>(), [69, 3, 69]);
            groups.asked();

            // Nothing to ask for: no group comes into being.
            let empty = OffsetCommitRequest {
                topics: request.topics[..1].to_vec(),
                ..request
            };
            assert_eq!(client.call(version, &empty).await.topics.len(), 1);
            assert!(groups.asked().is_empty());
        }
    });
}

/// A group that has offsets of partition 1 of every topic, of the topic with that id.
fn with_offsets(topic_id: TopicId) -> StubGroups {
    StubGroups::that(move |group, request| {
        let Request::FetchOffsets(fetch) = request else {
            return None;
        };
        if &**group == "loading" {
            return Some(Err(CoordinatorRefused::Loading));
        }
        if &**group == "fenced" {
            let refused = GroupRefused::StaleMemberEpoch {
                sent: 1,
                current: 2,
                is_classic: false,
            };
            return Some(Ok(Answer::FetchOffsets(Err(refused))));
        }
        let offset = || CommittedOffset {
            offset: Offset(42),
            leader_epoch: LeaderEpoch(3),
            metadata: Arc::from("text"),
            commit_ms: 0,
            expire_ms: -1,
            topic_id,
        };
        let all = || vec![OffsetKey::new("t", 1), OffsetKey::new("gone", 1)];
        let keys = fetch.keys.clone().unwrap_or_else(all).into_iter();
        let fetched = keys.map(|key| FetchedOffset {
            offset: (key.partition == 1).then(offset),
            key,
        });
        Some(Ok(Answer::FetchOffsets(Ok(fetched.collect()))))
    })
}

#[test]
fn offsets_of_one_group_are_read_in_versions_1_to_7() {
    testing::run(|stage| async move {
        let groups = with_offsets(TopicId::default());
        let node = Node::start_as(&stage, &[], &groups).await;
        node.create_topic("t", 3, &[]).await;
        let mut client = node.connect().await;
        for version in 1..=7 {
            let request = |group_id: &str| OffsetFetchRequest {
                group_id: group_id.to_owned(),
                topics: Some(vec![OffsetFetchRequestTopic {
                    name: "t".to_owned(),
                    partition_indexes: vec![0, 1, 9],
                }]),
                require_stable: version >= 7,
                ..OffsetFetchRequest::default()
            };
            let answer = client.call(version, &request("g")).await;
            assert_eq!(answer.error_code, 0);
            let offsets = answer.topics[0].partitions.iter();
            let offsets = offsets.map(|one| (one.partition_index, one.committed_offset));
            assert_eq!(offsets.collect::<Vec<_>>(), [(0, -1), (1, 42), (9, -1)]);
            let one = &answer.topics[0].partitions[1];
            let epoch = if version >= 5 { 3 } else { -1 };
            assert_eq!((one.committed_leader_epoch, one.error_code), (epoch, 0));
            assert_eq!(one.metadata.as_deref(), Some("text"));

            // At each partition as well: there is a client that looks nowhere else.
            let answer = client.call(version, &request("loading")).await;
            let partitions = answer.topics[0].partitions.iter();
            let codes = partitions.map(|one| one.error_code);
            assert_eq!(codes.collect::<Vec<_>>(), [14, 14, 14]);
            assert_eq!(answer.error_code, if version == 1 { 0 } else { 14 });

            let answer = client.call(version, &request("fenced")).await;
            if version == 1 {
                assert_eq!(answer.topics[0].partitions[2].error_code, 113);
            } else {
                assert_eq!((answer.error_code, answer.topics.len()), (113, 0));
                let all = OffsetFetchRequest {
                    topics: None,
                    ..request("g")
                };
                assert_eq!(client.call(version, &all).await.topics.len(), 2);
            }
        }
    });
}

#[test]
fn offsets_of_several_groups_are_read_from_version_8_on() {
    testing::run(|stage| async move {
        let groups = with_offsets(TopicId::default());
        let node = Node::start_as(&stage, &[], &groups).await;
        node.create_topic("t", 3, &[]).await;
        let topic_id = node.topic_id("t");
        let mut client = node.connect().await;
        for version in 8..=10 {
            let is_by_id = version >= 10;
            let asked = |name: &str, topic_id| OffsetFetchRequestTopics {
                name: name.to_owned(),
                topic_id,
                partition_indexes: vec![0, 1],
            };
            let group = |group_id: &str, topics| OffsetFetchRequestGroup {
                group_id: group_id.to_owned(),
                topics,
                ..OffsetFetchRequestGroup::default()
            };
            let named = match is_by_id {
                true => vec![asked("", TopicId::random()), asked("", topic_id)],
                false => vec![asked("nowhere", topic_id), asked("t", topic_id)],
            };
            let request = OffsetFetchRequest {
                groups: vec![
                    group("g", Some(named)),
                    group("fenced", None),
                    group("all", None),
                    group("g", None),
                ],
                ..OffsetFetchRequest::default()
            };
            let answer = client.call(version, &request).await;
            let told: Vec<(&str, i16, usize)> = answer
                .groups
                .iter()
                .map(|group| (&*group.group_id, group.error_code, group.topics.len()))
                .collect();
            let all = if is_by_id { 1 } else { 2 };
            assert_eq!(told, [("g", 0, 2), ("fenced", 113, 0), ("all", 0, all)]);
            let topics = &answer.groups[0].topics;
            let codes = topics[0].partitions.iter().map(|one| one.error_code);
            let unknown = if is_by_id { 100 } else { 0 };
            assert_eq!(codes.collect::<Vec<_>>(), [unknown; 2]);
            assert_eq!(topics[1].partitions[1].committed_offset, 42);
            if is_by_id {
                assert_eq!(answer.groups[2].topics[0].topic_id, topic_id);
            }
        }
    });
}

#[test]
fn an_offset_of_an_older_topic_of_the_same_name_is_none() {
    testing::run(|stage| async move {
        let groups = with_offsets(TopicId::random());
        let node = Node::start_as(&stage, &[], &groups).await;
        node.create_topic("t", 3, &[]).await;
        let topic_id = node.topic_id("t");
        let mut client = node.connect().await;
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: "g".to_owned(),
                topics: Some(vec![OffsetFetchRequestTopics {
                    topic_id,
                    partition_indexes: vec![1],
                    ..OffsetFetchRequestTopics::default()
                }]),
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        };
        let answer = client.call(10, &request).await;
        let one = &answer.groups[0].topics[0].partitions[0];
        assert_eq!((one.committed_offset, one.error_code), (-1, 0));
    });
}

#[test]
fn offsets_and_groups_are_deleted_one_by_one() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|group, request| {
            Some(Ok(match request {
                Request::DeleteOffsets(_) if &**group == "none" => {
                    Answer::DeleteOffsets(Err(GroupRefused::UnknownGroup))
                }
                Request::DeleteOffsets(delete) => {
                    let deleted = delete.keys.iter().map(|key| match key.partition {
                        1 => Err(DeleteOffsetRefused::Subscribed),
                        _ => Ok(()),
                    });
                    Answer::DeleteOffsets(Ok(deleted.collect()))
                }
                Request::DeleteGroup if &**group == "busy" => {
                    Answer::DeleteGroup(Err(GroupRefused::NotEmpty))
                }
                _ => Answer::DeleteGroup(Ok(())),
            }))
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        node.create_topic("t", 3, &[]).await;
        let mut client = node.connect().await;
        let topic = |name: &str, partitions: &[i32]| OffsetDeleteRequestTopic {
            name: name.to_owned(),
            partitions: partitions
                .iter()
                .map(|index| OffsetDeleteRequestPartition {
                    partition_index: *index,
                })
                .collect(),
        };
        let request = |group_id: &str| OffsetDeleteRequest {
            group_id: group_id.to_owned(),
            topics: vec![topic("other", &[0]), topic("t", &[0, 9, 1])],
        };
        let answer = client.call(0, &request("g")).await;
        let codes = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let codes: Vec<i16> = codes.map(|one| one.error_code).collect();
        assert_eq!((answer.error_code, codes), (0, vec![3, 0, 3, 86]));
        for (group_id, code) in [("none", 69), ("", 24)] {
            let answer = client.call(0, &request(group_id)).await;
            assert_eq!((answer.error_code, answer.topics.len()), (code, 0));
        }
        for version in 0..=2 {
            let names = ["g", "busy", "g"].map(str::to_owned);
            let request = DeleteGroupsRequest {
                groups_names: names.to_vec(),
            };
            let answer = client.call(version, &request).await;
            let results: Vec<(&str, i16)> = answer
                .results
                .iter()
                .map(|result| (&*result.group_id, result.error_code))
                .collect();
            assert_eq!(results, [("g", 0), ("busy", 68)], "each once");
        }
    });
}

fn described(topic_id: TopicId) -> StubGroups {
    StubGroups::that(move |group, request| {
        let partitions = || {
            [(topic_id, 0), (TopicId::random(), 1)]
                .into_iter()
                .collect()
        };
        Some(match (request, &**group) {
            (_, "away") => Err(CoordinatorRefused::NotCoordinator),
            (Request::DescribeClassic, "classic") => Ok(Answer::DescribeClassic(Ok(ClassicView {
                state: GroupState::Stable,
                protocol_type: Arc::from("consumer"),
                protocol: Arc::from("range"),
                members: vec![ClassicMemberView {
                    member_id: "m".into(),
                    instance_id: Some("i".into()),
                    client_id: Arc::from("c"),
                    client_host: Arc::from("/10.0.0.1"),
                    metadata: Bytes::from_static(b"topics"),
                    assignment: Bytes::from_static(b"all"),
                }],
            }))),
            (Request::DescribeClassic, _) => {
                Ok(Answer::DescribeClassic(Err(GroupRefused::UnknownGroup)))
            }
            (_, "consumer") => Ok(Answer::DescribeConsumer(Ok(ConsumerView {
                state: GroupState::Reconciling,
                group_epoch: 5,
                assignment_epoch: 4,
                assignor: Arc::from("uniform"),
                members: vec![ConsumerMemberView {
                    member_id: "m".into(),
                    instance_id: None,
                    rack_id: None,
                    member_epoch: 3,
                    client_id: Arc::from("c"),
                    client_host: Arc::from("/10.0.0.1"),
                    topic_names: vec![Arc::from("t")],
                    topic_regex: None,
                    assignment: partitions(),
                    target: partitions(),
                    is_classic: false,
                }],
            }))),
            _ => Ok(Answer::DescribeConsumer(Err(GroupRefused::UnknownGroup))),
        })
    })
}

#[test]
fn a_classic_group_is_described_and_an_unknown_one_is_dead_or_an_error() {
    testing::run(|stage| async move {
        let node = Node::start_as(&stage, &[], &described(TopicId::random())).await;
        let mut client = node.connect().await;
        for version in 0..=6 {
            let names = ["classic", "none", "away", "classic"].map(str::to_owned);
            let request = DescribeGroupsRequest {
                groups: names.to_vec(),
                include_authorized_operations: version >= 3,
            };
            let answer = client.call(version, &request).await;
            let [known, none, away] = &answer.groups[..] else {
                panic!("each once: {answer:?}")
            };
            assert_eq!((known.error_code, &*known.group_state), (0, "Stable"));
            assert_eq!(
                (&*known.protocol_type, &*known.protocol_data),
                ("consumer", "range")
            );
            let member = &known.members[0];
            assert_eq!(
                (&*member.client_host, &*member.member_assignment),
                ("/10.0.0.1", &b"all"[..])
            );
            let instance_id = (version >= 4).then_some("i");
            assert_eq!(member.group_instance_id.as_deref(), instance_id);
            let operations = if version >= 3 { 3_400 } else { i32::MIN };
            assert_eq!(known.authorized_operations, operations);
            assert_eq!(&*none.group_state, "Dead");
            assert_eq!(none.error_code, if version >= 6 { 69 } else { 0 });
            assert_eq!(none.error_message.is_some(), version >= 6);
            assert_eq!((away.error_code, &*away.group_state), (16, ""));
        }
    });
}

#[test]
fn a_consumer_group_is_described_with_names_of_topics_that_are_there() {
    testing::run(|stage| async move {
        let overrides = [("auto.create.topics.enable", "false")];
        let stub = StubGroups::default();
        let node = Node::start_as(&stage, &overrides, &stub).await;
        node.create_topic("t", 3, &[]).await;
        stub.become_like(&described(node.topic_id("t")));
        let mut client = node.connect().await;
        for version in 0..=1 {
            let names = ["consumer", "classic", "", "away"].map(str::to_owned);
            let request = ConsumerGroupDescribeRequest {
                group_ids: names.to_vec(),
                include_authorized_operations: true,
            };
            let answer = client.call(version, &request).await;
            let codes = answer.groups.iter().map(|group| group.error_code);
            assert_eq!(codes.collect::<Vec<_>>(), [0, 69, 24, 16]);
            let group = &answer.groups[0];
            assert_eq!((group.group_epoch, group.assignment_epoch), (5, 4));
            assert_eq!(
                (&*group.group_state, group.authorized_operations),
                ("Reconciling", 3_400)
            );
            let member = &group.members[0];
            let assigned = &member.assignment.topic_partitions;
            assert_eq!(assigned.len(), 1, "the other topic is gone");
            assert_eq!(
                (&*assigned[0].topic_name, &assigned[0].partitions[..]),
                ("t", &[0][..])
            );
            assert_eq!(member.subscribed_topic_regex.as_deref(), Some(""));
            assert_eq!(member.member_type, if version >= 1 { 1 } else { -1 });
        }
    });
}

#[test]
fn groups_are_listed_by_state_and_type() {
    testing::run(|stage| async move {
        let groups = StubGroups::default();
        let listing = |state, is_consumer| GroupListing {
            protocol_type: Arc::from("consumer"),
            state,
            is_consumer,
        };
        let listed = GroupsListed {
            groups: vec![
                ("a".into(), listing(GroupState::Stable, false)),
                ("b".into(), listing(GroupState::Empty, true)),
            ],
            is_loading: false,
        };
        groups.list(listed.clone());
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        for version in 0..=5 {
            for (states, types, since, names) in [
                (&[][..], &[][..], 0, "ab"),
                (&["stable", "dead"], &[], 4, "a"),
                (&["bogus"], &[], 4, ""),
                (&[], &["Consumer"], 5, "b"),
                (&["EMPTY"], &["classic"], 5, ""),
            ] {
                if version < since {
                    continue;
                }
                let request = ListGroupsRequest {
                    states_filter: texts(states),
                    types_filter: texts(types),
                };
                let answer = client.call(version, &request).await;
                let told: String = answer.groups.iter().map(|one| &*one.group_id).collect();
                assert_eq!((answer.error_code, &*told), (0, names));
                if version >= 5 && told == "ab" {
                    assert_eq!(answer.groups[1].group_type, "consumer");
                    assert_eq!(answer.groups[1].group_state, "Empty");
                }
            }
        }
        groups.list(GroupsListed {
            is_loading: true,
            ..listed
        });
        let answer = client.call(5, &ListGroupsRequest::default()).await;
        assert_eq!((answer.error_code, answer.groups.len()), (14, 0));
    });
}

#[test]
fn the_coordinator_of_a_group_is_the_leader_of_its_partition() {
    testing::run(|stage| async move {
        let groups = StubGroups::default();
        groups.has_topic(3);
        let node = Node::start_as(&stage, &[], &groups).await;
        node.create_topic(OFFSETS_TOPIC, 3, &[]).await;
        let mut client = node.connect().await;
        let address = ("127.0.0.1", i32::from(node.port));
        for version in 0..=3 {
            let request = FindCoordinatorRequest {
                key: "g".to_owned(),
                ..FindCoordinatorRequest::default()
            };
            let answer = client.call(version, &request).await;
            assert_eq!((answer.error_code, answer.node_id), (0, 1));
            assert_eq!((&*answer.host, answer.port), address);
        }
        for version in 4..=6 {
            // What is no key of a share partition is 42 in all versions.
            for (key_type, code) in [(0, 0), (1, 35), (2, 42), (9, 42)] {
                let request = FindCoordinatorRequest {
                    key_type,
                    coordinator_keys: vec!["g".to_owned(), String::new()],
                    ..FindCoordinatorRequest::default()
                };
                let answer = client.call(version, &request).await;
                let codes = answer.coordinators.iter().map(|one| one.error_code);
                assert_eq!(codes.collect::<Vec<_>>(), [code; 2]);
                if code == 0 {
                    let found = &answer.coordinators[1];
                    assert_eq!(
                        (found.node_id, &*found.host, found.port),
                        (1, address.0, address.1)
                    );
                }
            }
        }
    });
}
