//! What the keeper hears: each message goes to the cast, and what the cast wants is performed.

use std::path::PathBuf;
use std::time::Duration;

use kabuki_partition::PartitionEvent;
use kabuki_runtime::{ChildEvent, ChildEventKind, Context, EventKind, Handler};
use kabuki_storage::FileSystem;

use super::{Directory, ReplicaKeeper, files, partition_of};
use crate::messages::{
    AskAgainDue, AssignAgainDue, ControllerAnswered, DegradedJudgementDue, DeleteDirectoryDue,
    DirectoriesAssigned, DirectoryDeleted, DirectoryMade, DirectoryScanned, ImageChanged, JobDone,
    NotPlaying, PartitionFound, PartitionLeft, ProbeDue, RescanDue, ScanOverdue, StraySetAside,
    TrustDue,
};
use crate::state::Playing;

/// Pause before directories are assigned again. A controller that refuses has a full disk.
const ASSIGN_PAUSE: Duration = Duration::from_secs(5);

/// Pause before a deletion that failed is tried again. Nothing waits for it but disk space.
const DELETE_PAUSE: Duration = Duration::from_secs(60);

impl Handler<ImageChanged> for ReplicaKeeper {
    fn handle(&mut self, _: ImageChanged, cx: &mut Context<Self>) {
        self.look(cx);
        self.watch_image(cx);
    }
}

impl Handler<DirectoryScanned> for ReplicaKeeper {
    fn handle(&mut self, scanned: DirectoryScanned, cx: &mut Context<Self>) {
        let DirectoryScanned { directory, outcome } = scanned;
        if let Some(overdue) = self.scan_timers[directory].take() {
            cx.cancel(overdue);
        }
        match outcome {
            Ok(content) => {
                if let Some(cause) = content.marker_fault {
                    slog::warn!(cx.log(), "clean shutdown marker not removed"; "cause" => cause);
                }
                let is_new = self.cast.scanned(directory, Some(content.partitions));
                for path in content.deleted {
                    // At the start its delay has begun long ago, and nobody reads these files.
                    let delay = (!is_new).then(|| self.file_delete_delay());
                    self.delete_after(delay.unwrap_or_default(), directory, path, cx);
                }
            }
            Err(cause) => {
                let root = self.spec.directories[directory].disk.root().display();
                cx.report(EventKind::Degraded, &format!("{root} unreadable: {cause}"));
                self.cast.scanned(directory, None);
            }
        }
        self.look(cx);
    }
}

impl Handler<ScanOverdue> for ReplicaKeeper {
    fn handle(&mut self, overdue: ScanOverdue, cx: &mut Context<Self>) {
        if self.cast.scan_overdue(overdue.directory) {
            let root = self.spec.directories[overdue.directory]
                .disk
                .root()
                .display();
            cx.report(EventKind::Degraded, &format!("{root} does not answer"));
            self.look(cx);
        }
    }
}

impl Handler<RescanDue> for ReplicaKeeper {
    fn handle(&mut self, _: RescanDue, cx: &mut Context<Self>) {
        self.cast.rescan_due();
        self.perform(cx);
    }
}

impl Handler<DirectoryMade> for ReplicaKeeper {
    fn handle(&mut self, made: DirectoryMade, cx: &mut Context<Self>) {
        match made.outcome {
            Ok(()) => self.cast.created(&made.partition),
            Err(fault) => self.cast.create_failed(&made.partition, fault),
        }
        self.perform(cx);
    }
}

impl Handler<StraySetAside> for ReplicaKeeper {
    fn handle(&mut self, stray: StraySetAside, cx: &mut Context<Self>) {
        if let Err(cause) = &stray.outcome {
            slog::warn!(cx.log(), "stray directory not renamed"; "cause" => cause);
        }
        self.cast
            .set_aside(&stray.partition, stray.directory, stray.outcome);
        self.perform(cx);
    }
}

impl Handler<PartitionFound> for ReplicaKeeper {
    fn handle(&mut self, found: PartitionFound, cx: &mut Context<Self>) {
        match found.outcome {
            Ok(description) => {
                let mut directories = self.spec.directories.iter();
                let is_in = |one: &Directory| description.dir.starts_with(one.disk.root());
                let playing = Playing {
                    topic_id: description.topic_id,
                    // It was started by a keeper of this node, in one of these.
                    directory: directories.position(is_in).unwrap_or(0),
                    phase: description.phase,
                    leader_epoch: description.leader_epoch,
                };
                self.cast.found_playing(&found.partition, &playing);
            }
            Err(NotPlaying::Parked) => self.cast.parked(&found.partition, "its budget is spent"),
            Err(NotPlaying::Gone) => self.cast.found_gone(&found.partition),
        }
        self.perform(cx);
    }
}

impl Handler<PartitionLeft> for ReplicaKeeper {
    fn handle(&mut self, left: PartitionLeft, cx: &mut Context<Self>) {
        let PartitionLeft {
            partition,
            directory,
            outcome,
        } = left;
        match outcome {
            Ok(renamed_to) => {
                match renamed_to {
                    Some(path) => {
                        let delay = self.file_delete_delay();
                        self.delete_after(delay, directory, path, cx);
                    }
                    // It may have been renamed for an earlier keeper that does not know of it.
                    None => self.cast.search(),
                }
                self.cast.left(&partition, Ok(()));
            }
            Err(cause) => {
                slog::warn!(cx.log(), "deleted partition still there";
                    "partition" => %partition, "cause" => &cause);
                self.cast.left(&partition, Err(cause));
            }
        }
        self.perform(cx);
    }
}

impl Handler<DeleteDirectoryDue> for ReplicaKeeper {
    fn handle(&mut self, due: DeleteDirectoryDue, cx: &mut Context<Self>) {
        let DeleteDirectoryDue { directory, path } = due;
        let deleted = path.clone();
        let remove = move |fs: &dyn FileSystem| files::remove_deleted(fs, &deleted);
        let disk = &self.spec.directories[directory].disk;
        let job = disk.run_long("delete partition", remove);
        cx.spawn(job, move |outcome| DirectoryDeleted {
            directory,
            path,
            outcome: outcome
                .map_err(|fault| fault.to_string())
                .and_then(|removed| removed),
        });
    }
}

impl Handler<DirectoryDeleted> for ReplicaKeeper {
    fn handle(&mut self, deleted: DirectoryDeleted, cx: &mut Context<Self>) {
        let DirectoryDeleted {
            directory,
            path,
            outcome,
        } = deleted;
        self.deleting.remove(&path);
        if let Err(cause) = outcome {
            slog::warn!(cx.log(), "deleted partition not removed"; "cause" => cause);
            self.delete_after(DELETE_PAUSE, directory, path, cx);
        }
    }
}

impl ReplicaKeeper {
    fn file_delete_delay(&self) -> Duration {
        let image = self.spec.image.borrow();
        self.spec.configs.file_delete_delay(&image)
    }

    fn delete_after(
        &mut self,
        delay: Duration,
        directory: usize,
        path: PathBuf,
        cx: &mut Context<Self>,
    ) {
        if self.deleting.insert(path.clone()) {
            cx.tell_after(delay, DeleteDirectoryDue { directory, path });
        }
    }
}

impl Handler<ProbeDue> for ReplicaKeeper {
    fn handle(&mut self, due: ProbeDue, cx: &mut Context<Self>) {
        self.cast.probe_due(&due.partition);
        self.perform(cx);
    }
}

impl Handler<DegradedJudgementDue> for ReplicaKeeper {
    fn handle(&mut self, due: DegradedJudgementDue, cx: &mut Context<Self>) {
        self.cast.degraded_due(&due.partition, due.trouble);
        self.perform(cx);
    }
}

impl Handler<TrustDue> for ReplicaKeeper {
    fn handle(&mut self, due: TrustDue, _: &mut Context<Self>) {
        self.cast.trust_due(&due.partition, due.trouble);
    }
}

impl Handler<ControllerAnswered> for ReplicaKeeper {
    fn handle(&mut self, answered: ControllerAnswered, cx: &mut Context<Self>) {
        let ControllerAnswered {
            partition,
            topic_id,
            outcome,
        } = answered;
        if let Err(cause) = &outcome {
            slog::warn!(cx.log(), "controller refused";
                "partition" => %partition, "cause" => cause);
        } else if self.spec.image.has_changed().unwrap_or(false) {
            // The image that shows what was granted is published before the answer.
            self.look(cx);
        }
        self.cast.answered(&partition, topic_id, outcome);
        self.perform(cx);
    }
}

impl Handler<AskAgainDue> for ReplicaKeeper {
    fn handle(&mut self, due: AskAgainDue, cx: &mut Context<Self>) {
        self.cast.ask_again_due(&due.partition);
        self.perform(cx);
    }
}

impl Handler<DirectoriesAssigned> for ReplicaKeeper {
    fn handle(&mut self, assigned: DirectoriesAssigned, cx: &mut Context<Self>) {
        // Until it is known where a partition lies, one whose disk is gone would be made anew.
        if let Err(cause) = assigned.outcome {
            slog::warn!(cx.log(), "directories not assigned"; "cause" => cause);
            cx.tell_after(ASSIGN_PAUSE, AssignAgainDue);
        }
    }
}

impl Handler<AssignAgainDue> for ReplicaKeeper {
    fn handle(&mut self, _: AssignAgainDue, cx: &mut Context<Self>) {
        self.cast.assign_again_due();
        self.perform(cx);
    }
}

impl Handler<JobDone> for ReplicaKeeper {
    fn handle(&mut self, done: JobDone, cx: &mut Context<Self>) {
        if let Err(cause) = done.outcome {
            slog::warn!(cx.log(), "keeper's job failed"; "job" => done.job, "cause" => cause);
        }
    }
}

impl Handler<PartitionEvent> for ReplicaKeeper {
    fn handle(&mut self, event: PartitionEvent, cx: &mut Context<Self>) {
        self.cast
            .heard(&event.partition, event.topic_id, &event.fact);
        self.perform(cx);
    }
}

impl Handler<ChildEvent> for ReplicaKeeper {
    fn handle(&mut self, event: ChildEvent, cx: &mut Context<Self>) {
        let Some(partition) = partition_of(&event.name) else {
            return;
        };
        if event.kind == ChildEventKind::Parked {
            self.cast.parked(&partition, &event.cause);
            self.perform(cx);
        }
    }
}
