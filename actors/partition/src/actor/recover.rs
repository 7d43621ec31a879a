//! Opens the log at the start of an instance, in the pool, while appends and reads wait in the
//! mailbox; then takes up the leadership that the metadata image gives to this node.

use std::path::PathBuf;

use kabuki_protocol::ids::{LeaderEpoch, TopicId};
use kabuki_runtime::{Context, EventKind, Handler, LOBBY_WAIT, Message};
use kabuki_storage::{
    FileSystem, Log, LogConfig, LogFault, OpenLog, PageCache, ProducerLimits, Recovered,
};

use super::jobs::{JobFault, JobOutcome, outcome, own_message, tick};
use super::probe::rewrite_tail;
use super::{Open, Partition, idle, late, read};
use crate::messages::PartitionFact;
use crate::spec::{MarksSource, StoredMarks};
use crate::state::{FLUSH_MESSAGES_NEVER, Marks, PartitionState, Poison, Probe, RecoveredParts};

tick! {
    /// The recovery takes longer than a restart should: who waits is told so.
    RecoveryLate => recovery_late;
}

own_message! {
    /// The pool has opened the log, or failed to.
    RecoveryFinished(JobOutcome<Opened>) => recovery_finished;
}

/// What the job that opens the log takes along.
struct Opening {
    topic_id: TopicId,
    dir: PathBuf,
    stored: MarksSource,
    config: LogConfig,
    producers: ProducerLimits,
    page_cache: PageCache,
    now_ms: i64,
}

/// The log, and why its tail could not be written again where a sync has failed before.
pub(crate) struct Opened {
    recovered: Recovered,
    tail_refused: Option<LogFault>,
}

impl Partition {
    /// Starts to open the log; data messages wait until it is.
    pub(crate) fn start_recovery(&mut self, cx: &mut Context<Self>) {
        cx.hold_data();
        let is_first = self.continuity.shown_end().is_none();
        let opening = Opening {
            topic_id: self.spec.topic_id,
            dir: self.spec.dir.clone(),
            stored: self.spec.stored.clone(),
            config: self.config.log,
            producers: self.config.producers,
            page_cache: match self.continuity.doubtful_from() {
                Some(synced_end) => PageCache::Doubtful { synced_end },
                None if is_first => PageCache::MayBeLost,
                // An incarnation of this process has had the log open: what it wrote is in the cache.
                None => PageCache::Kept,
            },
            now_ms: self.now_ms(),
        };
        let hold = cx.hold_restart();
        let running = self.spec.disk.run_long("recover", move |fs| {
            let _hold = hold;
            open_log(fs, opening)
        });
        cx.spawn(running, |result| RecoveryFinished(outcome(result)));
        self.late_timer = Some(cx.tell_after(LOBBY_WAIT, RecoveryLate));
    }

    /// From now on the handlers refuse what needs the log, as not done.
    fn recovery_late(&mut self, cx: &mut Context<Self>) {
        self.late_timer = None;
        cx.release_data();
    }

    fn recovery_finished(&mut self, outcome: JobOutcome<Opened>, cx: &mut Context<Self>) {
        let Opened {
            recovered,
            tail_refused,
        } = match outcome {
            Ok(opened) => opened,
            Err(fault) => return self.recovery_failed(&fault, cx),
        };
        let Recovered {
            log,
            epochs,
            stored_epoch,
            producers,
            report,
        } = recovered;
        if !log.is_tail_doubtful() {
            self.continuity.trust_tail();
        }
        let mut marks = Marks::recovered(
            log.log_start(),
            log.log_end(),
            log.recovery_point(),
            report.scanned_bytes.saturating_sub(report.cut_bytes),
            self.config.log.flush_messages,
        );
        if tail_refused.is_some() {
            marks.freeze(self.continuity.shown_end());
        }
        let high_watermark = marks.high_watermark();
        let fingerprints = cx.past_crashes().iter().map(|crash| crash.fingerprint);
        let poison = Poison::from_crashes(fingerprints);
        let mut state = PartitionState::recovered(RecoveredParts {
            marks,
            epochs,
            stored_epoch,
            producers,
            poison,
        });
        if report.ends_before_recovery_point.is_some() {
            // What is appended now must not count as synced at the next opening.
            state.checkpoints.recovery_point_moved();
        }

        let (log_start, log_end) = (log.log_start(), log.log_end());
        let shown_end = self.continuity.shown_end();
        let is_short = log_end < shown_end;
        let has_lost = is_short || report.ends_before_recovery_point.is_some();
        if has_lost {
            let lost_epoch = self.continuity.lost(log_end, state.leadership.epoch());
            state.leadership.lost_records(lost_epoch);
            self.tell_keeper(
                PartitionFact::TailCut {
                    log_end,
                    leader_epoch: lost_epoch,
                },
                cx,
            );
        } else if !self.continuity.lost_epoch().is_none() {
            state.leadership.lost_records(self.continuity.lost_epoch());
        }
        let fields = slog::o!("log_start" => log_start.get(), "log_end" => log_end.get(),
            "scanned_bytes" => report.scanned_bytes, "cut_bytes" => report.cut_bytes);
        let logger = cx.log().new(fields);
        if report.scanned_bytes > 0 || report.cut_bytes > 0 {
            slog::info!(logger, "log recovered");
        } else {
            // A new or cleanly closed partition, of which a node has thousands.
            slog::debug!(logger, "log recovered");
        }
        self.tell_keeper(
            PartitionFact::LogRecovered {
                log_start,
                log_end,
                scanned_bytes: report.scanned_bytes,
                cut_bytes: report.cut_bytes,
            },
            cx,
        );
        if is_short {
            let cause = format!("lost offsets {log_end} to {shown_end}, which had been shown");
            slog::error!(logger, "records lost"; "cause" => &cause);
            cx.report(EventKind::Recovered, &cause);
        } else if report.cut_bytes > 0 {
            // The first instance too: acknowledged records may have been among them.
            let bytes = report.cut_bytes;
            let cause = format!("cut {bytes} bytes behind offset {log_end}");
            cx.report(EventKind::Recovered, &cause);
        } else if cx.incarnation().0 > 1 {
            cx.report(EventKind::Recovered, "");
        }
        self.continuity
            .shown(high_watermark, state.leadership.epoch());
        self.open = Some(Open {
            log,
            state,
            out: None,
            announced: high_watermark,
            reads: read::PoolReads::default(),
            flush_timer: None,
            expiry_timer: None,
            file_use: idle::FileUse::new(&self.spec.id),
            probe_timer: None,
            is_probe_hastened: false,
            is_tail_tried: false,
            are_epochs_out: false,
            refused_mark: None,
            sync_retry: None,
            sync_watch: late::SyncWatch::default(),
            is_suspect_told: false,
            are_snapshots_refused: false,
        });
        if let Some(fault) = tail_refused {
            self.degrade(fault.to_string(), Probe::Sync, cx);
        }
        let ordered: Option<LeaderEpoch> = (self.spec.leadership)();
        self.wanted_epoch = self.wanted_epoch.max(ordered);
        // Before the data that waits, which would be refused for want of a leader.
        self.take_leadership(cx);
        if let Some(timer) = self.late_timer.take() {
            cx.cancel(timer);
            cx.release_data();
        }
    }

    fn recovery_failed(&mut self, fault: &JobFault, cx: &mut Context<Self>) {
        slog::error!(cx.log(), "log not recovered"; "cause" => fault.to_string());
        if !self.stop_unopened(fault, cx) {
            self.give_up(fault, cx);
        }
    }
}

/// Opens the log with what the checkpoint files of its log directory say. Blocks.
fn open_log(fs: &dyn FileSystem, opening: Opening) -> Result<Opened, LogFault> {
    let Opening {
        topic_id,
        dir,
        stored,
        config,
        producers,
        page_cache,
        now_ms,
    } = opening;
    let StoredMarks {
        recovery_point,
        log_start,
    } = stored(fs)?;
    let mut recovered = Log::open(
        fs,
        OpenLog {
            dir,
            topic_id,
            config,
            producers,
            recovery_point,
            log_start,
            page_cache,
            now_ms,
        },
    )?;
    let mut tail_refused = None;
    if recovered.log.is_tail_doubtful() {
        let flush = recovered.log.flush_job(now_ms);
        match rewrite_tail(fs, recovered.log.dir(), flush) {
            Ok(flushed) => recovered.log.flushed(flushed),
            // Pages were dropped just now: the next instance finds out which.
            Err(fault @ LogFault::CorruptBatch { .. }) => return Err(fault),
            // It opens for readers all the same.
            Err(fault) => tail_refused = Some(fault),
        }
    }
    // With `flush.messages` nothing is shown that a crash of the machine can take back.
    if tail_refused.is_none()
        && config.flush_messages < FLUSH_MESSAGES_NEVER
        && recovered.log.recovery_point() < recovered.log.log_end()
    {
        let flushed = recovered.log.flush_job(now_ms).run(fs)?;
        recovered.log.flushed(flushed);
    }
    // Thousands of partitions may be opened that nobody uses for a while.
    recovered.log.release_files();
    Ok(Opened {
        recovered,
        tail_refused,
    })
}
