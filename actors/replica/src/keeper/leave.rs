//! Takes a partition off the stage for good: its actor stops, its directory is renamed, and its log
//! directory forgets it. Done in this order, so that a new partition of the name meets nothing of it.

use std::time::Duration;

use kabuki_partition::{Partition, StopPartition};
use kabuki_protocol::ids::{PartitionId, TopicId};
use kabuki_runtime::{Addr, AskError, Context, StopOutcome, Undelivered};

use super::{Directory, ReplicaKeeper, files};
use crate::messages::{ForgetPartition, PartitionLeft};

/// How long a partition may take to end what it does and to rename. One that needs longer, because it
/// recovers a large log or its disk hangs, is asked again after a pause: its files are not touched
/// while a job of it may be out.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Answers after restarts of the log directory's actor come well within this.
pub(super) const FORGET_WAIT: Duration = Duration::from_secs(10);

/// What stopping the actor came to.
enum Stopped {
    /// It renamed the directory, or found none.
    Renamed(Option<std::path::PathBuf>),
    /// There is no actor any more, and the directory is where it was.
    Gone,
}

impl ReplicaKeeper {
    pub(super) fn remove(
        &mut self,
        partition: PartitionId,
        topic_id: TopicId,
        directory: Option<usize>,
        cx: &mut Context<Self>,
    ) {
        let addr = self.find(&partition, cx);
        let name = partition.to_string();
        let group = self.spec.partitions.clone();
        let files_in = directory.map(|directory| self.spec.directories[directory].clone());
        let id = partition.clone();
        let job = async move {
            let mut stopped = Stopped::Gone;
            if let Some(addr) = addr {
                stopped = stop(&addr).await?;
                // The name is free only then.
                if group.stop_child(&name, STOP_WAIT).await == StopOutcome::Hung {
                    return Err("its thread hangs".to_owned());
                }
            }
            let Some(Directory { disk, actor, .. }) = files_in else {
                return Ok(None);
            };
            let renamed_to = match stopped {
                Stopped::Renamed(Some(path)) => Some(path),
                Stopped::Renamed(None) | Stopped::Gone => {
                    let (root, renamed) = (disk.root().to_owned(), id.clone());
                    let rename = disk.run("rename for delete", move |fs| {
                        files::rename_deleted(fs, &root, &renamed, topic_id)
                    });
                    rename.await.map_err(|fault| fault.to_string())??
                }
            };
            // A failure is met again, and told, when a partition of this name is created.
            let _: Result<_, AskError> = actor
                .ask_with(FORGET_WAIT, |reply| ForgetPartition {
                    partition: id,
                    reply,
                })
                .await;
            Ok(renamed_to)
        };
        cx.spawn(job, move |outcome| PartitionLeft {
            partition,
            directory: directory.unwrap_or(0),
            outcome,
        });
    }
}

async fn stop(addr: &Addr<Partition>) -> Result<Stopped, String> {
    let stop = |reply| StopPartition {
        delete: true,
        reply,
    };
    match addr.ask_with(STOP_WAIT, stop).await {
        Ok(Ok(stopped)) => Ok(Stopped::Renamed(stopped.renamed_to)),
        // It stops all the same, or is down for good and does not answer.
        Ok(Err(_)) | Err(AskError::NotDone(Undelivered::Parked | Undelivered::Stopped)) => {
            Ok(Stopped::Gone)
        }
        Err(error) => Err(error.to_string()),
    }
}
