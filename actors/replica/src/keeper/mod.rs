//! `ReplicaKeeper`: hears image, partitions, supervisor and controller, lets the cast decide and has
//! its steps performed.

mod files;
mod hear;
mod leave;
mod perform;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::Controller;
use kabuki_controller::image::{DirectoryId, ImageWatch};
use kabuki_controller::messages::{AssignDirectories, PartitionRef};
use kabuki_partition::WallClock;
use kabuki_protocol::ids::{NodeId, PartitionId, TopicName};
use kabuki_runtime::{Actor, Addr, Arbiter, Context, Fault, Supervisor, Timer};
use kabuki_storage::Disk;

use crate::checkpoints::Checkpoints;
use crate::config::PartitionConfigs;
use crate::log_dir::LogDir;
use crate::messages::{DirectoriesAssigned, DirectoryScanned, ImageChanged, ScanOverdue};
use crate::state::Cast;

/// How long a request to the controller may take. A commit is one fdatasync; this is a thousand of
/// them, and what fails is asked for again with the next news.
const CONTROLLER_WAIT: Duration = Duration::from_secs(10);

/// How long the first look into a directory may take before the node serves without it. Reading 10,000
/// small files takes a second; a disk that needs more than this hangs.
const SCAN_WAIT: Duration = Duration::from_secs(20);

/// One data directory as the keeper uses it.
#[derive(Clone)]
pub(crate) struct Directory {
    pub(crate) disk: Disk,
    pub(crate) arbiter: Arbiter,
    pub(crate) actor: Addr<LogDir>,
    pub(crate) checkpoints: Checkpoints,
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
    /// Renamed directories that are to be deleted: their delay is running, or the deletion is out.
    deleting: HashSet<PathBuf>,
    /// For each directory whose scan is out: when that is too long.
    scan_timers: Vec<Option<Timer>>,
}

impl ReplicaKeeper {
    pub(crate) fn new(spec: KeeperSpec) -> Self {
        let cast = Cast::new(spec.node, spec.cast.clone());
        Self {
            scan_timers: vec![None; spec.directories.len()],
            spec,
            cast,
            unsent_assignments: Vec::new(),
            deleting: HashSet::new(),
        }
    }

    fn watch_image(&self, cx: &mut Context<Self>) {
        let mut image = self.spec.image.clone();
        cx.spawn(
            async move {
                if image.changed().await.is_err() {
                    // The controller has ended for good, and so will the node.
                    std::future::pending::<()>().await;
                }
            },
            |()| ImageChanged,
        );
    }

    fn scan(&mut self, directory: usize, cx: &mut Context<Self>) {
        let disk = &self.spec.directories[directory].disk;
        let root = disk.root().to_owned();
        let job = disk.run_long("scan log directory", move |fs| files::scan(fs, &root));
        cx.spawn(job, move |outcome| DirectoryScanned {
            directory,
            outcome: outcome
                .map_err(|fault| fault.to_string())
                .and_then(|scanned| scanned),
        });
        let overdue = cx.tell_after(SCAN_WAIT, ScanOverdue { directory });
        self.scan_timers[directory] = Some(overdue);
    }

    /// Looks at the newest image and at what scans found, and does what follows from it.
    fn look(&mut self, cx: &mut Context<Self>) {
        let image = self.spec.image.borrow_and_update().clone();
        let group = &self.spec.partitions;
        self.cast.look(&image, || {
            let names = group.children();
            names.iter().filter_map(|name| partition_of(name)).collect()
        });
        self.perform(cx);
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
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(refused)) => Err(refused.to_string()),
                    Err(error) => Err(error.to_string()),
                }
            },
            |outcome| DirectoriesAssigned { outcome },
        );
    }

    fn describe(&self) -> String {
        let counts = self.cast.counts();
        format!(
            "on_stage={} parked={} missing={}",
            counts.on_stage, counts.parked, counts.missing
        )
    }
}

/// The partition whose actor has this name; `None` for the keeper and other children of the group.
fn partition_of(name: &str) -> Option<PartitionId> {
    let (topic, partition) = name.rsplit_once('-')?;
    let topic = TopicName::new(topic).ok()?;
    Some(PartitionId::new(topic, partition.parse().ok()?))
}
