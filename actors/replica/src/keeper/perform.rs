//! Performs the steps of the cast: starts and tells partitions, makes and renames their directories,
//! asks the controller. Every outcome comes back as a message to the keeper.

use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::Controller;
use kabuki_controller::messages::{
    MarkPartitionOffline, MarkPartitionOnline, PartitionRef, RaiseLeaderEpoch,
};
use kabuki_partition::{
    BecomeLeader, DescribePartition, Partition, PartitionDescription, PartitionSpec,
    ReconfigureLog, ResignLeadership,
};
use kabuki_protocol::ids::{LeaderEpoch, PartitionId, TopicId};
use kabuki_runtime::{
    Addr, AskError, Context, EventKind, Handler, Incarnation, Message, ReplyPort, Undelivered,
};

use super::leave::FORGET_WAIT;
use super::{CONTROLLER_WAIT, Directory, ReplicaKeeper, files};
use crate::messages::{
    AskAgainDue, ControllerAnswered, DegradedJudgementDue, DirectoryMade, ForgetPartition, JobDone,
    NotPlaying, PartitionFound, ProbeDue, RescanDue, StraySetAside, TrustDue,
};
use crate::state::{Ask, CreateFault, Step};

/// How long a partition that is on stage may take to say how it is, and the pause before it is asked
/// again: it does nothing else at that moment, or recovers and answers all the same.
const DESCRIBE_WAIT: Duration = Duration::from_secs(5);

impl ReplicaKeeper {
    /// Performs what the cast wants by now.
    pub(super) fn perform(&mut self, cx: &mut Context<Self>) {
        for step in self.cast.take_steps() {
            self.perform_one(step, cx);
        }
    }

    fn perform_one(&mut self, step: Step, cx: &mut Context<Self>) {
        match step {
            Step::Scan { directory } => self.scan(directory, cx),
            Step::Create {
                partition,
                topic_id,
                directory,
            } => self.create(partition, topic_id, directory, cx),
            Step::Start {
                partition,
                topic_id,
                directory,
            } => self.start_or_describe(partition, topic_id, directory, cx),
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
            } => self.lead(&partition, leader_epoch, cx),
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
                    let image = self.spec.image.borrow();
                    let config = self.spec.configs.of_topic(&image, &partition.topic);
                    drop(image);
                    // One that is not on stage reads the configuration when it starts.
                    let _ = addr.try_tell(ReconfigureLog { config });
                }
            }
            Step::Remove {
                partition,
                topic_id,
                directory,
            } => self.remove(partition, topic_id, directory, cx),
            Step::SetAside {
                partition,
                directory,
            } => self.set_aside(partition, directory, cx),
            Step::Ask {
                partition,
                topic_id,
                what,
                cause,
            } => self.ask(partition, topic_id, what, &cause, cx),
            Step::AskAgainLater { partition, pause } => {
                cx.tell_after(pause, AskAgainDue { partition });
            }
            Step::ProbeLater { partition, pause } => {
                cx.tell_after(pause, ProbeDue { partition });
            }
            Step::JudgeDegradedLater { partition, trouble } => {
                let due = DegradedJudgementDue { partition, trouble };
                cx.tell_after(self.spec.degraded_leader, due);
            }
            Step::TrustLater {
                partition,
                trouble,
                pause,
            } => {
                cx.tell_after(pause, TrustDue { partition, trouble });
            }
            Step::RescanLater { pause } => {
                cx.tell_after(pause, RescanDue);
            }
            Step::Revive {
                partition,
                topic_id,
                directory,
            } => {
                let is_revived = self.spec.partitions.revive(&partition.to_string());
                if !is_revived {
                    // Its group was restarted meanwhile, and it with it; or it has ended.
                    self.start_or_describe(partition, topic_id, directory, cx);
                }
            }
        }
    }

    pub(super) fn find(
        &self,
        partition: &PartitionId,
        cx: &Context<Self>,
    ) -> Option<Addr<Partition>> {
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
        // The next keeper must not scan while this is half done, nor do it a second time beside it.
        let hold = cx.hold_restart();
        let job = async move {
            let forget = |reply| ForgetPartition {
                partition: forgotten,
                reply,
            };
            match actor.ask_with(FORGET_WAIT, forget).await {
                Ok(Ok(_)) => {}
                Ok(Err(failed)) => return Err(CreateFault::NotMade(failed.to_string())),
                Err(error) => return Err(CreateFault::NotMade(error.to_string())),
            }
            let made = disk.run("create partition", move |fs| {
                let _hold = hold;
                files::create(fs, &dir, topic_id)
            });
            match made.await {
                Ok(outcome) => outcome,
                Err(fault @ kabuki_storage::DiskFault::QueueFull { .. }) => {
                    Err(CreateFault::NotMade(fault.to_string()))
                }
                Err(fault) => Err(CreateFault::HalfMade(fault.to_string())),
            }
        };
        cx.spawn(job, |outcome| DirectoryMade { partition, outcome });
    }

    fn start_or_describe(
        &mut self,
        partition: PartitionId,
        topic_id: TopicId,
        directory: usize,
        cx: &mut Context<Self>,
    ) {
        if let Some(addr) = self.find(&partition, cx) {
            // The keeper is the one who restarted: its partitions play on, and what they told or
            // what befell them meanwhile was not heard.
            return cx.spawn(describe(addr), |outcome| PartitionFound {
                partition,
                outcome,
            });
        }
        let Directory {
            disk,
            arbiter,
            actor,
            checkpoints,
        } = self.spec.directories[directory].clone();
        let (image, configs) = (self.spec.image.clone(), self.spec.configs.clone());
        let (topic, stored) = (partition.topic.clone(), partition.clone());
        let (leading, index, node) = (image.clone(), partition.partition, self.spec.node);
        let spec = PartitionSpec {
            dir: disk.root().join(partition.to_string()),
            id: partition,
            topic_id,
            disk,
            stored: Arc::new(move |fs| checkpoints.of_partition(fs, &stored)),
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

    fn lead(&self, partition: &PartitionId, leader_epoch: LeaderEpoch, cx: &mut Context<Self>) {
        let Some(addr) = self.find(partition, cx) else {
            return;
        };
        let order = async move {
            let order = |reply| BecomeLeader {
                leader_epoch,
                reply,
            };
            match addr.ask_with(CONTROLLER_WAIT, order).await {
                Ok(Err(refused)) => Err(refused.to_string()),
                // A partition that restarts takes its leadership up by itself.
                Ok(Ok(_)) | Err(_) => Ok(()),
            }
        };
        cx.spawn(order, |outcome| JobDone {
            job: "leadership not taken",
            outcome,
        });
    }

    fn set_aside(&mut self, partition: PartitionId, directory: usize, cx: &mut Context<Self>) {
        let disk = &self.spec.directories[directory].disk;
        let from = disk.root().join(partition.to_string());
        let to = disk
            .root()
            .join(format!("{partition}.{}-stray", TopicId::random()));
        let cause = format!("stray directory {} renamed", from.display());
        cx.report(EventKind::Quarantined, &cause);
        let job = disk.run("set stray aside", move |fs| {
            files::set_aside(fs, &from, &to)
        });
        cx.spawn(job, move |outcome| StraySetAside {
            partition,
            directory,
            outcome: outcome
                .map_err(|fault| fault.to_string())
                .and_then(|renamed| renamed),
        });
    }

    fn ask(
        &self,
        id: PartitionId,
        topic_id: TopicId,
        what: Ask,
        cause: &str,
        cx: &mut Context<Self>,
    ) {
        let node = self.spec.node;
        let partition = PartitionRef {
            topic: topic_id,
            partition: id.partition,
        };
        match what {
            Ask::MarkOffline => {
                // There may be no actor behind the path, and so no instance to name.
                let path = self.spec.partitions.path().child(&id.to_string());
                let log = cx.stage().supervision_log();
                log.report(EventKind::SteppedDown, &path, Incarnation(0), cause, "");
                self.ask_controller(id, topic_id, cx, move |reply| MarkPartitionOffline {
                    node,
                    partition,
                    reply,
                });
            }
            Ask::MarkOnline => {
                self.ask_controller(id, topic_id, cx, move |reply| MarkPartitionOnline {
                    node,
                    partition,
                    reply,
                });
            }
            Ask::RaiseEpoch => {
                self.ask_controller(id, topic_id, cx, move |reply| RaiseLeaderEpoch {
                    node,
                    partition,
                    reply,
                });
            }
        }
    }

    fn ask_controller<T, R, M>(
        &self,
        partition: PartitionId,
        topic_id: TopicId,
        cx: &mut Context<Self>,
        message: impl FnOnce(ReplyPort<Result<T, R>>) -> M + Send + 'static,
    ) where
        T: Send + 'static,
        R: std::fmt::Display + Send + 'static,
        M: Message<Reply = ()>,
        Controller: Handler<M>,
    {
        let controller = self.spec.controller.clone();
        let asked = async move {
            match controller.ask_with(CONTROLLER_WAIT, message).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(refused)) => Err(refused.to_string()),
                Err(error) => Err(error.to_string()),
            }
        };
        cx.spawn(asked, move |outcome| ControllerAnswered {
            partition,
            topic_id,
            outcome,
        });
    }
}

/// Asks a partition how it is until it says so.
async fn describe(addr: Addr<Partition>) -> Result<PartitionDescription, NotPlaying> {
    loop {
        match addr
            .ask_with(DESCRIBE_WAIT, |reply| DescribePartition { reply })
            .await
        {
            Ok(description) => return Ok(description),
            Err(AskError::NotDone(Undelivered::Parked)) => return Err(NotPlaying::Parked),
            Err(AskError::NotDone(Undelivered::Stopped)) => return Err(NotPlaying::Gone),
            // It restarts, or is busy.
            Err(_) => tokio::time::sleep(DESCRIBE_WAIT).await,
        }
    }
}
