//! The supervision log is an interface: kinds, keys and their order are pinned here.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kabuki_runtime::{
    Budget, EventKind, Fault, GroupOptions, Policy, Stage, StageOptions, WhenSpent, testing,
};
use slog::{Drain, KV, Level, OwnedKVList, Record};

use crate::probe::*;

/// Writes lines as the terminal shows them, without the time.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

struct Keys<'a>(&'a mut String);

impl slog::Serializer for Keys<'_> {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(|_| slog::Error::Other)
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        let mut lines = self.0.lock().unwrap();
        let level = match record.level() {
            Level::Debug => "DEBG",
            level => level.as_short_str(),
        };
        write!(lines, "{level} {} ", record.msg()).unwrap();
        record
            .kv()
            .serialize(record, &mut Keys(&mut lines))
            .unwrap();
        values.serialize(record, &mut Keys(&mut lines)).unwrap();
        lines.push('\n');
        Ok(())
    }
}

/// Runs `body` and gives what was logged, with line numbers blotted out.
fn logged<F: Future<Output = ()>>(body: impl FnOnce(Stage) -> F) -> String {
    let lines = Lines::default();
    let logger = slog::Logger::root(lines.clone().fuse(), slog::o!());
    let options = StageOptions {
        logger,
        seed: 1,
        ..StageOptions::default()
    };
    testing::run_with(options, body);
    let text = lines.0.lock().unwrap().clone();
    blot_lines(&text)
}

/// Puts N for the numbers of lines, so that an edit above a panic changes no snapshot.
fn blot_lines(text: &str) -> String {
    let mut parts = text.split(".rs:");
    let mut blotted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        blotted.push_str(".rs:N");
        blotted.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    blotted
}

#[test]
fn a_life_with_crashes_is_told_in_constant_lines() {
    let text = logged(|stage| async move {
        let group = stage.root().group("replicas", GroupOptions::default());
        let (spec, counts) = probe("orders-3", Script::default());
        let budget = Budget {
            restarts_max: 2,
            window: Duration::from_secs(10),
        };
        let addr = group.start(spec.policy(Policy {
            budget,
            ..Policy::default()
        }));
        let (kept, _) = kept_request(77);
        addr.tell(kept).await.unwrap();
        addr.tell(Do::new(|_, _| panic!("segment 3 is gone")))
            .await
            .unwrap();
        until(|| counts.started() == 2).await;
        addr.tell(Do::new(|_, cx| cx.fail(Fault::new("disk is full"))))
            .await
            .unwrap();
        until(|| counts.started() == 3).await;
        addr.tell(Do::new(|_, cx| {
            cx.spawn_within(Duration::from_secs(1), std::future::pending::<()>(), |()| {
                Number(1)
            });
        }))
        .await
        .unwrap();
        until(|| counts.dropped() == 3).await;
    });
    insta::assert_snapshot!(text, @r"
DEBG started  actor=/ incarnation=1
DEBG started  actor=/replicas incarnation=1
DEBG started  actor=/replicas/orders-3 incarnation=1
WARN panicked  actor=/replicas/orders-3 incarnation=1 cause=panic at=actors/runtime/tests/runtime/supervision_log.rs:N detail=segment 3 is gone message=Do
WARN restarted  actor=/replicas/orders-3 incarnation=2 cause=panic at=actors/runtime/tests/runtime/supervision_log.rs:N backoff_ms=11 restarts_in_window=1/2
WARN faulted  actor=/replicas/orders-3 incarnation=2 cause=fault at=actors/runtime/tests/runtime/supervision_log.rs:N detail=disk is full message=Do
WARN backing_off  actor=/replicas/orders-3 incarnation=2 cause=fault at=actors/runtime/tests/runtime/supervision_log.rs:N backoff_ms=21 restarts_in_window=2/2
WARN restarted  actor=/replicas/orders-3 incarnation=3 cause=fault at=actors/runtime/tests/runtime/supervision_log.rs:N backoff_ms=21 restarts_in_window=2/2
WARN hung  actor=/replicas/orders-3 incarnation=3 cause=hung at=actors/runtime/tests/runtime/supervision_log.rs:N detail=job for Number not done after 1s message=Number
ERRO budget_spent  actor=/replicas/orders-3 incarnation=3 cause=hung at=actors/runtime/tests/runtime/supervision_log.rs:N restarts_in_window=2/2
DEBG stopped  actor=/replicas/orders-3 incarnation=3
DEBG stopped  actor=/replicas incarnation=1
DEBG stopped  actor=/ incarnation=1
");
}

#[test]
fn reports_of_actors_and_escalation_are_told_in_constant_lines() {
    let text = logged(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        for kind in [
            EventKind::Degraded,
            EventKind::Healed,
            EventKind::SteppedDown,
            EventKind::Quarantined,
            EventKind::Recovered,
        ] {
            ask_probe(&addr, move |_, cx| cx.report(kind, "as told")).await;
        }
        let group = stage.root().group("group", GroupOptions::default());
        let (spec, counts) = probe("fragile", Script::default());
        let budget = Budget {
            restarts_max: 0,
            window: Duration::from_secs(10),
        };
        let policy = Policy {
            budget,
            when_spent: WhenSpent::Escalate,
            ..Policy::default()
        };
        let fragile = group.start(spec.policy(policy).mailbox(1, 1));
        fragile.ask(Number(0), SOON).await.unwrap();
        fragile.try_tell(Do::panic()).unwrap();
        fragile.try_tell(Number(1)).unwrap_err();
        until(|| counts.started() == 2).await;
    });
    insta::assert_snapshot!(text, @r"
DEBG started  actor=/ incarnation=1
DEBG started  actor=/probe incarnation=1
WARN degraded  actor=/probe incarnation=1 cause=as told
INFO healed  actor=/probe incarnation=1 cause=as told
WARN stepped_down  actor=/probe incarnation=1 cause=as told
ERRO quarantined  actor=/probe incarnation=1 cause=as told
INFO recovered  actor=/probe incarnation=1 cause=as told
DEBG started  actor=/group incarnation=1
DEBG started  actor=/group/fragile incarnation=1
WARN mailbox_full  actor=/group/fragile incarnation=1
WARN panicked  actor=/group/fragile incarnation=1 cause=panic at=actors/runtime/tests/runtime/probe.rs:N detail=told to message=Do
ERRO budget_spent  actor=/group/fragile incarnation=1 cause=panic at=actors/runtime/tests/runtime/probe.rs:N
ERRO escalated  actor=/group/fragile incarnation=1 cause=panic at=actors/runtime/tests/runtime/probe.rs:N
WARN faulted  actor=/group incarnation=1 cause=fault at=group.rs:N detail=/group/fragile spent its budget: panic: told to at actors/runtime/tests/runtime/probe.rs:N in Do message=ChildExited
WARN restarted  actor=/group incarnation=2 cause=fault at=group.rs:N backoff_ms=10 restarts_in_window=1/5
WARN restarted  actor=/group/fragile incarnation=2 cause=group
DEBG stopped  actor=/group/fragile incarnation=2
DEBG stopped  actor=/group incarnation=2
DEBG stopped  actor=/probe incarnation=1
DEBG stopped  actor=/ incarnation=1
");
}

#[test]
fn storms_are_counted_and_not_repeated() {
    testing::run(|stage| async move {
        let (addr, _) = start_probe(&stage.root(), "probe");
        for _ in 0..5 {
            ask_probe(&addr, |_, cx| {
                (0..1000).for_each(|_| cx.report(EventKind::Degraded, "x"))
            })
            .await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ask_probe(&addr, |_, cx| cx.report(EventKind::Healed, "another kind")).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        ask_probe(&addr, |_, cx| cx.report(EventKind::Degraded, "a new storm")).await;

        let told: Vec<_> = stage
            .supervision_log()
            .recent()
            .into_iter()
            .map(|event| (event.kind, event.cause, event.repeated))
            .collect();
        let expected = [
            (EventKind::Degraded, "x".to_owned(), 0),
            (EventKind::Healed, "another kind".to_owned(), 0),
            (EventKind::Degraded, "x".to_owned(), 4998),
            (EventKind::Degraded, "a new storm".to_owned(), 0),
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn subscribers_get_all_events_in_order_and_lose_what_they_do_not_take() {
    testing::run(|stage| async move {
        let log = stage.supervision_log().clone();
        let mut taking = log.subscribe();
        let lagging = log.subscribe();
        let gone = log.subscribe();
        drop(gone);
        let sessions = stage.root().group("sessions", GroupOptions::default());
        let mut seqs = Vec::new();
        for n in 0..2000 {
            let (spec, _) = probe(&n.to_string(), Script::default());
            sessions
                .start(spec.policy(Policy::temporary()))
                .ask(Number(0), SOON)
                .await
                .unwrap();
            while let Ok(event) = taking.try_recv() {
                seqs.push(event.seq);
            }
        }
        assert_eq!(seqs.len(), 2002);
        assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1));
        assert_eq!(log.lost(), 2002 - lagging.len() as u64);
        assert!(
            log.recent().is_empty(),
            "ordinary starts do not push trouble out of the ring"
        );
    });
}

#[test]
fn the_ring_keeps_the_newest_events() {
    testing::run(|stage| async move {
        let log = stage.supervision_log();
        for n in 0..5000 {
            let path = kabuki_runtime::ActorPath::new(&format!("/x/{n}"));
            let incarnation = kabuki_runtime::Incarnation(1);
            log.report(EventKind::Degraded, &path, incarnation, "x", "");
        }
        let recent = log.recent();
        assert_eq!(recent.len(), 4096);
        assert_eq!(recent.last().unwrap().actor.as_str(), "/x/4999");
    });
}
