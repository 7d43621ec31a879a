//! What is not committed yet, what was refused by the log, and what a new instance finds.

use super::{Scene, run};
use crate::records::Change;
use crate::state::{KeyIndex, Kind};
use kabuki_protocol::ids::Offset;

const ONE: &str = "
    join a ->
    wait 0 -> a: joined 1 led by a with a
    hold ->
";

fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    scene.config.consumer_assignment_interval_ms = 0;
    scene
}

#[test]
fn answers_wait_for_what_they_were_decided_upon() {
    let mut scene = scene();
    run(
        &mut scene,
        "hold ->
         store - t/0=1 ->
         fetch t/0 ->
         store - t/0=2 ->
         fetch t/0 ->
         commit -> -: stored; t/0=1
         commit -> -: stored; t/0=2
         fetch t/0 -> t/0=2",
    );
}

#[test]
fn the_next_append_collects_while_one_is_under_way_and_has_a_limit() {
    let mut scene = scene();
    scene.config.append_bytes_max = 250;
    run(
        &mut scene,
        "hold ->
         store - t/0=1 ->
         store - t/1=1 ->
         store - t/2=1 ->
         store - t/3=1 ->
         commit -> -: stored
         commit -> -: stored; -: stored
         commit -> -: stored",
    );
}

#[test]
fn of_several_records_of_a_classic_group_that_wait_the_last_is_written() {
    let mut scene = scene();
    let again = "join a new static=i";
    for command in ["join a static=i", "wait 0", "sync a a=t/0", "hold"] {
        scene.perform(command);
    }
    // The first is with the log, the others wait for it.
    for command in [again, again, again, "commit"] {
        scene.perform(command);
    }
    let appending = scene.appending.as_ref().unwrap();
    assert!(matches!(appending.changes[..], [Change::ClassicGroup(_)]));
    scene.perform("refuse");
    let durable = scene.group.ledger.durable.classic.as_ref().unwrap();
    let written = &durable.members[0].member_id;
    let Kind::Classic(classic) = &scene.group.kind else {
        panic!("the group is classic");
    };
    assert_eq!(classic.members.keys().collect::<Vec<_>>(), [written]);
    scene.perform("rebuild");
    run(&mut scene, "fetch * -> ");
}

#[test]
fn a_refused_append_is_undone_with_all_that_came_after() {
    let mut scene = scene();
    run(
        &mut scene,
        "store - t/0=1 -> -: stored
         hold ->
         store - t/0=2 ->
         store - t/0=3 t/1=1 ->
         forget t/0 ->
         refuse -> -: not committed; -: not committed; not committed
         fetch * -> t/0=1
         store - t/0=4 ->
         commit -> -: stored
         rebuild ->
         fetch * -> t/0=4",
    );
}

#[test]
fn an_assignment_that_was_not_written_rebalances() {
    let mut scene = scene();
    run(&mut scene, ONE);
    run(
        &mut scene,
        "sync a a=t/0 ->
         beat a ->
         state -> CompletingRebalance
         refuse -> a: not committed; a: not committed
         state -> PreparingRebalance
         join a -> a: joined 2 led by a with a
         sync a a=t/0 ->
         commit -> a: synced t/0
         state -> Stable
         rebuild ->
         beat a -> a: ok
         sync a -> a: synced t/0",
    );
}

#[test]
fn an_assignment_of_a_generation_that_is_over_is_dropped() {
    let mut scene = scene();
    run(&mut scene, ONE);
    run(
        &mut scene,
        "sync a a=t/0 ->
         join b ->
         commit -> a: 27
         state -> PreparingRebalance
         join a -> a: joined 2 led by a with a b; b: joined 2 led by a",
    );
}

#[test]
fn a_static_member_keeps_its_old_id_when_the_new_one_was_not_written() {
    let mut scene = scene();
    run(
        &mut scene,
        "join a static=i ->
         wait 0 -> a: joined 1 led by a with a
         sync a a=t/0 -> a: synced t/0",
    );
    let old = scene.member("a").clone();
    run(
        &mut scene,
        "hold ->\njoin a new v9 ->\nrefuse -> a: not committed",
    );
    scene.members.insert("a".to_owned(), old);
    run(
        &mut scene,
        "beat a -> a: ok\njoin a new v9 ->\ncommit -> a: joined 1 led by a with a skip",
    );
}

#[test]
fn a_change_of_protocol_that_was_not_written_is_taken_back() {
    let mut scene = scene();
    run(
        &mut scene,
        "join a ->
         wait 0 -> a: joined 1 led by a with a
         sync a a=t/0 -> a: synced t/0
         hold ->
         hb c join topics=t ->
         state -> Reconciling
         refuse -> c: not committed
         state -> Stable
         beat a -> a: ok
         wait 10000 ->
         state -> Empty
         commit ->
         hb c join topics=t ->
         commit -> c: epoch 2 [t/0 t/1 t/2 t/3]
         hb c epoch=-1 ->
         join d ->
         state -> PreparingRebalance
         refuse -> c: not committed; d: not committed
         state -> Stable",
    );
}

#[test]
fn a_fenced_member_that_was_not_written_is_fenced_again() {
    let mut scene = scene();
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hold ->
         wait 45000 ->
         state -> Empty
         refuse ->
         state -> Stable
         wait 45000 ->
         state -> Empty
         commit ->
         hb a -> a: 25",
    );
}

#[test]
fn an_append_of_unknown_outcome_ends_the_instance() {
    let mut scene = scene();
    run(&mut scene, ONE);
    run(
        &mut scene,
        "sync a a=t/0 ->
         store a t/0=1 ->
         lose -> a: unloaded; a: unloaded
         ended -> Some(Rebuild)",
    );
}

#[test]
fn an_unloaded_group_answers_all() {
    let mut scene = scene();
    run(
        &mut scene,
        "join a ->
         join b ->
         hold ->
         store - t/0=1 -> -: 25
         unload -> a: unloaded; b: unloaded",
    );
}

#[test]
fn the_last_record_of_each_key_rebuilds_the_group() {
    let mut scene = scene();
    run(
        &mut scene,
        "hb a join topics=t static=i -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb b join topics=t -> b: epoch 3 []
         hb a -> a: epoch 2 [t/0 t/1]
         hb a owned=t/0,t/1 -> a: epoch 3
         hb b -> b: epoch 3 [t/2 t/3]
         store a t/0=1 -> a: stored
         store a t/0=2 -> a: stored
         hb b epoch=-1 -> b: epoch -1",
    );
    let mut index = KeyIndex::default();
    for (at, change) in scene.log.iter().enumerate() {
        index.note(change, Offset(at as i64));
    }
    let last: Vec<Change> = index
        .offsets()
        .iter()
        .map(|offset| scene.log[offset.get() as usize].clone())
        .collect();
    assert!(last.len() < scene.log.len() && last.len() == index.len() && !index.is_empty());
    let mut compacted = Scene::new();
    compacted.log = last;
    compacted.rebuild();
    assert_eq!(compacted.group.ledger.durable, scene.group.ledger.durable);
}
