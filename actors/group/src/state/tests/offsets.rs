//! Committed offsets, their retention, and the end of groups.

use super::{Scene, run};

const DAY_MS: i64 = 86_400_000;

#[test]
fn a_consumer_without_a_group_stores_and_reads() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "fetch * ->
         store - t/0=5 u/1=6 -> -: stored stored
         state -> Empty
         fetch * -> t/0=5 u/1=6
         fetch t/1 -> t/1=-1
         store - t/9=5 x/0=1 t/1=2 -> -: stored UnknownPartition UnknownPartition
         rebuild ->
         fetch * -> t/0=5 t/1=2 u/1=6
         forget t/0 -> forgotten
         forget t/9 -> UnknownPartition
         fetch * -> t/1=2 u/1=6
         delete -> ok
         ended -> Some(Void)
         fetch * ->
         delete -> 69",
    );
}

#[test]
fn a_group_outlives_its_last_offset_until_old_ones_are_looked_for() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "store - t/0=5 -> -: stored
         forget t/0 -> forgotten
         state -> Empty
         forget t/0 -> forgotten
         expire ->
         ended -> Some(Void)
         state -> Dead",
    );
}

#[test]
fn offsets_that_an_unreadable_subscription_may_need_are_kept() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a ->
         forget u/0 -> Subscribed
         wait 0 -> a: joined 1 led by a with a
         forget u/0 -> forgotten",
    );
}

#[test]
fn a_long_note_is_refused_for_its_partition() {
    let mut scene = Scene::new();
    scene.config.offset_metadata_bytes_max = 3;
    run(
        &mut scene,
        "store - t/0=5 note=abcd -> -: MetadataTooLarge
         store - t/0=5 note=abc -> -: stored",
    );
}

#[test]
fn strangers_do_not_move_the_offsets_of_a_group_with_members() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a ->
         wait 0 -> a: joined 1 led by a with a
         store a t/0=1 -> a: 27
         sync a a=t/0 -> a: synced t/0
         store - t/0=1 -> -: 25
         store a t/0=1 gen=0 -> a: 22
         store a t/0=1 -> a: stored
         forget t/0 -> Subscribed
         forget u/0 -> forgotten
         delete -> 68",
    );
}

#[test]
fn offsets_of_groups_that_the_broker_cannot_read_are_kept() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a type=connect ->
         wait 0 -> a: joined 1 led by a with a
         forget t/0 -> 68",
    );
}

#[test]
fn commits_keep_a_classic_member_alive() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a ->
         wait 0 -> a: joined 1 led by a with a
         sync a a=t/0 -> a: synced t/0
         wait 9000 ->
         store a t/0=1 -> a: stored
         wait 9000 ->
         beat a -> a: ok",
    );
}

#[test]
fn older_epochs_may_commit_what_they_own() {
    let mut scene = Scene::new();
    scene.config.consumer_assignment_interval_ms = 0;
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         store a t/0=1 version=8 -> a: 35
         store a t/0=1 gen=3 -> a: 113
         store a u/0=1 -> a: stored
         hb b join topics=t -> b: epoch 3 []
         hb a -> a: epoch 2 [t/0 t/1]
         store a t/2=7 -> a: stored
         hb a owned=t/0,t/1 -> a: epoch 3
         store a t/0=2 gen=2 -> a: stored
         store a t/0=2 t/2=2 gen=2 -> a: 113
         hb b -> b: epoch 3 [t/2 t/3]
         store b t/2=1 gen=2 -> b: 113
         store b t/2=9 -> b: stored
         store c t/2=9 gen=3 -> c: 25
         store - t/2=9 -> -: 25
         fetch t/2 -> t/2=9",
    );
}

#[test]
fn offsets_of_an_empty_group_end_a_while_after_it_became_empty() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a session=1800000 ->
         wait 0 -> a: joined 1 led by a with a
         sync a a=t/0 -> a: synced t/0
         store a t/0=1 u/0=1 -> a: stored stored",
    );
    // While it reads t nothing of t ends; u ends by the time of its commit.
    for _ in 0..692 {
        run(&mut scene, "wait 1000000 ->\nbeat a -> a: ok");
    }
    run(
        &mut scene,
        "expire ->
         fetch * -> t/0=1
         leave a -> a: left",
    );
    scene.wait(7 * DAY_MS - 1);
    run(
        &mut scene,
        "expire ->\nfetch * -> t/0=1\nwait 1 ->\nexpire ->\nfetch * ->\nended -> Some(Void)",
    );
}

#[test]
fn a_client_may_say_how_long_an_offset_is_kept() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "store - t/0=1 keep=1000 -> -: stored
         store - t/1=1 -> -: stored
         wait 999 ->
         expire ->
         fetch * -> t/0=1 t/1=1
         wait 1 ->
         expire ->
         fetch * -> t/1=1",
    );
    scene.wait(7 * DAY_MS);
    run(&mut scene, "expire ->\nended -> Some(Void)");
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "store - t/0=1 u/0=1 -> -: stored stored
         untopic t ->
         fetch * -> u/0=1
         log -> offset offset -offset",
    );
}
