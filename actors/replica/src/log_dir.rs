//! `LogDir`: one data directory. Makes the checkpoints of its partitions durable, many at once, and
//! tells the supervision log how its disk is.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kabuki_controller::image::DirectoryId;
use kabuki_partition::{CheckpointFailed, CheckpointPartition, PartitionCheckpointed};
use kabuki_protocol::ids::Offset;
use kabuki_runtime::{Actor, Context, EventKind, Fault, Handler, ReplyPort};
use kabuki_storage::checkpoint::{self, LOG_STARTS, Offsets, RECOVERY_POINTS};
use kabuki_storage::clean_shutdown::CleanShutdown;
use kabuki_storage::{Disk, DiskHealth, FileSystem};

use crate::messages::{
    CheckpointsWritten, CloseDirectory, DirectoryClosed, DirectoryNotClosed, DiskHealthChanged,
    ForgetPartition, PartitionForgotten,
};

/// Everything a log directory is built from.
#[derive(Debug, Clone)]
pub struct LogDirSpec {
    /// Identity from its `meta.properties`.
    pub id: DirectoryId,
    /// Its disk.
    pub disk: Disk,
}

/// Who waits for a write of the checkpoint files.
enum Waiting {
    Checkpoint(ReplyPort<Result<PartitionCheckpointed, CheckpointFailed>>),
    Forget(ReplyPort<Result<PartitionForgotten, CheckpointFailed>>),
    Close(ReplyPort<Result<DirectoryClosed, DirectoryNotClosed>>),
}

/// The actor of one data directory, `/replicas/dirs/<n>`.
pub struct LogDir {
    spec: LogDirSpec,
    recovery_points: Offsets,
    log_starts: Offsets,
    is_changed: bool,
    /// Their numbers are in the maps, not yet on the medium.
    waiting: Vec<Waiting>,
    /// Their numbers are in the write that is out.
    in_flight: Vec<Waiting>,
    is_writing: bool,
}

/// Result of reading the two checkpoint files at the start.
struct CheckpointsRead(Result<(Offsets, Offsets), String>);

impl kabuki_runtime::Message for CheckpointsRead {
    type Reply = ();
    const LANE: kabuki_runtime::Lane = kabuki_runtime::Lane::Control;
}

impl LogDir {
    pub(crate) fn new(spec: LogDirSpec) -> Self {
        Self {
            spec,
            recovery_points: Offsets::new(),
            log_starts: Offsets::new(),
            is_changed: false,
            waiting: Vec::new(),
            in_flight: Vec::new(),
            is_writing: false,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.spec.disk.root().join(name)
    }

    fn watch_health(&self, cx: &mut Context<Self>) {
        let mut health = self.spec.disk.health();
        cx.spawn(
            async move {
                // An error means the disk is gone, which ends this actor with it.
                let _ = health.changed().await;
            },
            |()| DiskHealthChanged,
        );
    }

    fn write(&mut self, cx: &mut Context<Self>) {
        self.is_writing = true;
        self.in_flight = std::mem::take(&mut self.waiting);
        let has_close = self
            .in_flight
            .iter()
            .any(|one| matches!(one, Waiting::Close(_)));
        let files = std::mem::take(&mut self.is_changed).then(|| {
            // A log that starts at 0 has no entry, as in Kafka.
            let starts = self
                .log_starts
                .iter()
                .filter(|(_, start)| **start > Offset(0));
            let starts: Offsets = starts.map(|(id, start)| (id.clone(), *start)).collect();
            (self.recovery_points.clone(), starts)
        });
        let (recovery_path, start_path) = (self.path(RECOVERY_POINTS), self.path(LOG_STARTS));
        let root = self.spec.disk.root().to_owned();
        // A restarted log directory must not read the files while this write replaces them.
        let hold = cx.hold_restart();
        let job = self.spec.disk.run("checkpoint", move |fs| {
            let _hold = hold;
            if let Some((recovery_points, log_starts)) = files {
                checkpoint::write(fs, &recovery_path, &recovery_points)?;
                checkpoint::write(fs, &start_path, &log_starts)?;
            }
            if has_close {
                // The epoch tells a controller quorum that nothing was lost; there is one node.
                CleanShutdown {
                    broker_epoch: -1,
                    unrecovered: BTreeSet::new(),
                }
                .write(fs, &root)?;
            }
            Ok(())
        });
        cx.spawn(job, |outcome| CheckpointsWritten {
            outcome: match outcome {
                Ok(Ok(())) => Ok(()),
                Ok(Err(fault)) => Err(kabuki_storage::DirFault::to_string(&fault)),
                Err(fault) => Err(fault.to_string()),
            },
        });
    }
}

fn read_both(
    fs: &dyn FileSystem,
    recovery_path: &std::path::Path,
    start_path: &std::path::Path,
) -> Result<(Offsets, Offsets), kabuki_storage::DirFault> {
    Ok((
        checkpoint::read(fs, recovery_path)?,
        checkpoint::read(fs, start_path)?,
    ))
}

impl Actor for LogDir {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        cx.hold_data();
        let (recovery_path, start_path) = (self.path(RECOVERY_POINTS), self.path(LOG_STARTS));
        let job = self.spec.disk.run("read checkpoints", move |fs| {
            read_both(fs, &recovery_path, &start_path)
        });
        cx.spawn(job, |outcome| {
            CheckpointsRead(match outcome {
                Ok(Ok(both)) => Ok(both),
                Ok(Err(fault)) => Err(fault.to_string()),
                Err(fault) => Err(fault.to_string()),
            })
        });
        self.watch_health(cx);
        Ok(())
    }

    fn settle(&mut self, cx: &mut Context<Self>) {
        if !self.is_writing && !self.waiting.is_empty() {
            self.write(cx);
        }
    }

    fn describe(&self) -> String {
        format!(
            "{} {} partitions={}{}",
            self.spec.id,
            self.spec.disk.root().display(),
            self.recovery_points.len(),
            if self.spec.disk.is_slow() {
                " slow"
            } else {
                ""
            }
        )
    }
}

impl Handler<CheckpointsRead> for LogDir {
    fn handle(&mut self, CheckpointsRead(outcome): CheckpointsRead, cx: &mut Context<Self>) {
        match outcome {
            Ok((recovery_points, log_starts)) => {
                self.recovery_points = recovery_points;
                self.log_starts = log_starts;
            }
            // Lost checkpoints cost time, not data: every log is scanned from its start, and its
            // partition sends its numbers again.
            Err(cause) => {
                slog::warn!(cx.log(), "checkpoints unreadable, logs are scanned"; "cause" => cause);
            }
        }
        cx.release_data();
    }
}

impl Handler<CheckpointPartition> for LogDir {
    fn handle(&mut self, command: CheckpointPartition, _cx: &mut Context<Self>) {
        let CheckpointPartition {
            partition,
            recovery_point,
            log_start,
            reply,
        } = command;
        let old_point = self
            .recovery_points
            .insert(partition.clone(), recovery_point);
        let old_start = self.log_starts.insert(partition, log_start);
        self.is_changed |= old_point != Some(recovery_point) || old_start != Some(log_start);
        self.waiting.push(Waiting::Checkpoint(reply));
    }
}

impl Handler<ForgetPartition> for LogDir {
    fn handle(&mut self, command: ForgetPartition, _cx: &mut Context<Self>) {
        let ForgetPartition { partition, reply } = command;
        let had_point = self.recovery_points.remove(&partition).is_some();
        let had_start = self.log_starts.remove(&partition).is_some();
        self.is_changed |= had_point || had_start;
        self.waiting.push(Waiting::Forget(reply));
    }
}

impl Handler<CloseDirectory> for LogDir {
    fn handle(&mut self, command: CloseDirectory, _cx: &mut Context<Self>) {
        self.waiting.push(Waiting::Close(command.reply));
    }
}

impl Handler<CheckpointsWritten> for LogDir {
    fn handle(&mut self, written: CheckpointsWritten, cx: &mut Context<Self>) {
        self.is_writing = false;
        if let Err(cause) = &written.outcome {
            // The next write must hold what this one did not bring to the medium.
            self.is_changed = true;
            slog::warn!(cx.log(), "checkpoints not written"; "cause" => cause);
        }
        for waiting in self.in_flight.drain(..) {
            let outcome = written.outcome.clone();
            match waiting {
                Waiting::Checkpoint(reply) => reply.send(
                    outcome
                        .map(|()| PartitionCheckpointed)
                        .map_err(|cause| CheckpointFailed { cause }),
                ),
                Waiting::Forget(reply) => reply.send(
                    outcome
                        .map(|()| PartitionForgotten)
                        .map_err(|cause| CheckpointFailed { cause }),
                ),
                Waiting::Close(reply) => reply.send(
                    outcome
                        .map(|()| DirectoryClosed)
                        .map_err(|cause| DirectoryNotClosed { cause }),
                ),
            }
        }
    }
}

impl Handler<DiskHealthChanged> for LogDir {
    fn handle(&mut self, _: DiskHealthChanged, cx: &mut Context<Self>) {
        let health = *self.spec.disk.health().borrow();
        match health {
            DiskHealth::Slow => cx.report(EventKind::Degraded, "the disk is past its deadline"),
            DiskHealth::Good => cx.report(EventKind::Healed, "the disk keeps its deadline again"),
        }
        self.watch_health(cx);
    }
}
