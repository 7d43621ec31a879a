//! The consumer protocol (KIP-848).

use std::sync::Arc;

use super::{Scene, run};
use crate::refusal::GroupRefused;
use crate::state::CheckedRegex;

#[test]
fn the_first_member_is_at_epoch_2_with_all_partitions() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         log -> member epoch target target-epoch current
         hb a -> a: epoch 2
         hb a topics=t rebalance=60000 owned== -> a: epoch 2 [t/0 t/1 t/2 t/3]
         state -> Stable",
    );
}

#[test]
fn a_second_member_waits_for_the_interval_and_then_for_what_is_let_go() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb b join topics=t -> b: epoch 2 []
         state -> Assigning
         wait 1000 ->
         hb b -> b: epoch 3
         hb a -> a: epoch 2 [t/0 t/1]
         state -> Reconciling
         hb b -> b: epoch 3
         hb a owned=t/0,t/1 -> a: epoch 3
         hb b -> b: epoch 3 [t/2 t/3]
         state -> Stable",
    );
}

#[test]
fn a_member_that_does_not_let_go_is_fenced() {
    let mut scene = Scene::new();
    scene.config.consumer_assignment_interval_ms = 0;
    run(
        &mut scene,
        "hb a join topics=t rebalance=5000 -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb b join topics=t -> b: epoch 3 []
         hb a -> a: epoch 2 [t/0 t/1]
         wait 3000 ->
         hb a owned=t/0,t/1,t/2 -> a: epoch 2
         wait 2000 ->
         hb a -> a: 25
         hb b -> b: epoch 4 [t/0 t/1 t/2 t/3]",
    );
}

#[test]
fn a_member_that_is_silent_is_fenced() {
    let mut scene = Scene::new();
    scene.config.consumer_assignment_interval_ms = 0;
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         wait 30000 ->
         hb b join topics=t -> b: epoch 3 []
         wait 15000 ->
         hb a -> a: 25
         hb b -> b: epoch 4 [t/0 t/1 t/2 t/3]
         hb a join topics=t -> a: epoch 5 []",
    );
}

#[test]
fn epochs_fence_members_that_missed_something() {
    let mut scene = Scene::new();
    scene.config.consumer_assignment_interval_ms = 0;
    run(
        &mut scene,
        "hb a epoch=3 -> a: 69
         hb a epoch=-1 -> a: 69
         hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb a epoch=3 -> a: 110
         hb a epoch=1 -> a: 110
         hb a epoch=0 owned= topics=t rebalance=1000 -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb a topics=t,u -> a: epoch 3 [t/0 t/1 t/2 t/3 u/0 u/1]
         hb a epoch=2 -> a: 110
         hb a epoch=2 owned=t/0 -> a: epoch 3
         hb b epoch=3 -> b: 25",
    );
}

#[test]
fn requests_that_break_the_rules_are_refused() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "hb a epoch=0 -> a: 42
         hb a epoch=0 rebalance=1000 topics=t -> a: 42
         hb a epoch=0 rebalance=1000 owned=t/0 topics=t -> a: 42
         hb a epoch=0 rebalance=1000 owned= -> a: 42
         hb a epoch=-2 -> a: 42
         hb a epoch=-3 -> a: 42
         hb a anonymous epoch=2 -> a: 42
         hb a join topics=t with=sticky -> a: 112
         hb a join regex=( -> a: 128
         log ->
         ended -> Some(Void)
         hb x anonymous join topics=t -> x: epoch 2 [t/0 t/1 t/2 t/3]
         hb x -> x: epoch 2",
    );
    assert_eq!(scene.member("x").id.len(), 22);
}

#[test]
fn leaving_gives_everything_to_the_others() {
    let mut scene = Scene::new();
    scene.config.consumer_assignment_interval_ms = 0;
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb b join topics=t -> b: epoch 3 []
         hb a epoch=-1 -> a: epoch -1
         hb b -> b: epoch 4 [t/0 t/1 t/2 t/3]
         hb b epoch=-1 -> b: epoch -1
         state -> Empty
         hb b epoch=-1 -> b: 25
         hb a join topics=t -> a: epoch 6 [t/0 t/1 t/2 t/3]",
    );
}

#[test]
fn an_emptied_group_keeps_its_epochs() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb a epoch=-1 -> a: epoch -1
         log -> member epoch target target-epoch current -current -target -member epoch
         ended -> None
         rebuild ->
         state -> Empty
         expire ->
         ended -> Some(Void)
         state -> Dead",
    );
}

#[test]
fn a_static_member_that_left_for_a_while_finds_its_partitions() {
    let mut scene = Scene::new();
    scene.config.consumer_assignment_interval_ms = 0;
    run(
        &mut scene,
        "hb a join topics=t static=i1 -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb a2 join topics=t static=i1 -> a2: 111
         hb a epoch=-2 -> a: epoch -2
         hb b join topics=t -> b: epoch 3 []
         hb a2 join topics=t static=i1 -> a2: epoch 3 [t/0 t/1]
         hb a epoch=2 -> a: 82
         hb a epoch=-1 -> a: 82
         hb b -> b: epoch 3 [t/2 t/3]
         hb a2 -> a2: epoch 3",
    );
    run(
        &mut scene,
        "hb c epoch=-1 static=i9 -> c: 25\nhb c epoch=4 static=i9 -> c: 25",
    );
}

#[test]
fn new_partitions_are_assigned_at_the_next_heartbeat() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "hb a join topics=t,new -> a: epoch 2 [t/0 t/1 t/2 t/3]
         wait 5000 ->
         topic t 5 ->
         hb a -> a: epoch 3 [t/0 t/1 t/2 t/3 t/4]
         wait 5000 ->
         topic new 1 ->
         hb a -> a: epoch 4 [new/0 t/0 t/1 t/2 t/3 t/4]
         wait 5000 ->
         topic other 1 ->
         hb a -> a: epoch 4
         untopic t ->
         hb a -> a: epoch 4 [new/0]
         hb a owned=new/0 -> a: epoch 5",
    );
}

#[test]
fn the_assignor_that_most_ask_for_is_used() {
    let mut scene = Scene::new();
    scene.config.consumer_assignment_interval_ms = 0;
    run(
        &mut scene,
        "hb a join topics=t,u with=range -> a: epoch 2 [t/0 t/1 t/2 t/3 u/0 u/1]
         hb b join topics=t,u with=range -> b: epoch 3 []
         hb a owned== -> a: epoch 2 [t/0 t/1 u/0]
         hb a owned== -> a: epoch 3
         hb b -> b: epoch 3 [t/2 t/3 u/1]",
    );
    let view = scene.group.describe_consumer().unwrap();
    assert_eq!(
        (&*view.assignor, view.group_epoch, view.assignment_epoch),
        ("range", 3, 3)
    );
    assert_eq!(
        view.members[1].target,
        super::scene::partitions("t/2,t/3,u/1")
    );
    assert!(scene.group.describe_classic().is_err());
}

#[test]
fn a_topic_that_is_read_no_more_is_taken_away_at_once() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "hb a join topics=t,u -> a: epoch 2 [t/0 t/1 t/2 t/3 u/0 u/1]
         hb a topics=t owned== -> a: epoch 2 [t/0 t/1 t/2 t/3]
         hb a owned== -> a: epoch 2
         wait 1000 ->
         hb a owned== -> a: epoch 3",
    );
}

#[test]
fn an_expression_is_searched_off_the_group_and_then_assigned() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "hb a join regex=t|u.* -> a: epoch 1 []
         search ->
         wait 1000 ->
         hb a -> a: epoch 2 [t/0 t/1 t/2 t/3 u/0 u/1]
         topic u2 1 ->
         hb a -> a: epoch 2
         search ->
         wait 10000 ->
         hb a -> a: epoch 2
         search ->
         hb a -> a: epoch 3 [t/0 t/1 t/2 t/3 u2/0 u/0 u/1]
         hb a regex= owned== -> a: epoch 3 []
         wait 1000 ->
         hb a owned== -> a: epoch 4",
    );
    assert!(scene.group.ledger.durable.consumer.regexes().is_empty());
}

#[test]
fn a_large_target_is_computed_elsewhere_while_the_group_goes_on() {
    let mut scene = Scene::new();
    scene.config.assignment_steps_max = 6;
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
         wait 1000 ->
         hb b join topics=t -> b: epoch 2 []
         state -> Assigning
         hb a owned== -> a: epoch 2
         hb c join topics=t -> c: epoch 2 []
         assign ->
         state -> Assigning
         hb a owned== -> a: epoch 2 [t/0 t/1]
         hb a owned== -> a: epoch 3
         hb b -> b: epoch 3 [t/2 t/3]
         wait 1000 ->
         hb c -> c: epoch 3
         assign ->
         hb c -> c: epoch 4",
    );
}

#[test]
fn a_target_for_a_static_member_that_came_back_under_another_id_is_computed_again() {
    let mut scene = Scene::new();
    scene.config.assignment_steps_max = 0;
    run(
        &mut scene,
        "hb a join topics=t static=i -> a: epoch 1 []
         hb a epoch=-2 static=i -> a: epoch -2
         hb b join topics=t static=i -> b: epoch 1 []
         assign ->
         state -> Assigning
         hb b -> b: epoch 1
         assign ->
         hb b -> b: epoch 2 [t/0 t/1 t/2 t/3]",
    );
}

#[test]
fn a_target_is_computed_again_when_a_member_has_taken_over_that_of_a_static_one() {
    let mut scene = Scene::new();
    scene.config.assignment_steps_max = 0;
    run(
        &mut scene,
        "hb a join topics=t static=i -> a: epoch 1 []
         hb c join topics=u -> c: epoch 1 []
         assign ->
         hb a -> a: epoch 2 [t/0 t/1 t/2 t/3]
         wait 1000 ->
         hb a -> a: epoch 2
         assign ->
         hb a -> a: epoch 3
         hb e join topics=t -> e: epoch 3 []
         wait 1000 ->
         hb e -> e: epoch 3
         hb a epoch=-2 static=i -> a: epoch -2
         hb c join topics=t static=i -> c: epoch 3 [t/0 t/1 t/2 t/3]
         hb d join topics=t -> d: epoch 3 []
         assign ->
         state -> Assigning
         hb e -> e: epoch 3
         assign ->
         hb c owned== -> c: epoch 3 [t/0 t/1]",
    );
}

#[test]
fn a_target_that_was_asked_for_by_changes_that_were_undone_has_no_effect() {
    let mut scene = Scene::new();
    scene.config.assignment_steps_max = 0;
    run(
        &mut scene,
        "hb a join topics=t -> a: epoch 1 []
         assign ->
         hb a -> a: epoch 2 [t/0 t/1 t/2 t/3]
         wait 1000 ->",
    );
    scene.commits_at_once = false;
    run(
        &mut scene,
        "hb b join topics=t ->
         refuse -> b: not committed
         assign ->
         state -> Stable",
    );
    assert_eq!(scene.group.ledger.durable.consumer.target_epoch(), 2);
}

#[test]
fn a_group_brings_a_hundred_expressions_at_most() {
    let mut scene = Scene::new();
    for number in 0..100 {
        let joined = scene.perform(&format!("hb m{number} join regex=t{number}"));
        assert!(joined.contains("epoch"), "{joined}");
    }
    run(
        &mut scene,
        "hb m100 join regex=t100 -> m100: 81
         hb m100 join regex=t0 -> m100: epoch 1 []
         hb m99 regex=t100 -> m99: epoch 1
         hb m98 regex=t101 -> m98: epoch 1",
    );
}

#[test]
fn an_expression_that_was_checked_elsewhere_is_not_checked_again() {
    let mut scene = Scene::new();
    let refused = GroupRefused::InvalidRegex {
        expression: Arc::from("t"),
        cause: "said so".to_owned(),
    };
    scene.checked_regex = Some(CheckedRegex {
        expression: Arc::from("t"),
        verdict: Err(refused),
    });
    run(
        &mut scene,
        "hb a join regex=t -> a: 128
         hb a join regex=u -> a: epoch 1 []",
    );
}

#[test]
fn a_full_group_and_a_large_member_are_refused() {
    let mut scene = Scene::new();
    scene.config.consumer_size_max = 1;
    scene.config.member_bytes_max = 200;
    run(
        &mut scene,
        &format!(
            "hb a join topics={} -> a: 42
             hb a join topics=t -> a: epoch 2 [t/0 t/1 t/2 t/3]
             hb b join topics=t -> b: 81
             hb a -> a: epoch 2",
            "x".repeat(200)
        ),
    );
}

#[test]
fn a_member_that_wants_nothing_gets_nothing() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "hb a join topics= -> a: epoch 1 []
         state -> Stable
         rebuild ->
         hb a -> a: epoch 1",
    );
}
