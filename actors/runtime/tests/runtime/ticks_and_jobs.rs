//! Timers, spawned futures and ports to self: they come back to the instance that asked, or to
//! nobody, and cost nothing while they wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kabuki_runtime::{Cause, Context, Handler, Message, NoReply, ReplyPort, Undelivered, testing};
use tokio::time::Instant;

use crate::probe::*;

/// A tick; counts itself.
struct CheckDue(u32);

impl Message for CheckDue {
    type Reply = ();
}

impl Handler<CheckDue> for Probe {
    fn handle(&mut self, tick: CheckDue, _: &mut Context<Self>) {
        self.seen.push(tick.0);
    }
}

#[test]
fn ticks_fire_in_order_of_their_time() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        addr.tell(Do::new(|_, cx| {
            for seconds in [5, 1, 3, 2, 4] {
                cx.tell_after(Duration::from_secs(u64::from(seconds)), CheckDue(seconds));
            }
        }))
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(3500)).await;
        assert_eq!(seen(&addr).await, [1, 2, 3]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(seen(&addr).await, [1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_cancelled_tick_does_not_fire() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        let cancelled = ask_probe(&addr, |_, cx| {
            let first = cx.tell_after(Duration::from_secs(1), CheckDue(1));
            cx.tell_after(Duration::from_secs(2), CheckDue(2));
            (cx.cancel(first), cx.cancel(first))
        })
        .await;
        assert_eq!(cancelled, (true, false));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(seen(&addr).await, [2]);
    });
}

#[test]
fn a_tick_that_is_due_at_once_fires() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        addr.tell(Do::new(|_, cx| {
            _ = cx.tell_after(Duration::ZERO, CheckDue(1))
        }))
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(seen(&addr).await, [1]);
    });
}

#[test]
fn stale_ticks_and_job_results_are_dropped() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        let port: Arc<std::sync::Mutex<Option<ReplyPort<u32>>>> = Arc::default();
        let here = Arc::clone(&port);
        addr.tell(Do::new(move |_, cx| {
            cx.tell_after(Duration::from_secs(1), CheckDue(1));
            cx.spawn(tokio::time::sleep(Duration::from_secs(1)), |()| CheckDue(2));
            let answer =
                cx.reply_port(|answer: Result<u32, NoReply>| CheckDue(answer.unwrap_or(0)));
            *here.lock().unwrap() = Some(answer);
            cx.tell_self(CheckDue(4));
            panic!("told to");
        }))
        .await
        .unwrap();
        until(|| counts.started() == 2).await;
        let port = port.lock().unwrap().take().unwrap();
        assert!(port.is_abandoned());
        port.send(3);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(seen(&addr).await, []);
    });
}

#[test]
fn a_reply_port_answers_its_own_instance_even_when_the_mailbox_is_full() {
    testing::run(|stage| async move {
        let (spec, _) = probe("probe", Script::default());
        let addr = stage.root().start(spec.mailbox(1, 1));
        let port: Arc<std::sync::Mutex<Vec<ReplyPort<u32>>>> = Arc::default();
        let here = Arc::clone(&port);
        addr.tell(Do::new(move |_, cx| {
            for _ in 0..3 {
                let answer = cx.reply_port(|answer: Result<u32, NoReply>| match answer {
                    Ok(number) => CheckDue(number),
                    Err(NoReply::Lost) => CheckDue(100),
                    Err(NoReply::NotDone(_)) => CheckDue(200),
                });
                here.lock().unwrap().push(answer);
            }
        }))
        .await
        .unwrap();
        until(|| port.lock().unwrap().len() == 3).await;
        addr.try_tell(Number(1)).unwrap();
        addr.try_tell(Number(2)).unwrap_err();
        let mut ports = std::mem::take(&mut *port.lock().unwrap());
        ports.pop().unwrap().send(7);
        ports.pop().unwrap().refuse(Undelivered::Parked);
        drop(ports);
        assert_eq!(seen(&addr).await, [7, 200, 100, 1]);
    });
}

#[test]
fn a_job_past_its_deadline_is_a_hang() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.tell(Do::new(|_, cx| {
            let in_time = tokio::time::sleep(Duration::from_secs(1));
            cx.spawn_within(Duration::from_secs(2), in_time, |()| CheckDue(1));
            let never = std::future::pending::<()>();
            cx.spawn_within(Duration::from_secs(3), never, |()| CheckDue(2));
        }))
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(2900)).await;
        assert_eq!(seen(&addr).await, [1]);
        let before = Instant::now();
        until(|| counts.started() == 2).await;
        assert!(before.elapsed() < Duration::from_millis(200));
        let crash = ask_probe(&addr, |_, cx| cx.past_crashes()[0].clone()).await;
        assert!(matches!(&crash.cause, Cause::Hung(text) if text.contains("CheckDue")));
        assert!(
            crash.place.contains("ticks_and_jobs.rs:"),
            "{}",
            crash.place
        );
    });
}

#[test]
fn a_job_that_is_ready_at_once_comes_back_at_once() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        let before = Instant::now();
        addr.tell(Do::new(|_, cx| cx.spawn(async { 9 }, CheckDue)))
            .await
            .unwrap();
        until(|| counts.settles() >= 2).await;
        assert!(before.elapsed() < Duration::from_millis(3));
        assert_eq!(seen(&addr).await, [9]);
    });
}

#[test]
fn hundreds_of_pending_jobs_and_ticks_do_not_spin() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.tell(Do::new(|_, cx| {
            for n in 0..500 {
                cx.tell_after(Duration::from_secs(7200 + n), CheckDue(0));
                cx.spawn(std::future::pending::<()>(), |()| CheckDue(1));
                cx.spawn(tokio::time::sleep(Duration::from_secs(7200)), |()| {
                    CheckDue(2)
                });
            }
        }))
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = counts.polls();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(
            counts.polls(),
            before,
            "an hour of waiting takes no wake-up"
        );
        assert_eq!(seen(&addr).await, []);
    });
}

#[test]
fn a_woken_job_does_not_cost_a_poll_of_the_others() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        let polls = Arc::new(AtomicUsize::new(0));
        let here = Arc::clone(&polls);
        addr.tell(Do::new(move |_, cx| {
            for _ in 0..1000 {
                let polls = Arc::clone(&here);
                let waits = std::future::poll_fn(move |_| {
                    polls.fetch_add(1, Ordering::SeqCst);
                    std::task::Poll::<()>::Pending
                });
                cx.spawn(waits, |()| CheckDue(0));
            }
        }))
        .await
        .unwrap();
        for n in 0..100 {
            addr.ask(Number(n), SOON).await.unwrap();
        }
        assert_eq!(polls.load(Ordering::SeqCst), 1000);
    });
}

#[test]
fn an_actor_can_ask_for_another_turn_and_hand_out_its_waker() {
    testing::run(|stage| async move {
        let (addr, counts) = start_probe(&stage.root(), "probe");
        addr.ask(Number(0), SOON).await.unwrap();
        let before = counts.polls();
        addr.tell(Do::new(|_, cx| cx.wake())).await.unwrap();
        until(|| counts.polls() == before + 2).await;
        let waker = ask_probe(&addr, |_, cx| cx.waker().clone()).await;
        let before = counts.polls();
        waker.wake();
        until(|| counts.polls() == before + 1).await;
    });
}

#[test]
fn dropped_jobs_of_a_crashed_instance_are_gone_at_once() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        addr.tell(Do::new(move |_, cx| {
            let work = async move {
                let _held = held;
                std::future::pending::<()>().await;
            };
            cx.spawn(work, |()| CheckDue(0));
        }))
        .await
        .unwrap();
        addr.tell(Do::panic()).await.unwrap();
        until(|| Arc::strong_count(&alive) == 1).await;
    });
}
