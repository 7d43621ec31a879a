//! Syncs the log: group commit for `flush.messages`, `flush.ms`, and the checkpoint of every 64 MiB;
//! stores recovery point and log start; trims; arms the timers that all this needs.

use std::time::Duration;

use kabuki_protocol::ids::LeaderEpoch;
use kabuki_runtime::{Context, Handler, Message, NoReply, ReplyPort, Undelivered};
use kabuki_storage::FlushedLog;
use kabuki_storage::log::SegmentsRemoved;

use super::Partition;
use super::jobs::{CheckpointAnswer, JobFault, JobOutcome, own_message, tick};
use super::probe::rewrite_tail;
use crate::messages::{CheckpointPartition, LogTrimmed, PartitionMoved, TrimLog, TrimRefused};
use crate::state::{CheckpointPlan, Probe, SyncDepth, SyncPlan};

/// How often producers that fell silent are forgotten, while there are any.
const PRODUCER_EXPIRY_PERIOD: Duration = Duration::from_secs(600);

/// Pause before a checkpoint is sent again that the log directory had no room for.
const CHECKPOINT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Pause before a refused sync is tried again.
const SYNC_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A sync that has ended.
pub(crate) struct FinishedSync {
    plan: SyncPlan,
    outcome: JobOutcome<FlushedLog>,
}

/// A write of the epoch file that has ended, for a checkpoint.
pub(crate) struct StoredEpochs {
    plan: CheckpointPlan,
    newest: LeaderEpoch,
    outcome: JobOutcome<()>,
}

own_message! {
    /// The pool has synced the log.
    LogSynced(FinishedSync) => log_synced;
    /// The pool has written the epoch file.
    EpochsStored(StoredEpochs) => epochs_stored;
    /// The log directory has answered.
    CheckpointAnswered(CheckpointAnswer) => checkpoint_answered;
    /// The pool has removed the segments below the log start.
    SegmentsTrimmed(JobOutcome<SegmentsRemoved>) => segments_trimmed;
}

tick! {
    /// `flush.ms` has passed since the first write that is not synced.
    FlushDue => flush_due;
    /// Producers are to be looked through.
    ProducerExpiryDue => producer_expiry_due;
    /// A sync that was refused is to be tried again.
    SyncRetryDue => sync_retry_due;
    /// A checkpoint is to be sent again.
    CheckpointRetryDue => checkpoint_retry_due;
}

impl Handler<TrimLog> for Partition {
    fn handle(&mut self, trim: TrimLog, _: &mut Context<Self>) {
        let TrimLog {
            topic_id: asked,
            before,
            reply,
        } = trim;
        if let Some(hosted) = self.foreign_to(asked) {
            return reply.send(Err(TrimRefused::ForeignTopic { asked, hosted }));
        }
        let Some(open) = &mut self.open else {
            return reply.refuse(Undelivered::Restarting);
        };
        if self.stopping.is_some() {
            return reply.refuse(Undelivered::Stopped);
        }
        if !open.state.leadership.is_leading() {
            let leader_epoch = open.state.leadership.epoch();
            return reply.send(Err(TrimRefused::NotLeader { leader_epoch }));
        }
        let state = &mut open.state;
        state.checkpoints.make_room(ReplyPort::is_abandoned);
        match state.checkpoints.trim(before, reply, &state.marks) {
            // A log start is never stored ahead of the recovery point: that moves first, if need be.
            Ok(before) if before > state.marks.recovery_point() => state.marks.flush_due(),
            Ok(_) => {}
            Err((reply, why)) => reply.send(Err(why)),
        }
    }
}

impl Partition {
    /// Starts the sync that is due, unless a write or roll is out: then the producers and the log
    /// end would not belong together.
    pub(crate) fn start_sync(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        if open.out.is_some() || open.sync_retry.is_some() || open.is_tail_refused() {
            return;
        }
        let Some(plan) = open.state.marks.start_sync() else {
            return;
        };
        let now_ms = (self.spec.clock)();
        let job = match plan.depth {
            SyncDepth::Records => open.log.sync_records_job(now_ms),
            SyncDepth::Checkpoint if !open.are_snapshots_refused => {
                open.log.checkpoint_job(&open.state.producers, now_ms)
            }
            SyncDepth::Indexes | SyncDepth::Checkpoint => open.log.flush_job(now_ms),
        };
        let doubtful_dir = open.log.is_tail_doubtful().then(|| self.spec.dir.clone());
        self.run_writing(
            "sync",
            move |fs| match doubtful_dir {
                Some(dir) => rewrite_tail(fs, &dir, job),
                None => job.run(fs),
            },
            cx,
            move |outcome| LogSynced(FinishedSync { plan, outcome }),
        );
        self.watch_sync(cx);
    }

    fn log_synced(&mut self, finished: FinishedSync, cx: &mut Context<Self>) {
        let FinishedSync { plan, outcome } = finished;
        let Some(open) = &mut self.open else { return };
        let was_late = open.sync_watch.take_late();
        match outcome {
            Ok(flushed) => {
                assert!(
                    flushed.end >= plan.up_to,
                    "the log is synced up to {} only",
                    flushed.end
                );
                let was_doubtful = open.log.is_tail_doubtful();
                open.log.flushed(flushed);
                open.state.marks.finish_sync(plan);
                if plan.depth == SyncDepth::Checkpoint {
                    open.are_snapshots_refused = false;
                    open.state.checkpoints.recovery_point_moved();
                }
                open.state.checkpoints.synced();
                // Before a read of the same wake-up can see it.
                self.answer();
                self.release_idle_files(cx);
                if was_doubtful {
                    self.continuity.trust_tail();
                }
                if was_doubtful || was_late {
                    self.heal(cx);
                }
            }
            // What could not be written again is tried again with the next probe. Where some of it is
            // lost, the next instance finds out what is left.
            Err(fault) if open.log.is_tail_doubtful() && !fault.is_corruption() => {
                open.state.marks.abort_sync();
                self.degrade(fault.to_string(), Probe::Sync, cx);
            }
            Err(fault) if is_refused_beside_log(&fault) => self.sync_refused(&fault, cx),
            // Pages that were dirty may be dropped and marked clean: the handle is not used again, and
            // the next instance writes what they hold once more.
            Err(fault) => {
                self.continuity.doubt_tail(open.log.synced_end());
                self.give_up(&fault, cx);
            }
        }
    }

    /// The directory takes no snapshot, or no index entries: the records are synced without them now,
    /// or tried again later.
    fn sync_refused(&mut self, fault: &JobFault, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        slog::warn!(cx.log(), "sync refused"; "cause" => fault.to_string());
        open.state.marks.abort_sync();
        if !std::mem::replace(&mut open.are_snapshots_refused, true) {
            return;
        }
        open.sync_retry = Some(cx.tell_after(SYNC_RETRY_PAUSE, SyncRetryDue));
        // Appends that wait for the sync are not joined by more.
        self.degrade(fault.to_string(), Probe::Write, cx);
    }

    fn sync_retry_due(&mut self, _: &mut Context<Self>) {
        if let Some(open) = &mut self.open {
            open.sync_retry = None;
        }
    }

    /// Starts the checkpoint that is due: the epoch file first, where it must hold more. Not while the
    /// log is being closed, which writes the epochs too and is followed by the last checkpoint.
    pub(crate) fn start_checkpoint(&mut self, cx: &mut Context<Self>) {
        if self.is_closing() {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let Some(plan) = open.state.checkpoints.start(&open.state.marks) else {
            return;
        };
        let Some(epochs) = open.state.epochs_to_store(plan.recovery_point) else {
            return self.send_checkpoint(plan, cx);
        };
        let latest = epochs.latest();
        let newest = latest.map_or(LeaderEpoch::NONE, |latest| latest.epoch);
        let job = open.log.epochs_job(&epochs);
        let stored = move |outcome| {
            EpochsStored(StoredEpochs {
                plan,
                newest,
                outcome,
            })
        };
        open.are_epochs_out = true;
        self.run_writing("store epochs", move |fs| job.run(fs), cx, stored);
    }

    fn epochs_stored(&mut self, stored: StoredEpochs, cx: &mut Context<Self>) {
        let StoredEpochs {
            plan,
            newest,
            outcome,
        } = stored;
        let Some(open) = &mut self.open else { return };
        open.are_epochs_out = false;
        match outcome {
            Ok(()) => {
                open.state.epochs_stored(newest);
                self.send_checkpoint(plan, cx);
            }
            // The recovery point stays where it is, and the batches behind it tell their epochs.
            Err(fault) => self.checkpoint_failed(&fault.to_string(), cx),
        }
    }

    /// Sends a checkpoint to the log directory.
    fn send_checkpoint(&mut self, plan: CheckpointPlan, cx: &mut Context<Self>) {
        let checkpoint = CheckpointPartition {
            partition: self.spec.id.clone(),
            recovery_point: plan.recovery_point,
            log_start: plan.log_start,
            reply: cx.reply_port(CheckpointAnswered),
        };
        // A refusal comes back through the port as well.
        if let Err(refused) = self.spec.checkpoint.try_tell(checkpoint) {
            refused.message.undelivered(refused.why);
        }
    }

    fn checkpoint_answered(&mut self, answer: CheckpointAnswer, cx: &mut Context<Self>) {
        let cause = match answer {
            Ok(Ok(_)) => return self.checkpoint_stored(cx),
            Err(NoReply::NotDone(Undelivered::Full | Undelivered::Restarting)) => {
                cx.tell_after(CHECKPOINT_RETRY_PAUSE, CheckpointRetryDue);
                return;
            }
            Ok(Err(failed)) => failed.to_string(),
            Err(no_reply) => no_reply.to_string(),
        };
        self.checkpoint_failed(&cause, cx);
    }

    fn checkpoint_failed(&mut self, cause: &str, cx: &mut Context<Self>) {
        slog::warn!(cx.log(), "checkpoint failed"; "cause" => cause);
        let Some(open) = &mut self.open else { return };
        for reply in open.state.checkpoints.failed() {
            let cause = cause.to_owned();
            reply.send(Err(TrimRefused::Storage { cause }));
        }
        self.final_checkpoint_failed(cause, cx);
    }

    fn checkpoint_retry_due(&mut self, _: &mut Context<Self>) {
        if let Some(open) = &mut self.open {
            open.state.checkpoints.put_back();
        }
    }

    fn checkpoint_stored(&mut self, cx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let (log_start, trims) = open.state.checkpoints.stored();
        let has_moved = open.state.trimmed(log_start);
        if has_moved {
            if let Some(job) = open.log.trim_job(log_start) {
                self.run_writing("trim", move |fs| job.run(fs), cx, SegmentsTrimmed);
            }
            self.tell_watchers(PartitionMoved::Changed);
        }
        let Some(open) = &self.open else { return };
        let low_watermark = open.state.marks.log_start();
        for reply in trims {
            reply.send(Ok(LogTrimmed { low_watermark }));
        }
        self.final_checkpoint_done(cx);
    }

    fn segments_trimmed(&mut self, outcome: JobOutcome<SegmentsRemoved>, cx: &mut Context<Self>) {
        match outcome {
            Ok(removed) => slog::info!(cx.log(), "segments removed";
                "segments" => removed.segment_count, "freed_bytes" => removed.freed_bytes),
            // They are below the log start, which is stored: the next start removes them.
            Err(fault) => {
                slog::warn!(cx.log(), "segments not removed"; "cause" => fault.to_string())
            }
        }
    }

    /// Arms the timers that the state needs now. An idle partition has none, but for a rare look at
    /// its producers.
    pub(crate) fn arm_timers(&mut self, cx: &mut Context<Self>) {
        let flush_ms = self.config.log.flush_ms;
        let Some(open) = &mut self.open else { return };
        if open.flush_timer.is_none() && open.state.marks.has_unsynced() && flush_ms < i64::MAX {
            let pause = Duration::from_millis(u64::try_from(flush_ms).unwrap_or(0));
            open.flush_timer = Some(cx.tell_after(pause, FlushDue));
        }
        if open.expiry_timer.is_none() && !open.state.producers.is_empty() {
            open.expiry_timer = Some(cx.tell_after(PRODUCER_EXPIRY_PERIOD, ProducerExpiryDue));
        }
        self.arm_idle_timer(cx);
    }

    fn flush_due(&mut self, _: &mut Context<Self>) {
        if let Some(open) = &mut self.open {
            open.flush_timer = None;
            open.state.marks.flush_due();
        }
    }

    fn producer_expiry_due(&mut self, cx: &mut Context<Self>) {
        let now_ms = self.now_ms();
        let Some(open) = &mut self.open else { return };
        open.expiry_timer = None;
        // While a round is out its undo records belong to the table as it is.
        if !open.state.is_writing() {
            let count = open.state.producers.expire(now_ms);
            slog::debug!(cx.log(), "producers expired"; "count" => count);
        }
    }
}

/// True when the disk refused a file beside the log, and the log's own handle is as good as before.
fn is_refused_beside_log(fault: &JobFault) -> bool {
    let JobFault::Log(kabuki_storage::LogFault::Io { path, .. }) = fault else {
        return matches!(
            fault,
            JobFault::Disk(kabuki_storage::DiskFault::QueueFull { .. })
        );
    };
    fault.is_degrading() && path.extension().is_none_or(|extension| extension != "log")
}
