//! What the node says when it puts its replicas on stage.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use kabuki_controller::Controller;
use kabuki_controller::broker_config::BrokerConfig;
use kabuki_controller::image::ImageWatch;
use kabuki_partition::{Partition, StopPartition, WallClock};
use kabuki_protocol::ids::PartitionId;
use kabuki_runtime::{
    Addr, Arbiter, AskError, Budget, ChildSpec, GroupOptions, Policy, Stage, Standstill, Supervisor,
};
use tokio::time::Instant;

use crate::checkpoints::Checkpoints;
use crate::config::PartitionConfigs;
use crate::keeper::{Directory, KeeperSpec, ReplicaKeeper};
use crate::log_dir::{LogDir, LogDirSpec};
use crate::messages::CloseDirectory;

/// Messages of partitions that may wait for the keeper, which answers each in microseconds. A
/// thousand partitions that recover at the same time fit twice.
const KEEPER_MAILBOX: usize = 8_192;

/// Checkpoints that may wait for one write of the files: one for each partition of a full directory.
const LOG_DIR_MAILBOX: usize = 4_096;

/// Longest time the final checkpoint of a directory may take at a shutdown.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// Everything the replicas of a node are built from.
pub struct ReplicaSpec {
    /// Data directories, each with the arbiter that its partitions run on.
    pub directories: Vec<(LogDirSpec, Arbiter)>,
    /// Where the keeper and the log directories run: an arbiter on which nothing blocks.
    pub arbiter: Arbiter,
    /// Where the metadata image is seen.
    pub image: ImageWatch,
    /// Who commits changes of it.
    pub controller: Addr<Controller>,
    /// The static configuration.
    pub config: Arc<BrokerConfig>,
    /// Time for producer expiry and segment age.
    pub clock: WallClock,
}

/// The replicas of a node, on stage below `/replicas`.
#[derive(Clone)]
pub struct Replicas {
    stage: Stage,
    group: Supervisor,
    log_dirs: Vec<Addr<LogDir>>,
}

/// Puts log directories and keeper on stage; the keeper starts the partitions by itself.
pub fn start(stage: &Stage, spec: ReplicaSpec) -> Replicas {
    let group = stage.root().group("replicas", GroupOptions::default());
    let dirs = group.group("dirs", GroupOptions::default());
    let mut directories = Vec::new();
    let mut ids = Vec::new();
    let is_alone = spec.directories.len() == 1;
    for (at, (directory, arbiter)) in spec.directories.into_iter().enumerate() {
        let disk = directory.disk.clone();
        ids.push(directory.id);
        let checkpoints = Checkpoints::of(&disk);
        let written = checkpoints.clone();
        // The thread of an only directory carries the sessions too: a stop says nothing of the disk.
        let standstill = match is_alone {
            true => Standstill::new(0),
            false => arbiter.standstill().clone(),
        };
        let new = move || LogDir::new(directory.clone(), standstill.clone(), written.clone());
        let child = ChildSpec::new(at.to_string(), new)
            .on(&spec.arbiter)
            .mailbox(LOG_DIR_MAILBOX, 64)
            .policy(tireless());
        directories.push(Directory {
            disk,
            arbiter,
            actor: dirs.start(child),
            checkpoints,
        });
    }
    let log_dirs = directories.iter().map(|one| one.actor.clone()).collect();
    let degraded_ms = spec.config.number("kabuki.degraded.leader.ms");
    let keeper = KeeperSpec {
        node: spec.config.node_id(),
        cast: ids,
        directories,
        image: spec.image,
        controller: spec.controller,
        partitions: group.clone(),
        configs: Arc::new(PartitionConfigs::new(spec.config)),
        degraded_leader: Duration::from_millis(u64::try_from(degraded_ms).unwrap_or(0)),
        clock: spec.clock,
    };
    let child = ChildSpec::new("keeper", move || ReplicaKeeper::new(keeper.clone()))
        .on(&spec.arbiter)
        .mailbox(64, KEEPER_MAILBOX)
        .policy(tireless());
    group.start(child);
    Replicas {
        stage: stage.clone(),
        group,
        log_dirs,
    }
}

/// The policy of those whose place nobody can take: brought back for as long as the node runs, after
/// pauses of up to five seconds. Their partitions play on meanwhile.
fn tireless() -> Policy {
    let policy = Policy::default();
    Policy {
        budget: Budget {
            restarts_max: u32::MAX,
            ..policy.budget
        },
        ..policy
    }
}

impl Replicas {
    /// The log directories, in the order of [`ReplicaSpec::directories`].
    pub fn log_dirs(&self) -> &[Addr<LogDir>] {
        &self.log_dirs
    }

    /// Stops all partitions in order, then makes each directory's checkpoints durable and marks it
    /// as cleanly shut down, unless it holds a partition that was not closed in order.
    ///
    /// Returns what could not be closed; the next start recovers it.
    pub async fn stop(self, deadline: Duration) -> Vec<String> {
        let end = Instant::now() + deadline;
        // No new partition starts while the others leave.
        self.group.stop_child("keeper", deadline).await;
        let names = self.group.children();
        let partitions = names.iter().filter(|name| *name != "dirs");
        let stops = partitions.map(|name| self.stop_partition(name, end));
        let mut closed = BTreeSet::new();
        let mut trouble = Vec::new();
        for outcome in join_all(stops).await {
            match outcome {
                Ok(partition) => closed.extend(partition),
                Err(cause) => trouble.push(cause),
            }
        }
        let closed = Arc::new(closed);
        let closes = self.log_dirs.iter().map(|dir| {
            let closed = closed.clone();
            dir.ask_with(CLOSE_WAIT, |reply| CloseDirectory { closed, reply })
        });
        for outcome in join_all(closes).await {
            match outcome {
                Ok(Ok(_)) => {}
                Ok(Err(failed)) => trouble.push(failed.to_string()),
                Err(error) => trouble.push(AskError::to_string(&error)),
            }
        }
        self.group
            .stop(end.saturating_duration_since(Instant::now()))
            .await;
        trouble
    }

    /// Closes one partition; `None` if it had left already.
    async fn stop_partition(
        &self,
        name: &str,
        end: Instant,
    ) -> Result<Option<PartitionId>, String> {
        let left = end.saturating_duration_since(Instant::now());
        let path = self.group.path().child(name);
        let Some(partition) = self.stage.registry().find::<Partition>(&path) else {
            return Ok(None);
        };
        let stop = |reply| StopPartition {
            delete: false,
            reply,
        };
        let outcome = match partition.ask_with(left, stop).await {
            Ok(Ok(_)) => Ok(name.parse().ok()),
            Ok(Err(refused)) => Err(format!("{name}: {refused}")),
            Err(error) => Err(format!("{name}: {error}")),
        };
        let left = end.saturating_duration_since(Instant::now());
        self.group.stop_child(name, left).await;
        outcome
    }
}
