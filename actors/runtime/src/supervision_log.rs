//! The supervision log: one typed event for everything that happens to an actor, kept in a ring,
//! sent to subscribers and written to slog with constant text and keys. This is an interface: kinds
//! and keys change only together with the snapshot test and a changelog entry.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use slog::{KV, Record, Serializer};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::accounting::lock;
use crate::arbiter::Arbiter;
use crate::fault::{Cause, Crash};
use crate::path::{ActorPath, Incarnation};
use crate::storm::{self, Storms};

/// Events kept in memory: enough for an hour of ordinary trouble, about a megabyte.
const RING_LENGTH: usize = 4096;

/// Events a subscriber may lag behind before it loses some.
const SUBSCRIBER_BACKLOG: usize = 1024;

/// What happened to an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// An instance came up that follows no crash.
    Started,
    /// The actor ended for good.
    Stopped,
    /// Its code panicked.
    Panicked,
    /// It reported a fault that it cannot work with.
    Faulted,
    /// A job passed its deadline, or its arbiter made no progress.
    Hung,
    /// The instance after a crash came up.
    Restarted,
    /// It crashed again; the next instance waits.
    BackingOff,
    /// Too many crashes in the window: it stays down.
    BudgetSpent,
    /// It works with limits.
    Degraded,
    /// It works without limits again.
    Healed,
    /// It gave up its leadership.
    SteppedDown,
    /// Its data were set aside.
    Quarantined,
    /// It is whole again.
    Recovered,
    /// Its supervisor fails with it.
    Escalated,
    /// Sends were refused for lack of room.
    MailboxFull,
}

impl EventKind {
    /// The name in logs, in snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Started => "started",
            EventKind::Stopped => "stopped",
            EventKind::Panicked => "panicked",
            EventKind::Faulted => "faulted",
            EventKind::Hung => "hung",
            EventKind::Restarted => "restarted",
            EventKind::BackingOff => "backing_off",
            EventKind::BudgetSpent => "budget_spent",
            EventKind::Degraded => "degraded",
            EventKind::Healed => "healed",
            EventKind::SteppedDown => "stepped_down",
            EventKind::Quarantined => "quarantined",
            EventKind::Recovered => "recovered",
            EventKind::Escalated => "escalated",
            EventKind::MailboxFull => "mailbox_full",
        }
    }

    /// Starts and stops are the ordinary life of thousands of sessions.
    fn is_ordinary(self) -> bool {
        matches!(self, EventKind::Started | EventKind::Stopped)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One entry of the supervision log. Empty texts and zeros stand for "does not apply".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisionEvent {
    /// Counts up by one; a gap tells a subscriber what it missed.
    pub seq: u64,
    /// Milliseconds since 1970; in tests since the start of the test, in virtual time.
    pub at_ms: u64,
    /// What happened.
    pub kind: EventKind,
    /// To whom.
    pub actor: ActorPath,
    /// To which instance.
    pub incarnation: Incarnation,
    /// One word for a crash (`panic`, `fault`, `hung`, `stopped`), free text for a report.
    pub cause: String,
    /// The text of the panic or fault.
    pub detail: String,
    /// `file:line` of the panic or fault.
    pub place: String,
    /// The message in hand.
    pub message: String,
    /// Its fingerprint.
    pub fingerprint: u64,
    /// How long the next instance waits, or waited.
    pub backoff_ms: u64,
    /// Restarts that count against the budget now.
    pub restarts_in_window: u32,
    /// The budget.
    pub restarts_max: u32,
    /// Like events since the last one that were counted only.
    pub repeated: u64,
}

impl SupervisionEvent {
    pub(crate) fn new(kind: EventKind, actor: &ActorPath, incarnation: Incarnation) -> Self {
        Self {
            seq: 0,
            at_ms: 0,
            kind,
            actor: actor.clone(),
            incarnation,
            cause: String::new(),
            detail: String::new(),
            place: String::new(),
            message: String::new(),
            fingerprint: 0,
            backoff_ms: 0,
            restarts_in_window: 0,
            restarts_max: 0,
            repeated: 0,
        }
    }

    /// Fills in what is known of a crash.
    pub(crate) fn with_crash(mut self, crash: &Crash) -> Self {
        crash.cause.kind().clone_into(&mut self.cause);
        crash.cause.detail().clone_into(&mut self.detail);
        self.place.clone_from(&crash.place);
        self.message.clone_from(&crash.message);
        self.fingerprint = crash.fingerprint;
        self
    }

    pub(crate) fn with_budget(mut self, restarts_in_window: u32, restarts_max: u32) -> Self {
        self.restarts_in_window = restarts_in_window;
        self.restarts_max = restarts_max;
        self
    }

    pub(crate) fn with_backoff(mut self, backoff: std::time::Duration) -> Self {
        self.backoff_ms = u64::try_from(backoff.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

impl Cause {
    /// The event that reports this end of an instance.
    pub(crate) fn event_kind(&self) -> EventKind {
        match self {
            Cause::Panic(_) => EventKind::Panicked,
            Cause::Fault(_) => EventKind::Faulted,
            Cause::Hung(_) => EventKind::Hung,
            Cause::Stopped => EventKind::Stopped,
        }
    }
}

/// The keys of an event, those that apply, always in this order.
struct Keys<'a>(&'a SupervisionEvent);

impl KV for Keys<'_> {
    fn serialize(&self, _: &Record<'_>, out: &mut dyn Serializer) -> slog::Result {
        let event = self.0;
        out.emit_str("actor", event.actor.as_str())?;
        out.emit_u64("incarnation", event.incarnation.0)?;
        // What follows a crash names it; the crash itself tells the whole of it.
        let follows = matches!(
            event.kind,
            EventKind::Restarted
                | EventKind::BackingOff
                | EventKind::BudgetSpent
                | EventKind::Escalated
        );
        for (key, value, is_told) in [
            ("cause", &event.cause, true),
            ("at", &event.place, true),
            ("detail", &event.detail, !follows),
            ("message", &event.message, !follows),
        ] {
            if is_told && !value.is_empty() {
                out.emit_str(key, value)?;
            }
        }
        if event.fingerprint != 0 && !follows {
            out.emit_arguments("fingerprint", &format_args!("{:016x}", event.fingerprint))?;
        }
        if event.backoff_ms != 0 {
            out.emit_u64("backoff_ms", event.backoff_ms)?;
        }
        if event.restarts_max != 0 {
            let (now, max) = (event.restarts_in_window, event.restarts_max);
            out.emit_arguments("restarts_in_window", &format_args!("{now}/{max}"))?;
        }
        if event.repeated != 0 {
            out.emit_u64("repeated", event.repeated)?;
        }
        Ok(())
    }
}

struct Inner {
    next_seq: u64,
    ring: VecDeque<SupervisionEvent>,
    storms: Storms,
    subscribers: Vec<mpsc::Sender<SupervisionEvent>>,
    flusher: Option<Arbiter>,
    is_flushing: bool,
}

/// The log of one node. Cloning gives another handle to it.
#[derive(Clone)]
pub struct SupervisionLog {
    inner: Arc<Mutex<Inner>>,
    logger: slog::Logger,
    lost: Arc<AtomicU64>,
    started: Instant,
    epoch_ms: u64,
}

impl SupervisionLog {
    /// A log whose clock starts at `epoch_ms` now.
    pub(crate) fn new(logger: slog::Logger, epoch_ms: u64) -> Self {
        let inner = Inner {
            next_seq: 1,
            ring: VecDeque::new(),
            storms: Storms::default(),
            subscribers: Vec::new(),
            flusher: None,
            is_flushing: false,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            logger,
            lost: Arc::default(),
            started: Instant::now(),
            epoch_ms,
        }
    }

    /// The events kept, oldest first. Ordinary starts and stops are not among them.
    pub fn recent(&self) -> Vec<SupervisionEvent> {
        lock(&self.inner).ring.iter().cloned().collect()
    }

    /// All events from now on. A receiver that lags behind loses events, which `seq` shows and
    /// [`SupervisionLog::lost`] counts.
    pub fn subscribe(&self) -> mpsc::Receiver<SupervisionEvent> {
        let (sender, receiver) = mpsc::channel(SUBSCRIBER_BACKLOG);
        lock(&self.inner).subscribers.push(sender);
        receiver
    }

    /// Events that subscribers lost because they lagged behind.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Reports an event with a cause in words.
    pub fn report(
        &self,
        kind: EventKind,
        actor: &ActorPath,
        incarnation: Incarnation,
        cause: &str,
        detail: &str,
    ) {
        let mut event = SupervisionEvent::new(kind, actor, incarnation);
        cause.clone_into(&mut event.cause);
        detail.clone_into(&mut event.detail);
        self.record(event);
    }

    /// Reports an event that stands for `repeated` earlier ones as well.
    pub(crate) fn report_counted(
        &self,
        kind: EventKind,
        actor: &ActorPath,
        incarnation: Incarnation,
        repeated: u64,
    ) {
        let mut event = SupervisionEvent::new(kind, actor, incarnation);
        event.repeated = repeated;
        self.record(event);
    }

    pub(crate) fn record(&self, mut event: SupervisionEvent) {
        let now = Instant::now();
        event.at_ms = self.at_ms(now);
        let mut inner = lock(&self.inner);
        if !event.kind.is_ordinary() {
            match inner.storms.admit(event, now) {
                Some(admitted) => event = admitted,
                None => {
                    self.begin_flushing(&mut inner);
                    return;
                }
            }
        }
        let event = self.keep(&mut inner, event);
        drop(inner);
        self.write(&event);
    }

    /// Writes what storms have counted and nothing has reported since. Called about once a second.
    pub(crate) fn flush_storms(&self) {
        let now = Instant::now();
        let mut inner = lock(&self.inner);
        let rest = inner.storms.calmed(now);
        let rest: Vec<_> = rest
            .into_iter()
            .map(|event| self.keep(&mut inner, event))
            .collect();
        drop(inner);
        for event in &rest {
            self.write(event);
        }
    }

    /// Names the arbiter that writes what storms have counted.
    pub(crate) fn flush_on(&self, arbiter: &Arbiter) {
        lock(&self.inner).flusher = Some(arbiter.clone());
    }

    /// Begins a storm: as long as it lasts, a task looks after it once a second.
    fn begin_flushing(&self, inner: &mut Inner) {
        let Some(arbiter) = inner.flusher.clone() else {
            return;
        };
        if std::mem::replace(&mut inner.is_flushing, true) {
            return;
        }
        let log = self.clone();
        arbiter.spawn(move || async move {
            loop {
                tokio::time::sleep(storm::WINDOW).await;
                log.flush_storms();
                let mut inner = lock(&log.inner);
                if !inner.storms.has_counted() {
                    inner.is_flushing = false;
                    return;
                }
            }
        });
    }

    fn keep(&self, inner: &mut Inner, mut event: SupervisionEvent) -> SupervisionEvent {
        event.seq = inner.next_seq;
        inner.next_seq += 1;
        inner
            .subscribers
            .retain(|subscriber| match subscriber.try_send(event.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            });
        if !event.kind.is_ordinary() {
            if inner.ring.len() == RING_LENGTH {
                inner.ring.pop_front();
            }
            inner.ring.push_back(event.clone());
        }
        event
    }

    fn write(&self, event: &SupervisionEvent) {
        let (log, text, keys) = (&self.logger, event.kind.as_str(), Keys(event));
        match event.kind {
            EventKind::Started | EventKind::Stopped => slog::debug!(log, "{}", text; keys),
            EventKind::Healed | EventKind::Recovered => slog::info!(log, "{}", text; keys),
            EventKind::Quarantined | EventKind::BudgetSpent | EventKind::Escalated => {
                slog::error!(log, "{}", text; keys);
            }
            _ => slog::warn!(log, "{}", text; keys),
        }
    }

    fn at_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started);
        self.epoch_ms + u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for SupervisionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisionLog").finish_non_exhaustive()
    }
}
