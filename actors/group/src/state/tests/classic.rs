//! The classic protocol.

use super::{Scene, run};

/// A group of two, stable at generation 1: `a` leads and has t/0 and t/1, `b` the rest.
const TWO: &str = "
    join a ->
    wait 1000 ->
    join b ->
    wait 2000 ->
    wait 3000 -> a: joined 1 led by a with a b; b: joined 1 led by a
    sync b ->
    sync a a=t/0,t/1 b=t/2,t/3 -> a: synced t/0 t/1; b: synced t/2 t/3
";

#[test]
fn the_first_rebalance_waits_while_members_keep_coming() {
    let mut scene = Scene::new();
    run(&mut scene, TWO);
    run(
        &mut scene,
        "state -> Stable\nbeat a -> a: ok\nbeat b -> b: ok",
    );
}

#[test]
fn the_initial_delay_ends_with_the_rebalance_timeout() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "join a rebalance=5000 ->
         wait 2000 ->
         join b rebalance=5000 ->
         wait 2000 ->
         join c rebalance=5000 ->
         wait 1000 -> a: joined 1 led by a with a b c; b: joined 1 led by a; c: joined 1 led by a",
    );
}

#[test]
fn a_dynamic_member_joins_with_the_id_it_is_given() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a v4 -> a: has an id
         state -> Empty
         join a v4 ->
         wait 0 -> a: joined 1 led by a with a
         join b v4 -> b: has an id
         sync a a=t/0 -> a: synced t/0
         join a ->
         wait 9999 ->
         wait 1 -> a: joined 2 led by a with a",
    );
}

#[test]
fn an_id_that_was_given_and_not_used_ends() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "join a v4 -> a: has an id
         wait 10000 ->
         state -> Empty
         expire ->
         ended -> Some(Void)
         join a v4 -> a: 25",
    );
}

#[test]
fn a_deleted_group_forgets_the_ids_it_has_given() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "join a v4 -> a: has an id
         delete -> ok
         ended -> Some(Void)
         join a v4 -> a: 25",
    );
}

#[test]
fn a_group_that_waits_for_an_id_it_has_given_is_not_empty() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a ->
         wait 0 -> a: joined 1 led by a with a
         join b v4 -> b: has an id
         leave a -> a: left
         state -> PreparingRebalance
         delete -> 68",
    );
}

#[test]
fn a_group_whose_first_join_was_refused_is_there() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "join a session=5999 -> a: 26
         state -> Dead
         join a type= -> a: 23
         state -> Empty
         store a t/0=1 gen=0 -> a: 25
         expire ->
         ended -> Some(Void)",
    );
}

#[test]
fn ids_that_the_group_does_not_know_are_refused() {
    let mut scene = Scene::new();
    scene.member("x").id = crate::names::MemberId::new("x");
    run(
        &mut scene,
        "join x -> x: 25
         ended -> Some(Void)
         join x with= type= -> x: 25
         join x with= session=5999 -> x: 26
         state -> Dead
         sync x -> x: 25
         beat x -> x: 25
         leave x -> x: 25
         store x t/0=1 gen=3 -> x: 69
         store x t/0=1 gen=3 version=8 -> x: 22
         delete -> 69
         forget t/0 -> 69
         fetch t/0 -> t/0=-1",
    );
    run(&mut scene, TWO);
    run(
        &mut scene,
        "join x -> x: 25\nsync x -> x: 25\nbeat x -> x: 25\nleave x a -> x: 25 left",
    );
}

#[test]
fn a_member_that_is_removed_while_it_waits_is_told_without_its_id() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "join a ->
         wait 3000 -> a: joined 1 led by a with a
         sync a a=t/0 -> a: synced t/0
         join b v4 -> b: has an id
         join b v4 ->
         leave b -> b: 25 of nobody; b: left",
    );
}

#[test]
fn a_member_must_share_type_and_protocol() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "join a with= type= -> a: 23\njoin a session=5999 -> a: 26\njoin a session=1800001 -> a: 26",
    );
    run(&mut scene, TWO);
    run(
        &mut scene,
        "join c type=connect -> c: 23
         join c with=roundrobin -> c: 23
         sync a gen=0 -> a: 22
         sync a type=connect -> a: 23
         beat a gen=2 -> a: 22",
    );
}

#[test]
fn the_protocol_that_most_prefer_among_the_common_ones_wins() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a with=sticky,range,roundrobin ->
         join b with=roundrobin,range ->
         join c with=roundrobin,range ->
         wait 0 -> a: joined 1 led by a with a b c; b: joined 1 led by a; c: joined 1 led by a",
    );
    let crate::state::Kind::Classic(classic) = &scene.group.kind else {
        panic!("a classic group");
    };
    assert_eq!(classic.protocol.as_deref(), Some("roundrobin"));
}

#[test]
fn a_new_member_starts_a_rebalance_that_all_must_join() {
    let mut scene = Scene::new();
    run(&mut scene, TWO);
    run(
        &mut scene,
        "join c ->
         state -> PreparingRebalance
         beat a -> a: 27
         sync a -> a: 27
         store a t/0=5 -> a: stored
         join a ->
         beat b -> b: 27
         join b -> a: joined 2 led by a with a b c; b: joined 2 led by a; c: joined 2 led by a
         store b t/0=5 -> b: 27
         sync c ->
         sync b ->
         sync a a=t/0 b=t/1 -> a: synced t/0; b: synced t/1; c: synced
         state -> Stable",
    );
}

#[test]
fn who_does_not_join_in_time_is_out() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a rebalance=20000 ->
         join b rebalance=20000 ->
         wait 0 -> a: joined 1 led by a with a b; b: joined 1 led by a
         sync b ->
         sync a -> a: synced; b: synced
         join c rebalance=20000 ->
         wait 9000 ->
         beat a -> a: 27
         beat b -> b: 27
         join b rebalance=20000 ->
         wait 9000 ->
         beat a -> a: 27
         wait 2000 -> b: joined 2 led by b with b c; c: joined 2 led by b
         beat a -> a: 25",
    );
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a rebalance=6000 session=20000 ->
         join b rebalance=6000 session=20000 ->
         wait 0 -> a: joined 1 led by a with a b; b: joined 1 led by a
         sync b ->
         wait 6000 -> b: 27
         beat a -> a: 25
         join b -> b: joined 2 led by b with b",
    );
}

#[test]
fn a_leader_that_joins_rebalances_and_a_follower_does_not() {
    let mut scene = Scene::new();
    run(&mut scene, TWO);
    run(
        &mut scene,
        "join b -> b: joined 1 led by a
         sync b -> b: synced t/2 t/3
         join b topics=u ->
         beat a -> a: 27
         join a -> a: joined 2 led by a with a b; b: joined 2 led by a
         join b topics=u -> b: joined 2 led by a
         sync a a=t/0 -> a: synced t/0
         sync b -> b: synced
         join a ->
         state -> PreparingRebalance",
    );
}

#[test]
fn leaving_rebalances_and_the_last_one_empties_the_group() {
    let mut scene = Scene::new();
    run(&mut scene, TWO);
    run(
        &mut scene,
        "leave a -> a: left
         beat b -> b: 27
         join b -> b: joined 2 led by b with b
         sync b b=t/0 -> b: synced t/0
         leave b -> b: left
         state -> Empty
         log -> classic classic classic
         join a new ->
         wait 3000 -> a: joined 4 led by a with a",
    );
}

#[test]
fn a_member_that_is_silent_is_out_and_one_that_waits_is_not() {
    let mut scene = Scene::new();
    run(&mut scene, TWO);
    run(
        &mut scene,
        "wait 9000 ->
         beat a -> a: ok
         wait 1000 ->
         beat a -> a: 27
         join a -> a: joined 2 led by a with a
         sync a -> a: synced
         join b -> b: 25
         join b new ->
         beat a -> a: 27",
    );
}

#[test]
fn a_new_member_waits_five_minutes_at_most() {
    let mut scene = Scene::new();
    run(&mut scene, TWO);
    scene.config.new_member_join_timeout_ms = 20_000;
    run(
        &mut scene,
        "join c ->
         wait 9000 ->
         beat a -> a: 27
         beat b -> b: 27
         wait 9000 ->
         beat a -> a: 27
         beat b -> b: 27
         wait 2000 -> c: 25 of nobody",
    );
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a static=i1 ->
         join b static=i2 ->
         wait 0 -> a: joined 1 led by a with a b; b: joined 1 led by a
         sync b ->
         sync a a=t/0 b=t/1 -> a: synced t/0; b: synced t/1",
    );
    let old = scene.member("b").clone();
    run(
        &mut scene,
        "join b new v9 -> b: joined 1 led by a\nsync b -> b: synced t/1",
    );
    assert_ne!(scene.member("b").id, old.id);
    scene.members.insert("old".to_owned(), old);
    run(
        &mut scene,
        "beat old -> old: 82
         sync old -> old: 82
         store old t/0=1 -> old: 82
         join old -> old: 82
         leave old -> old: 82
         state -> Stable
         beat a -> a: ok",
    );
    // The leader: an old client is told that its old id leads, so that it assigns nothing.
    let old = scene.member("a").clone();
    run(
        &mut scene,
        &format!("join a new -> a: joined 1 led by {}", old.id),
    );
    run(
        &mut scene,
        "join a new v9 -> a: joined 1 led by a with a b skip",
    );
    run(
        &mut scene,
        "leave static=i2 -> static=i2: left\nstate -> PreparingRebalance",
    );
}

#[test]
fn a_static_member_with_another_subscription_rebalances_only_for_another_protocol() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a static=i1 with=range,sticky ->
         wait 0 -> a: joined 1 led by a with a
         sync a a=t/0 -> a: synced t/0
         join a new v9 topics=u with=range,sticky -> a: joined 1 led by a with a skip
         join a new v9 with=sticky -> a: joined 2 led by a with a",
    );
}

#[test]
fn static_members_that_are_away_are_waited_for() {
    let mut scene = Scene::new();
    scene.config.initial_rebalance_delay_ms = 0;
    run(
        &mut scene,
        "join a static=a1 rebalance=10000 session=30000 ->
         join b rebalance=10000 session=30000 ->
         wait 0 -> a: joined 1 led by a with a b; b: joined 1 led by a
         sync a -> a: synced
         sync b -> b: synced
         join b rebalance=10000 session=30000 -> b: joined 1 led by a
         wait 5000 ->
         join b rebalance=10000 session=30000 topics=u ->
         wait 10000 -> b: joined 2 led by b with a b
         sync b -> b: synced
         wait 10000 ->
         beat b -> b: 27",
    );
}

#[test]
fn a_full_group_takes_nobody_more() {
    let mut scene = Scene::new();
    scene.config.classic_size_max = 2;
    run(&mut scene, TWO);
    run(
        &mut scene,
        "join c -> c: 81
         join c static=i -> c: 81
         beat a -> a: ok
         join a ->
         join b -> a: joined 2 led by a with a b; b: joined 2 led by a",
    );
}

#[test]
fn the_last_to_rejoin_goes_when_the_limit_was_lowered() {
    let mut scene = Scene::new();
    run(&mut scene, TWO);
    scene.config.classic_size_max = 1;
    run(
        &mut scene,
        "join a ->\njoin b -> a: joined 2 led by a with a; b: 81",
    );
}

#[test]
fn what_a_member_brings_is_bounded() {
    let mut scene = Scene::new();
    scene.config.member_bytes_max = 40;
    scene.config.group_bytes_max = 70;
    let raw = |bytes: usize| "x".repeat(bytes);
    run(
        &mut scene,
        &format!(
            "join a type=other raw={} -> a: 42
             join a type=other raw={} ->
             join b type=other raw={} -> b: 81
             wait 3000 -> a: joined 1 led by a with a",
            raw(36),
            raw(35),
            raw(35)
        ),
    );
}

#[test]
fn a_repeated_request_ends_the_one_before() {
    let mut scene = Scene::new();
    run(
        &mut scene,
        "join a static=i ->
         join a new static=i -> a: 82
         wait 3000 -> a: joined 1 led by a with a",
    );
    run(&mut scene, "join b ->\njoin b -> ");
}

#[test]
fn the_group_is_seen_as_kafka_shows_it() {
    let mut scene = Scene::new();
    assert!(scene.group.describe_classic().is_err());
    assert_eq!(scene.group.listing(), None);
    run(&mut scene, TWO);
    let view = scene.group.describe_classic().unwrap();
    assert_eq!(
        (view.state.name(), &*view.protocol_type, &*view.protocol),
        ("Stable", "consumer", "range")
    );
    assert_eq!(view.members.len(), 2);
    assert!(
        view.members
            .iter()
            .all(|member| !member.metadata.is_empty() && !member.assignment.is_empty())
    );
    assert!(scene.group.describe_consumer().is_err());
    run(&mut scene, "join c ->");
    let view = scene.group.describe_classic().unwrap();
    assert_eq!(
        (view.state.name(), &*view.protocol),
        ("PreparingRebalance", "")
    );
    assert!(view.members.iter().all(|member| member.metadata.is_empty()));
    let listing = scene.group.listing().unwrap();
    assert_eq!(
        (&*listing.protocol_type, listing.is_consumer),
        ("consumer", false)
    );
}
