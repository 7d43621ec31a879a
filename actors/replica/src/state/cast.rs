//! The cast of one node: compares the metadata image with what stands on stage, and says what to do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kabuki_controller::image::{DirectoryId, MetadataImage, PartitionImage, TopicImage};
use kabuki_controller::messages::PartitionRef;
use kabuki_partition::PartitionFact;
use kabuki_protocol::ids::{LeaderEpoch, NodeId, PartitionId, TopicId, TopicName};

use super::directories::{Directories, Located};
use super::role::{Role, Standing};

/// Something the shell is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Make the directory of a new partition, durably.
    Create {
        partition: PartitionId,
        topic_id: TopicId,
        directory: usize,
    },
    /// Put the partition on stage.
    Start {
        partition: PartitionId,
        topic_id: TopicId,
        directory: usize,
    },
    /// Tell the controller where the replica lies.
    Assign {
        partition: PartitionRef,
        directory: DirectoryId,
    },
    /// Tell the partition that it leads.
    Lead {
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
    },
    /// Tell the partition that it does not lead any more.
    Resign {
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
    },
    /// Give the partition its new configuration.
    Reconfigure { partition: PartitionId },
    /// Take the partition off for good and rename its directory.
    Remove {
        partition: PartitionId,
        directory: usize,
    },
    /// Rename a directory that belongs to no partition of this node.
    SetAside {
        partition: PartitionId,
        directory: usize,
    },
    /// Tell the controller that the replica cannot serve, and the supervision log why.
    MarkOffline {
        partition: PartitionRef,
        name: PartitionId,
        cause: String,
    },
    /// Tell the controller that the replica serves again.
    MarkOnline { partition: PartitionRef },
    /// Ask the controller for a greater leader epoch.
    RaiseEpoch { partition: PartitionRef },
    /// Come back with `probe_due` after a pause.
    ProbeLater {
        partition: PartitionId,
        pause: Duration,
    },
    /// Come back with `degraded_due` after `kabuki.degraded.leader.ms`.
    JudgeDegradedLater { partition: PartitionId },
    /// Try a parked partition again.
    Revive { partition: PartitionId },
}

/// The partitions of one node.
#[derive(Debug)]
pub(crate) struct Cast {
    node: NodeId,
    directories: Directories,
    unscanned_count: usize,
    roles: HashMap<PartitionId, Role>,
    /// Topics as last compared: one that is the same object has not changed.
    compared: HashMap<TopicName, Arc<TopicImage>>,
}

impl Cast {
    pub(crate) fn new(node: NodeId, directories: Vec<DirectoryId>) -> Self {
        let unscanned_count = directories.len();
        Self {
            node,
            directories: Directories::new(directories),
            unscanned_count,
            roles: HashMap::new(),
            compared: HashMap::new(),
        }
    }

    /// Whether every directory was looked at, so that a missing partition is really missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.unscanned_count == 0
    }

    /// Takes over the scan of one directory; `None`: it cannot be read, its partitions are missing.
    pub(crate) fn scanned(
        &mut self,
        directory: usize,
        found: Option<Vec<(PartitionId, Option<TopicId>)>>,
    ) {
        assert!(self.unscanned_count > 0, "a directory was scanned twice");
        self.unscanned_count -= 1;
        if let Some(found) = found {
            self.directories.scanned(directory, found);
        }
    }

    /// Partition directories that no partition of the image owns. Asked once, after the scans.
    pub(crate) fn strays(&mut self, image: &MetadataImage) -> Vec<Step> {
        let mut strays = Vec::new();
        for (partition, places) in self.directories.found() {
            let topic = image.topic(&partition.topic);
            let hosted = topic.filter(|topic| {
                let replica = topic.partition(partition.partition);
                replica.is_some_and(|replica| replica.directory_of(self.node).is_some())
            });
            for place in places {
                let is_own = match (hosted, place.topic_id) {
                    (Some(topic), Some(topic_id)) => topic.id == topic_id,
                    // Without its metadata file it may be anybody's: the partition refuses to open
                    // it, and an operator can look at it where it lies.
                    (Some(_), None) => true,
                    (None, _) => false,
                };
                if !is_own {
                    let directory = place.directory;
                    strays.push(Step::SetAside {
                        partition: partition.clone(),
                        directory,
                    });
                }
            }
        }
        for step in &strays {
            if let Step::SetAside {
                partition,
                directory,
            } = step
            {
                self.directories.removed(*directory, partition);
            }
        }
        strays
    }

    /// Compares the cast with a newer image.
    ///
    /// Costs one look per topic of the cluster, and one per partition of the topics that changed.
    pub(crate) fn compare(&mut self, image: &MetadataImage) -> Vec<Step> {
        assert!(
            self.is_complete(),
            "compared before the directories were scanned"
        );
        let mut steps = Vec::new();
        let gone: Vec<TopicName> = (self.compared.iter())
            .filter(|(name, topic)| image.topic(name).is_none_or(|now| now.id != topic.id))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(topic) = self.compared.remove(&name) {
                self.leave_topic(&topic, &mut steps);
            }
        }
        for topic in image.topics() {
            let known = self.compared.get(&topic.name);
            if known.is_some_and(|known| Arc::ptr_eq(known, topic)) {
                continue;
            }
            for (index, partition) in topic.partitions.iter().enumerate() {
                // A topic has far fewer than 2^31 partitions; the controller bounds them.
                let index = i32::try_from(index).unwrap_or(i32::MAX);
                self.compare_partition(topic, index, partition, &mut steps);
            }
            self.compared.insert(topic.name.clone(), topic.clone());
        }
        steps
    }

    fn leave_topic(&mut self, topic: &TopicImage, steps: &mut Vec<Step>) {
        for index in 0..topic.partitions.len() {
            let id = topic.partition_id(i32::try_from(index).unwrap_or(i32::MAX));
            let Some(role) = self.roles.get_mut(&id) else {
                continue;
            };
            if role.standing == Standing::Missing {
                self.roles.remove(&id);
                continue;
            }
            // One that is being created leaves when that is done.
            if matches!(role.standing, Standing::OnStage | Standing::Parked) {
                steps.push(Step::Remove {
                    partition: id,
                    directory: role.directory,
                });
            }
            role.standing = Standing::Leaving;
        }
    }

    fn compare_partition(
        &mut self,
        topic: &TopicImage,
        index: i32,
        image: &PartitionImage,
        steps: &mut Vec<Step>,
    ) {
        let Some(assigned) = image.directory_of(self.node) else {
            return;
        };
        let id = topic.partition_id(index);
        let Some(role) = self.roles.get_mut(&id) else {
            self.enter(topic, id, image, assigned, steps);
            return;
        };
        if role.standing == Standing::Leaving {
            return;
        }
        let is_on_stage = role.standing == Standing::OnStage;
        if is_on_stage && (image.leader_epoch > role.leader_epoch || image.leader != role.leader) {
            let partition = id.clone();
            let leader_epoch = image.leader_epoch;
            steps.push(match image.leader == self.node {
                true => Step::Lead {
                    partition,
                    leader_epoch,
                },
                false => Step::Resign {
                    partition,
                    leader_epoch,
                },
            });
        }
        if is_on_stage && role.configs != topic.configs {
            steps.push(Step::Reconfigure { partition: id });
        }
        role.configs = topic.configs.clone();
        role.seen(image.leader, image.leader_epoch);
        role.reconcile(self.node, steps);
    }

    /// A partition that this node did not play so far.
    fn enter(
        &mut self,
        topic: &TopicImage,
        id: PartitionId,
        image: &PartitionImage,
        assigned: DirectoryId,
        steps: &mut Vec<Step>,
    ) {
        let configs = topic.configs.clone();
        let mut role = Role::new(
            id.clone(),
            topic.id,
            image.leader,
            image.leader_epoch,
            configs,
        );
        match self.directories.locate(&id, topic.id) {
            Located::In(directory) => {
                role.directory = directory;
                let directory_id = self.directories.id(directory);
                if assigned != directory_id {
                    // The node stopped between making the directory and telling the controller, or
                    // an operator moved the files while it was down.
                    steps.push(Step::Assign {
                        partition: role.reference(),
                        directory: directory_id,
                    });
                }
                steps.push(Step::Start {
                    partition: id.clone(),
                    topic_id: topic.id,
                    directory,
                });
            }
            Located::Several => {
                let cause = "the partition lies in several log directories".to_owned();
                lose(&mut role, cause);
            }
            Located::Nowhere if assigned.is_assigned() => {
                let cause = match self.directories.usable_with_id(assigned) {
                    Some(_) => "the directory of the partition is gone".to_owned(),
                    None => format!("log directory {assigned} is not online"),
                };
                lose(&mut role, cause);
            }
            Located::Nowhere => match self.directories.least_used() {
                Some(directory) => {
                    role.standing = Standing::Creating;
                    role.directory = directory;
                    self.directories.added(directory, &id, topic.id);
                    let partition = id.clone();
                    steps.push(Step::Create {
                        partition,
                        topic_id: topic.id,
                        directory,
                    });
                }
                None => lose(&mut role, "no log directory is online".to_owned()),
            },
        }
        role.reconcile(self.node, steps);
        self.roles.insert(id, role);
    }

    /// The directory of a new partition is there.
    pub(crate) fn created(&mut self, partition: &PartitionId) -> Vec<Step> {
        let Some(role) = self.roles.get_mut(partition) else {
            return Vec::new();
        };
        let directory = role.directory;
        if role.standing == Standing::Leaving {
            return vec![Step::Remove {
                partition: partition.clone(),
                directory,
            }];
        }
        role.standing = Standing::OnStage;
        vec![
            Step::Assign {
                partition: role.reference(),
                directory: self.directories.id(directory),
            },
            Step::Start {
                partition: partition.clone(),
                topic_id: role.topic_id,
                directory,
            },
        ]
    }

    /// The directory of a new partition could not be made: tried again after a pause, in the
    /// directory that is least used by then.
    pub(crate) fn create_failed(&mut self, partition: &PartitionId, cause: &str) -> Vec<Step> {
        let Some(role) = self.roles.get_mut(partition) else {
            return Vec::new();
        };
        self.directories.removed(role.directory, partition);
        if role.standing == Standing::Leaving {
            self.roles.remove(partition);
            return Vec::new();
        }
        role.standing = Standing::Parked;
        let pause = role.next_probe_pause();
        let mut steps = vec![Step::ProbeLater {
            partition: partition.clone(),
            pause,
        }];
        fail(role, cause.to_owned());
        role.reconcile(self.node, &mut steps);
        steps
    }

    /// The pause before another try is over.
    pub(crate) fn probe_due(&mut self, partition: &PartitionId) -> Vec<Step> {
        let Some(role) = self.roles.get_mut(partition) else {
            return Vec::new();
        };
        if role.standing != Standing::Parked {
            return Vec::new();
        }
        let topic_id = role.topic_id;
        if self.directories.locate(partition, topic_id) == Located::Nowhere {
            let Some(directory) = self.directories.least_used() else {
                let pause = role.next_probe_pause();
                return vec![Step::ProbeLater {
                    partition: partition.clone(),
                    pause,
                }];
            };
            role.standing = Standing::Creating;
            role.directory = directory;
            self.directories.added(directory, partition, topic_id);
            return vec![Step::Create {
                partition: partition.clone(),
                topic_id,
                directory,
            }];
        }
        role.standing = Standing::OnStage;
        vec![Step::Revive {
            partition: partition.clone(),
        }]
    }

    /// The restart budget of a partition is spent.
    pub(crate) fn parked(&mut self, partition: &PartitionId, cause: String) -> Vec<Step> {
        let Some(role) = self.roles.get_mut(partition) else {
            return Vec::new();
        };
        if role.standing != Standing::OnStage {
            return Vec::new();
        }
        role.standing = Standing::Parked;
        let pause = role.next_probe_pause();
        let mut steps = vec![Step::ProbeLater {
            partition: partition.clone(),
            pause,
        }];
        fail(role, cause);
        role.reconcile(self.node, &mut steps);
        steps
    }

    /// A partition left for good; its directory was renamed to what is returned by the shell.
    /// The name may be wanted again at once: the next comparison enters it anew.
    pub(crate) fn removed(&mut self, partition: &PartitionId) {
        if let Some(role) = self.roles.remove(partition) {
            self.directories.removed(role.directory, partition);
            self.compared.remove(&partition.topic);
        }
    }

    /// What a partition says of itself.
    pub(crate) fn heard(
        &mut self,
        partition: &PartitionId,
        topic_id: TopicId,
        fact: &PartitionFact,
    ) -> Vec<Step> {
        let Some(role) = self.roles.get_mut(partition) else {
            return Vec::new();
        };
        if role.topic_id != topic_id || role.standing == Standing::Leaving {
            return Vec::new();
        }
        let mut steps = Vec::new();
        match fact {
            PartitionFact::LogRecovered { .. } => {
                role.recovered();
                // A new instance does not know that the old one was degraded: it finds out itself.
                role.is_degraded = false;
                role.serves = Some(true);
            }
            PartitionFact::TailCut { .. } => {
                steps.push(Step::RaiseEpoch {
                    partition: role.reference(),
                });
            }
            PartitionFact::LeadershipTaken { .. } => {}
            PartitionFact::Degraded { .. } => {
                role.is_degraded = true;
                steps.push(Step::JudgeDegradedLater {
                    partition: partition.clone(),
                });
            }
            PartitionFact::Healed => {
                role.is_degraded = false;
                role.serves = Some(true);
            }
            PartitionFact::StateSuspect => fail(role, "its state crashes every batch".to_owned()),
            PartitionFact::Failed {
                cause,
                is_missing: true,
            } => fail(role, cause.clone()),
            // The supervisor restarts it; its budget says when that is given up.
            PartitionFact::Failed {
                is_missing: false, ..
            } => {}
        }
        role.reconcile(self.node, &mut steps);
        steps
    }

    /// `kabuki.degraded.leader.ms` are over: a partition that still refuses writes is offered
    /// without a leader, or it would fill the shared buffer of its producers.
    pub(crate) fn degraded_due(&mut self, partition: &PartitionId) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(role) = self.roles.get_mut(partition)
            && role.is_degraded
        {
            fail(role, "writes are refused for too long".to_owned());
            role.reconcile(self.node, &mut steps);
        }
        steps
    }

    /// The controller refused or did not answer: asked again with the next news or image.
    pub(crate) fn was_refused(&mut self, partition: PartitionRef) {
        let mut roles = self.roles.values_mut();
        if let Some(role) = roles.find(|role| role.reference() == partition) {
            role.was_refused();
        }
    }

    /// Counts for `kabuki actors`: on stage, parked, missing.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let count = |standing| {
            self.roles
                .values()
                .filter(|role| role.standing == standing)
                .count()
        };
        (
            count(Standing::OnStage),
            count(Standing::Parked),
            count(Standing::Missing),
        )
    }
}

fn lose(role: &mut Role, cause: String) {
    role.standing = Standing::Missing;
    fail(role, cause);
}

fn fail(role: &mut Role, cause: String) {
    role.serves = Some(false);
    role.cause = cause;
}
