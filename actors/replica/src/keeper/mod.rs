//! `ReplicaKeeper`: hears image, partitions, supervisor and controller, lets the cast decide and has
//! its steps performed.

mod files;
mod perform;

use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::Controller;
use kabuki_controller::image::{DirectoryId, ImageWatch};
use kabuki_controller::messages::{AssignDirectories, PartitionRef};
use kabuki_partition::{PartitionEvent, WallClock};
use kabuki_protocol::ids::{NodeId, PartitionId};
use kabuki_runtime::{
    Actor, Addr, Arbiter, ChildEvent, ChildEventKind, Context, EventKind, Fault, Handler,
    Supervisor,
};
use kabuki_storage::Disk;

use crate::config::PartitionConfigs;
use crate::log_dir::LogDir;
use crate::messages::{
    ControllerAnswered, DegradedJudgementDue, DeleteDirectoryDue, DirectoriesAssigned,
    DirectoryMade, DirectoryScanned, ImageChanged, JobDone, PartitionLeft, ProbeDue,
};
use crate::state::Cast;

/// How long a request to the controller may take. A commit is one fdatasync; this is a thousand of
/// them, and what fails is asked for again with the next news.
const CONTROLLER_WAIT: Duration = Duration::from_secs(10);

/// One data directory as the keeper uses it.
#[derive(Clone)]
pub(crate) struct Directory {
    pub(crate) disk: Disk,
    pub(crate) arbiter: Arbiter,
    pub(crate) actor: Addr<LogDir>,
}

/// Everything the keeper is built from.
#[derive(Clone)]
pub(crate) struct KeeperSpec {
    pub(crate) node: NodeId,
    pub(crate) cast: Vec<DirectoryId>,
    pub(crate) directories: Vec<Directory>,
    pub(crate) image: ImageWatch,
    pub(crate) controller: Addr<Controller>,
    pub(crate) partitions: Supervisor,
    pub(crate) configs: Arc<PartitionConfigs>,
    pub(crate) degraded_leader: Duration,
    pub(crate) clock: WallClock,
}

/// The actor that keeps the partitions of one node on stage, `/replicas/keeper`.
pub struct ReplicaKeeper {
    spec: KeeperSpec,
    cast: Cast,
    unsent_assignments: Vec<(PartitionRef, DirectoryId)>,
}

impl ReplicaKeeper {
    pub(crate) fn new(spec: KeeperSpec) -> Self {
        let cast = Cast::new(spec.node, spec.cast.clone());
        Self {
            spec,
            cast,
            unsent_assignments: Vec::new(),
        }
    }

    fn watch_image(&self, cx: &mut Context<Self>) {
        let mut image = self.spec.image.clone();
        cx.spawn(
            async move {
                // An error means that the controller ended, and the node with it.
                let _ = image.changed().await;
            },
            |()| ImageChanged,
        );
    }

    fn scan(&self, directory: usize, cx: &mut Context<Self>) {
        let disk = &self.spec.directories[directory].disk;
        let root = disk.root().to_owned();
        let job = disk.run_long("scan log directory", move |fs| files::scan(fs, &root));
        cx.spawn(job, move |outcome| DirectoryScanned {
            directory,
            outcome: outcome
                .map_err(|fault| fault.to_string())
                .and_then(|scanned| scanned),
        });
    }

    /// Compares with the newest image, once the directories are known and the image is real.
    fn compare(&mut self, cx: &mut Context<Self>) {
        let image = self.spec.image.borrow_and_update().clone();
        if self.cast.is_complete() && image.is_loaded() {
            let steps = self.cast.compare(&image);
            self.perform(steps, cx);
        }
    }
}

impl Actor for ReplicaKeeper {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        self.spec.partitions.on_child_event(cx.addr().recipient());
        for directory in 0..self.spec.directories.len() {
            self.scan(directory, cx);
        }
        self.watch_image(cx);
        Ok(())
    }

    fn settle(&mut self, cx: &mut Context<Self>) {
        if self.unsent_assignments.is_empty() {
            return;
        }
        let assignments = std::mem::take(&mut self.unsent_assignments);
        let (controller, node) = (self.spec.controller.clone(), self.spec.node);
        cx.spawn(
            async move {
                let assign = |reply| AssignDirectories {
                    node,
                    assignments,
                    reply,
                };
                match controller.ask_with(CONTROLLER_WAIT, assign).await {
                    Ok(Ok(())) => None,
                    Ok(Err(refused)) => Some(refused.to_string()),
                    Err(error) => Some(error.to_string()),
                }
            },
            |refusal| DirectoriesAssigned { refusal },
        );
    }

    fn describe(&self) -> String {
        let (on_stage, parked, missing) = self.cast.counts();
        format!("on_stage={on_stage} parked={parked} missing={missing}")
    }
}

impl Handler<ImageChanged> for ReplicaKeeper {
    fn handle(&mut self, _: ImageChanged, cx: &mut Context<Self>) {
        self.compare(cx);
        self.watch_image(cx);
    }
}

impl Handler<DirectoryScanned> for ReplicaKeeper {
    fn handle(&mut self, scanned: DirectoryScanned, cx: &mut Context<Self>) {
        let DirectoryScanned { directory, outcome } = scanned;
        match outcome {
            Ok(content) => {
                self.cast.scanned(directory, Some(content.partitions));
                for path in content.deleted {
                    // Its delay began before this start; nobody reads these files any more.
                    cx.tell_self(DeleteDirectoryDue { directory, path });
                }
            }
            Err(cause) => {
                cx.report(
                    EventKind::Degraded,
                    &format!("log directory unreadable: {cause}"),
                );
                self.cast.scanned(directory, None);
            }
        }
        if self.cast.is_complete() {
            let image = self.spec.image.borrow().clone();
            if image.is_loaded() {
                let strays = self.cast.strays(&image);
                self.perform(strays, cx);
            }
            self.compare(cx);
        }
    }
}

impl Handler<DirectoryMade> for ReplicaKeeper {
    fn handle(&mut self, made: DirectoryMade, cx: &mut Context<Self>) {
        let DirectoryMade { partition, outcome } = made;
        let steps = match outcome {
            Ok(()) => self.cast.created(&partition),
            Err(cause) => self.cast.create_failed(&partition, &cause),
        };
        self.perform(steps, cx);
    }
}

impl Handler<PartitionLeft> for ReplicaKeeper {
    fn handle(&mut self, left: PartitionLeft, cx: &mut Context<Self>) {
        let PartitionLeft {
            partition,
            directory,
            renamed_to,
        } = left;
        let delay = self
            .spec
            .configs
            .file_delete_delay(&self.spec.image.borrow());
        self.cast.removed(&partition);
        if let Some(path) = renamed_to {
            cx.tell_after(delay, DeleteDirectoryDue { directory, path });
        }
        self.compare(cx);
    }
}

impl Handler<DeleteDirectoryDue> for ReplicaKeeper {
    fn handle(&mut self, due: DeleteDirectoryDue, cx: &mut Context<Self>) {
        let job =
            self.spec.directories[due.directory]
                .disk
                .run_long("delete partition", move |fs| {
                    fs.remove_dir_all(&due.path)
                        .map_err(|error| format!("{}: {error}", due.path.display()))
                });
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
        let steps = self.cast.probe_due(&due.partition);
        self.perform(steps, cx);
    }
}

impl Handler<DegradedJudgementDue> for ReplicaKeeper {
    fn handle(&mut self, due: DegradedJudgementDue, cx: &mut Context<Self>) {
        let steps = self.cast.degraded_due(&due.partition);
        self.perform(steps, cx);
    }
}

impl Handler<ControllerAnswered> for ReplicaKeeper {
    fn handle(&mut self, answered: ControllerAnswered, cx: &mut Context<Self>) {
        if let Some(cause) = answered.refusal {
            slog::info!(cx.log(), "controller refused"; "cause" => cause);
            self.cast.was_refused(answered.partition);
        }
    }
}

impl Handler<DirectoriesAssigned> for ReplicaKeeper {
    fn handle(&mut self, assigned: DirectoriesAssigned, cx: &mut Context<Self>) {
        // The next start finds the files where they are and assigns them again.
        if let Some(cause) = assigned.refusal {
            slog::warn!(cx.log(), "directories not assigned"; "cause" => cause);
        }
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
        let steps = self
            .cast
            .heard(&event.partition, event.topic_id, &event.fact);
        self.perform(steps, cx);
    }
}

impl Handler<ChildEvent> for ReplicaKeeper {
    fn handle(&mut self, event: ChildEvent, cx: &mut Context<Self>) {
        let Some(partition) = partition_of(&event.name) else {
            return;
        };
        if event.kind == ChildEventKind::Parked {
            let steps = self.cast.parked(&partition, event.cause);
            self.perform(steps, cx);
        }
    }
}

/// The partition whose actor has this name; `None` for the keeper and other children of the group.
fn partition_of(name: &str) -> Option<PartitionId> {
    let (topic, partition) = name.rsplit_once('-')?;
    let topic = kabuki_protocol::ids::TopicName::new(topic).ok()?;
    Some(PartitionId::new(topic, partition.parse().ok()?))
}
