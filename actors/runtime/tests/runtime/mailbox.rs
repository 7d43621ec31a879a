//! Bounds, order and fairness of the mailbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use kabuki_runtime::{AskError, EventKind, Undelivered, testing};

use crate::probe::*;

#[test]
fn told_messages_arrive_in_order() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        for number in 0..500 {
            addr.tell(Number(number)).await.unwrap();
        }
        assert_eq!(seen(&addr).await, (0..500).collect::<Vec<_>>());
    });
}

#[test]
fn an_ask_gets_what_the_handler_returns() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        assert_eq!(addr.ask(Number(7), SOON).await, Ok(7));
        let answer = addr
            .ask_with(SOON, |reply| Request {
                number: 8,
                is_kept: false,
                reply,
            })
            .await;
        assert_eq!(answer, Ok(8));
    });
}

#[test]
fn a_full_mailbox_refuses_try_tell_and_makes_tell_wait() {
    testing::run(|stage| async move {
        let (spec, _) = probe("probe", Script::default());
        let addr = stage.root().start(spec.mailbox(2, 1));
        // On one thread the probe does not run before this test waits.
        addr.try_tell(Number(1)).unwrap();
        addr.try_tell(Number(2)).unwrap();
        let refused = addr.try_tell(Number(3)).unwrap_err();
        assert_eq!(
            (refused.why, refused.message),
            (Undelivered::Full, Number(3))
        );
        addr.recipient::<Number>().try_tell(Number(3)).unwrap_err();

        let mut waiting = Box::pin(addr.tell(Number(4)));
        assert!(waiting.as_mut().now_or_never().is_none());
        waiting.await.unwrap();
        assert_eq!(seen(&addr).await, [1, 2, 4]);
    });
}

#[test]
fn tellers_that_wait_are_served_in_order_and_before_those_who_barge_in() {
    testing::run(|stage| async move {
        let (spec, _) = probe("probe", Script::default());
        let addr = stage.root().start(spec.mailbox(1, 1));
        addr.try_tell(Number(0)).unwrap();
        let mut waiting: Vec<_> = (1..10).map(|n| Box::pin(addr.tell(Number(n)))).collect();
        for tell in &mut waiting {
            assert!(tell.as_mut().now_or_never().is_none());
        }
        let (_, told) = tokio::join!(
            tokio::task::yield_now(),
            futures_util::future::join_all(waiting)
        );
        assert!(told.iter().all(Result::is_ok));
        assert_eq!(seen(&addr).await, (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn a_refused_mailbox_is_reported_once_per_episode() {
    testing::run(|stage| async move {
        let (spec, _) = probe("probe", Script::default());
        let addr = stage.root().start(spec.mailbox(1, 1));
        for _ in 0..3 {
            addr.try_tell(Number(0)).unwrap();
            for _ in 0..1000 {
                addr.try_tell(Number(1)).unwrap_err();
            }
            addr.ask(DescribeIncarnation, SOON).await.unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        let full: Vec<u64> = stage
            .supervision_log()
            .recent()
            .into_iter()
            .filter(|event| event.kind == EventKind::MailboxFull)
            .map(|event| event.repeated)
            .collect();
        assert_eq!(full, [0, 999, 999]);
    });
}

#[test]
fn control_overtakes_data() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        for number in 0..200 {
            addr.try_tell(Number(number)).unwrap();
        }
        let seen_before = Arc::new(AtomicUsize::new(usize::MAX));
        addr.ask(DescribeIncarnation, SOON).await.unwrap();
        let here = Arc::clone(&seen_before);
        addr.tell(Do::new(move |probe, _| {
            here.store(probe.seen.len(), Ordering::SeqCst)
        }))
        .await
        .unwrap();
        until(|| seen_before.load(Ordering::SeqCst) == 200).await;
    });
}

#[test]
fn a_dropped_ask_is_still_worked_on() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        assert!(addr.ask(Number(5), SOON).now_or_never().is_none());
        assert_eq!(seen(&addr).await, [5]);
    });
}

#[test]
fn an_ask_past_its_deadline_says_so() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        let late = addr
            .ask_with(Duration::from_secs(3), |reply| Request {
                number: 1,
                is_kept: true,
                reply,
            })
            .await;
        assert_eq!(late, Err(AskError::DeadlinePassed));
        assert!(ask_probe(&addr, |probe, _| probe.in_hand[0].is_abandoned()).await);
    });
}

#[test]
fn settle_runs_once_for_all_messages_of_a_turn() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.ask(Number(0), SOON).await.unwrap();
        let before = counts.settles();
        for number in 0..128 {
            addr.try_tell(Number(number)).unwrap();
        }
        until(|| counts.settles() > before + 1).await;
        assert_eq!(seen(&addr).await.len(), 129);
        // Two turns of 64, and one for the question.
        assert_eq!(counts.settles() - before, 3);
    });
}

#[test]
fn a_flooded_actor_does_not_starve_its_arbiter() {
    testing::run(|stage| async move {
        let (spec, flooded_counts) = probe("flooded", Script::default());
        let flooded = stage.root().start(spec.mailbox(100_000, 8));
        let (sibling, _) = start_probe(&stage.root(), "sibling");
        sibling.ask(Number(0), SOON).await.unwrap();
        for number in 0..100_000 {
            flooded.try_tell(Number(number)).unwrap();
        }
        sibling.ask(Number(1), SOON).await.unwrap();
        // The future of the test itself is polled once in 61 turns of tokio's local tasks; the flood
        // is worth 1,563.
        let turns = flooded_counts.settles();
        assert!(turns < 200, "the sibling waited for {turns} turns");
        assert_eq!(seen(&flooded).await.len(), 100_000);
    });
}

#[test]
fn an_actor_that_keeps_itself_busy_still_hears_others() {
    struct Again;
    impl kabuki_runtime::Message for Again {
        type Reply = ();
    }
    impl kabuki_runtime::Handler<Again> for Probe {
        fn handle(&mut self, _: Again, cx: &mut kabuki_runtime::Context<Self>) {
            cx.tell_self(Again);
        }
    }
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        addr.tell(Do::new(|_, cx| (0..1000).for_each(|_| cx.tell_self(Again))))
            .await
            .unwrap();
        assert_eq!(addr.ask(Number(1), SOON).await, Ok(1));
        assert_eq!(addr.ask(DescribeIncarnation, SOON).await, Ok(1));
    });
}

#[test]
fn held_data_waits_while_control_goes_on() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        ask_probe(&addr, |_, cx| cx.hold_data()).await;
        for number in 0..10 {
            addr.try_tell(Number(number)).unwrap();
        }
        addr.ask(DescribeIncarnation, SOON).await.unwrap();
        let depth = stage.registry().describe(addr.path())[0].mailbox_depth;
        assert_eq!(depth, 10);

        struct Release;
        impl kabuki_runtime::Message for Release {
            type Reply = usize;
            const LANE: kabuki_runtime::Lane = kabuki_runtime::Lane::Control;
        }
        impl kabuki_runtime::Handler<Release> for Probe {
            fn handle(&mut self, _: Release, cx: &mut kabuki_runtime::Context<Self>) -> usize {
                cx.release_data();
                self.seen.len()
            }
        }
        assert_eq!(addr.ask(Release, SOON).await, Ok(0));
        assert_eq!(seen(&addr).await, (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn data_held_in_the_middle_of_a_turn_stays_in_order() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        addr.try_tell(Number(0)).unwrap();
        addr.try_tell(Do::new(|_, cx| {
            cx.hold_data();
            cx.spawn(async {}, |()| Release);
        }))
        .unwrap();
        for number in 1..100 {
            addr.try_tell(Number(number)).unwrap();
        }
        struct Release;
        impl kabuki_runtime::Message for Release {
            type Reply = ();
        }
        impl kabuki_runtime::Handler<Release> for Probe {
            fn handle(&mut self, _: Release, cx: &mut kabuki_runtime::Context<Self>) {
                assert_eq!(self.seen, [0]);
                cx.release_data();
            }
        }
        assert_eq!(seen(&addr).await, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn the_age_of_the_oldest_message_is_told() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        ask_probe(&addr, |_, cx| cx.hold_data()).await;
        addr.try_tell(Number(1)).unwrap();
        tokio::time::sleep(Duration::from_secs(9)).await;
        addr.try_tell(Number(2)).unwrap();
        let description = &stage.registry().describe(addr.path())[0];
        assert_eq!(description.oldest_age, Duration::from_secs(9));
        assert_eq!(description.mailbox_depth, 2);
    });
}
