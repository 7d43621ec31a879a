//! What partitions, supervisor and controller say, and what follows from it.

use kabuki_partition::{PartitionFact, PartitionPhase};
use kabuki_protocol::ids::{LeaderEpoch, PartitionId, TopicId};

use super::cast::{Cast, remove};
use super::directories::Owner;
use super::role::{Role, Standing};
use super::step::Step;

/// How many partitions are in which standing, for `kabuki actors`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) on_stage: usize,
    pub(crate) parked: usize,
    pub(crate) missing: usize,
}

/// How a partition is that was on stage already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Playing {
    pub(crate) topic_id: TopicId,
    /// Index of its log directory.
    pub(crate) directory: usize,
    pub(crate) phase: PartitionPhase,
    /// Last epoch it knows of.
    pub(crate) leader_epoch: LeaderEpoch,
}

impl Cast {
    /// What a partition says of itself.
    pub(crate) fn heard(
        &mut self,
        partition: &PartitionId,
        topic_id: TopicId,
        fact: &PartitionFact,
    ) {
        let Some(role) = self.roles.get_mut(partition) else {
            return;
        };
        if role.topic_id != topic_id || role.standing == Standing::Leaving {
            return;
        }
        let steps = &mut self.steps;
        match fact {
            PartitionFact::LogRecovered { .. } => {
                if role.standing == Standing::Parked && role.is_made {
                    // Brought back with its whole group, which leaves nobody parked.
                    role.standing = Standing::OnStage;
                }
                // A new instance does not know that the old one was degraded: it finds out itself.
                role.well(steps);
            }
            PartitionFact::TailCut { leader_epoch, .. } => {
                if role.leader_epoch <= *leader_epoch {
                    role.lost_epoch = role.lost_epoch.max(Some(*leader_epoch));
                }
            }
            PartitionFact::LeadershipTaken { .. } => {}
            PartitionFact::Degraded { cause } => degraded(role, cause, steps),
            PartitionFact::Healed => role.well(steps),
            PartitionFact::StateSuspect => {
                role.fail("its state crashes every batch");
                role.is_suspect = true;
                role.try_later(steps);
            }
            PartitionFact::Failed {
                cause,
                is_missing: true,
            } => role.fail(cause),
            // The supervisor restarts it; its budget says when that is given up.
            PartitionFact::Failed {
                is_missing: false, ..
            } => {}
        }
        role.reconcile(self.node, steps);
    }

    /// A partition that was on stage already says how it is.
    pub(crate) fn found_playing(&mut self, partition: &PartitionId, found: &Playing) {
        let Some(mut role) = self.roles.remove(partition) else {
            return;
        };
        if role.standing == Standing::OnStage {
            if found.topic_id == role.topic_id {
                self.hear_playing(&mut role, found);
            } else {
                // It belongs to an older topic of the name and was about to leave.
                role.standing = Standing::Leaving;
                role.topic_id = found.topic_id;
                role.directory = found.directory;
                self.steps.push(remove(&role, Some(role.directory)));
            }
        }
        self.roles.insert(partition.clone(), role);
    }

    fn hear_playing(&mut self, role: &mut Role, found: &Playing) {
        role.directory = found.directory;
        let owner = Owner::Topic(role.topic_id);
        self.directories
            .added(role.directory, &role.partition, owner);
        if let Some(assignment) = self.assignment(role) {
            self.steps.push(assignment);
        }
        match &found.phase {
            // It tells when it is ready.
            PartitionPhase::Recovering | PartitionPhase::Stopping => return,
            PartitionPhase::Leading => role.well(&mut self.steps),
            PartitionPhase::Following => {
                role.well(&mut self.steps);
                if role.leader == self.node && role.leader_epoch > found.leader_epoch {
                    self.steps.push(Step::Lead {
                        partition: role.partition.clone(),
                        leader_epoch: role.leader_epoch,
                    });
                } else if role.leader == self.node {
                    // It knows the epoch and does not lead in it: it waits for a greater one.
                    role.lost_epoch = Some(found.leader_epoch);
                }
            }
            PartitionPhase::Degraded { cause } => {
                role.serves = Some(true);
                degraded(role, cause, &mut self.steps);
            }
        }
        role.reconcile(self.node, &mut self.steps);
    }

    /// A partition that was on stage has ended by now: what is on the disks counts.
    pub(crate) fn found_gone(&mut self, partition: &PartitionId) {
        let is_on_stage = |role: &Role| role.standing == Standing::OnStage;
        if self.roles.get(partition).is_some_and(is_on_stage) {
            self.roles.remove(partition);
            self.enter_anew(partition);
        }
    }

    /// The restart budget of a partition is spent.
    pub(crate) fn parked(&mut self, partition: &PartitionId, cause: &str) {
        let Some(role) = self.roles.get_mut(partition) else {
            return;
        };
        if role.standing != Standing::OnStage {
            return;
        }
        role.standing = Standing::Parked;
        role.fail(cause);
        role.try_later(&mut self.steps);
        role.reconcile(self.node, &mut self.steps);
    }

    /// The pause before another try is over.
    pub(crate) fn probe_due(&mut self, partition: &PartitionId) {
        let Some(mut role) = self.roles.remove(partition) else {
            return;
        };
        match role.standing {
            Standing::Leaving if role.must_leave_again => {
                role.must_leave_again = false;
                self.steps.push(remove(&role, Some(role.directory)));
            }
            Standing::OnStage if role.is_suspect => {
                // What the suspicion rests on was rebuilt from disk; the next batches tell.
                role.well(&mut self.steps);
                role.reconcile(self.node, &mut self.steps);
            }
            Standing::Parked if role.is_made => {
                role.standing = Standing::OnStage;
                self.steps.push(Step::Revive {
                    partition: partition.clone(),
                    topic_id: role.topic_id,
                    directory: role.directory,
                });
            }
            Standing::Parked => self.place(&mut role),
            _ => {}
        }
        self.roles.insert(partition.clone(), role);
    }

    /// `kabuki.degraded.leader.ms` are over: a partition that still refuses writes is offered
    /// without a leader, or it would fill the shared buffer of its producers.
    pub(crate) fn degraded_due(&mut self, partition: &PartitionId, trouble: u64) {
        if let Some(role) = self.roles.get_mut(partition)
            && role.is_degraded
            && role.trouble == trouble
        {
            judge(role);
            role.reconcile(self.node, &mut self.steps);
        }
    }

    /// A partition that had trouble was well for long, unless there was more of it meanwhile.
    pub(crate) fn trust_due(&mut self, partition: &PartitionId, trouble: u64) {
        if let Some(role) = self.roles.get_mut(partition)
            && role.trouble == trouble
        {
            role.trusted();
        }
    }

    /// The controller granted or refused a request. If it granted it, the image that shows that was
    /// looked at before.
    pub(crate) fn answered(
        &mut self,
        partition: &PartitionId,
        topic_id: TopicId,
        outcome: Result<(), String>,
    ) {
        let Some(role) = self.roles.get_mut(partition) else {
            return;
        };
        if role.topic_id != topic_id {
            return;
        }
        match outcome {
            Ok(()) => {
                role.was_granted();
                role.reconcile(self.node, &mut self.steps);
            }
            Err(_) => role.was_refused(&mut self.steps),
        }
    }

    /// The pause before the controller is asked again is over.
    pub(crate) fn ask_again_due(&mut self, partition: &PartitionId) {
        if let Some(role) = self.roles.get_mut(partition) {
            role.reconcile(self.node, &mut self.steps);
        }
    }

    /// Counts the partitions.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for role in self.roles.values() {
            match role.standing {
                Standing::OnStage => counts.on_stage += 1,
                Standing::Parked => counts.parked += 1,
                Standing::Missing => counts.missing += 1,
                Standing::MakingRoom | Standing::Creating | Standing::Leaving => {}
            }
        }
        counts
    }
}

fn degraded(role: &mut Role, cause: &str, steps: &mut Vec<Step>) {
    role.is_degraded = true;
    role.trouble += 1;
    role.note(cause);
    if role.is_on_probation {
        return judge(role);
    }
    steps.push(Step::JudgeDegradedLater {
        partition: role.partition.clone(),
        trouble: role.trouble,
    });
}

/// Takes a partition that refuses writes out of service.
fn judge(role: &mut Role) {
    let cause = format!("writes are refused for too long: {}", role.cause());
    role.fail(cause);
    role.is_on_probation = true;
}
