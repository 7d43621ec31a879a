//! Ends a partition in good order: what was taken is written and answered, the log is closed so that
//! the next start scans nothing, or the directory is renamed for deletion.

use std::path::PathBuf;

use kabuki_protocol::ids::LeaderEpoch;
use kabuki_runtime::{Context, Handler, Message, ReplyPort, Undelivered};
use kabuki_storage::log::rename_for_delete;
use kabuki_storage::{EpochCache, FlushedLog};

use super::jobs::{JobFault, JobOutcome, own_message};
use super::{Out, Partition};
use crate::messages::{PartitionMoved, PartitionStopped, StopPartition, StopRefused};

/// A stop that is under way.
pub(crate) struct Stopping {
    delete: bool,
    replies: Vec<ReplyPort<Result<PartitionStopped, StopRefused>>>,
    is_closed: bool,
}

/// A close that has ended.
pub(crate) struct ClosedLog {
    /// The newest epoch that was written with it, -1 for none.
    stored_epoch: LeaderEpoch,
    outcome: JobOutcome<FlushedLog>,
}

own_message! {
    /// The pool has closed the log.
    LogClosed(ClosedLog) => log_closed;
    /// The pool has renamed the directory.
    DirectoryRenamed(JobOutcome<PathBuf>) => directory_renamed;
}

impl Handler<StopPartition> for Partition {
    fn handle(&mut self, order: StopPartition, cx: &mut Context<Self>) {
        self.stop_in_order(cx);
        if let Some(stopping) = &mut self.stopping {
            // An order to delete that comes after the log was closed is too late to be obeyed here.
            stopping.delete |= order.delete;
            stopping.replies.push(order.reply);
        }
        if let (true, Some(open)) = (order.delete, &mut self.open) {
            // What has not been started is certainly not done.
            for reply in open.state.take_appends() {
                reply.refuse(Undelivered::Stopped);
            }
        }
    }
}

impl Partition {
    /// Begins to stop; the rest happens in `settle`, when nothing is under way.
    pub(crate) fn stop_in_order(&mut self, _: &mut Context<Self>) {
        if self.stopping.is_none() {
            self.stopping = Some(Stopping {
                delete: false,
                replies: Vec::new(),
                is_closed: false,
            });
        }
    }

    /// True while the log is being closed, or its directory renamed.
    pub(crate) fn is_closing(&self) -> bool {
        let is_closed = self
            .stopping
            .as_ref()
            .is_some_and(|stopping| stopping.is_closed);
        let out = self.open.as_ref().and_then(|open| open.out);
        out == Some(Out::Close) && !is_closed
    }

    /// Closes or renames, once nothing is under way any more.
    pub(crate) fn continue_stop(&mut self, cx: &mut Context<Self>) {
        let (Some(stopping), Some(open)) = (&self.stopping, &mut self.open) else {
            return;
        };
        let is_idle = open.out.is_none() && !open.state.marks.is_syncing() && !open.are_epochs_out;
        if !is_idle || !open.state.has_no_appends() {
            return;
        }
        open.out = Some(Out::Close);
        for reply in self.lead_ports.drain(..) {
            reply.1.refuse(Undelivered::Stopped);
        }
        for reply in self.await_ports.drain(..) {
            reply.refuse(Undelivered::Stopped);
        }
        let delete = stopping.delete;
        if delete {
            self.rename(cx);
        } else {
            // With the rest, so that a clean stop of thousands pays one sync of each directory.
            let epochs = open.state.epochs_to_store(open.state.marks.written());
            let stored = epochs.as_ref().and_then(EpochCache::latest);
            let stored_epoch = stored.map_or(LeaderEpoch::NONE, |latest| latest.epoch);
            let job = open.log.close_job(&open.state.producers, epochs.as_ref());
            let closed = move |outcome| {
                LogClosed(ClosedLog {
                    stored_epoch,
                    outcome,
                })
            };
            self.run_writing("close", move |fs| job.run(fs), cx, closed);
        }
        self.tell_watchers(PartitionMoved::Removed);
    }

    /// Renames the directory; its topic's id makes the new name unique.
    fn rename(&mut self, cx: &mut Context<Self>) {
        let dir = self.spec.dir.clone();
        let unique = u128::from_be_bytes(self.spec.topic_id.0);
        let job = move |fs: &dyn kabuki_storage::FileSystem| rename_for_delete(fs, &dir, unique);
        self.run_writing("rename", job, cx, DirectoryRenamed);
    }

    /// Stops a partition whose log could not be opened, if that was asked for. False if not.
    pub(crate) fn stop_unopened(&mut self, fault: &JobFault, cx: &mut Context<Self>) -> bool {
        match &self.stopping {
            None => return false,
            Some(stopping) if stopping.delete => self.rename(cx),
            // It was not closed in order: the next start has to look at it.
            Some(_) => {
                let cause = fault.to_string();
                self.stopped(Err(StopRefused::Storage { cause }), cx);
            }
        }
        true
    }

    fn directory_renamed(&mut self, outcome: JobOutcome<PathBuf>, cx: &mut Context<Self>) {
        let result = match outcome {
            Ok(path) => Ok(PartitionStopped {
                renamed_to: Some(path),
            }),
            // Gone already: what was wanted is so.
            Err(fault) if fault.is_missing() => Ok(PartitionStopped { renamed_to: None }),
            Err(fault) => Err(StopRefused::Storage {
                cause: fault.to_string(),
            }),
        };
        self.stopped(result, cx);
    }

    fn log_closed(&mut self, closed: ClosedLog, cx: &mut Context<Self>) {
        let ClosedLog {
            stored_epoch,
            outcome,
        } = closed;
        let (Some(stopping), Some(open)) = (&mut self.stopping, &mut self.open) else {
            return;
        };
        match outcome {
            Ok(closed) => {
                assert_eq!(
                    closed.end,
                    open.state.marks.written(),
                    "closed short of the log end"
                );
                open.state.epochs_stored(stored_epoch);
                open.state.marks.closed();
                stopping.is_closed = true;
                // The last checkpoint carries the log end; `final_checkpoint_done` stops.
                open.state.checkpoints.recovery_point_moved();
            }
            Err(fault) => {
                let cause = fault.to_string();
                self.stopped(Err(StopRefused::Storage { cause }), cx);
            }
        }
    }

    /// A checkpoint was answered: if it was the last one, the partition is done.
    pub(crate) fn final_checkpoint_done(&mut self, cx: &mut Context<Self>) {
        let is_closed = self
            .stopping
            .as_ref()
            .is_some_and(|stopping| stopping.is_closed);
        let is_last = self
            .open
            .as_ref()
            .is_none_or(|open| !open.state.checkpoints.is_wanted());
        if is_closed && is_last {
            self.stopped(Ok(PartitionStopped { renamed_to: None }), cx);
        }
    }

    /// As [`Self::final_checkpoint_done`] for one that failed: the next start has to look at this log.
    pub(crate) fn final_checkpoint_failed(&mut self, cause: &str, cx: &mut Context<Self>) {
        let stopping = self.stopping.as_ref();
        if stopping.is_some_and(|stopping| stopping.is_closed) {
            let cause = cause.to_owned();
            self.stopped(Err(StopRefused::Storage { cause }), cx);
        }
    }

    fn stopped(&mut self, result: Result<PartitionStopped, StopRefused>, cx: &mut Context<Self>) {
        self.answer();
        if let Some(stopping) = &mut self.stopping {
            for reply in stopping.replies.drain(..) {
                reply.send(result.clone());
            }
        }
        if let Some(open) = &mut self.open {
            for reply in open.state.take_appends() {
                reply.refuse(Undelivered::Stopped);
            }
        }
        cx.stop();
    }
}
