//! Gives the open files of a partition back when nobody has used them for a while, so that thousands
//! of partitions do not hold thousands of files. One tick at the end of activity; none while idle.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use kabuki_protocol::ids::PartitionId;
use kabuki_runtime::{Context, Handler, Message, Timer};
use tokio::time::Instant;

use super::Partition;
use super::jobs::tick;

/// How long files stay open that are not used. To open them again takes some 30 us, and what was
/// written last is on the medium by then in any case: the kernel writes back after 30 s.
const IDLE_MIN: Duration = Duration::from_secs(60);

/// Added to it, another part for each partition: those of a node often fall idle together, and each
/// may need a sync.
const IDLE_SPREAD_MS: u64 = 60_000;

tick! {
    /// The files may have been idle for long enough.
    IdleDue => idle_due;
}

/// When the files of a log were used last.
#[derive(Debug)]
pub(crate) struct FileUse {
    idle_after: Duration,
    /// `None` while nothing is open that could be given back.
    used_at: Option<Instant>,
    timer: Option<Timer>,
}

impl FileUse {
    pub(crate) fn new(partition: &PartitionId) -> Self {
        let mut hasher = DefaultHasher::new();
        partition.to_string().hash(&mut hasher);
        let spread = Duration::from_millis(hasher.finish() % IDLE_SPREAD_MS);
        Self {
            idle_after: IDLE_MIN + spread,
            used_at: None,
            timer: None,
        }
    }

    /// Files were read or written.
    pub(crate) fn used(&mut self, now: Instant) {
        self.used_at = Some(now);
    }

    /// How much longer they are to stay open; zero when they are idle, `None` when none are open.
    fn rest(&self, now: Instant) -> Option<Duration> {
        let used_for = now.saturating_duration_since(self.used_at?);
        Some(self.idle_after.saturating_sub(used_for))
    }
}

impl Partition {
    /// Arms the tick, if files are open and it is not armed: each use costs a look at the clock only.
    pub(crate) fn arm_idle_timer(&mut self, cx: &mut Context<Self>) {
        let now = cx.now();
        let Some(open) = &mut self.open else { return };
        if open.file_use.timer.is_none()
            && let Some(rest) = open.file_use.rest(now)
        {
            // Zero when they wait for a sync that was refused: not sooner than after another while.
            let pause = if rest.is_zero() {
                open.file_use.idle_after
            } else {
                rest
            };
            open.file_use.timer = Some(cx.tell_after(pause, IdleDue));
        }
    }

    fn idle_due(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        open.file_use.timer = None;
        if open.file_use.rest(cx.now()) == Some(Duration::ZERO) {
            // Files with unsynced bytes stay open, because their handles hear of errors.
            open.state.marks.flush_due();
        }
        self.release_idle_files(cx);
    }

    /// Gives the files back, if they are idle and nothing needs them.
    pub(crate) fn release_idle_files(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let is_idle = open.file_use.rest(cx.now()) == Some(Duration::ZERO);
        if !is_idle || open.out.is_some() || open.state.marks.is_recovery_point_behind() {
            return;
        }
        open.log.release_files();
        open.file_use.used_at = None;
        if let Some(timer) = open.file_use.timer.take() {
            cx.cancel(timer);
        }
    }
}
