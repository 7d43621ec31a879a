//! Groups, shards and partitions that crash, disks that refuse: no commit that was acknowledged is lost, what
//! was refused is not there, and others notice nothing.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod scene;

use std::time::Duration;

use kabuki_group::refusal::GroupRefused;
use kabuki_group::{CoordinatorRefused, GroupCoordinators};
use kabuki_runtime::{ActorState, testing};
use kabuki_storage::FaultClass;
use kabuki_storage::sim_fs::{FaultRule, Operation};
use scene::*;

#[test]
fn a_group_crashed_a_hundred_times_loses_no_commit_and_its_neighbours_notice_nothing() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("crashing", 0).await;
        let neighbour = (0..)
            .map(|at| format!("n{at}"))
            .find(|name| scene.groups.partition_of(name) == scene.groups.partition_of("crashing"));
        let neighbour = neighbour.unwrap();
        scene.commit(&neighbour, 0).await;
        let joined = scene.try_heartbeat(&neighbour, "m", 0, None).await.unwrap();
        let (mut crashes, mut acknowledged) = (0, 0);
        let mut offset = 0;
        while crashes < 100 {
            offset += 1;
            let path = "/coordinators/groups/crashing";
            let commit = scene.try_commit("crashing", offset);
            let crash = async {
                // At another moment of the commit each time.
                for _ in 0..offset % 7 {
                    tokio::task::yield_now().await;
                }
                scene.crash(path)
            };
            let (committed, crashed) = tokio::join!(commit, crash);
            crashes += i32::from(crashed);
            match committed {
                Ok(()) => acknowledged = offset,
                Err(NotDone::Coordinator(CoordinatorRefused::Loading)) => {}
                Err(other) => panic!("{other:?}"),
            }
            let kept = scene.try_heartbeat(
                &neighbour,
                "m",
                joined.member_epoch,
                joined.assignment.clone(),
            );
            assert_eq!(kept.await.unwrap().member_epoch, joined.member_epoch);
            if let Ok(found) = scene.try_committed("crashing").await {
                assert!(
                    found >= Some(acknowledged),
                    "{found:?} after {acknowledged}"
                );
                assert!(found <= Some(offset));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        scene.commit("crashing", offset + 1).await;
        assert_eq!(scene.committed("crashing").await, Some(offset + 1));
        let actors = scene.actors("/coordinators/groups");
        let of = |name: &str| {
            actors
                .iter()
                .find(|actor| actor.path.name() == name)
                .unwrap()
        };
        assert_eq!(of("crashing").restarts, 100);
        assert_eq!(of(&neighbour).restarts, 0);
        assert_eq!(
            scene
                .actors("/coordinators/shards")
                .iter()
                .map(|shard| shard.restarts)
                .sum::<u64>(),
            0
        );
        let fs = scene.kill().await;
        let scene = Scene::on(&stage, fs, &[]).await;
        assert_eq!(scene.committed("crashing").await, Some(offset + 1));
        scene.stop().await;
    });
}

#[test]
fn a_commit_that_the_disk_refuses_is_undone_and_later_ones_are_taken() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("readers", 1).await;
        let full = FaultRule::fail(
            scene.dir_of("readers"),
            &[Operation::Write],
            FaultClass::Full,
        );
        let rule = scene.fs.inject(full);
        let refused = scene.try_commit("readers", 2).await;
        assert!(
            matches!(
                refused,
                Err(NotDone::Group(GroupRefused::NotCommitted { .. }))
            ),
            "{refused:?}"
        );
        // It still serves what is committed, and does not fall.
        assert_eq!(scene.try_committed("readers").await, Ok(Some(1)));
        assert_eq!(scene.actors("/coordinators/groups")[0].restarts, 0);
        scene.fs.heal(rule);
        scene.commit("readers", 3).await;
        assert_eq!(scene.committed("readers").await, Some(3));
        let fs = scene.kill().await;
        let scene = Scene::on(&stage, fs, &[]).await;
        assert_eq!(scene.committed("readers").await, Some(3));
        scene.stop().await;
    });
}

#[test]
fn a_commit_that_takes_too_long_is_answered_and_the_group_waits_for_its_end() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("readers", 1).await;
        // The first write makes the disk slow, the next one hangs in the pool.
        let slow = FaultRule::delay(
            scene.dir_of("readers"),
            &[Operation::Write],
            Duration::from_secs(9),
        );
        let rule = scene.fs.inject(slow);
        let began = tokio::time::Instant::now();
        let answered = scene.try_commit("readers", 2).await;
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(7), "{waited:?}");
        scene.fs.heal(rule);
        let found = scene.committed("readers").await;
        match answered {
            Ok(()) => assert_eq!(found, Some(2)),
            Err(_) => assert!(found == Some(1) || found == Some(2), "{found:?}"),
        }
        scene.commit("readers", 3).await;
        assert_eq!(scene.committed("readers").await, Some(3));
        let fs = scene.kill().await;
        let scene = Scene::on(&stage, fs, &[]).await;
        assert_eq!(scene.committed("readers").await, Some(3));
        scene.stop().await;
    });
}

#[test]
fn a_shard_that_crashes_reads_its_log_and_its_groups_play_on() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("readers", 1).await;
        let joined = scene.try_heartbeat("readers2", "m", 0, None).await;
        for offset in 2..12 {
            let shard = scene.shard_of("readers");
            let (committed, _) = tokio::join!(scene.try_commit("readers", offset), async {
                scene.crash(&shard)
            });
            let found = scene.committed("readers").await;
            match committed {
                Ok(()) => assert_eq!(found, Some(offset)),
                Err(_) => assert!(found <= Some(offset)),
            }
            scene.commit("readers", offset).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        for group in scene.actors("/coordinators/groups") {
            assert_eq!(group.restarts, 0, "{}", group.path);
        }
        drop(joined);
        scene.stop().await;
    });
}

#[test]
fn a_group_whose_partition_is_offline_is_refused_and_comes_back_as_it_was() {
    testing::run(|stage| async move {
        let scene = Scene::new(&stage).await;
        scene.commit("readers", 4).await;
        let partition = scene.partition_of("readers");
        for _ in 0..1_000 {
            match scene
                .stage
                .registry()
                .describe(&kabuki_runtime::ActorPath::new(&partition))[0]
                .state
            {
                ActorState::Parked => break,
                ActorState::Running => drop(scene.crash(&partition)),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let away = Err(NotDone::Coordinator(CoordinatorRefused::NotCoordinator));
        scene
            .until("away", async || {
                scene.try_commit("readers", 5).await == away
            })
            .await;
        assert!(scene.on_stage().is_empty());
        scene.commit("readers", 6).await;
        assert_eq!(scene.committed("readers").await, Some(6));
        scene.stop().await;
    });
}

/// Storms of each run.
const SEEDS: u64 = 40;

#[test]
fn after_any_storm_what_was_acknowledged_is_there() {
    let chosen = std::env::var("SEED").ok();
    let chosen = chosen.map(|seed| seed.parse().unwrap());
    for seed in chosen.map_or(0..SEEDS, |seed: u64| seed..seed + 1) {
        println!("seed {seed}");
        testing::run(|stage| async move {
            let scene = Scene::new(&stage).await;
            let mut dice = Dice(seed);
            let groups = ["a", "b", "c"];
            let (mut tried, mut acknowledged) = ([0_i64; 3], [0_i64; 3]);
            for group in groups {
                scene.commit(group, 0).await;
            }
            for _ in 0..60 {
                let aimed_at = groups[dice.below(3)];
                blow(&scene, &mut dice, aimed_at);
                let at = dice.below(3);
                tried[at] += 1;
                let committed = scene.try_commit(groups[at], tried[at]);
                // Somebody else's fault may come while it is on its way.
                let steps = dice.below(12);
                let mut gust = dice.clone();
                let meanwhile = async {
                    for _ in 0..steps {
                        tokio::task::yield_now().await;
                    }
                    blow(&scene, &mut gust, groups[at]);
                };
                let (committed, ()) = tokio::join!(committed, meanwhile);
                dice.below(2);
                if committed.is_ok() {
                    acknowledged[at] = tried[at];
                }
                for at in 0..3 {
                    if let Ok(found) = scene.try_committed(groups[at]).await {
                        let found = found.unwrap_or(-1);
                        assert!(
                            (acknowledged[at]..=tried[at]).contains(&found),
                            "seed {seed}: {found} outside {}..={}",
                            acknowledged[at],
                            tried[at]
                        );
                    }
                }
                let pause = [0, 1, 20, 150, 1_500][dice.below(5)];
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            scene.fs.heal_all();
            let mut ends = [0; 3];
            for at in 0..3 {
                ends[at] = scene.committed(groups[at]).await.unwrap();
                assert!(
                    (acknowledged[at]..=tried[at]).contains(&ends[at]),
                    "seed {seed}"
                );
            }
            let fs = scene.kill().await;
            let scene = Scene::on(&stage, fs, &[]).await;
            for at in 0..3 {
                assert_eq!(
                    scene.committed(groups[at]).await,
                    Some(ends[at]),
                    "seed {seed}"
                );
            }
            scene.stop().await;
        });
    }
}

/// One gust: a crash, or a disk that fails for a while.
fn blow(scene: &Scene, dice: &mut Dice, group: &str) {
    match dice.below(13) {
        0 | 1 => drop(scene.crash(&format!("/coordinators/groups/{group}"))),
        2 => drop(scene.crash(&scene.shard_of(group))),
        3 => drop(scene.crash(&scene.partition_of(group))),
        4 => drop(scene.crash("/coordinators/keeper")),
        5 => {
            let class = [FaultClass::Full, FaultClass::Denied][dice.below(2)];
            let rule = FaultRule::fail(scene.dir_of(group), &[Operation::Write], class);
            scene.fs.inject(rule.times(3));
        }
        6 => {
            let by = Duration::from_millis([30, 400, 3_000][dice.below(3)]);
            let rule = FaultRule::delay(scene.dir_of(group), &[Operation::Write], by);
            scene.fs.inject(rule.times(2));
        }
        7 | 8 => scene.fs.heal_all(),
        9 => scene.depose(group),
        _ => {}
    }
}

/// Numbers from a seed (splitmix64).
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
