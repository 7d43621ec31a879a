//! Groups that change their protocol, and members that speak the other one.

use super::{Scene, run};
use crate::config::MigrationPolicy;

/// A classic group of two at generation 1.
const TWO: &str = "
    join a ->
    join b ->
    wait 0 -> a: joined 1 led by a with a b; b: joined 1 led by a
    sync b ->
    sync a a=t/0,t/1 b=t/2,t/3 -> a: synced t/0 t/1; b: synced t/2 t/3
";

fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    scene.config.consumer_assignment_interval_ms = 0;
    scene
}

#[test]
fn a_group_is_upgraded_member_by_member_and_no_partition_has_two_owners() {
    let mut scene = scene();
    run(&mut scene, TWO);
    run(
        &mut scene,
        "store a t/0=5 -> a: stored
         hb c join topics=t -> c: epoch 2 []
         state -> Reconciling
         fetch t/0 -> t/0=5
         beat a -> a: 27
         join a -> a: joined 2
         sync a -> a: synced t/0 t/1
         beat b -> b: 27
         join b -> b: joined 1
         sync b -> b: synced t/2
         beat b -> b: 27
         join b -> b: joined 2
         sync b -> b: synced t/2
         hb c -> c: epoch 2 [t/3]
         join a -> a: joined 2
         sync a -> a: synced t/0 t/1
         beat a -> a: ok
         beat b -> b: ok
         state -> Stable",
    );
}

#[test]
fn the_last_member_of_the_new_protocol_takes_it_along() {
    let mut scene = scene();
    run(&mut scene, TWO);
    run(
        &mut scene,
        "hb c join topics=t -> c: epoch 2 []
         hb c epoch=-1 -> c: epoch -1
         state -> PreparingRebalance
         beat a gen=2 -> a: 27
         beat a -> a: 22
         join a ->
         join b -> a: joined 3 led by a with a b; b: joined 3 led by a
         sync b ->
         sync a a=t/0 b=t/1 -> a: synced t/0; b: synced t/1
         state -> Stable
         rebuild ->
         beat a -> a: ok",
    );
}

#[test]
fn classic_members_that_stay_are_asked_to_join_again_and_may_commit_before() {
    let mut scene = scene();
    run(&mut scene, TWO);
    run(
        &mut scene,
        "hb c join topics=t -> c: epoch 2 []
         join a -> a: joined 2
         sync a -> a: synced t/0 t/1
         hb c epoch=-1 -> c: epoch -1
         beat a -> a: 27
         store a t/0=5 -> a: stored
         beat b -> b: 22",
    );
}

#[test]
fn a_silent_member_of_the_new_protocol_is_fenced_and_the_group_goes_back() {
    let mut scene = scene();
    scene.config.session_timeout_ms_max = 1_800_000;
    run(
        &mut scene,
        "join a session=100000 ->
         wait 0 -> a: joined 1 led by a with a
         sync a a=t/0 -> a: synced t/0
         hb c join topics=t -> c: epoch 2 [t/2 t/3]
         wait 45000 ->
         state -> PreparingRebalance
         join a session=100000 -> a: joined 3 led by a with a",
    );
}

#[test]
fn a_group_that_must_not_or_cannot_change_stays() {
    let mut scene = scene();
    scene.config.migration_policy = MigrationPolicy::Disabled;
    run(&mut scene, TWO);
    run(
        &mut scene,
        "hb c join topics=t -> c: 69\nhb c epoch=2 -> c: 69\nbeat a -> a: ok",
    );
    scene.config.migration_policy = MigrationPolicy::Upgrade;
    run(
        &mut scene,
        "hb c join topics=t -> c: epoch 2 []
         hb c epoch=-1 -> c: epoch -1
         state -> Assigning",
    );
}

#[test]
fn a_group_of_others_is_not_upgraded() {
    let mut scene = scene();
    run(
        &mut scene,
        "join a type=connect ->
         wait 0 -> a: joined 1 led by a with a
         hb c join topics=t -> c: 69
         sync a type=connect -> a: synced
         hb c join topics=t -> c: 69",
    );
}

#[test]
fn a_member_whose_bytes_are_broken_keeps_the_group_classic() {
    let mut scene = scene();
    run(
        &mut scene,
        "join a raw=xx ->
         wait 0 -> a: joined 1 led by a with a
         sync a -> a: synced
         hb c join topics=t -> c: 69
         state -> Stable
         beat a -> a: ok",
    );
}

#[test]
fn an_upgrade_that_is_refused_leaves_the_group_as_it_was() {
    let mut scene = scene();
    run(&mut scene, TWO);
    run(
        &mut scene,
        "hb c join regex=( -> c: 128
         state -> Stable
         log -> classic
         wait 9999 ->
         beat a -> a: ok
         wait 1 ->
         beat a -> a: 27",
    );
}

#[test]
fn empty_groups_change_at_once_and_keep_their_offsets() {
    let mut scene = scene();
    run(
        &mut scene,
        "store - t/0=5 -> -: stored
         hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb a epoch=-1 -> a: epoch -1
         join b v4 -> b: has an id
         join b ->
         wait 0 -> b: joined 1 led by b with b
         leave b -> b: left
         fetch * -> t/0=5
         hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         fetch * -> t/0=5",
    );
}

#[test]
fn classic_members_come_and_go_in_a_consumer_group() {
    let mut scene = scene();
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         join b v4 -> b: has an id
         join b type=connect -> b: 23 of nobody
         join b -> b: joined 3
         sync b gen=2 -> b: 22
         sync b type=other -> b: 23
         sync b -> b: synced
         beat b -> b: ok
         join c with=other -> c: 23 of nobody
         hb a owned=t/0,t/1,t/2,t/3 -> a: epoch 2 [t/0 t/1]
         hb a owned=t/0,t/1 -> a: epoch 3
         beat b -> b: 27
         join b -> b: joined 3
         sync b -> b: synced t/2 t/3
         store b t/2=1 version=5 -> b: stored
         store b t/2=1 gen=9 -> b: 22
         sync a -> a: 25
         beat a -> a: 25
         leave a b -> a: 25 left
         hb a owned== -> a: epoch 4 [t/0 t/1 t/2 t/3]",
    );
}

#[test]
fn a_classic_member_that_does_not_join_again_is_out() {
    let mut scene = scene();
    run(
        &mut scene,
        "join b rebalance=20000 ->
         wait 0 -> b: joined 1 led by b with b
         sync b b=t/0 -> b: synced t/0
         hb a join topics=t -> a: epoch 2 [t/1 t/2]
         beat b -> b: 27
         wait 9000 ->
         beat b -> b: 27
         wait 9000 ->
         beat b -> b: 27
         wait 2000 ->
         beat b -> b: 25
         hb a -> a: epoch 3 [t/0 t/1 t/2 t/3]",
    );
}

#[test]
fn a_static_member_changes_its_protocol_in_place() {
    let mut scene = scene();
    run(
        &mut scene,
        "join a static=i1 ->
         wait 0 -> a: joined 1 led by a with a
         sync a a=t/0,t/1,t/2,t/3 -> a: synced t/0 t/1 t/2 t/3
         hb n join topics=t static=i1 -> n: epoch 1 [t/0 t/1 t/2 t/3]
         beat a -> a: 82
         state -> Stable
         join a new static=i1 -> a: joined 2 led by a with a
         hb n -> n: 69
         state -> CompletingRebalance",
    );
}
