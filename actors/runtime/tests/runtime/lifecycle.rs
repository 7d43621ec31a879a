//! Starting, finding and describing actors; and the look at what outlives a test.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use kabuki_runtime::{ActorPath, ActorState, GroupOptions, testing};

use crate::probe::*;

#[test]
fn a_mailbox_can_be_used_before_its_actor_runs() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        assert_eq!(counts.made(), 0);
        addr.try_tell(Number(1)).unwrap();
        assert_eq!(seen(&addr).await, [1]);
        assert_eq!((counts.made(), counts.started()), (1, 1));
    });
}

#[test]
fn actors_are_found_by_path_and_type() {
    testing::run(|stage| async move {
        let group = stage.root().group("replicas", GroupOptions::default());
        let (addr, _) = start_probe(&group, "orders-3");
        assert_eq!(addr.path().as_str(), "/replicas/orders-3");
        let found = stage
            .registry()
            .find::<Probe>(&ActorPath::new("/replicas/orders-3"))
            .unwrap();
        assert_eq!(found.ask(Number(3), SOON).await, Ok(3));
        struct Other;
        impl kabuki_runtime::Actor for Other {}
        assert!(stage.registry().find::<Other>(addr.path()).is_none());
        assert!(
            stage
                .registry()
                .find::<Probe>(&ActorPath::new("/replicas"))
                .is_none()
        );
    });
}

#[test]
fn a_description_tells_state_and_account() {
    testing::run(|stage| async move {
        let group = stage.root().group("replicas", GroupOptions::default());
        let (addr, _) = start_probe(&group, "orders-3");
        for n in 0..10 {
            addr.ask(Number(n), SOON).await.unwrap();
        }
        addr.tell(Do::panic()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        addr.ask(Number(1), SOON).await.unwrap();

        let replicas = ActorPath::new("/replicas");
        let found = stage.registry().describe_fresh(&replicas, SOON).await;
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].detail, "1 child");
        let probe = &found[1];
        assert_eq!(probe.path, *addr.path());
        assert_eq!(probe.state, ActorState::Running);
        assert_eq!((probe.incarnation.0, probe.restarts), (2, 1));
        assert!(
            probe.last_cause.starts_with("panic: told to at "),
            "{}",
            probe.last_cause
        );
        assert_eq!(probe.messages, 12);
        assert!(probe.busy > Duration::ZERO);
        assert_eq!(probe.arbiter, "system");
        assert_eq!(probe.detail, "1 seen");
        addr.ask(Number(2), SOON).await.unwrap();
        let again = stage.registry().describe_fresh(addr.path(), SOON).await;
        assert_eq!(again[0].detail, "2 seen", "a second has not passed");
        assert_eq!(stage.registry().describe(&ActorPath::root()).len(), 3);
    });
}

#[test]
fn a_group_tells_of_children_that_came_and_went_while_it_did_nothing() {
    testing::run(|stage| async move {
        let group = stage.root().group("replicas", GroupOptions::default());
        let children = async || {
            let found = stage.registry().describe_fresh(group.path(), SOON).await;
            found[0].detail.clone()
        };
        let (addr, _) = start_probe(&group, "orders-3");
        addr.ask(Number(1), SOON).await.unwrap();
        assert_eq!(children().await, "1 child");
        start_probe(&group, "orders-4");
        assert_eq!(children().await, "2 children");
        group.stop_child("orders-4", SOON).await;
        assert_eq!(children().await, "1 child");
    });
}

#[test]
fn an_idle_actor_takes_no_wake_up() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.ask(Number(1), SOON).await.unwrap();
        let polls = counts.polls();
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(counts.polls(), polls);
    });
}

#[test]
#[should_panic(expected = "/group is on stage")]
fn two_actors_of_one_name_are_a_bug() {
    testing::run(|stage| async move {
        stage.root().group("group", GroupOptions::default());
        stage.root().group("group", GroupOptions::default());
    });
}

#[test]
fn an_actor_that_outlives_the_test_fails_it() {
    let body = || {
        testing::run(|stage| async move {
            let group = stage.root().group("group", GroupOptions::default());
            let (sibling, _) = start_probe(&group, "sibling");
            let script = Script {
                on_stop: Some(Arc::new(|_, _| {})),
                ..Script::default()
            };
            let (spec, _) = probe("probe", script);
            let addr = group.start(spec);
            addr.ask(Number(1), SOON).await.unwrap();
            sibling.ask(Number(1), SOON).await.unwrap();
        });
    };
    let panic = std::panic::catch_unwind(AssertUnwindSafe(body)).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert_eq!(text, "actors outlive the test: /group/probe");
}

#[test]
fn the_result_of_a_test_comes_back_and_its_panics_pass_through() {
    assert_eq!(testing::run(|_| async { 7 }), 7);
    let body = || testing::run(|_| async { panic!("the test itself") });
    let panic = std::panic::catch_unwind(AssertUnwindSafe(body)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the test itself"));
}

#[test]
fn the_registry_tells_when_an_actor_comes_is_back_or_has_gone() {
    testing::run(|stage| async move {
        let mut changes = stage.registry().changes();
        let root = stage.root();
        let (addr, _) = start_probe(&root, "probe");
        assert!(changes.has_changed().unwrap(), "registered");
        seen(&addr).await;
        changes.mark_unchanged();

        stage.registry().crash(addr.path()).unwrap();
        changes.changed().await.unwrap();
        let state = stage.registry().describe(addr.path())[0].state;
        assert_eq!(state, ActorState::Running, "the next instance is up");
        assert!(!changes.has_changed().unwrap());

        let (_, ()) = tokio::join!(root.stop_child("probe", SOON), async {
            while stage.registry().find::<Probe>(addr.path()).is_some() {
                changes.changed().await.unwrap();
            }
        });
    });
}
