//! What a crash costs: the instance and what it had in hand, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kabuki_runtime::{
    AskError, Cause, ChildSpec, EventKind, Fault, NoReply, Undelivered, reply_channel, testing,
};

use crate::probe::*;

#[test]
fn a_panic_in_a_handler_restarts_the_actor_and_loses_the_request_in_hand() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.ask(Number(1), SOON).await.unwrap();
        let (port, lost) = reply_channel::<()>();
        addr.try_tell(Do::new(move |_, _| {
            let _in_hand = port;
            panic!("told to");
        }))
        .unwrap();
        assert_eq!(addr.ask(Number(2), SOON).await, Ok(2));
        assert_eq!(lost.await, Err(NoReply::Lost));
        assert_eq!(
            (counts.made(), counts.started(), counts.dropped()),
            (2, 2, 1)
        );
        assert_eq!(addr.ask(DescribeIncarnation, SOON).await, Ok(2));
        assert_eq!(
            seen(&addr).await,
            [2],
            "a new instance knows nothing of the old one"
        );
    });
}

#[test]
fn the_first_restart_takes_about_ten_milliseconds() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        addr.ask(Number(1), SOON).await.unwrap();
        let before = tokio::time::Instant::now();
        addr.try_tell(Do::panic()).unwrap();
        addr.ask(Number(2), SOON).await.unwrap();
        let took = before.elapsed();
        assert!(took <= Duration::from_millis(15), "{took:?}");
    });
}

#[test]
fn a_panic_with_the_asked_message_in_hand_is_lost_to_its_asker() {
    struct Poison;
    impl kabuki_runtime::Message for Poison {
        type Reply = u32;
    }
    impl kabuki_runtime::Handler<Poison> for Probe {
        fn handle(&mut self, _: Poison, _: &mut kabuki_runtime::Context<Self>) -> u32 {
            panic!("poison")
        }
    }
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        assert_eq!(addr.ask(Poison, SOON).await, Err(AskError::Lost));
    });
}

#[test]
fn a_panic_in_start_is_followed_by_another_start() {
    testing::run(|stage| async move {
        let starts = Arc::new(AtomicUsize::new(0));
        let script = Script {
            on_start: Some(Arc::new(move |_| {
                assert!(starts.fetch_add(1, Ordering::SeqCst) >= 2, "not yet");
                Ok(())
            })),
            ..Script::default()
        };
        let (spec, counts) = probe("probe", script);
        let addr = stage.root().start(spec);
        assert_eq!(addr.ask(Number(1), SOON).await, Ok(1));
        assert_eq!(
            (counts.made(), counts.started(), counts.dropped()),
            (3, 3, 2)
        );
    });
}

#[test]
fn a_fault_in_start_is_a_crash_with_its_cause() {
    testing::run(|stage| async move {
        let starts = Arc::new(AtomicUsize::new(0));
        let script = Script {
            on_start: Some(Arc::new(move |_| {
                if starts.fetch_add(1, Ordering::SeqCst) == 0 {
                    String::from_utf8(vec![0xff])?;
                }
                Ok(())
            })),
            ..Script::default()
        };
        let (spec, _) = probe("probe", script);
        let addr = stage.root().start(spec);
        let cause = ask_probe(&addr, |_, cx| cx.past_crashes()[0].cause.clone()).await;
        assert!(
            matches!(&cause, Cause::Fault(text) if text.contains("utf-8")),
            "{cause}"
        );
    });
}

#[test]
fn fail_ends_the_instance_without_a_panic_and_without_another_message() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.try_tell(Do::new(|_, cx| cx.fail(Fault::new("disk is gone"))))
            .unwrap();
        let (next, answer) = request(2);
        addr.try_tell(next).unwrap();
        assert_eq!(answer.await, Ok(2));
        let crashes = ask_probe(&addr, |_, cx| cx.past_crashes().to_vec()).await;
        assert_eq!(crashes[0].cause, Cause::Fault("disk is gone".to_owned()));
        assert!(crashes[0].place.contains("crashes.rs:"));
        assert_eq!(
            counts.stops(),
            0,
            "a faulty value is not asked to stop, only dropped"
        );
        assert_eq!(counts.dropped(), 1);
    });
}

#[test]
fn a_panic_in_a_spawned_future_crashes_the_actor() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.tell(Do::new(|_, cx| {
            let work = async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                panic!("in the future");
            };
            cx.spawn(work, |()| Number(1));
        }))
        .await
        .unwrap();
        until(|| counts.started() == 2).await;
        let crash = ask_probe(&addr, |_, cx| cx.past_crashes()[0].clone()).await;
        assert_eq!(crash.cause, Cause::Panic("in the future".to_owned()));
        assert_eq!(crash.message, "Number");
    });
}

#[test]
fn a_panic_in_the_mapping_of_an_output_crashes_the_actor() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.tell(Do::new(|_, cx| {
            cx.spawn(async {}, |()| -> Number { panic!("in the mapping") });
        }))
        .await
        .unwrap();
        until(|| counts.started() == 2).await;
        // A port maps where it was made, not where it is answered.
        let (answering, answering_counts) = start_probe(&stage.root(), "answering");
        addr.tell(Do::new(move |_, cx| {
            let reply = cx.reply_port(|_| -> Number { panic!("in the mapping of a port") });
            answering
                .try_tell(Request {
                    number: 1,
                    is_kept: false,
                    reply,
                })
                .unwrap();
        }))
        .await
        .unwrap();
        until(|| counts.started() == 3).await;
        assert_eq!(answering_counts.made(), 1);
    });
}

#[test]
fn panics_in_poll_settle_and_stop_are_crashes() {
    testing::run(|stage| async move {
        let bombs = Arc::new(AtomicUsize::new(0));
        let bomb = |at: usize| {
            let bombs = Arc::clone(&bombs);
            Arc::new(
                move |_: &mut Probe, _: &mut kabuki_runtime::Context<Probe>| {
                    let hit = bombs.compare_exchange(at, 0, Ordering::SeqCst, Ordering::SeqCst);
                    assert!(hit.is_err(), "bomb {at}");
                },
            )
        };
        let script = Script {
            on_poll: Some(bomb(1)),
            on_settle: Some(bomb(2)),
            on_stop: Some(bomb(3)),
            ..Script::default()
        };
        let (spec, counts) = probe("probe", script);
        let addr = stage.root().start(spec);
        addr.ask(Number(0), SOON).await.unwrap();
        for (at, started) in [(1, 2), (2, 3)] {
            bombs.store(at, Ordering::SeqCst);
            _ = addr.ask(Number(1), SOON).await;
            until(|| counts.started() == started).await;
        }
        bombs.store(3, Ordering::SeqCst);
        stage.root().stop_child("probe", SOON).await;
        assert_eq!(counts.dropped(), counts.made());
        let panics = stage.supervision_log().recent();
        let panics: Vec<&str> = panics
            .iter()
            .filter(|event| event.kind == EventKind::Panicked)
            .map(|event| event.detail.as_str())
            .collect();
        assert_eq!(panics, ["bomb 1", "bomb 2", "bomb 3"]);
    });
}

#[test]
fn a_panic_in_the_factory_is_a_crash_and_the_factory_runs_once_per_instance() {
    testing::run(|stage| async move {
        let made = Arc::new(AtomicUsize::new(0));
        struct Plain;
        impl kabuki_runtime::Actor for Plain {}
        impl kabuki_runtime::Handler<Number> for Plain {
            fn handle(&mut self, n: Number, _: &mut kabuki_runtime::Context<Self>) -> u32 {
                assert_ne!(n, Number(13), "poison");
                n.0
            }
        }
        let counted = Arc::clone(&made);
        let addr = stage.root().start(ChildSpec::new("plain", move || {
            assert!(counted.fetch_add(1, Ordering::SeqCst) != 1, "no second one");
            Plain
        }));
        assert_eq!(addr.ask(Number(1), SOON).await, Ok(1));
        assert_eq!(addr.ask(Number(13), SOON).await, Err(AskError::Lost));
        assert_eq!(addr.ask(Number(2), SOON).await, Ok(2));
        assert_eq!(made.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn a_panic_in_the_drop_of_a_crashed_instance_changes_nothing() {
    testing::run(|stage| async move {
        let script = Script {
            on_drop: Some(Arc::new(|| panic!("in drop"))),
            ..Script::default()
        };
        let (spec, counts) = probe("probe", script);
        let addr = stage.root().start(spec);
        let (kept, lost) = kept_request(1);
        addr.tell(kept).await.unwrap();
        addr.tell(Do::panic()).await.unwrap();
        assert_eq!(lost.await, Err(NoReply::Lost));
        assert_eq!(addr.ask(Number(2), SOON).await, Ok(2));
        assert_eq!(counts.made(), 2);
        let crash = ask_probe(&addr, |_, cx| cx.past_crashes()[0].cause.clone()).await;
        assert_eq!(crash, Cause::Panic("told to".to_owned()));
    });
}

#[test]
fn a_crash_with_ten_thousand_queued_messages_loses_only_what_was_in_hand() {
    testing::run(|stage| async move {
        let (spec, counts) = probe("probe", Script::default());
        let addr = stage.root().start(spec.mailbox(20_000, 8));
        let mut in_hand = Vec::new();
        let mut queued = Vec::new();
        for number in 0..100 {
            let (message, answer) = kept_request(number);
            addr.try_tell(message).unwrap();
            in_hand.push(answer);
        }
        let (port, poison) = reply_channel::<()>();
        for number in 0..10_000 {
            if number == 5000 {
                continue;
            }
            let (message, answer) = request(number);
            if number < 5000 {
                addr.try_tell(message).unwrap();
                queued.push((number, answer));
            }
        }
        addr.try_tell(Do::new(move |_, _| {
            let _in_hand = port;
            panic!("poison");
        }))
        .unwrap();
        for number in 5000..10_000 {
            let (message, answer) = request(number);
            addr.try_tell(message).unwrap();
            queued.push((number, answer));
        }
        assert_eq!(queued.len(), 10_000);

        for answer in in_hand {
            assert_eq!(answer.await, Err(NoReply::Lost));
        }
        assert_eq!(poison.await, Err(NoReply::Lost));
        for (number, answer) in queued {
            assert_eq!(answer.await, Ok(number));
        }
        assert_eq!(counts.made(), 2);
        assert_eq!(seen(&addr).await, (5000..10_000).collect::<Vec<_>>());
    });
}

#[test]
fn queued_messages_are_handed_back_when_the_next_instance_takes_long() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        let hold = ask_probe(&addr, |_, cx| cx.hold_restart()).await;
        let (kept, lost) = kept_request(1);
        addr.try_tell(kept).unwrap();
        addr.try_tell(Do::panic()).unwrap();
        let (queued, handed_back) = request(2);
        addr.try_tell(queued).unwrap();

        let before = tokio::time::Instant::now();
        assert_eq!(lost.await, Err(NoReply::Lost));
        let refused = Err(NoReply::NotDone(Undelivered::Restarting));
        assert_eq!(handed_back.await, refused);
        assert_eq!(before.elapsed(), kabuki_runtime::LOBBY_WAIT);

        // From here on the door is closed, for those who wait as well.
        assert_eq!(
            addr.try_tell(Number(3)).unwrap_err().why,
            Undelivered::Restarting
        );
        let refused = addr.ask(Number(3), SOON).await;
        assert_eq!(refused, Err(AskError::NotDone(Undelivered::Restarting)));
        assert_eq!(counts.made(), 1, "the hold keeps the next instance away");

        drop(hold);
        until(|| counts.started() == 2).await;
        assert_eq!(addr.ask(Number(4), SOON).await, Ok(4));
    });
}

#[test]
fn no_instance_starts_while_a_restart_is_held() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        let first = ask_probe(&addr, |_, cx| cx.hold_restart()).await;
        let second = ask_probe(&addr, |_, cx| cx.hold_restart()).await;
        addr.try_tell(Do::panic()).unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(first);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!((counts.made(), counts.dropped()), (1, 1));
        // Dropped on another thread, as a disk pool would.
        std::thread::spawn(move || drop(second)).join().unwrap();
        until(|| counts.started() == 2).await;
    });
}

#[test]
fn crashes_are_remembered_with_message_fingerprint_and_place() {
    testing::run(|stage| async move {
        struct Poison;
        impl kabuki_runtime::Message for Poison {
            type Reply = ();
            fn fingerprint(&self) -> u64 {
                0xfeed
            }
        }
        impl kabuki_runtime::Handler<Poison> for Probe {
            fn handle(&mut self, _: Poison, _: &mut kabuki_runtime::Context<Self>) {
                panic!("poison")
            }
        }
        let (addr, counts) = start_probe(&stage.root(), "probe");
        for n in 0..2 {
            addr.try_tell(Poison).unwrap();
            until(|| counts.started() == n + 2).await;
        }
        let crashes = ask_probe(&addr, |_, cx| cx.past_crashes().to_vec()).await;
        assert_eq!(crashes.len(), 2);
        for crash in crashes {
            assert_eq!(
                (crash.message.as_str(), crash.fingerprint),
                ("Poison", 0xfeed)
            );
            assert!(crash.place.contains("crashes.rs:"), "{}", crash.place);
        }
    });
}

#[test]
fn settle_says_what_it_has_in_hand() {
    testing::run(|stage| async move {
        let armed = Arc::new(AtomicUsize::new(1));
        let script = Script {
            on_settle: Some(Arc::new(move |probe, cx| {
                if !probe.in_hand.is_empty() && armed.swap(0, Ordering::SeqCst) == 1 {
                    cx.in_hand("group commit", 77);
                    panic!("while writing");
                }
            })),
            ..Script::default()
        };
        let (spec, _) = probe("probe", script);
        let addr = stage.root().start(spec);
        let (kept, lost) = kept_request(1);
        addr.try_tell(kept).unwrap();
        assert_eq!(lost.await, Err(NoReply::Lost));
        let crash = ask_probe(&addr, |_, cx| cx.past_crashes()[0].clone()).await;
        assert_eq!(
            (crash.message.as_str(), crash.fingerprint),
            ("group commit", 77)
        );
    });
}

#[test]
fn a_crash_on_request_is_a_real_panic() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.ask(Number(1), SOON).await.unwrap();
        stage.registry().crash(addr.path()).unwrap();
        until(|| counts.started() == 2).await;
        let crash = ask_probe(&addr, |_, cx| cx.past_crashes()[0].cause.clone()).await;
        assert_eq!(crash, Cause::Panic("crash on request".to_owned()));
        let nobody = kabuki_runtime::ActorPath::new("/nobody");
        assert!(stage.registry().crash(&nobody).is_err());
    });
}

#[test]
fn every_crash_leaves_the_queue_its_full_wait() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        for number in 0..3 {
            addr.try_tell(Do::panic()).unwrap();
            let (queued, answer) = request(number);
            addr.try_tell(queued).unwrap();
            assert_eq!(answer.await, Ok(number));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

#[test]
fn the_wait_of_the_queue_goes_on_through_starts_that_fail() {
    testing::run(|stage| async move {
        let starts = Arc::new(AtomicUsize::new(0));
        let script = Script {
            on_start: Some(Arc::new(move |_| {
                assert_eq!(starts.fetch_add(1, Ordering::SeqCst), 0, "never again");
                Ok(())
            })),
            ..Script::default()
        };
        let (spec, counts) = probe("probe", script);
        let addr = stage.root().start(spec);
        addr.ask(Number(0), SOON).await.unwrap();
        addr.try_tell(Do::panic()).unwrap();
        let (queued, handed_back) = request(1);
        addr.try_tell(queued).unwrap();
        let before = tokio::time::Instant::now();
        let refused = Err(NoReply::NotDone(Undelivered::Restarting));
        assert_eq!(handed_back.await, refused);
        assert_eq!(before.elapsed(), kabuki_runtime::LOBBY_WAIT);
        assert!(counts.made() > 2);
    });
}
