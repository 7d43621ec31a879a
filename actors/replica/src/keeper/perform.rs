//! Performs the steps of the cast: starts, stops and tells partitions, makes and renames their
//! directories, asks the controller. Every outcome comes back as a message to the keeper.

use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::Controller;
use kabuki_controller::messages::{
    MarkPartitionOffline, MarkPartitionOnline, PartitionRef, RaiseLeaderEpoch,
};
use kabuki_partition::{
    BecomeLeader, Partition, PartitionSpec, ReconfigureLog, ResignLeadership, StopPartition,
};
use kabuki_protocol::ids::{PartitionId, TopicId};
use kabuki_runtime::{Addr, AskError, Context, EventKind, Handler, Message, ReplyPort};
use kabuki_storage::Log;

use super::files::{rename, rename_for_delete};
use super::{CONTROLLER_WAIT, Directory, ReplicaKeeper};
use crate::messages::{
    ControllerAnswered, DegradedJudgementDue, DirectoryMade, ForgetPartition, JobDone,
    PartitionLeft, ProbeDue,
};
use crate::state::Step;

/// How long a partition may take to flush and rename before it is taken off all the same.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Answers after restarts of the log directory's actor come well within this.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(10);

impl ReplicaKeeper {
    pub(super) fn perform(&mut self, steps: Vec<Step>, cx: &mut Context<Self>) {
        for step in steps {
            self.perform_one(step, cx);
        }
    }

    fn perform_one(&mut self, step: Step, cx: &mut Context<Self>) {
        match step {
            Step::Create {
                partition,
                topic_id,
                directory,
            } => {
                self.create(partition, topic_id, directory, cx);
            }
            Step::Start {
                partition,
                topic_id,
                directory,
            } => {
                self.start(partition, topic_id, directory, cx);
            }
            Step::Assign {
                partition,
                directory,
            } => {
                // Sent together in `settle`: a topic of a thousand partitions is one commit.
                self.unsent_assignments.push((partition, directory));
            }
            Step::Lead {
                partition,
                leader_epoch,
            } => {
                if let Some(addr) = self.find(&partition, cx) {
                    cx.spawn(
                        async move {
                            let sent = addr.ask_with(CONTROLLER_WAIT, |reply| BecomeLeader {
                                leader_epoch,
                                reply,
                            });
                            match sent.await {
                                Ok(Err(refused)) => Err(refused.to_string()),
                                // A partition that restarts takes its leadership up by itself.
                                Ok(Ok(_)) | Err(_) => Ok(()),
                            }
                        },
                        |outcome| JobDone {
                            job: "leadership not taken",
                            outcome,
                        },
                    );
                }
            }
            Step::Resign {
                partition,
                leader_epoch,
            } => {
                if let Some(addr) = self.find(&partition, cx) {
                    // Refused only when it is not on stage, and then it serves nobody.
                    let _ = addr.try_tell(ResignLeadership { leader_epoch });
                }
            }
            Step::Reconfigure { partition } => {
                if let Some(addr) = self.find(&partition, cx) {
                    let config = self
                        .spec
                        .configs
                        .of_topic(&self.spec.image.borrow(), &partition.topic);
                    // One that is not on stage reads the configuration when it starts.
                    let _ = addr.try_tell(ReconfigureLog { config });
                }
            }
            Step::Remove {
                partition,
                directory,
            } => self.remove(partition, directory, cx),
            Step::SetAside {
                partition,
                directory,
            } => self.set_aside(&partition, directory, cx),
            Step::MarkOffline {
                partition,
                name,
                cause,
            } => {
                slog::warn!(cx.log(), "partition offline"; "partition" => %name, "cause" => cause);
                let node = self.spec.node;
                self.tell_controller(partition, cx, move |reply| MarkPartitionOffline {
                    node,
                    partition,
                    reply,
                });
            }
            Step::MarkOnline { partition } => {
                let node = self.spec.node;
                self.tell_controller(partition, cx, move |reply| MarkPartitionOnline {
                    node,
                    partition,
                    reply,
                });
            }
            Step::RaiseEpoch { partition } => {
                let node = self.spec.node;
                self.tell_controller(partition, cx, move |reply| RaiseLeaderEpoch {
                    node,
                    partition,
                    reply,
                });
            }
            Step::ProbeLater { partition, pause } => {
                cx.tell_after(pause, ProbeDue { partition });
            }
            Step::JudgeDegradedLater { partition } => {
                cx.tell_after(
                    self.spec.degraded_leader,
                    DegradedJudgementDue { partition },
                );
            }
            Step::Revive { partition } => {
                // False when it was never on stage: then the next comparison starts it.
                self.spec.partitions.revive(&partition.to_string());
            }
        }
    }

    fn find(&self, partition: &PartitionId, cx: &Context<Self>) -> Option<Addr<Partition>> {
        let path = self.spec.partitions.path().child(&partition.to_string());
        cx.stage().registry().find::<Partition>(&path)
    }

    fn create(
        &mut self,
        partition: PartitionId,
        topic_id: TopicId,
        directory: usize,
        cx: &mut Context<Self>,
    ) {
        let Directory { disk, actor, .. } = self.spec.directories[directory].clone();
        let dir = disk.root().join(partition.to_string());
        let forgotten = partition.clone();
        let hold = cx.hold_restart();
        let job = async move {
            let forget = |reply| ForgetPartition {
                partition: forgotten,
                reply,
            };
            match actor.ask_with(CHECKPOINT_WAIT, forget).await {
                Ok(Ok(_)) => {}
                Ok(Err(failed)) => return Err(failed.to_string()),
                Err(error) => return Err(error.to_string()),
            }
            let made = disk.run("create partition", move |fs| {
                let _hold = hold;
                Log::create(fs, &dir, topic_id)
            });
            match made.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(fault)) => Err(fault.to_string()),
                Err(fault) => Err(fault.to_string()),
            }
        };
        cx.spawn(job, |outcome| DirectoryMade { partition, outcome });
    }

    fn start(
        &mut self,
        partition: PartitionId,
        topic_id: TopicId,
        directory: usize,
        cx: &mut Context<Self>,
    ) {
        if self.find(&partition, cx).is_some() {
            // The keeper is the one who restarted: its partitions play on.
            return;
        }
        let Directory {
            disk,
            arbiter,
            actor,
        } = self.spec.directories[directory].clone();
        let (image, configs) = (self.spec.image.clone(), self.spec.configs.clone());
        let topic = partition.topic.clone();
        let (leading, index, node) = (image.clone(), partition.partition, self.spec.node);
        let spec = PartitionSpec {
            dir: disk.root().join(partition.to_string()),
            id: partition,
            topic_id,
            disk,
            config: Arc::new(move || configs.of_topic(&image.borrow(), &topic)),
            leadership: Arc::new(move || {
                let image = leading.borrow();
                let partition = image.topic_by_id(topic_id)?.partition(index)?;
                (partition.leader == node).then_some(partition.leader_epoch)
            }),
            checkpoint: actor.recipient(),
            events: cx.addr().recipient(),
            clock: self.spec.clock.clone(),
        };
        self.spec
            .partitions
            .start(kabuki_partition::spec(spec).on(&arbiter));
    }

    fn remove(&mut self, partition: PartitionId, directory: usize, cx: &mut Context<Self>) {
        let addr = self.find(&partition, cx);
        let group = self.spec.partitions.clone();
        let Directory { disk, actor, .. } = self.spec.directories[directory].clone();
        let id = partition.clone();
        let job = async move {
            let mut renamed_to = None;
            if let Some(addr) = addr {
                let stop = |reply| StopPartition {
                    delete: true,
                    reply,
                };
                if let Ok(Ok(stopped)) = addr.ask_with(STOP_WAIT, stop).await {
                    renamed_to = stopped.renamed_to;
                }
                group.stop_child(&id.to_string(), STOP_WAIT).await;
            }
            if renamed_to.is_none() {
                // A parked partition does not answer; its files are renamed for it.
                renamed_to = rename_for_delete(&disk, &id).await;
            }
            // A failure is met again, and told, when a partition of this name is created.
            let _: Result<_, AskError> = actor
                .ask_with(CHECKPOINT_WAIT, |reply| ForgetPartition {
                    partition: id,
                    reply,
                })
                .await;
            renamed_to
        };
        cx.spawn(job, move |renamed_to| PartitionLeft {
            partition,
            directory,
            renamed_to,
        });
    }

    fn set_aside(&mut self, partition: &PartitionId, directory: usize, cx: &mut Context<Self>) {
        let disk = &self.spec.directories[directory].disk;
        let from = disk.root().join(partition.to_string());
        let to = disk
            .root()
            .join(format!("{partition}.{}-stray", TopicId::random()));
        cx.report(
            EventKind::Quarantined,
            &format!("stray directory {} renamed", from.display()),
        );
        let job = disk.run("set stray aside", move |fs| rename(fs, &from, &to));
        cx.spawn(job, |outcome| JobDone {
            job: "stray directory not renamed",
            outcome: outcome
                .map_err(|fault| fault.to_string())
                .and_then(|renamed| renamed),
        });
    }

    fn tell_controller<T, R, M>(
        &self,
        partition: PartitionRef,
        cx: &mut Context<Self>,
        message: impl FnOnce(ReplyPort<Result<T, R>>) -> M + Send + 'static,
    ) where
        T: Send + 'static,
        R: std::fmt::Display + Send + 'static,
        M: Message<Reply = ()>,
        Controller: Handler<M>,
    {
        let controller = self.spec.controller.clone();
        cx.spawn(
            async move {
                match controller.ask_with(CONTROLLER_WAIT, message).await {
                    Ok(Ok(_)) => None,
                    Ok(Err(refused)) => Some(refused.to_string()),
                    Err(error) => Some(error.to_string()),
                }
            },
            move |refusal| ControllerAnswered { partition, refusal },
        );
    }
}
