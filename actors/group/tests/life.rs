//! Groups from their first request to their last: the topic they live in, loading, resting, retention.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod scene;

use std::time::Duration;

use futures_util::future::join_all;
use kabuki_controller::image::is_internal_topic;
use kabuki_group::messages::{Answer, Client, GroupState, Heartbeat, JoinGroup, Request};
use kabuki_group::names::{GroupId, MemberId};
use kabuki_group::records::JoinProtocol;
use kabuki_group::{CoordinatorRefused, GroupCoordinators, OFFSETS_TOPIC};
use kabuki_protocol::ids::Offset;
use kabuki_runtime::testing;
use scene::*;

#[test]
fn the_topic_is_created_at_the_first_need_with_the_replicas_there_are() {
    testing::run(|stage| async move {
        let scene = Scene::with(&stage, &[("offsets.topic.num.partitions", "50")]).await;
        assert_eq!(scene.groups.partition_of("readers"), None);
        let both = tokio::join!(scene.groups.ensure_topic(), scene.groups.ensure_topic());
        assert_eq!(both, (Ok(50), Ok(50)));
        let image = scene.image.borrow().clone();
        let topic = image.topic(OFFSETS_TOPIC).unwrap();
        assert_eq!(topic.partitions.len(), 50);
        assert_eq!(
            topic.partitions[0].replicas.len(),
            1,
            "3 are configured, 1 broker lives"
        );
        assert_eq!(topic.configs.get("cleanup.policy").unwrap(), "compact");
        assert_eq!(topic.configs.get("segment.bytes").unwrap(), "104857600");
        assert!(is_internal_topic(&topic.name));
        scene.commit("readers", 1).await;
        assert_eq!(scene.actors("/coordinators/shards").len(), 50);
        scene.stop().await;
    });
}

#[test]
fn a_request_creates_the_topic_too() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        let before_load = scene.try_commit("readers", 1).await;
        assert!(
            matches!(
                before_load,
                Ok(()) | Err(NotDone::Coordinator(CoordinatorRefused::Loading))
            ),
            "{before_load:?}"
        );
        scene.commit("readers", 2).await;
        assert_eq!(scene.committed("readers").await, Some(2));
        scene.stop().await;
    });
}

#[test]
fn offsets_and_members_are_there_after_a_kill() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        for group in ["a", "b", "c", "d"] {
            scene.commit(group, 7).await;
            scene.commit(group, 8).await;
        }
        let joined = scene.try_heartbeat("members", "m", 0, None).await;
        let joined = match joined {
            Ok(joined) => joined,
            Err(_) => {
                scene.commit("other", 1).await;
                scene.try_heartbeat("members", "m", 0, None).await.unwrap()
            }
        };
        let owned = joined.assignment.unwrap();
        assert_eq!(owned.len(), 3);
        let fs = scene.kill().await;
        let scene = Scene::on(&stage, fs, &[]).await;
        for group in ["a", "b", "c", "d"] {
            assert_eq!(scene.committed(group).await, Some(8));
        }
        scene
            .until("loaded", async || !scene.groups.list().await.is_loading)
            .await;
        // Only the group with a member came on stage by itself.
        assert!(scene.on_stage().contains(&"members".to_owned()));
        let again = scene
            .try_heartbeat("members", "m", joined.member_epoch, Some(owned.clone()))
            .await
            .unwrap();
        assert_eq!(again.member_epoch, joined.member_epoch);
        // Nobody takes it out before its session is over, and somebody does then.
        tokio::time::sleep(Duration::from_secs(50)).await;
        let listed = scene.groups.list().await;
        let of = |name: &str| {
            let found = listed
                .groups
                .iter()
                .find(|(group, _)| group.as_str() == name);
            found.map(|(_, listing)| (listing.state, listing.is_consumer))
        };
        assert_eq!(of("members"), Some((GroupState::Empty, true)));
        assert_eq!(of("a"), Some((GroupState::Empty, false)));
        assert_eq!(of("nobody"), None);
        scene.stop().await;
    });
}

#[test]
fn the_answers_of_a_rebalance_leave_a_few_a_turn() {
    const MEMBERS: usize = 100;
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("readers", 1).await;
        let join = || {
            Request::Join(JoinGroup {
                client: Client {
                    id: "c".into(),
                    host: "/127.0.0.1".into(),
                },
                member_id: MemberId::default(),
                instance_id: None,
                protocol_type: "any".into(),
                protocols: vec![JoinProtocol {
                    name: "p".into(),
                    metadata: b"m"[..].into(),
                }],
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: 10_000,
                needs_member_id: false,
                can_skip_assignment: true,
            })
        };
        let wake_ups = || scene.actors("/coordinators/groups")[0].wake_ups;
        let joined = join_all((0..MEMBERS).map(|_| scene.ask("readers", join())));
        // The first rebalance of a group waits for more members, three seconds at least.
        let waiting = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            wake_ups()
        };
        let (joined, woken_before) = tokio::join!(joined, waiting);
        let members = |answer| match answer {
            Ok(Answer::Join(Ok(joined))) => joined.members.len(),
            other => panic!("{other:?}"),
        };
        let told: Vec<usize> = joined.into_iter().map(members).collect();
        assert_eq!(told.len(), MEMBERS);
        let leaders: Vec<_> = told.into_iter().filter(|count| *count > 0).collect();
        assert_eq!(leaders, [MEMBERS], "the leader alone learns of all");
        let turns = wake_ups() - woken_before;
        assert!(turns >= 4, "{MEMBERS} answers left in {turns} turns");
        scene.stop().await;
    });
}

#[test]
fn what_is_set_on_a_group_holds_at_its_next_heartbeat() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("readers", 1).await;
        let times = [
            ("consumer.session.timeout.ms", "60000"),
            ("consumer.heartbeat.interval.ms", "9000"),
        ];
        scene.configure("readers", &times).await;
        let readers = scene.try_heartbeat("readers", "m", 0, None).await.unwrap();
        let others = scene.try_heartbeat("others", "m", 0, None);
        let others = others.await.unwrap();
        assert_eq!(readers.heartbeat_interval_ms, 9_000);
        assert_eq!(others.heartbeat_interval_ms, 5_000);

        tokio::time::sleep(Duration::from_secs(50)).await;
        let readers = scene.try_heartbeat("readers", "m", readers.member_epoch, None);
        let readers = readers.await.expect("its session is longer than that");
        let others = scene.try_heartbeat("others", "m", others.member_epoch, None);
        others.await.expect_err("its session has ended");

        scene.configure("readers", &[]).await;
        let readers = scene.try_heartbeat("readers", "m", readers.member_epoch, None);
        assert_eq!(readers.await.unwrap().heartbeat_interval_ms, 5_000);
        scene.stop().await;
    });
}

#[test]
fn a_group_without_members_leaves_the_stage_and_comes_back() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("readers", 5).await;
        assert_eq!(scene.on_stage(), ["readers"]);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert!(scene.on_stage().is_empty());
        let listed = scene.groups.list().await;
        assert_eq!(listed.groups[0].0, GroupId::new("readers"));
        assert_eq!(scene.committed("readers").await, Some(5));
        assert_eq!(scene.on_stage(), ["readers"]);
        scene.stop().await;
    });
}

#[test]
fn names_that_nobody_has_cost_no_actor() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("readers", 5).await;
        for at in 0..500 {
            let group = format!("made-up-{at}");
            assert_eq!(scene.committed(&group).await, None);
            let heartbeat = Request::Heartbeat(Heartbeat {
                generation: 1,
                member_id: MemberId::new("m"),
                instance_id: None,
            });
            scene.ask(&group, heartbeat).await.unwrap();
            let stale = scene.try_heartbeat(&group, "m", 5, None).await;
            assert!(matches!(stale, Err(NotDone::Group(_))), "{stale:?}");
        }
        assert_eq!(scene.on_stage(), ["readers"]);
        assert_eq!(scene.groups.list().await.groups.len(), 1);
        scene.stop().await;
    });
}

#[test]
fn offsets_past_their_retention_are_forgotten_on_stage_and_off() {
    testing::run(|stage| async move {
        let settings = [
            ("offsets.retention.minutes", "10"),
            ("offsets.retention.check.interval.ms", "60000"),
        ];
        let scene = Scene::with(&stage, &settings).await;
        scene.commit("old", 5).await;
        tokio::time::sleep(Duration::from_secs(5 * 60)).await;
        scene.commit("young", 5).await;
        tokio::time::sleep(Duration::from_secs(7 * 60)).await;
        assert_eq!(scene.committed("old").await, None);
        assert_eq!(scene.committed("young").await, Some(5));
        let listed = scene.groups.list().await.groups;
        assert_eq!(listed.len(), 1, "{listed:?}");
        // What expired stays away.
        let fs = scene.kill().await;
        let scene = Scene::on(&stage, fs, &settings).await;
        assert_eq!(scene.committed("old").await, None);
        assert_eq!(scene.committed("young").await, Some(5));
        scene.stop().await;
    });
}

#[test]
fn offsets_of_a_topic_that_is_deleted_are_forgotten() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.create("gone", 1).await;
        scene.commit("readers", 5).await;
        scene.try_commit_of("readers", "gone", 6).await.unwrap();
        // A group that nobody plays is told as well.
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert!(scene.on_stage().is_empty());
        scene.delete("gone").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.create("gone", 1).await;
        assert_eq!(scene.try_committed_of("readers", "gone").await, Ok(None));
        assert_eq!(scene.committed("readers").await, Some(5));
        scene.stop().await;
    });
}

#[test]
fn a_flooded_group_refuses_and_its_neighbour_commits() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("flooded", 1).await;
        let neighbour = (0..)
            .map(|at| format!("n{at}"))
            .find(|name| scene.groups.partition_of(name) == scene.groups.partition_of("flooded"));
        let neighbour = neighbour.unwrap();
        scene.commit(&neighbour, 1).await;
        // More than shard and group have room for.
        let flood: Vec<_> = (0..20_000)
            .map(|at| scene.try_commit("flooded", at))
            .collect();
        let flood = futures_util::future::join_all(flood);
        let (flood, ()) = tokio::join!(flood, scene.commit(&neighbour, 2));
        let done = flood.iter().filter(|done| done.is_ok()).count();
        let refused = NotDone::Coordinator(CoordinatorRefused::Loading);
        assert!((1..20_000).contains(&done), "{done} done");
        assert!(
            flood
                .iter()
                .all(|done| done.is_ok() || *done == Err(refused.clone()))
        );
        assert_eq!(scene.committed(&neighbour).await, Some(2));
        scene.stop().await;
    });
}

#[test]
fn what_somebody_else_writes_into_the_topic_costs_no_group() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("readers", 5).await;
        let end = scene.append_junk("readers").await;
        assert!(end > Offset::ZERO);
        scene.commit("readers", 6).await;
        let fs = scene.kill().await;
        let scene = Scene::on(&stage, fs, &[]).await;
        assert_eq!(scene.committed("readers").await, Some(6));
        scene.stop().await;
    });
}
