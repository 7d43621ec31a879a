//! The runtime of one node: the actix system, its arbiters, the root of the tree, and what all
//! actors share.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use crate::accounting::{Account, lock};
use crate::arbiter::Arbiter;
use crate::fault::Crash;
use crate::hang_watch::HangWatch;
use crate::panic_capture;
use crate::path::{ActorPath, Incarnation};
use crate::registry::Registry;
use crate::supervision_log::{EventKind, SupervisionEvent, SupervisionLog};
use crate::supervisor::Supervisor;

/// Exit code of a process whose root supervisor gave up; `EX_SOFTWARE` of sysexits.h.
pub const EXIT_ESCALATED: i32 = 70;

/// How a stage is set up.
#[derive(Debug, Clone)]
pub struct StageOptions {
    /// Where the supervision log and the actors write; discards unless set.
    pub logger: slog::Logger,
    /// Seed of the jitter of back-offs.
    pub seed: u64,
    /// An arbiter that makes no progress for so long is reported as hung.
    pub hang_after: Duration,
    /// An actor whose oldest message waits so long is reported as degraded.
    pub message_age_max: Duration,
    /// How long all actors may take to end when the process does.
    pub stop_within: Duration,
}

impl Default for StageOptions {
    fn default() -> Self {
        Self {
            logger: slog::Logger::root(slog::Discard, slog::o!()),
            seed: rand::random(),
            // A handler is to take half a millisecond at most; two seconds are no scheduling delay.
            hang_after: Duration::from_secs(2),
            message_age_max: Duration::from_secs(5),
            stop_within: Duration::from_secs(30),
        }
    }
}

struct Inner {
    options: StageOptions,
    registry: Registry,
    log: SupervisionLog,
    system: Arbiter,
    arbiters: Mutex<Vec<Arbiter>>,
    /// All arbiters are the one of the system: virtual time is kept per thread.
    is_one_thread: bool,
    jitter: Mutex<SmallRng>,
    exit: watch::Sender<Option<i32>>,
    root: Mutex<Option<Supervisor>>,
    /// Actors that were dropped because they did not stop in time.
    overdue: Mutex<Vec<ActorPath>>,
}

/// The runtime of one node. Cloning gives another handle to it.
#[derive(Clone)]
pub struct Stage(Arc<Inner>);

impl Stage {
    /// Sets up a stage on the thread of the actix system.
    pub(crate) fn set_up(options: StageOptions, is_one_thread: bool) -> Self {
        panic_capture::install();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let epoch_ms = u64::try_from(now.as_millis()).unwrap_or_default();
        let log = SupervisionLog::new(
            options.logger.clone(),
            if is_one_thread { 0 } else { epoch_ms },
        );
        let system = Arbiter::of_system();
        log.flush_on(&system);
        let stage = Self(Arc::new(Inner {
            registry: Registry::default(),
            log,
            arbiters: Mutex::new(vec![system.clone()]),
            system,
            is_one_thread,
            jitter: Mutex::new(SmallRng::seed_from_u64(options.seed)),
            exit: watch::Sender::new(None),
            root: Mutex::new(None),
            overdue: Mutex::default(),
            options,
        }));
        let root = Supervisor::root(&stage);
        *lock(&stage.0.root) = Some(root);
        stage
    }

    /// The root of the supervision tree.
    ///
    /// # Panics
    /// After the stage was taken down, when nothing can be started any more.
    pub fn root(&self) -> Supervisor {
        lock(&self.0.root)
            .clone()
            .expect("the root is there until the stage is taken down")
    }

    /// Finds and describes actors.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// What happens to the actors of this node.
    pub fn supervision_log(&self) -> &SupervisionLog {
        &self.0.log
    }

    /// Starts a thread that runs actors. Under virtual time it gives the one thread there is.
    ///
    /// Called on an arbiter of this stage.
    pub fn new_arbiter(&self, name: &str) -> Arbiter {
        if self.0.is_one_thread {
            return self.0.system.clone();
        }
        let arbiter = Arbiter::spawn_thread(name);
        lock(&self.0.arbiters).push(arbiter.clone());
        arbiter
    }

    /// The arbiter of supervisors, controller and listeners.
    pub fn system_arbiter(&self) -> Arbiter {
        self.0.system.clone()
    }

    /// The logger of the node.
    pub fn logger(&self) -> &slog::Logger {
        &self.0.options.logger
    }

    /// True in tests with a virtual clock, where all actors share one thread.
    pub fn is_virtual(&self) -> bool {
        self.0.is_one_thread
    }

    /// Ends the process with `code` after an ordered stop. The first code given counts.
    pub fn exit(&self, code: i32) {
        self.0.exit.send_if_modified(|exit| {
            let is_first = exit.is_none();
            exit.get_or_insert(code);
            is_first
        });
    }

    /// Completes when somebody called [`Stage::exit`] or the root gave up.
    pub async fn exit_requested(&self) -> i32 {
        let mut exit = self.0.exit.subscribe();
        let code = exit.wait_for(Option::is_some).await.map(|code| *code);
        code.ok().flatten().unwrap_or(EXIT_ESCALATED)
    }

    /// Draws from 0.0..1.0.
    pub(crate) fn jitter(&self) -> f64 {
        lock(&self.0.jitter).random()
    }

    pub(crate) fn options(&self) -> &StageOptions {
        &self.0.options
    }

    pub(crate) fn arbiters(&self) -> Vec<Arbiter> {
        lock(&self.0.arbiters).clone()
    }

    /// The root supervisor fell: there is nobody left to restart it.
    pub(crate) fn root_failed(&self, crash: &Crash) {
        let event = SupervisionEvent::new(EventKind::Escalated, &ActorPath::root(), Incarnation(1));
        self.0.log.record(event.with_crash(crash));
        self.exit(EXIT_ESCALATED);
    }

    /// An actor did not stop by its deadline and is dropped.
    pub(crate) fn overdue(&self, account: &Account) {
        let (path, incarnation) = (&account.path, account.incarnation());
        self.0.log.report(
            EventKind::Hung,
            path,
            incarnation,
            "stop passed its deadline",
            "",
        );
        lock(&self.0.overdue).push(path.clone());
    }

    /// Stops all actors, and lets go of the tree. Gives the actors that did not stop by themselves
    /// and those that are still there.
    pub(crate) async fn take_down(&self, within: Duration) -> Vec<ActorPath> {
        lock(&self.0.overdue).clear();
        let root = lock(&self.0.root).clone();
        if let Some(root) = root {
            root.stop(within).await;
        }
        lock(&self.0.root).take();
        self.0.log.flush_storms();
        let mut left = std::mem::take(&mut *lock(&self.0.overdue));
        left.extend(
            self.0
                .registry
                .mailboxes()
                .iter()
                .map(|left| left.account().path.clone()),
        );
        left.sort();
        left.dedup();
        left
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("registry", &self.0.registry)
            .finish_non_exhaustive()
    }
}

/// Builds the actix system on this thread, runs `body` and then an ordered stop. Gives the exit code
/// of the process: that of `body`, or the one somebody asked for meanwhile.
pub fn run<B, F>(options: StageOptions, body: B) -> i32
where
    B: FnOnce(Stage) -> F,
    F: Future<Output = i32>,
{
    let system = actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the system has room for an event loop")
    });
    system.block_on(async {
        let stage = Stage::set_up(options, false);
        let watch = HangWatch::start(&stage);
        let code = tokio::select! {
            code = body(stage.clone()) => code,
            code = stage.exit_requested() => code,
        };
        stage.take_down(stage.options().stop_within).await;
        watch.end();
        for arbiter in stage.arbiters() {
            arbiter.stop();
        }
        code
    })
}
