//! What the keeper hears: each message goes to the cast, and what the cast wants is performed.

use std::time::Duration;

use kabuki_partition::PartitionEvent;
use kabuki_runtime::{ChildEvent, ChildEventKind, Context, EventKind, Handler};

use super::{ReplicaKeeper, files, partition_of};
use crate::messages::{
    AskAgainDue, AssignAgainDue, ControllerAnswered, DegradedJudgementDue, DeleteDirectoryDue,
    DirectoriesAssigned, DirectoryMade, DirectoryScanned, ImageChanged, JobDone, PartitionFound,
    PartitionLeft, ProbeDue, RescanDue, ScanOverdue, StraySetAside, TrustDue,
};

/// Pause before directories are assigned again. A controller that refuses has a full disk.
const ASSIGN_PAUSE: Duration = Duration::from_secs(5);

impl Handler<ImageChanged> for ReplicaKeeper {
    fn handle(&mut self, _: ImageChanged, cx: &mut Context<Self>) {
        self.look(cx);
        self.watch_image(cx);
    }
}

impl Handler<DirectoryScanned> for ReplicaKeeper {
    fn handle(&mut self, scanned: DirectoryScanned, cx: &mut Context<Self>) {
        let DirectoryScanned { directory, outcome } = scanned;
        match outcome {
            Ok(content) => {
                if let Some(cause) = content.marker_fault {
                    slog::warn!(cx.log(), "clean shutdown marker not removed"; "cause" => cause);
                }
                let is_new = self.cast.scanned(directory, Some(content.partitions));
                for path in content.deleted.into_iter().filter(|_| is_new) {
                    // Its delay began before this start; nobody reads these files any more.
                    cx.tell_self(DeleteDirectoryDue { directory, path });
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
        match found.description {
            Some(description) => self.cast.found_playing(
                &found.partition,
                description.topic_id,
                &description.phase,
                description.leader_epoch,
            ),
            None => self.cast.parked(&found.partition, "its budget was spent"),
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
                if let Some(path) = renamed_to {
                    let image = self.spec.image.borrow();
                    let delay = self.spec.configs.file_delete_delay(&image);
                    drop(image);
                    cx.tell_after(delay, DeleteDirectoryDue { directory, path });
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
        let disk = &self.spec.directories[due.directory].disk;
        let remove =
            move |fs: &dyn kabuki_storage::FileSystem| files::remove_deleted(fs, &due.path);
        let job = disk.run_long("delete partition", remove);
        // Where it fails, the next start tries again.
        cx.spawn(job, |outcome| JobDone {
            job: "deleted partition not removed",
            outcome: outcome
                .map_err(|fault| fault.to_string())
                .and_then(|removed| removed),
        });
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
        // Until it is known where a partition lies, one whose disk is gone would be made anew
        // (rule V12).
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
