//! Budgets, parking, escalation, and what a crash does to the neighbours: nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kabuki_runtime::{
    Actor, ActorState, AskError, Backoff, Budget, ChildEvent, ChildEventKind, Context,
    EXIT_ESCALATED, EventKind, GroupOptions, Handler, Policy, Restart, Supervisor, Undelivered,
    WhenSpent, testing,
};
use tokio::time::Instant;

use crate::probe::*;

fn policy(restarts_max: u32, when_spent: WhenSpent) -> Policy {
    Policy {
        restart: Restart::Permanent,
        budget: Budget {
            restarts_max,
            window: Duration::from_secs(10),
        },
        backoff: Backoff {
            min: Duration::from_millis(10),
            max: Duration::from_secs(5),
            stable_after: Duration::from_secs(30),
        },
        when_spent,
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(String, ChildEventKind)>>>);

/// Hears of the children of a group.
struct Keeper(Heard);

impl Actor for Keeper {}

impl Handler<ChildEvent> for Keeper {
    fn handle(&mut self, event: ChildEvent, _: &mut Context<Self>) {
        self.0.0.lock().unwrap().push((event.name, event.kind));
    }
}

fn listen(stage: &kabuki_runtime::Stage, group: &Supervisor) -> Heard {
    let heard = Heard::default();
    let name = format!("keeper{}", group.path().as_str().replace('/', "-"));
    let make = {
        let heard = heard.clone();
        move || Keeper(heard.clone())
    };
    let keeper = stage
        .root()
        .start(kabuki_runtime::ChildSpec::new(name, make));
    group.on_child_event(keeper.recipient());
    heard
}

/// Crashes at every start from the second instance on.
fn doomed() -> Script {
    Script {
        on_start: Some(Arc::new(|cx| {
            assert!(cx.incarnation().0 == 1, "poisoned for ever");
            Ok(())
        })),
        ..Script::default()
    }
}

#[test]
fn of_eight_children_one_poisoned_for_ever_leaves_seven_untouched() {
    testing::run(|stage| async move {
        let group = stage.root().group("replicas", GroupOptions::default());
        let heard = listen(&stage, &group);
        let mut healthy = Vec::new();
        for n in 0..7 {
            healthy.push(start_probe(&group, &format!("orders-{n}")));
        }
        let (spec, counts) = probe("orders-7", doomed());
        let poisoned = group.start(spec);
        poisoned.tell(Do::panic()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;

        assert_eq!(counts.made(), 6, "five restarts and no more");
        assert_eq!(
            poisoned.try_tell(Number(1)).unwrap_err().why,
            Undelivered::Parked
        );
        assert_eq!(
            poisoned.ask(Number(1), SOON).await,
            Err(AskError::NotDone(Undelivered::Parked))
        );
        for (addr, counts) in &healthy {
            assert_eq!(addr.ask(Number(1), SOON).await, Ok(1));
            assert_eq!(counts.made(), 1);
        }
        let supervisor = &stage.registry().describe(group.path())[0];
        assert_eq!(
            (supervisor.restarts, supervisor.state),
            (0, ActorState::Running)
        );
        let heard = heard.0.lock().unwrap();
        assert_eq!(
            heard.last().unwrap(),
            &("orders-7".to_owned(), ChildEventKind::Parked)
        );
        assert_eq!(
            heard
                .iter()
                .filter(|(_, kind)| *kind == ChildEventKind::Crashed)
                .count(),
            6
        );
    });
}

#[test]
fn a_parked_child_is_revived_with_a_fresh_budget() {
    testing::run(|stage| async move {
        let group = stage.root().group("group", GroupOptions::default());
        let (spec, counts) = probe("probe", Script::default());
        let addr = group.start(spec.policy(policy(1, WhenSpent::Park)));
        for _ in 0..3 {
            for _ in 0..2 {
                addr.tell(Do::panic()).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(
                addr.try_tell(Number(1)).unwrap_err().why,
                Undelivered::Parked
            );
            assert!(group.revive("probe"));
            assert!(!group.revive("probe"), "it is not parked any more");
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(addr.ask(Number(1), SOON).await, Ok(1));
        }
        assert_eq!(counts.made(), 7);
        assert!(!group.revive("nobody"));
    });
}

#[test]
fn a_budget_holds_against_crashes_as_fast_as_they_come() {
    testing::run(|stage| async move {
        let (spec, counts) = probe("probe", Script::default());
        let mut policy = policy(5, WhenSpent::Park);
        policy.backoff.min = Duration::ZERO;
        let addr = stage.root().start(spec.policy(policy).mailbox(1000, 8));
        for _ in 0..1000 {
            addr.try_tell(Do::panic()).unwrap();
        }
        until(|| {
            addr.try_tell(Number(1))
                .is_err_and(|e| e.why == Undelivered::Parked)
        })
        .await;
        assert_eq!(counts.made(), 6);
        assert_eq!(counts.dropped(), 6);
    });
}

#[test]
fn back_off_grows_and_a_stable_run_resets_it() {
    testing::run(|stage| async move {
        let (spec, counts) = probe("probe", Script::default());
        let addr = stage
            .root()
            .start(spec.policy(policy(100, WhenSpent::Park)));
        let crash = async |expected_ms: u64| {
            addr.ask(Number(0), SOON).await.unwrap();
            let made = counts.made();
            let before = Instant::now();
            addr.try_tell(Do::panic()).unwrap();
            until(|| counts.made() > made).await;
            let took = before.elapsed().as_millis() as u64;
            let range = expected_ms * 8 / 10..=expected_ms * 12 / 10 + 3;
            assert!(range.contains(&took), "{took} ms instead of {expected_ms}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        for expected_ms in [10, 20, 40, 80] {
            crash(expected_ms).await;
        }
        tokio::time::sleep(Duration::from_secs(31)).await;
        crash(10).await;
    });
}

#[test]
fn an_hour_of_back_off_runs_at_once() {
    testing::run(|stage| async move {
        let (spec, counts) = probe("probe", doomed());
        let mut policy = policy(1000, WhenSpent::Park);
        policy.backoff.max = Duration::from_secs(3600);
        let addr = stage.root().start(spec.policy(policy));
        addr.tell(Do::panic()).await.unwrap();
        let real = std::time::Instant::now();
        tokio::time::sleep(Duration::from_secs(100 * 3600)).await;
        assert!(counts.made() > 50, "{}", counts.made());
        assert!(real.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn a_spent_budget_that_escalates_restarts_the_whole_group() {
    testing::run(|stage| async move {
        let group = stage.root().group("group", GroupOptions::default());
        let (sibling, sibling_counts) = start_probe(&group, "sibling");
        let (spec, counts) = probe("probe", Script::default());
        let addr = group.start(spec.policy(policy(1, WhenSpent::Escalate)));
        let (outsider, outsider_counts) = start_probe(&stage.root(), "outsider");

        let (kept, lost) = kept_request(1);
        sibling.tell(kept).await.unwrap();
        for _ in 0..2 {
            addr.tell(Do::panic()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(lost.await.is_err());
        assert_eq!(sibling.ask(Number(2), SOON).await, Ok(2));
        assert_eq!(addr.ask(Number(3), SOON).await, Ok(3));
        assert_eq!((sibling_counts.made(), counts.made()), (2, 3));
        assert_eq!(outsider.ask(Number(1), SOON).await, Ok(1));
        assert_eq!(outsider_counts.made(), 1);
        let kinds: Vec<EventKind> = stage
            .supervision_log()
            .recent()
            .iter()
            .map(|event| event.kind)
            .collect();
        assert!(kinds.contains(&EventKind::Escalated), "{kinds:?}");
        assert_eq!(stage.registry().describe(group.path())[0].restarts, 1);
    });
}

#[test]
fn escalation_that_reaches_the_root_ends_the_process_with_a_code() {
    testing::run(|stage| async move {
        let outer = stage.root().group("outer", GroupOptions::default());
        let options = GroupOptions {
            policy: policy(2, WhenSpent::Escalate),
        };
        let inner = outer.group("inner", options);
        let script = Script {
            on_start: Some(Arc::new(|_| panic!("at every start"))),
            ..Script::default()
        };
        let (spec, counts) = probe("probe", script);
        inner.start(spec.policy(policy(1, WhenSpent::Escalate)));
        assert_eq!(stage.exit_requested().await, EXIT_ESCALATED);
        // Two starts for each life of the inner group, three of those for each of the outer one, of
        // which the default budget allows six; the root allows itself none.
        assert_eq!(counts.made(), 2 * 3 * 6);
    });
}

#[test]
fn a_child_that_crashes_while_its_parent_restarts_comes_back_once() {
    testing::run(|stage| async move {
        let group = stage.root().group("group", GroupOptions::default());
        let (spec, counts) = probe("probe", Script::default());
        let addr = group.start(spec);
        addr.ask(Number(1), SOON).await.unwrap();
        // The supervisor falls; the crash of the child is on its way to it at the same time.
        stage.registry().crash(group.path()).unwrap();
        addr.try_tell(Do::panic()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(addr.ask(Number(2), SOON).await, Ok(2));
        let (made, dropped) = (counts.made(), counts.dropped());
        assert!(
            (2..=3).contains(&made) && dropped == made - 1,
            "{made} made, {dropped} dropped"
        );

        // The other way round: the child is down and waits for a verdict that never comes.
        addr.try_tell(Do::panic()).unwrap();
        until(|| counts.dropped() == counts.made()).await;
        stage.registry().crash(group.path()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(addr.ask(Number(3), SOON).await, Ok(3));
        assert_eq!(counts.dropped(), counts.made() - 1);
    });
}

#[test]
fn a_group_whose_supervisor_is_parked_refuses_until_it_is_revived() {
    testing::run(|stage| async move {
        let options = GroupOptions {
            policy: policy(0, WhenSpent::Park),
        };
        let group = stage.root().group("group", options);
        let (addr, counts) = start_probe(&group, "probe");
        addr.ask(Number(1), SOON).await.unwrap();
        stage.registry().crash(group.path()).unwrap();
        until(|| {
            addr.try_tell(Number(2))
                .is_err_and(|e| e.why == Undelivered::Parked)
        })
        .await;
        assert_eq!((counts.made(), counts.dropped()), (1, 1));
        assert!(stage.root().revive("group"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(addr.ask(Number(3), SOON).await, Ok(3));
    });
}

#[test]
fn a_temporary_child_is_not_brought_back() {
    testing::run(|stage| async move {
        let group = stage.root().group("sessions", GroupOptions::default());
        let heard = listen(&stage, &group);
        let (spec, counts) = probe("17", Script::default());
        let addr = group.start(spec.policy(Policy::temporary()));
        addr.tell(Do::panic()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(counts.made(), 1);
        assert_eq!(
            addr.try_tell(Number(1)).unwrap_err().why,
            Undelivered::Stopped
        );
        assert!(group.children().is_empty());
        let heard = heard.0.lock().unwrap();
        let kinds: Vec<_> = heard.iter().map(|(_, kind)| *kind).collect();
        assert_eq!(kinds, [ChildEventKind::Crashed, ChildEventKind::Stopped]);
    });
}

#[test]
fn a_temporary_child_goes_with_its_group_and_does_not_come_back() {
    testing::run(|stage| async move {
        let group = stage.root().group("sessions", GroupOptions::default());
        let (spec, counts) = probe("17", Script::default());
        let session = group.start(spec.policy(Policy::temporary()));
        let (listener, _) = start_probe(&group, "listener");
        session.ask(Number(1), SOON).await.unwrap();
        stage.registry().crash(group.path()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(listener.ask(Number(1), SOON).await, Ok(1));
        assert_eq!((counts.made(), counts.dropped()), (1, 1));
        let refused = session.try_tell(Number(1)).unwrap_err();
        assert_eq!(refused.why, Undelivered::Stopped);
        assert_eq!(group.children(), ["listener"]);
    });
}

#[test]
fn who_waits_for_room_hears_that_the_actor_is_parked() {
    testing::run(|stage| async move {
        let (spec, _) = probe("probe", Script::default());
        let spec = spec.policy(policy(0, WhenSpent::Park)).mailbox(2, 1);
        let addr = stage.root().start(spec);
        addr.try_tell(Do::panic()).unwrap();
        addr.try_tell(Number(0)).unwrap();
        let waiting = (1..50).map(|n| addr.tell(Number(n)));
        let told = futures_util::future::join_all(waiting).await;
        // The first to come in took the room of the message that crashed the actor.
        let whys: Vec<_> = told
            .into_iter()
            .map(|told| told.err().map(|e| e.why))
            .collect();
        assert!(
            whys.iter()
                .skip(1)
                .all(|why| *why == Some(Undelivered::Parked)),
            "{whys:?}"
        );
    });
}
