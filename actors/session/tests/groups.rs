//! The APIs of members of groups, against groups that do as they are told: what reaches a group, and where
//! each version puts what it says.

mod kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kabuki_group::CoordinatorRefused;
use kabuki_group::messages::{
    Answer, HeartbeatAnswer, JoinedGroup, JoinedMember, LeftMember, Request, SyncedGroup,
};
use kabuki_group::refusal::GroupRefused;
use kabuki_protocol::ids::TopicId;
use kabuki_protocol::messages::api_versions::ApiVersionsRequest;
use kabuki_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use kabuki_protocol::messages::heartbeat::HeartbeatRequest;
use kabuki_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use kabuki_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use kabuki_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use kabuki_runtime::testing;
use kit::Node;
use kit::stub_groups::StubGroups;

fn join_request() -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 10_000,
        member_id: "m".to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(b"topics"),
        }],
        ..JoinGroupRequest::default()
    }
}

fn joined() -> JoinedGroup {
    JoinedGroup {
        member_id: "m".into(),
        generation: 7,
        protocol_type: Some(Arc::from("consumer")),
        protocol_name: Some(Arc::from("range")),
        leader: "m".into(),
        skip_assignment: false,
        members: vec![JoinedMember {
            member_id: "m".into(),
            instance_id: None,
            metadata: Bytes::from_static(b"topics"),
        }],
    }
}

#[test]
fn a_join_says_the_same_in_every_version() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, _| Some(Ok(Answer::Join(Ok(joined())))));
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        for version in 0..=9 {
            let request = JoinGroupRequest {
                rebalance_timeout_ms: if version > 0 { 30_000 } else { -1 },
                ..join_request()
            };
            let answer = client.call(version, &request).await;
            assert_eq!((answer.error_code, answer.generation_id), (0, 7));
            assert_eq!(answer.protocol_name.as_deref(), Some("range"));
            let protocol_type = (version >= 7).then_some("consumer");
            assert_eq!(answer.protocol_type.as_deref(), protocol_type);
            assert_eq!(answer.members[0].metadata, "topics");

            let Request::Join(asked) = groups.asked_once() else {
                panic!("a join")
            };
            assert_eq!(asked.needs_member_id, version >= 4);
            assert_eq!(asked.can_skip_assignment, version >= 9);
            let rebalance_timeout_ms = if version > 0 { 30_000 } else { 10_000 };
            assert_eq!(asked.rebalance_timeout_ms, rebalance_timeout_ms);
            assert_eq!(
                (&*asked.client.id, &*asked.client.host),
                ("test", "/127.0.0.1")
            );
        }
    });
}

#[test]
fn a_refused_join_has_no_protocol_and_the_id_to_come_back_with() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, request| {
            let Request::Join(join) = request else {
                return None;
            };
            let refused = match join.member_id.is_empty() {
                true => GroupRefused::MemberIdRequired {
                    member_id: "made".into(),
                },
                false => GroupRefused::UnknownMember {
                    member_id: join.member_id.clone(),
                },
            };
            Some(Ok(Answer::Join(Err(refused))))
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        for version in 0..=9 {
            for (group_id, member_id, code, told) in [
                ("g", "", 79, "made"),
                ("g", "m", 25, "m"),
                ("", "m", 24, "m"),
            ] {
                let request = JoinGroupRequest {
                    group_id: group_id.to_owned(),
                    member_id: member_id.to_owned(),
                    ..join_request()
                };
                let answer = client.call(version, &request).await;
                assert_eq!((answer.error_code, answer.generation_id), (code, -1));
                assert_eq!(answer.member_id, told);
                let nothing = (version < 7).then_some("");
                assert_eq!(answer.protocol_name.as_deref(), nothing);
            }
        }
    });
}

#[test]
fn a_sync_needs_its_protocol_before_its_group_from_version_5_on() {
    testing::run(|stage| async move {
        let synced = SyncedGroup {
            protocol_type: Some(Arc::from("consumer")),
            protocol_name: Some(Arc::from("range")),
            assignment: Bytes::from_static(b"all"),
        };
        let groups = StubGroups::that(move |_, _| Some(Ok(Answer::Sync(Ok(synced.clone())))));
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        for version in 0..=5 {
            let request = SyncGroupRequest {
                group_id: "g".to_owned(),
                generation_id: 7,
                member_id: "m".to_owned(),
                assignments: vec![SyncGroupRequestAssignment {
                    member_id: "m".to_owned(),
                    assignment: Bytes::from_static(b"all"),
                }],
                ..SyncGroupRequest::default()
            };
            let named = SyncGroupRequest {
                protocol_type: (version >= 5).then(|| "consumer".to_owned()),
                protocol_name: (version >= 5).then(|| "range".to_owned()),
                ..request.clone()
            };
            let answer = client.call(version, &named).await;
            assert_eq!((answer.error_code, &*answer.assignment), (0, &b"all"[..]));
            let protocol_name = (version >= 5).then_some("range");
            assert_eq!(answer.protocol_name.as_deref(), protocol_name);
            let Request::Sync(asked) = groups.asked_once() else {
                panic!("a sync")
            };
            assert_eq!(asked.assignments.len(), 1);

            let nowhere = SyncGroupRequest {
                group_id: String::new(),
                ..request.clone()
            };
            let code = client.call(version, &nowhere).await.error_code;
            assert_eq!(code, if version >= 5 { 23 } else { 24 });
            let nowhere = SyncGroupRequest {
                group_id: String::new(),
                ..named
            };
            assert_eq!(client.call(version, &nowhere).await.error_code, 24);
            assert!(groups.asked().is_empty());
        }
    });
}

#[test]
fn members_leave_alone_or_together() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, request| {
            let Request::Leave(leave) = request else {
                return None;
            };
            let left = leave.members.iter().map(|member| LeftMember {
                member_id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                result: match &*member.member_id {
                    "gone" => Err(GroupRefused::UnknownMember {
                        member_id: member.member_id.clone(),
                    }),
                    _ => Ok(()),
                },
            });
            Some(Ok(Answer::Leave(Ok(left.collect()))))
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        for version in 0..=2 {
            for (group_id, member_id, code) in [("g", "m", 0), ("g", "gone", 25), ("", "m", 24)] {
                let request = LeaveGroupRequest {
                    group_id: group_id.to_owned(),
                    member_id: member_id.to_owned(),
                    ..LeaveGroupRequest::default()
                };
                assert_eq!(client.call(version, &request).await.error_code, code);
            }
        }
        for version in 3..=5 {
            let member = |member_id: &str| MemberIdentity {
                member_id: member_id.to_owned(),
                group_instance_id: Some("i".to_owned()),
                ..MemberIdentity::default()
            };
            let mut request = LeaveGroupRequest {
                group_id: "g".to_owned(),
                members: vec![member("m"), member("gone")],
                ..LeaveGroupRequest::default()
            };
            let answer = client.call(version, &request).await;
            let codes: Vec<i16> = answer.members.iter().map(|one| one.error_code).collect();
            assert_eq!((answer.error_code, codes), (0, vec![0, 25]));
            assert_eq!(answer.members[0].group_instance_id.as_deref(), Some("i"));
            request.group_id = String::new();
            let answer = client.call(version, &request).await;
            assert_eq!((answer.error_code, answer.members.len()), (24, 0));
        }
    });
}

#[test]
fn a_loading_shard_keeps_members_where_they_are() {
    testing::run(|stage| async move {
        let groups = StubGroups::default();
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        for (refused, codes) in [
            (CoordinatorRefused::Loading, [14, 27, 0, 14, 14]),
            (CoordinatorRefused::NotAvailable, [16, 16, 16, 16, 15]),
            (CoordinatorRefused::NotCoordinator, [16, 16, 16, 16, 16]),
        ] {
            groups.become_like(&StubGroups::refusing(refused));
            let join = client.call(5, &join_request()).await.error_code;
            let sync = SyncGroupRequest {
                group_id: "g".to_owned(),
                ..SyncGroupRequest::default()
            };
            let sync = client.call(3, &sync).await.error_code;
            let beat = HeartbeatRequest {
                group_id: "g".to_owned(),
                ..HeartbeatRequest::default()
            };
            let beat = client.call(4, &beat).await.error_code;
            let consumer = client.call(1, &consumer_beat()).await.error_code;
            let leave = LeaveGroupRequest {
                group_id: "g".to_owned(),
                ..LeaveGroupRequest::default()
            };
            let leave = client.call(3, &leave).await.error_code;
            assert_eq!([join, sync, beat, consumer, leave], codes, "{refused:?}");
        }
    });
}

fn consumer_beat() -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: "m".to_owned(),
        member_epoch: 3,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

#[test]
fn a_heartbeat_of_the_new_protocol_carries_partitions_both_ways() {
    testing::run(|stage| async move {
        let topic_id = TopicId::random();
        let groups = StubGroups::that(move |_, request| {
            let Request::ConsumerHeartbeat(beat) = request else {
                return None;
            };
            Some(Ok(Answer::ConsumerHeartbeat(match beat.member_epoch {
                3 => Ok(HeartbeatAnswer {
                    member_id: "m".into(),
                    member_epoch: 4,
                    heartbeat_interval_ms: 5_000,
                    assignment: Some([(topic_id, 0), (topic_id, 2)].into_iter().collect()),
                }),
                sent => Err(GroupRefused::FencedMemberEpoch { sent, current: 3 }),
            })))
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        for version in 0..=1 {
            let request = ConsumerGroupHeartbeatRequest {
                topic_partitions: Some(vec![TopicPartitions {
                    topic_id,
                    partitions: vec![5],
                }]),
                ..consumer_beat()
            };
            let answer = client.call(version, &request).await;
            assert_eq!((answer.error_code, answer.member_epoch), (0, 4));
            assert_eq!(answer.member_id.as_deref(), Some("m"));
            let assigned = answer.assignment.expect("there is news").topic_partitions;
            assert_eq!(assigned[0].topic_id, topic_id);
            assert_eq!(assigned[0].partitions, [0, 2]);
            let Request::ConsumerHeartbeat(asked) = groups.asked_once() else {
                panic!("a heartbeat")
            };
            assert!(asked.owned.expect("told").contains(topic_id, 5));
            assert_eq!(asked.topic_names, None);

            let fenced = ConsumerGroupHeartbeatRequest {
                member_epoch: 9,
                ..consumer_beat()
            };
            let answer = client.call(version, &fenced).await;
            assert_eq!((answer.error_code, answer.member_id), (110, None));
            assert!(answer.error_message.is_some_and(|text| text.contains('9')));
            groups.asked();
        }
        for (group_id, member_id) in [(" ", "m"), ("g", "")] {
            let request = ConsumerGroupHeartbeatRequest {
                group_id: group_id.to_owned(),
                member_id: member_id.to_owned(),
                ..consumer_beat()
            };
            assert_eq!(client.call(1, &request).await.error_code, 42);
            assert!(groups.asked().is_empty());
        }
    });
}

#[test]
fn the_new_protocol_can_be_switched_off() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, _| None);
        let overrides = [("group.coordinator.rebalance.protocols", "classic")];
        let node = Node::start_as(&stage, &overrides, &groups).await;
        let mut client = node.connect().await;
        let answer = client.call(1, &consumer_beat()).await;
        assert_eq!(answer.error_code, 35);
        assert!(groups.asked().is_empty());
    });
}

#[test]
fn nothing_overtakes_a_parked_join_and_it_costs_others_no_memory() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, _| None);
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        let metadata = Bytes::from(vec![1; 100_000]);
        let request = JoinGroupRequest {
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".to_owned(),
                metadata,
            }],
            ..join_request()
        };
        let first = client.send(5, &request).await;
        let second = client.send(0, &ApiVersionsRequest::default()).await;
        kit::until(|| groups.parked_count() == 1).await;
        let used = node.services.memory_used_bytes();
        assert!((100_000..400_000).contains(&used), "{used} bytes");
        kit::later(Duration::from_secs(200)).await;
        assert_eq!(
            groups.parked_count(),
            1,
            "a join waits for as long as it takes"
        );

        groups.release(&Ok(Answer::Join(Ok(joined()))));
        let (id, answer) = client.receive::<JoinGroupRequest>(5).await;
        assert_eq!((id, answer.generation_id), (first, 7));
        assert_eq!(client.receive::<ApiVersionsRequest>(0).await.0, second);
    });
}

#[test]
fn a_connection_that_ends_waits_for_no_parked_join() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, _| None);
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        client.send(5, &join_request()).await;
        kit::until(|| groups.parked_count() == 1).await;
        drop(client);
        kit::until(|| node.services.connection_count() == 0).await;
        assert_eq!(groups.parked_count(), 0);
        assert_eq!(node.services.memory_used_bytes(), 0);
    });
}

#[test]
fn who_leaves_or_commits_does_not_notice_that_its_group_is_rebuilt() {
    testing::run(|stage| async move {
        let asked = AtomicUsize::new(0);
        let groups = StubGroups::that(move |_, request| {
            let is_third = asked.fetch_add(1, Ordering::Relaxed) % 3 == 2;
            Some(match (request, is_third) {
                (_, false) => Err(CoordinatorRefused::Loading),
                (Request::Leave(_), true) => Ok(Answer::Leave(Ok(Vec::new()))),
                (_, true) => Ok(Answer::ConsumerHeartbeat(Ok(HeartbeatAnswer {
                    member_id: "m".into(),
                    member_epoch: -1,
                    heartbeat_interval_ms: 0,
                    assignment: None,
                }))),
            })
        });
        let node = Node::start_as(&stage, &[], &groups).await;
        let mut client = node.connect().await;
        let leave = LeaveGroupRequest {
            group_id: "g".to_owned(),
            ..LeaveGroupRequest::default()
        };
        assert_eq!(client.call(3, &leave).await.error_code, 0);
        let last = ConsumerGroupHeartbeatRequest {
            member_epoch: -1,
            ..consumer_beat()
        };
        assert_eq!(client.call(1, &last).await.error_code, 0);
        assert_eq!(groups.asked().len(), 6);
        // One that stays asks again itself, and with what it knows by then.
        assert_eq!(client.call(1, &consumer_beat()).await.error_code, 14);
        assert_eq!(groups.asked().len(), 1);
    });
}

#[test]
fn a_group_that_does_not_answer_is_not_available() {
    testing::run(|stage| async move {
        let groups = StubGroups::that(|_, _| None);
        let overrides = [("request.timeout.ms", "5000")];
        let node = Node::start_as(&stage, &overrides, &groups).await;
        let mut client = node.connect().await;
        let beat = HeartbeatRequest {
            group_id: "g".to_owned(),
            ..HeartbeatRequest::default()
        };
        assert_eq!(client.call(4, &beat).await.error_code, 16);
    });
}
