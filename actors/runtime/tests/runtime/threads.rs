//! The few promises that need real threads. They wait for events, never for an amount of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kabuki_runtime::{
    Addr, ChildSpec, Context, EXIT_ESCALATED, EventKind, GroupOptions, Handler, Message, NoReply,
    ReplyPort, Stage, StageOptions, Undelivered, reply_channel, run,
};

use crate::probe::*;

fn on_threads<F: Future<Output = ()>>(body: impl FnOnce(Stage) -> F) {
    let options = StageOptions {
        seed: 0,
        hang_after: Duration::from_millis(300),
        ..StageOptions::default()
    };
    let code = run(options, |stage| async move {
        body(stage).await;
        3
    });
    assert_eq!(code, 3);
}

#[test]
fn actors_on_their_own_threads_answer_senders_on_any_thread() {
    on_threads(|stage| async move {
        let arbiter = stage.new_arbiter("data-0");
        let (spec, _) = probe("probe", Script::default());
        let addr = stage.root().start(spec.on(&arbiter).mailbox(16, 4));
        assert!(!addr.same_arbiter());
        let own = addr.clone();
        assert!(ask_probe(&addr, move |_, _| own.same_arbiter()).await);
        let name = ask_probe(&addr, |_, _| {
            std::fs::read_to_string("/proc/thread-self/comm")
        })
        .await;
        if let Ok(name) = name {
            assert_eq!(name.trim(), "data-0");
        }

        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let addr = addr.clone();
                std::thread::spawn(move || {
                    futures_executor(async {
                        for n in 0..1000 {
                            addr.tell(Number(sender * 1000 + n)).await.unwrap();
                        }
                    });
                })
            })
            .collect();
        for sender in senders {
            let joined = tokio::task::spawn_blocking(move || sender.join())
                .await
                .unwrap();
            joined.unwrap();
        }
        let seen = seen(&addr).await;
        assert_eq!(seen.len(), 4000);
        for sender in 0..4 {
            let own: Vec<_> = seen.iter().filter(|n| **n / 1000 == sender).collect();
            assert!(own.is_sorted(), "each sender's messages keep their order");
        }
    });
}

/// Tells again and again while the actor is between two instances.
async fn tell_at_last<M: Message>(addr: &Addr<Probe>, message: M)
where
    Probe: Handler<M>,
{
    let mut message = message;
    while let Err(refused) = addr.tell(message).await {
        assert_eq!(refused.why, Undelivered::Restarting);
        message = refused.message;
        std::thread::yield_now();
    }
}

/// Crashes the probe for certain, even if the lobby closes on the way.
async fn crash_at_last(addr: &Addr<Probe>) {
    struct Poison(ReplyPort<()>);
    impl Message for Poison {
        type Reply = ();
        fn undelivered(self, why: Undelivered) {
            self.0.refuse(why);
        }
    }
    impl Handler<Poison> for Probe {
        fn handle(&mut self, poison: Poison, _: &mut Context<Self>) {
            let _in_hand = poison;
            panic!("told to");
        }
    }
    loop {
        let (port, reply) = reply_channel();
        tell_at_last(addr, Poison(port)).await;
        if reply.await == Err(NoReply::Lost) {
            return;
        }
    }
}

/// Runs a future on a thread without an event loop.
fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn an_actor_on_another_thread_is_restarted_there() {
    on_threads(|stage| async move {
        let arbiter = stage.new_arbiter("data-0");
        let group = stage.root().group("replicas", GroupOptions::default());
        let (spec, counts) = probe("probe", Script::default());
        let addr = group.start(spec.on(&arbiter));
        let thread = ask_probe(&addr, |_, _| std::thread::current().id()).await;
        let (port, lost) = reply_channel::<()>();
        addr.tell(Do::new(move |_, _| {
            let _in_hand = port;
            panic!("told to");
        }))
        .await
        .unwrap();
        assert!(lost.await.is_err());
        assert_eq!(
            ask_probe(&addr, |_, _| std::thread::current().id()).await,
            thread
        );
        assert_eq!(counts.made(), 2);
    });
}

#[test]
fn a_turn_ends_with_the_message_that_takes_long() {
    on_threads(|stage| async move {
        let arbiter = stage.new_arbiter("data-0");
        let (spec, counts) = probe("probe", Script::default());
        let addr = stage.root().start(spec.on(&arbiter));
        addr.ask(Number(0), SOON).await.unwrap();
        let before = counts.settles();
        // All of them wait before the first one ends.
        let are_sent = Arc::new(AtomicBool::new(false));
        for _ in 0..10 {
            let are_sent = Arc::clone(&are_sent);
            let long = move |_: &mut Probe, _: &mut Context<Probe>| {
                let began = std::time::Instant::now();
                while !are_sent.load(Ordering::SeqCst) || began.elapsed().as_millis() < 2 {
                    std::thread::yield_now();
                }
            };
            addr.try_tell(Do::new(long)).unwrap();
        }
        are_sent.store(true, Ordering::SeqCst);
        addr.ask(Number(1), SOON).await.unwrap();
        assert!(counts.settles() - before >= 10, "a turn for each");
    });
}

#[test]
fn a_hung_arbiter_is_reported_with_the_actor_that_runs_on_it() {
    on_threads(|stage| async move {
        let arbiter = stage.new_arbiter("data-0");
        let (spec, _) = probe("probe", Script::default());
        let addr = stage.root().start(spec.on(&arbiter));
        let (spec, _) = probe("elsewhere", Script::default());
        let elsewhere = stage.root().start(spec);
        let mut events = stage.supervision_log().subscribe();
        let is_over = Arc::new(AtomicBool::new(false));
        let here = Arc::clone(&is_over);
        addr.tell(Do::new(move |_, _| {
            while !here.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }))
        .await
        .unwrap();
        // Seen long before it is reported.
        arbiter.standstill().stands_still().await;
        assert!(addr.standstill().is_still());
        let hung = loop {
            let event = events.recv().await.unwrap();
            // A busy machine may hold up the other thread as well.
            if event.kind == EventKind::Hung && event.actor == *addr.path() {
                break event;
            }
        };
        assert!(hung.detail.contains("data-0"), "{}", hung.detail);
        assert_eq!(elsewhere.ask(Number(1), SOON).await, Ok(1));
        let limit = Duration::from_millis(20);
        let shown = stage.registry().describe_fresh(addr.path(), limit).await;
        assert_eq!(shown[0].path, *addr.path(), "what hangs is shown as well");
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(addr.ask(Number(2), SOON).await, Ok(2));
        while events.recv().await.unwrap().kind != EventKind::Healed {}
        let mut changes = arbiter.standstill().changes();
        changes.wait_for(|still| !*still).await.unwrap();
    });
}

#[test]
fn the_exit_code_is_that_of_the_body_or_of_who_asked_for_it() {
    let options = || StageOptions {
        seed: 0,
        ..StageOptions::default()
    };
    let code = run(options(), |stage| async move {
        stage.exit(9);
        std::future::pending().await
    });
    assert_eq!(code, 9);
    let code = run(options(), |stage| async move {
        struct Plain;
        impl kabuki_runtime::Actor for Plain {}
        let mut policy = kabuki_runtime::Policy::escalating();
        policy.budget.restarts_max = 0;
        let make = || -> Plain { panic!("never") };
        stage
            .root()
            .start(ChildSpec::new("plain", make).policy(policy));
        std::future::pending().await
    });
    assert_eq!(code, EXIT_ESCALATED);
}

#[test]
fn an_actor_that_hangs_does_not_keep_the_others_from_stopping() {
    let is_over = Arc::new(AtomicBool::new(false));
    let here = Arc::clone(&is_over);
    let options = StageOptions {
        seed: 0,
        stop_within: Duration::from_secs(2),
        ..StageOptions::default()
    };
    let (spec, counts) = probe("well", Script::default());
    let code = run(options, |stage| async move {
        let arbiter = stage.new_arbiter("data-0");
        stage.root().start(spec).ask(Number(1), SOON).await.unwrap();
        let (spec, _) = probe("hung", Script::default());
        let addr = stage.root().start(spec.on(&arbiter));
        let (port, begun) = reply_channel();
        addr.tell(Do::new(move |_, _| {
            port.send(());
            while !here.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }))
        .await
        .unwrap();
        begun.await.unwrap();
        0
    });
    is_over.store(true, Ordering::SeqCst);
    assert_eq!(code, 0);
    assert_eq!((counts.stops(), counts.dropped()), (1, 1));
}

#[test]
fn under_crashes_and_senders_on_many_threads_every_request_is_answered() {
    on_threads(|stage| async move {
        let arbiter = stage.new_arbiter("data-0");
        let group = stage.root().group("replicas", GroupOptions::default());
        let mut policy = kabuki_runtime::Policy::default();
        policy.budget.restarts_max = u32::MAX;
        policy.backoff.min = Duration::ZERO;
        policy.backoff.max = Duration::from_millis(1);
        let (spec, counts) = probe("probe", Script::default());
        let addr = group.start(spec.on(&arbiter).policy(policy).mailbox(64, 8));
        let senders: Vec<_> = (0..4)
            .map(|sender: u32| {
                let addr = addr.clone();
                std::thread::spawn(move || {
                    futures_executor(async {
                        let mut answers = Vec::new();
                        for n in 0..2000 {
                            if n % 100 == 50 {
                                tell_at_last(&addr, Do::panic()).await;
                            }
                            // Every third stays in hand until the next crash.
                            let is_kept = n % 3 == 0;
                            let make = if is_kept { kept_request } else { request };
                            let (message, answer) = make(sender * 10_000 + n);
                            tell_at_last(&addr, message).await;
                            answers.push((sender * 10_000 + n, is_kept, answer));
                        }
                        // Whatever is in hand now is let go.
                        crash_at_last(&addr).await;
                        for (number, is_kept, answer) in answers {
                            match answer.await {
                                Ok(answered) => assert_eq!((answered, is_kept), (number, false)),
                                Err(NoReply::Lost) => assert!(is_kept, "{number} is lost"),
                                // The machine is so slow that the lobby closed.
                                Err(NoReply::NotDone(why)) => {
                                    assert_eq!(why, Undelivered::Restarting);
                                }
                            }
                        }
                    });
                })
            })
            .collect();
        for sender in senders {
            let joined = tokio::task::spawn_blocking(move || sender.join())
                .await
                .unwrap();
            joined.unwrap();
        }
        assert!(
            counts.made() > 1 && counts.made() <= 85,
            "{}",
            counts.made()
        );
    });
}
