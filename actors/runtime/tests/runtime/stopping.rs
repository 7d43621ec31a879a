//! Ordered ends: of one actor, of a group, in time and past the deadline, and while it is down.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kabuki_runtime::{
    Actor, ChildSpec, Context, GroupOptions, Handler, Message, NoReply, Policy, Restart,
    StopOutcome, Undelivered, testing,
};
use tokio::time::Instant;

use crate::probe::*;

#[test]
fn a_stopped_actor_is_gone_and_refuses() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        let (kept, lost) = kept_request(1);
        addr.tell(kept).await.unwrap();
        addr.ask(DescribeIncarnation, SOON).await.unwrap();
        assert_eq!(
            stage.root().stop_child("probe", SOON).await,
            StopOutcome::Ended
        );
        assert_eq!(lost.await, Err(NoReply::Lost));
        assert_eq!((counts.stops(), counts.dropped()), (1, 1));
        assert_eq!(
            addr.try_tell(Number(1)).unwrap_err().why,
            Undelivered::Stopped
        );
        assert_eq!(
            addr.tell(Number(1)).await.unwrap_err().why,
            Undelivered::Stopped
        );
        assert!(stage.registry().find::<Probe>(addr.path()).is_none());
        assert_eq!(
            stage.root().stop_child("probe", SOON).await,
            StopOutcome::Unknown
        );
        // The name is free again.
        let (again, _) = start_probe(&stage.root(), "probe");
        assert_eq!(again.ask(Number(2), SOON).await, Ok(2));
    });
}

#[test]
fn what_waits_when_an_actor_stops_is_refused() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        addr.try_tell(Do::new(|_, cx| cx.stop())).unwrap();
        let (queued, refused) = request(1);
        addr.try_tell(queued).unwrap();
        let done = stage.root().stop_child("probe", SOON);
        assert_eq!(refused.await, Err(NoReply::NotDone(Undelivered::Stopped)));
        assert_eq!(done.await, StopOutcome::Ended);
    });
}

#[test]
fn an_actor_may_finish_its_work_before_it_stops() {
    struct Flushed;
    impl Message for Flushed {
        type Reply = ();
    }
    impl Handler<Flushed> for Probe {
        fn handle(&mut self, _: Flushed, cx: &mut Context<Self>) {
            cx.stop();
        }
    }
    testing::run(|stage| async move {
        let script = Script {
            on_stop: Some(Arc::new(|_, cx| {
                assert!(cx.stop_deadline().is_some());
                cx.spawn(tokio::time::sleep(Duration::from_secs(3)), |()| Flushed);
            })),
            ..Script::default()
        };
        let (spec, counts) = probe("probe", script);
        let addr = stage.root().start(spec);
        addr.ask(Number(1), SOON).await.unwrap();
        let before = Instant::now();
        assert_eq!(
            stage.root().stop_child("probe", SOON).await,
            StopOutcome::Ended
        );
        assert_eq!(before.elapsed(), Duration::from_secs(3));
        assert_eq!((counts.stops(), counts.dropped(), counts.made()), (1, 1, 1));
    });
}

#[test]
fn an_actor_that_does_not_stop_is_dropped_at_the_deadline() {
    testing::run(|stage| async move {
        let script = Script {
            on_stop: Some(Arc::new(|_, _| {})),
            ..Script::default()
        };
        let (spec, counts) = probe("probe", script);
        let addr = stage.root().start(spec);
        addr.ask(Number(1), SOON).await.unwrap();
        let before = Instant::now();
        let outcome = stage
            .root()
            .stop_child("probe", Duration::from_secs(5))
            .await;
        assert_eq!(outcome, StopOutcome::Ended);
        assert_eq!(before.elapsed(), Duration::from_secs(5));
        assert_eq!((counts.stops(), counts.dropped()), (1, 1));
    });
}

#[test]
fn an_actor_that_crashes_while_it_stops_is_not_restarted() {
    testing::run(|stage| async move {
        let script = Script {
            on_stop: Some(Arc::new(|_, _| panic!("in stop"))),
            ..Script::default()
        };
        let (spec, counts) = probe("probe", script);
        let addr = stage.root().start(spec);
        addr.ask(Number(1), SOON).await.unwrap();
        assert_eq!(
            stage.root().stop_child("probe", SOON).await,
            StopOutcome::Ended
        );
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(counts.made(), 1);
    });
}

#[test]
fn a_stop_during_back_off_ends_the_actor_at_once() {
    testing::run(|stage| async move {
        let (spec, counts) = probe("probe", Script::default());
        let mut policy = Policy::default();
        policy.backoff.min = Duration::from_secs(1000);
        policy.backoff.max = Duration::from_secs(1000);
        let addr = stage.root().start(spec.policy(policy));
        addr.try_tell(Do::panic()).unwrap();
        until(|| counts.dropped() == 1).await;
        let (queued, refused) = request(1);
        addr.try_tell(queued).unwrap();
        let before = Instant::now();
        assert_eq!(
            stage.root().stop_child("probe", SOON).await,
            StopOutcome::Ended
        );
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(refused.await, Err(NoReply::NotDone(Undelivered::Stopped)));
        tokio::time::sleep(Duration::from_secs(2000)).await;
        assert_eq!(counts.made(), 1);
    });
}

#[test]
fn a_stop_ends_an_actor_whose_restart_is_held() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        let _hold = ask_probe(&addr, |_, cx| cx.hold_restart()).await;
        addr.try_tell(Do::panic()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            stage.root().stop_child("probe", SOON).await,
            StopOutcome::Ended
        );
        assert_eq!(counts.made(), 1);
    });
}

/// Notes its name when it is told to stop.
struct Noting {
    name: u32,
    stops: Arc<Mutex<Vec<u32>>>,
}

impl Actor for Noting {
    fn stop_requested(&mut self, cx: &mut Context<Self>) {
        self.stops.lock().unwrap().push(self.name);
        cx.stop();
    }
}

#[test]
fn a_group_stops_its_children_in_reverse_order_of_their_start() {
    testing::run(|stage| async move {
        let group = stage.root().group("group", GroupOptions::default());
        let inner = group.group("inner", GroupOptions::default());
        let stops = Arc::new(Mutex::new(Vec::new()));
        let note = |name: u32| {
            let stops = Arc::clone(&stops);
            let make = move || Noting {
                name,
                stops: Arc::clone(&stops),
            };
            ChildSpec::new(name.to_string(), make)
        };
        group.start(note(1));
        inner.start(note(2));
        inner.start(note(3));
        group.start(note(4));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(group.stop(SOON).await, StopOutcome::Ended);
        // `inner` was started before 1 and so stops after it.
        assert_eq!(*stops.lock().unwrap(), [4, 1, 3, 2]);
        assert_eq!(stage.registry().describe(group.path()).len(), 0);

        let late = group.start(note(5));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(stage.registry().find::<Noting>(late.path()).is_none());
    });
}

#[test]
fn a_stop_of_a_group_holds_its_deadline() {
    testing::run(|stage| async move {
        let group = stage.root().group("group", GroupOptions::default());
        for n in 0..5 {
            let script = Script {
                on_stop: Some(Arc::new(|_, _| {})),
                ..Script::default()
            };
            let (spec, _) = probe(&n.to_string(), script);
            group.start(spec).ask(Number(0), SOON).await.unwrap();
        }
        let before = Instant::now();
        assert_eq!(group.stop(Duration::from_secs(5)).await, StopOutcome::Ended);
        assert!(
            before.elapsed() <= Duration::from_millis(5100),
            "{:?}",
            before.elapsed()
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stage.registry().describe(group.path()).len(), 0);
    });
}

#[test]
fn who_stops_by_itself_is_restarted_only_if_permanent() {
    testing::run(|stage| async move {
        for (restart, made) in [
            (Restart::Permanent, 2),
            (Restart::Transient, 1),
            (Restart::Temporary, 1),
        ] {
            let name = format!("{restart:?}");
            let (spec, counts) = probe(&name, Script::default());
            let addr = stage.root().start(spec.policy(Policy {
                restart,
                ..Policy::default()
            }));
            addr.try_tell(Do::new(|_, cx| cx.stop())).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(counts.made(), made, "{name}");
            let is_there = stage.registry().find::<Probe>(addr.path()).is_some();
            assert_eq!(is_there, made == 2, "{name}");
        }
    });
}
