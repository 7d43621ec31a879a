//! Watches the arbiters from a plain thread: one that makes no progress is reported together with
//! the actor that ran on it. It cannot end a hang, so it only says what it sees.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::arbiter::{Arbiter, Pulse};
use crate::path::{ActorPath, Incarnation};
use crate::stage::Stage;
use crate::supervision_log::EventKind;

/// Time between two looks. Every second one wakes an idle arbiter, which costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// An arbiter that has left a ping unanswered for so many looks stands still: 200 to 300 ms after it
/// stopped. Who waits for its actors need not wait longer; the log is told of a hang much later.
const STILL_LOOKS: u32 = 2;

/// A look that comes so late says that the whole machine stood still, not an arbiter.
const LATE_LOOK: Duration = LOOK_EVERY.saturating_mul(2);

/// Every so many looks the ages of waiting messages are looked at as well: that walks all actors.
const LOOKS_PER_AGE_CHECK: u64 = 20;

/// The watching thread.
pub(crate) struct HangWatch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl HangWatch {
    pub(crate) fn start(stage: &Stage) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("hang-watch".to_owned())
            .spawn({
                let ended = Arc::clone(&ended);
                let stage = stage.clone();
                move || watch(&stage, &ended)
            })
            .expect("the system has room for a thread");
        Self { ended, thread }
    }

    /// Ends the thread and waits for it.
    pub(crate) fn end(self) {
        self.ended.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // A panic in the watch has been reported by the hook; there is nothing to add.
        _ = self.thread.join();
    }
}

fn watch(stage: &Stage, ended: &AtomicBool) {
    let mut sights: Vec<Sight> = Vec::new();
    let mut late = HashSet::new();
    let mut looks = 0_u64;
    let mut looked = Instant::now();
    while !ended.load(Ordering::Acquire) {
        std::thread::park_timeout(LOOK_EVERY);
        let now = Instant::now();
        let is_late = now.saturating_duration_since(looked) >= LATE_LOOK;
        looked = now;
        // Arbiters are only ever added, so the order is stable.
        for (index, arbiter) in stage.arbiters().iter().enumerate() {
            if index == sights.len() {
                sights.push(Sight::default());
            }
            let hang_after = stage.options().hang_after;
            if is_late {
                sights[index].forget_looks();
            }
            match sights[index].look(arbiter.pulse(), now, hang_after) {
                Seen::Moved => arbiter.standstill().set(false),
                Seen::Ping => arbiter.ping(),
                Seen::Waiting => {}
                Seen::Still => arbiter.standstill().set(true),
                Seen::Hung { still_for } => report_hung(stage, arbiter, still_for),
                Seen::Healed => {
                    arbiter.standstill().set(false);
                    report_moving(stage, arbiter);
                }
            }
        }
        looks += 1;
        if looks.is_multiple_of(LOOKS_PER_AGE_CHECK) {
            check_ages(stage, &mut late);
        }
    }
}

/// What a look at an arbiter leads to.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Moved,
    /// Nothing happened since the last look: idle or hung, which a ping tells apart.
    Ping,
    /// A ping is unanswered.
    Waiting,
    /// It is so for longer than any work takes there.
    Still,
    Hung {
        still_for: Duration,
    },
    Healed,
}

/// What the watch remembers of an arbiter.
#[derive(Debug, Default)]
struct Sight {
    steps: u64,
    /// Since when a ping is unanswered.
    pinged: Option<Instant>,
    /// Looks that found it unanswered.
    unanswered: u32,
    is_hung: bool,
}

impl Sight {
    fn look(&mut self, pulse: &Pulse, now: Instant, hang_after: Duration) -> Seen {
        let steps = pulse.steps();
        if steps != self.steps {
            self.steps = steps;
            self.pinged = None;
            self.unanswered = 0;
            return if std::mem::take(&mut self.is_hung) {
                Seen::Healed
            } else {
                Seen::Moved
            };
        }
        let Some(pinged) = self.pinged else {
            self.pinged = Some(now);
            return Seen::Ping;
        };
        let still_for = now.saturating_duration_since(pinged);
        let is_told = self.unanswered >= STILL_LOOKS;
        if is_told && still_for >= hang_after && !self.is_hung {
            self.is_hung = true;
            return Seen::Hung { still_for };
        }
        self.unanswered += 1;
        if self.unanswered == STILL_LOOKS {
            Seen::Still
        } else {
            Seen::Waiting
        }
    }

    /// The looks so far prove nothing: the watch itself got no turn meanwhile.
    fn forget_looks(&mut self) {
        self.unanswered = 0;
    }
}

fn report_hung(stage: &Stage, arbiter: &Arbiter, still_for: Duration) {
    let detail = format!(
        "arbiter {} made no progress for {still_for:?}",
        arbiter.name()
    );
    let running = arbiter.pulse().running();
    let mailbox = running.and_then(|id| {
        stage
            .registry()
            .mailboxes()
            .into_iter()
            .find(|mailbox| mailbox.account().id == id)
    });
    let (path, incarnation) = match &mailbox {
        Some(mailbox) => (
            mailbox.account().path.clone(),
            mailbox.account().incarnation(),
        ),
        // Not in an actor: in a task of its own, or in the event loop.
        None => (ActorPath::root(), Incarnation(0)),
    };
    stage
        .supervision_log()
        .report(EventKind::Hung, &path, incarnation, "no progress", &detail);
}

fn report_moving(stage: &Stage, arbiter: &Arbiter) {
    let detail = format!("arbiter {} makes progress again", arbiter.name());
    let (root, none) = (ActorPath::root(), Incarnation(0));
    stage
        .supervision_log()
        .report(EventKind::Healed, &root, none, "progress", &detail);
}

/// Reports each actor once whose oldest message has waited too long, and again when it has caught
/// up. An event only: under load, or behind a hung neighbour, age proves nothing about the actor.
fn check_ages(stage: &Stage, late: &mut HashSet<u64>) {
    let age_max = stage.options().message_age_max;
    let now = tokio::time::Instant::now();
    let mut still_late = HashSet::new();
    for mailbox in stage.registry().mailboxes() {
        let account = mailbox.account();
        let (depth, waiting_since) = mailbox.depth();
        let age = waiting_since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let was_late = late.contains(&account.id);
        if account.arbiter.standstill().is_still() {
            // The hang is one event; each mailbox behind it need not tell it again.
            if was_late {
                still_late.insert(account.id);
            }
            continue;
        }
        if age < age_max {
            if was_late {
                let (path, incarnation) = (&account.path, account.incarnation());
                let log = stage.supervision_log();
                log.report(
                    EventKind::Healed,
                    path,
                    incarnation,
                    "mailbox moves again",
                    "",
                );
            }
            continue;
        }
        still_late.insert(account.id);
        if !was_late {
            let detail = format!("{depth} messages, the oldest waits for {age:?}");
            stage.supervision_log().report(
                EventKind::Degraded,
                &account.path,
                account.incarnation(),
                "mailbox stands still",
                &detail,
            );
        }
    }
    *late = still_late;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANG_AFTER: Duration = Duration::from_secs(2);

    #[test]
    fn an_idle_arbiter_that_answers_is_not_hung() {
        let pulse = Pulse::still("data-0");
        let mut sight = Sight::default();
        let mut now = Instant::now();
        for _ in 0..10 {
            assert_eq!(sight.look(&pulse, now, HANG_AFTER), Seen::Ping);
            now += LOOK_EVERY;
            pulse.step();
            assert_eq!(sight.look(&pulse, now, HANG_AFTER), Seen::Moved);
            now += LOOK_EVERY;
        }
    }

    #[test]
    fn a_hang_is_seen_once_and_so_is_its_end() {
        let pulse = Pulse::still("data-0");
        let mut sight = Sight::default();
        let now = Instant::now();
        assert_eq!(sight.look(&pulse, now, HANG_AFTER), Seen::Ping);
        for seen in [Seen::Waiting, Seen::Still, Seen::Waiting] {
            assert_eq!(sight.look(&pulse, now + LOOK_EVERY, HANG_AFTER), seen);
        }
        let still_for = HANG_AFTER;
        assert_eq!(
            sight.look(&pulse, now + still_for, HANG_AFTER),
            Seen::Hung { still_for }
        );
        assert_eq!(
            sight.look(&pulse, now + 2 * still_for, HANG_AFTER),
            Seen::Waiting
        );
        pulse.step();
        assert_eq!(
            sight.look(&pulse, now + 3 * still_for, HANG_AFTER),
            Seen::Healed
        );
    }

    #[test]
    fn looks_of_a_watch_that_had_no_turn_itself_prove_nothing() {
        let pulse = Pulse::still("data-0");
        let mut sight = Sight::default();
        let now = Instant::now();
        assert_eq!(sight.look(&pulse, now, HANG_AFTER), Seen::Ping);
        assert_eq!(sight.look(&pulse, now, HANG_AFTER), Seen::Waiting);
        sight.forget_looks();
        assert_eq!(
            sight.look(&pulse, now + 10 * HANG_AFTER, HANG_AFTER),
            Seen::Waiting
        );
        pulse.step();
        assert_eq!(
            sight.look(&pulse, now + 10 * HANG_AFTER, HANG_AFTER),
            Seen::Moved
        );
    }

    struct Idle;

    impl crate::Actor for Idle {
        fn started(&mut self, cx: &mut crate::Context<Self>) -> Result<(), crate::Fault> {
            cx.hold_data();
            Ok(())
        }
    }

    struct Nothing;

    impl crate::Message for Nothing {
        type Reply = ();
    }

    impl crate::Handler<Nothing> for Idle {
        fn handle(&mut self, _: Nothing, _: &mut crate::Context<Self>) {}
    }

    #[test]
    fn a_mailbox_that_stands_still_is_reported_once_and_again_when_it_moves() {
        crate::testing::run(|stage| async move {
            let addr = stage.root().start(crate::ChildSpec::new("idle", || Idle));
            let mut late = HashSet::new();
            let mut told = Vec::new();
            let mut look = |stage: &Stage| {
                check_ages(stage, &mut late);
                told = stage.supervision_log().recent();
                told.iter().map(|event| event.kind).collect::<Vec<_>>()
            };
            addr.tell(Nothing).await.unwrap();
            tokio::time::sleep(Duration::from_secs(4)).await;
            assert_eq!(look(&stage), []);
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(look(&stage), [EventKind::Degraded]);
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(look(&stage), [EventKind::Degraded]);
            // The crash opens the data lane for nobody, but the queue is handed back.
            let hold = crate::RestartHold::new(std::sync::Arc::clone(&addr.0.account));
            stage.registry().crash(addr.path()).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let kinds = look(&stage);
            assert_eq!(
                kinds,
                [EventKind::Degraded, EventKind::Panicked, EventKind::Healed]
            );
            drop(hold);
        });
    }
}
