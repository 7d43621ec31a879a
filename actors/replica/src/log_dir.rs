//! `LogDir`: one data directory. Makes the checkpoints of its partitions durable, many at once, tells
//! the supervision log how its disk is, and clients how much room there is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use kabuki_controller::image::DirectoryId;
use kabuki_partition::{CheckpointFailed, CheckpointPartition, PartitionCheckpointed};
use kabuki_protocol::ids::{Offset, PartitionId};
use kabuki_runtime::{Actor, Context, EventKind, Fault, Handler, ReplyPort, Standstill};
use kabuki_storage::checkpoint::Offsets;
use kabuki_storage::clean_shutdown::CleanShutdown;
use kabuki_storage::dir_scan::METADATA_LOG_PREFIX;
use kabuki_storage::{DirFault, Disk, DiskHealth, FileSystem};
use tokio::sync::watch;

use crate::checkpoints::{Checkpoints, Numbers};
use crate::messages::{
    CheckpointsRead, CheckpointsWritten, CloseDirectory, DescribeLogDir, DirectoryClosed,
    DirectoryNotClosed, DiskHealthChanged, ForgetPartition, LogDirDescription, LogDirUnusable,
    PartitionForgotten, SpaceFound, StandstillChanged,
};

/// From so many who wait for the disk on, those who have left are taken out. Each connection waits once.
const SPACE_WAITING_MAX: usize = 64;

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
    /// Of the thread that its partitions run on.
    standstill: Standstill,
    checkpoints: Checkpoints,
    recovery_points: Offsets,
    log_starts: Offsets,
    is_changed: bool,
    /// Set with the first order to close: what may be left open.
    closed: Option<Arc<BTreeSet<PartitionId>>>,
    /// Their numbers are in the maps, not yet on the medium.
    waiting: Vec<Waiting>,
    /// Their numbers are in the write that is out.
    in_flight: Vec<Waiting>,
    is_writing: bool,
    /// Who wants to know how much room there is. The disk is being asked while there is anybody.
    space_waiting: Vec<ReplyPort<Result<LogDirDescription, LogDirUnusable>>>,
}

impl LogDir {
    pub(crate) fn new(spec: LogDirSpec, standstill: Standstill, checkpoints: Checkpoints) -> Self {
        Self {
            spec,
            standstill,
            checkpoints,
            recovery_points: Offsets::new(),
            log_starts: Offsets::new(),
            is_changed: false,
            closed: None,
            waiting: Vec::new(),
            in_flight: Vec::new(),
            is_writing: false,
            space_waiting: Vec::new(),
        }
    }

    fn watch_health(mut health: watch::Receiver<DiskHealth>, cx: &mut Context<Self>) {
        cx.spawn(
            async move {
                if health.changed().await.is_err() {
                    // The disk is gone, which ends this actor with it.
                    std::future::pending::<()>().await;
                }
                health
            },
            DiskHealthChanged,
        );
    }

    fn watch_standstill(mut changes: watch::Receiver<bool>, cx: &mut Context<Self>) {
        cx.spawn(
            async move {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                changes
            },
            StandstillChanged,
        );
    }

    fn write(&mut self, cx: &mut Context<Self>) {
        self.is_writing = true;
        self.in_flight = std::mem::take(&mut self.waiting);
        let mut waiting = self.in_flight.iter();
        let closed = (waiting.any(|one| matches!(one, Waiting::Close(_))))
            .then(|| self.closed.clone())
            .flatten();
        let numbers = std::mem::take(&mut self.is_changed).then(|| {
            // A log that starts at 0 has no entry, as in Kafka.
            let starts = self
                .log_starts
                .iter()
                .filter(|(_, start)| **start > Offset(0));
            Numbers {
                recovery_points: self.recovery_points.clone(),
                log_starts: starts.map(|(id, start)| (id.clone(), *start)).collect(),
                malformed: None,
            }
        });
        if numbers.is_none() && closed.is_none() {
            // What is asked for is on the medium already.
            return self.written(Ok(Ok(())));
        }
        let checkpoints = self.checkpoints.clone();
        let root = self.spec.disk.root().to_owned();
        // A restarted log directory must not read the files while this write replaces them.
        let hold = cx.hold_restart();
        let job = self.spec.disk.run("checkpoint", move |fs| {
            let _hold = hold;
            if let Some(numbers) = numbers {
                checkpoints.write(fs, numbers)?;
            }
            match closed {
                Some(closed) => mark_clean(fs, &root, &closed),
                None => Ok(Ok(())),
            }
        });
        cx.spawn(job, |outcome| CheckpointsWritten {
            outcome: match outcome {
                Ok(Ok(ended)) => Ok(ended),
                Ok(Err(fault)) => Err(DirFault::to_string(&fault)),
                Err(fault) => Err(fault.to_string()),
            },
        });
    }

    /// Answers those who waited for a write.
    fn written(&mut self, outcome: Result<Result<(), DirectoryNotClosed>, String>) {
        self.is_writing = false;
        let stored = outcome.as_ref().map(|_| ()).map_err(String::clone);
        for waiting in self.in_flight.drain(..) {
            let stored = stored.clone();
            match waiting {
                Waiting::Checkpoint(reply) => reply.send(
                    stored
                        .map(|()| PartitionCheckpointed)
                        .map_err(|cause| CheckpointFailed { cause }),
                ),
                Waiting::Forget(reply) => reply.send(
                    stored
                        .map(|()| PartitionForgotten)
                        .map_err(|cause| CheckpointFailed { cause }),
                ),
                Waiting::Close(reply) => reply.send(match outcome.clone() {
                    Ok(ended) => ended.map(|()| DirectoryClosed),
                    Err(cause) => Err(DirectoryNotClosed::Storage { cause }),
                }),
            }
        }
    }
}

/// Marks the directory as cleanly shut down, unless it holds a partition that was not closed: one that
/// is parked, or that was never opened since the last crash.
fn mark_clean(
    fs: &dyn FileSystem,
    root: &Path,
    closed: &BTreeSet<PartitionId>,
) -> Result<Result<(), DirectoryNotClosed>, DirFault> {
    let entries = fs.list(root).map_err(|source| DirFault::Io {
        operation: "list",
        path: root.to_owned(),
        source,
    })?;
    let held = entries.iter().filter(|entry| entry.is_dir);
    let held = held.filter_map(|entry| entry.name.parse::<PartitionId>().ok());
    let mut open = held.filter(|partition| {
        *partition.topic != *METADATA_LOG_PREFIX && !closed.contains(partition)
    });
    if let Some(example) = open.next() {
        let count = 1 + open.count();
        return Ok(Err(DirectoryNotClosed::PartitionsNotClosed {
            count,
            example,
        }));
    }
    // The epoch tells a controller quorum that nothing was lost; there is one node.
    let marker = CleanShutdown {
        broker_epoch: -1,
        unrecovered: BTreeSet::new(),
    };
    marker.write(fs, root).map(Ok)
}

impl Actor for LogDir {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        cx.hold_data();
        self.checkpoints.discard();
        let checkpoints = self.checkpoints.clone();
        let read = move |fs: &dyn FileSystem| checkpoints.read(fs);
        let job = self.spec.disk.run("read checkpoints", read);
        cx.spawn(job, |outcome| CheckpointsRead {
            outcome: match outcome {
                Ok(Ok(numbers)) => Ok(numbers),
                Ok(Err(fault)) => Err(fault.to_string()),
                Err(fault) => Err(fault.to_string()),
            },
        });
        Self::watch_health(self.spec.disk.health(), cx);
        Self::watch_standstill(self.standstill.changes(), cx);
        Ok(())
    }

    fn settle(&mut self, cx: &mut Context<Self>) {
        if !self.is_writing && !self.waiting.is_empty() {
            self.write(cx);
        }
    }

    fn describe(&self) -> String {
        format!(
            "{} {} partitions={}{}{}",
            self.spec.id,
            self.spec.disk.root().display(),
            self.recovery_points.len(),
            if self.spec.disk.is_slow() {
                " slow"
            } else {
                ""
            },
            if self.standstill.is_still() {
                " stands still"
            } else {
                ""
            }
        )
    }
}

impl Handler<CheckpointsRead> for LogDir {
    fn handle(&mut self, read: CheckpointsRead, cx: &mut Context<Self>) {
        let numbers = match read.outcome {
            Ok(numbers) => numbers,
            // The next write would replace numbers that can perhaps be read a moment later, and with
            // them the starts of logs whose records were deleted.
            Err(cause) => return cx.fail(Fault::new(cause)),
        };
        if let Some(cause) = &numbers.malformed {
            // Lost recovery points cost time: logs are scanned from their start.
            slog::error!(cx.log(), "checkpoint unusable"; "cause" => cause);
        }
        self.recovery_points = numbers.recovery_points.clone();
        self.log_starts = numbers.log_starts.clone();
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
        self.closed = Some(command.closed);
        self.waiting.push(Waiting::Close(command.reply));
    }
}

impl Handler<DescribeLogDir> for LogDir {
    /// One job at a time: a disk that hangs takes one thread of the pool, however many ask.
    fn handle(&mut self, query: DescribeLogDir, cx: &mut Context<Self>) {
        if self.standstill.is_still() {
            let cause = "the directory stands still".to_owned();
            return query.reply.send(Err(LogDirUnusable { cause }));
        }
        let is_out = !self.space_waiting.is_empty();
        // Whoever asks a disk that hangs again and again must not pile up here.
        if self.space_waiting.len() >= SPACE_WAITING_MAX {
            self.space_waiting.retain(|reply| !reply.is_abandoned());
        }
        self.space_waiting.push(query.reply);
        if is_out {
            return;
        }
        let root = self.spec.disk.root().to_owned();
        let job = self.spec.disk.run("space", move |fs| fs.space(&root));
        cx.spawn(job, |outcome| SpaceFound {
            outcome: match outcome {
                Ok(Ok(space)) => Ok(LogDirDescription {
                    total_bytes: space.total_bytes,
                    usable_bytes: space.usable_bytes,
                }),
                Ok(Err(error)) => Err(error.to_string()),
                Err(fault) => Err(fault.to_string()),
            }
            .map_err(|cause| LogDirUnusable { cause }),
        });
    }
}

impl Handler<SpaceFound> for LogDir {
    fn handle(&mut self, found: SpaceFound, _cx: &mut Context<Self>) {
        for reply in self.space_waiting.drain(..) {
            reply.send(found.outcome.clone());
        }
    }
}

impl Handler<CheckpointsWritten> for LogDir {
    fn handle(&mut self, written: CheckpointsWritten, cx: &mut Context<Self>) {
        if let Err(cause) = &written.outcome {
            // The next write must hold what this one did not bring to the medium.
            self.is_changed = true;
            slog::warn!(cx.log(), "checkpoints not written"; "cause" => cause);
        }
        self.written(written.outcome);
    }
}

impl Handler<DiskHealthChanged> for LogDir {
    fn handle(&mut self, DiskHealthChanged(mut health): DiskHealthChanged, cx: &mut Context<Self>) {
        match *health.borrow_and_update() {
            DiskHealth::Slow => cx.report(EventKind::Degraded, "the disk is past its deadline"),
            DiskHealth::Good => cx.report(EventKind::Healed, "the disk keeps its deadline again"),
        }
        Self::watch_health(health, cx);
    }
}

impl Handler<StandstillChanged> for LogDir {
    /// Clients are answered for its partitions by their sessions meanwhile; the log is told once.
    fn handle(
        &mut self,
        StandstillChanged(mut changes): StandstillChanged,
        cx: &mut Context<Self>,
    ) {
        if *changes.borrow_and_update() {
            cx.report(EventKind::Degraded, "the directory stands still");
        } else {
            cx.report(EventKind::Healed, "the directory moves again");
        }
        Self::watch_standstill(changes, cx);
    }
}
